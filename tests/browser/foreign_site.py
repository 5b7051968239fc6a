"""A foreign web site, on an address of this machine, whose name may later lead to a service of ours (DNS rebinding)."""

import asyncio
import contextlib
from typing import Final, Self

from tests.aside import Aside
from tests.browser.relay import ENDED, relay

PAGE: Final = b"<!doctype html><title>elsewhere</title><p>A page of another site."
ANSWER: Final = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%b" % (len(PAGE), PAGE)


class ForeignSite:
    """Serves one page at `address`; port 0 takes any free one. Requests after `rebind` go to a port of 127.0.0.1 instead, unchanged."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.port = port
        self._address = address
        self._behind: int | None = None
        self._aside = Aside()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._aside.call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._aside.close()

    def rebind(self, port: int) -> None:
        self._behind = port

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, self._address, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*ENDED), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if self._behind is None:
                writer.write(ANSWER)
                await writer.drain()
                return
            await relay(reader, writer, head, self._behind)
