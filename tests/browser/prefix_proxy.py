"""A reverse proxy that serves a service below a prefix, as nginx does with `location /desk/ { proxy_pass http://127.0.0.1:8110/; }`.

Requests outside the prefix are answered with 404 and remembered: a page that works below any prefix makes none.
"""

import asyncio
import contextlib
from typing import Final, Self

from tests.aside import Aside
from tests.browser.relay import ENDED, relay

ABSENT: Final = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PrefixProxy:
    """In front of 127.0.0.1:`target`. Each connection carries one request; `Host` is passed on as the browser sent it."""

    def __init__(self, target: int, prefix: str) -> None:
        """`prefix`: such as `/desk/`."""
        self.port = 0
        self.outside: list[str] = []
        """Request lines outside the prefix."""
        self._target = target
        self._prefix = prefix.encode()
        self._aside = Aside()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._aside.call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._aside.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._prefix.decode()}"

    def cut(self) -> None:
        """End every connection, as a proxy does that loads a new configuration."""
        self._aside.call(self._cut())

    async def _cut(self) -> None:
        for writer in self._open:
            writer.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*ENDED), contextlib.closing(writer):
            self._open.add(writer)
            try:
                await self._serve(reader, writer)
            finally:
                self._open.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, rest = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        if not path.startswith(self._prefix):
            self.outside.append(f"{method.decode()} {path.decode()}")
            writer.write(ABSENT)
            await writer.drain()
            return
        head = b" ".join((method, b"/" + path.removeprefix(self._prefix), rest))
        await relay(reader, writer, head.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close"), self._target)
