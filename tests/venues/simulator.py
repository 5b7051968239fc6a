"""The servers of a simulated venue: one port for websockets and REST, and the steps of its books."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.venues.connection import Connection, Reply, Speech
from tests.venues.faults import Faults
from tests.venues.market import Move, PastPrint, Print, SimulatedBook, Truth
from tests.venues.speeches import SPEECHES

HOST: Final = "127.0.0.1"
HEARTBEAT_S: Final = 1.0
STEP_S: Final = 0.01
"""How often the running simulation wakes up; the steps of one wake-up follow from its rate."""


class VenueSimulator:
    """A venue of one kind on a port of its own. `rate`: steps a second of each symbol by itself; 0: only `step` moves it."""

    def __init__(
        self, kind: str, *, seed: int = 1, symbols: Sequence[str] = (), rate: float = 0, port: int = 0, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self.kind = kind
        self.faults = Faults()
        self.speech: Speech = SPEECHES[kind](self.faults, seed, symbols)
        self.books = {book.name: book for book in self.speech.symbols}
        self.connections: list[Connection] = []
        """Every connection that was ever made, the newest last."""
        self.requests: list[str] = []
        """Every GET, with its query."""
        self.most_open = 0
        """The most connections that were ever open at the same time."""
        self.port = port
        self._rate = rate
        self._heartbeat_s = heartbeat_s
        self._open: list[Connection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._server: Server | None = None
        self._stopping = False

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def book(self, symbol: str, depth: int = 10_000) -> Truth:
        """The true book of one of the venue's symbols."""
        return self.books[symbol].truth(depth)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop` on the same port again."""
        self._stopping = False
        self._server = await serve(
            self._connected, HOST, self.port, process_request=self._requested, compression=None, ping_interval=None, max_queue=1024
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._tasks = [asyncio.create_task(self._beat())]
        if self._rate:
            self._tasks.append(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server:
            self._server.close()
            for connection in self._open:
                connection.abort()
            await self._server.wait_closed()
            self._server = None

    @property
    def open(self) -> Sequence[Connection]:
        """The connections that are open now."""
        return tuple(self._open)

    def step(self, steps: int = 1, symbol: str = "") -> None:
        """Move one book, or each of them, this many times."""
        for _ in range(steps * self.faults.burst):
            for book in self.speech.symbols:
                if symbol in ("", book.name):
                    book.remember()
                    self._tell(book, book.step())

    def cross(self, symbol: str) -> None:
        """Crossed within a venue: a bid above the best ask."""
        self._tell(self.books[symbol], self.books[symbol].cross())

    def uncross(self, symbol: str) -> None:
        self._tell(self.books[symbol], self.books[symbol].uncross())

    def absurd(self, symbol: str, price: str, size: str = "1") -> None:
        """Absurd print: a trade at any text as its price."""
        book = self.books[symbol]
        book.trades += 1
        for connection in self._open:
            self.speech.printed(connection, book, price, size, Print(book.trades, 0, 0, True, self._now()))

    def traded(self, symbol: str, at: int, price: str, size: str, *, taker_buys: bool = True) -> None:
        """Add a trade of the past, which is sent to no connection."""
        book = self.books[symbol]
        book.trades += 1
        book.past.append(PastPrint(price, size, Print(book.trades, 0, 0, taker_buys, at)))

    async def close_all(self, code: int = 1001, reason: str = "going away") -> None:
        """Close every connection, as a venue that restarts."""
        for connection in self.open:
            await connection.close(code, reason)

    def abort_all(self) -> None:
        for connection in self._open:
            connection.abort()

    def _now(self) -> int:
        return time.time_ns() + self.faults.ahead_ns

    def _tell(self, book: SimulatedBook, move: Move) -> None:
        if move.trade is not None:
            trade = move.trade._replace(at=self._now())
            move = move._replace(trade=trade)
            book.past.append(PastPrint(book.price(trade.tick), book.size(trade.lots), trade))
        for connection in self._open:
            self.speech.moved(connection, book, move)

    async def _connected(self, socket: ServerConnection) -> None:
        connection = Connection(socket, self.faults)
        self.connections.append(connection)
        self._open.append(connection)
        self.most_open = max(self.most_open, len(self._open))
        writing = asyncio.create_task(connection.write())
        try:
            self.speech.greet(connection)
            async for text in socket:
                connection.received.append(str(text))
                self.speech.take(connection, msgspec.json.decode(text))
        except ConnectionClosed:
            pass
        finally:
            self._open.remove(connection)
            writing.cancel()
            with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
                await writing

    async def _requested(self, _: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return _response(Reply(503, "no")) if self.faults.refuse else None
        self.requests.append(request.path)
        while self.faults.rest_hangs and not self._stopping:
            await asyncio.sleep(STEP_S)
        if self.faults.rest_status:
            status, wait_s = self.faults.rest_status.pop(0)
            return _response(Reply(status, '{"code":-1003,"msg":"Too many requests."}', {"Retry-After": str(wait_s)}))
        parts = urlsplit(request.path)
        return _response(self.speech.rest(parts.path, dict(parse_qsl(parts.query))) or Reply(404, '{"msg":"not found"}'))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            for connection in self.open:
                self.speech.heartbeat(connection)

    async def _run(self) -> None:
        began, done = time.monotonic(), 0
        while True:
            await asyncio.sleep(STEP_S)
            due = int((time.monotonic() - began) * self._rate) - done
            self.step(due)
            done += due


def _response(reply: Reply) -> Response:
    body = reply.body.encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **reply.headers})
    return Response(reply.status, HTTPStatus(reply.status).phrase, headers, body)
