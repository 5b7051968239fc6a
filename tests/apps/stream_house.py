"""The Alpaca stream over a real port, on a host in memory: keys, orders of several accounts, and clients."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Final

from msgspec import structs
from websockets.asyncio.client import ClientConnection, connect

from adapters.clock import SystemClock
from adapters.memory import MemoryLog
from apps.http.access import Access
from apps.http.app import application, serve
from apps.http.authority import Authority, KeysKnown
from apps.http.credentials import digest, new_key_id, new_secret
from apps.http.route_scopes import TABLES
from apps.http.websocket import with_websockets
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.orders import AlpacaOrder, order_of
from apps.oms.alpaca.stream import AlpacaStream
from apps.oms.alpaca.update_source import UpdateSource
from apps.runtime.chassis import cancelled
from domain.access.events import AccountOpened, KeyCreated, KeyRevoked
from domain.access.keys import KeyRing
from domain.order import commands as c
from domain.order.order import Order
from domain.values import order_id_of
from tests import given
from tests.apps.held_journal import HeldJournal
from tests.apps.submits import INSTRUMENTS
from tests.apps.test_host import Desk

ASSETS: Final = AssetBook(INSTRUMENTS.values())
LOCAL: Final = "127.0.0.1"
PATHS: Final = ("/alpaca/stream", "/alpaca/stream/")
LIFE: Final = ["accepted", "pending_new", "new", "partial_fill", "fill"]
"""The updates of an order whose whole life is `StreamHouse.live`."""
WAIT_S: Final = 120.0


class Client:
    """One client of the stream."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            text = await self.socket.recv()
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        return message

    async def authenticate(self, key_id: str, secret: str) -> str:
        await self.say(action="authenticate", data={"key_id": key_id, "secret_key": secret})
        answer = await self.hear()
        assert answer["stream"] == "authorization"
        assert answer["data"]["action"] == "authenticate"
        return str(answer["data"]["status"])

    async def listen(self, *streams: str, **more: Any) -> list[str]:
        await self.say(action="listen", data={"streams": list(streams), **more})
        answer = await self.hear()
        assert answer["stream"] == "listening"
        found: list[str] = answer["data"]["streams"]
        return found

    async def updates(self, count: int) -> list[dict[str, Any]]:
        found = [await self.hear() for _ in range(count)]
        assert {message["stream"] for message in found} <= {"trade_updates"}
        return [message["data"] for message in found]

    async def receives_nothing(self) -> None:
        """Everything that was sent before now would be here: an answer to a later message comes behind it."""
        assert await self.listen() == []


class StreamHouse:
    """A host in memory, a source of updates over its journal, and a port."""

    def __init__(self, log: MemoryLog) -> None:
        self.desk = Desk(log)
        self.journal = HeldJournal(log)
        self.keys, clock = KeyRing(), SystemClock()
        self.known = KeysKnown(clock)
        self.authority = Authority("open", self.keys, TABLES["oms"], clock, self.known)
        self.source = UpdateSource(self.desk.host, self.journal, self.shown)
        self.stream = AlpacaStream(self.source, self.authority)
        self.port = 0
        self.fails = False
        """Whether an order cannot be shown."""
        self._version = 0
        self._report_seq = 0

    def shown(self, order: Order, generation: int) -> AlpacaOrder:
        if self.fails:
            raise RuntimeError("this order cannot be shown")
        return order_of(order, ASSETS.of(order.symbol), generation)

    def key(self, account: str = "alice", *scopes: str) -> tuple[str, str]:
        """A new key and its secret."""
        key_id, secret = new_key_id(), new_secret()
        for event in (AccountOpened, KeyCreated):
            self._version += 1
            own: dict[str, Any] = {"version": self._version, "at": 1, "who": "operator", "account": account}
            if event is KeyCreated:
                own |= {"key_id": key_id, "owner": "erin", "scopes": scopes or ("read",), "digest": digest(secret.encode()).hex()}
                own |= {"rate": 1000, "burst": 1000}
            self.keys.apply(event(**own))
        self.known.read_to_end(SystemClock().monotonic_ns())
        return key_id, secret

    def revoke(self, key_id: str) -> None:
        self._version += 1
        self.keys.apply(KeyRevoked(version=self._version, at=2, who="operator", key_id=key_id))

    @contextlib.asynccontextmanager
    async def connected(self, path: str = PATHS[0], **more: Any) -> AsyncIterator[Client]:
        async with connect(f"ws://{LOCAL}:{self.port}{path}", proxy=None, max_queue=None, **more) as socket:
            yield Client(socket)

    @contextlib.asynccontextmanager
    async def listening(self, account: str = "alice", **more: Any) -> AsyncIterator[Client]:
        """A client that listens, with a new key of the account."""
        async with self.connected() as client:
            assert await client.authenticate(*self.key(account)) == "authorized"
            assert await client.listen("trade_updates", **more) == ["trade_updates"]
            yield client

    # Orders

    async def submit(self, name: str, account: str = "alice") -> None:
        terms = structs.replace(given.terms(), order_id=order_id_of(account, name), account=account, client_order_id=name)
        await self.desk.do(given.submit(terms))

    async def do(self, name: str, command: c.OrderCommand, account: str = "alice") -> None:
        changes: dict[str, Any] = {"order_id": order_id_of(account, name)}
        if isinstance(command, c.VenueReport):
            self._report_seq += 1
            changes |= {"account": account, "report_seq": self._report_seq}
        await self.desk.do(structs.replace(command, **changes))

    async def route(self, name: str, account: str = "alice") -> None:
        await self.do(name, given.route(("R1", "PAPER_A", "10")), account)

    async def ack(self, name: str, account: str = "alice") -> None:
        await self.do(name, given.report("accepted", venue_order_id=f"V-{account}-{name}"), account)

    async def fill(self, name: str, quantity: str, exec_id: str, account: str = "alice") -> None:
        await self.do(name, given.fill(f"{account}-{name}-{exec_id}", quantity, "50"), account)

    async def live(self, name: str, account: str = "alice") -> None:
        """A whole life, of five commits."""
        await self.submit(name, account)
        await self.route(name, account)
        await self.ack(name, account)
        await self.fill(name, "4", "F1", account)
        await self.fill(name, "6", "F2", account)


def held(update: dict[str, Any]) -> Decimal:
    return Decimal(update["position_qty"])


@contextlib.asynccontextmanager
async def streaming(log: MemoryLog | None = None) -> AsyncIterator[StreamHouse]:
    house = StreamHouse(log or MemoryLog())
    await house.desk.ready()
    running = asyncio.create_task(house.source.run())
    app = with_websockets(application("oms"), dict.fromkeys(PATHS, house.stream))
    listener = await serve(app, LOCAL, 0, Access(), house.authority, drain_sec=1, websocket_paths=PATHS)
    house.port = listener.port
    try:
        yield house
    finally:
        await listener.stop()
        await cancelled(running)
        await house.desk.stop()
