"""A server of ClickHouse over HTTP on the engine in this process: each request has a session of its own, as on a real server."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

PARAMETER = "param_"
NO_SETTINGS = frozenset({"database", "default_format", "query", "client_protocol_version", "compress", "query_id", "wait_end_of_query"})


def answered(path: Path, asked: Mapping[str, str], body: bytes) -> bytes:
    """Run one request: its database and settings hold for it alone."""
    connection = importlib.import_module("chdb").connect(str(path))
    try:
        if "database" in asked:
            connection.query(f"USE {asked['database']}")
        settings = {name: value for name, value in asked.items() if name not in NO_SETTINGS and not name.startswith(PARAMETER)}
        for name in sorted(settings, key="readonly".__eq__):
            connection.query(f"SET {name} = '{settings[name]}'")
        values = {name.removeprefix(PARAMETER): value for name, value in asked.items() if name.startswith(PARAMETER)}
        found: bytes = connection.query(
            asked.get("query") or body.decode(), asked.get("default_format", "TabSeparated"), params=values
        ).bytes()
        return found
    finally:
        connection.close()


@contextlib.contextmanager
def http_server(path: Path) -> Iterator[str]:
    """Run a server on the engine's directory; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = dict(parse_qsl(urlsplit(self.path).query))
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                status, answer = 200, answered(path, asked, body)
            except RuntimeError as error:
                status, answer = 500, str(error).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
