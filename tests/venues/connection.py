"""A client of a simulated venue: what it sent and got, and faults on the way out; and what a venue's format is made of."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from websockets.asyncio.server import ServerConnection

from tests.venues.faults import Faults
from tests.venues.market import Move, Print, SimulatedBook


class Reply(msgspec.Struct):
    """A reply over REST."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


class Speech(Protocol):
    """A venue's own format."""

    symbols: Sequence[SimulatedBook]

    def greet(self, to: "Connection") -> None:
        """Send what a new connection gets unasked."""

    def take(self, to: "Connection", message: Any) -> None:
        """Do what a message of the client asks for."""

    def heartbeat(self, to: "Connection") -> None: ...

    def moved(self, to: "Connection", book: SimulatedBook, move: Move) -> None:
        """Send one step of a book to a connection that subscribed to it."""

    def printed(self, to: "Connection", book: SimulatedBook, price: str, size: str, print_: Print) -> None:
        """Send a trade with these texts as price and size."""

    def rest(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """Answer a GET; None if there is nothing at this path."""


class Connection:
    """One client. `sent` is all that left, in order, and `received` all that came."""

    def __init__(self, socket: ServerConnection, faults: Faults) -> None:
        self.path = socket.request.path if socket.request else "/"
        self.sent: list[str] = []
        self.received: list[str] = []
        self.state: dict[Any, Any] = {}
        """What the venue's format keeps for a connection: subscriptions, sequence numbers."""
        self._socket = socket
        self._faults = faults
        self._held: str | None = None
        self._leaving: asyncio.Queue[str] = asyncio.Queue()

    def data(self, text: str, of: str) -> None:
        """Send a message of the market, with the faults that are switched on. `of`: book or trade."""
        faults = self._faults
        if faults.mute or faults.silent:
            return
        if faults.only not in ("", of):
            self._leave(text)
            return
        if _taken(faults, "drop_next"):
            return
        if _taken(faults, "unknown_next"):
            self._leave('{"channel":"weather","e":"weather","T":"weather","type":"update","data":[]}')
        if _taken(faults, "malformed_next"):
            text = text[: len(text) // 2]
        if self._held is None and _taken(faults, "swap_next"):
            self._held = text
            return
        held, self._held = self._held, None
        self._leave(text)
        if _taken(faults, "duplicate_next"):
            self._leave(text)
        if held is not None:
            self._leave(held)

    def control(self, text: str) -> None:
        """Send a heartbeat, an acknowledgement or an error."""
        if not self._faults.silent:
            self._leave(text)

    def _leave(self, text: str) -> None:
        self.sent.append(text)
        self._leaving.put_nowait(text)

    async def write(self) -> None:
        while True:
            await self._socket.send(await self._leaving.get())

    async def drained(self) -> None:
        """Wait until all that was sent is with the socket."""
        while not self._leaving.empty():
            await asyncio.sleep(0)

    async def close(self, code: int = 1001, reason: str = "going away") -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        """Break the connection without a word."""
        self._socket.transport.abort()


def _taken(faults: Faults, name: str) -> bool:
    left = getattr(faults, name)
    if left > 0:
        setattr(faults, name, left - 1)
    return bool(left > 0)
