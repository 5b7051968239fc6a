"""The API on a real socket, saying what a scene wants: answers are set by method and path, requests are kept."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.types import Receive, Scope, Send

from apps.http.problem import problem_body
from apps.stack.ports import HOST

BROKEN = -1
"""In place of a status: the answer breaks off in the middle."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    """Path and query as they were sent."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FakeOms:
    """Port of the API. The last answer set for a route is given forever."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[tuple[str, str], list[Said]] = field(default_factory=dict)

    def says(self, method: str, path: str, body: bytes | object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """The next answer of a route, after those said before."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.setdefault((method, path), []).append(Said(status, encoded, headers or {}))

    def refuses(self, method: str, path: str, status: int, code: str, detail: str, **extra: object) -> None:
        self.says(method, path, problem_body(status, code, detail, **extra), status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body = (await receive()).get("body", b"")
        query = scope["query_string"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        self.asked.append(Asked(scope["method"], scope["path"], dict(parse_qsl(query)), body, headers, target))
        said = self._next(scope["method"], scope["path"])
        broken = said.status == BROKEN
        headers = {"content-length": str(len(said.body) + broken), **said.headers}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200 if broken else said.status, "headers": encoded})
        await send({"type": "http.response.body", "body": said.body})

    def _next(self, method: str, path: str) -> Said:
        said = self.answers.get((method, path))
        if not said:
            return Said(404, problem_body(404, "not_found", "there is nothing here"))
        return said.pop(0) if len(said) > 1 else said[0]


@contextmanager
def fake_oms() -> Iterator[FakeOms]:
    """A FakeOms that answers on a free port."""
    fake = FakeOms()
    server = uvicorn.Server(uvicorn.Config(fake, host=HOST, port=0, lifespan="off", log_config=None, access_log=False))
    with server.config.bind_socket() as listening:
        listening.listen()  # so that a quick client is not refused before the thread begins
        fake.url = f"http://{HOST}:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield fake
        server.should_exit = True
        thread.join()
