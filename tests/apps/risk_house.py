"""risk as it is wired, without a server: journals in memory, and a client that keeps what it would have sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from adapters.chain import GENESIS
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, encode
from adapters.controls import ACCESS_COMMITS, CONTROL_COMMITS
from adapters.memory import MemoryJournal
from adapters.subjects import CHECK
from apps.connections.access import AccessAnswer, AccessQuestion
from apps.connections.controls import Scopes, events_into
from apps.http.app import application, fast_path
from apps.http.authority import Authority, KeysKnown
from apps.http.caller import LOCAL_CALLER, Caller
from apps.http.route_scopes import TABLES
from apps.journal.subscription import JournalSubscription
from apps.risk.access_endpoint import AccessEndpoint
from apps.risk.check_endpoint import CheckEndpoint
from apps.risk.check_handler import CheckHandler
from apps.risk.check_service import CheckService
from apps.risk.control_endpoint import ControlEndpoint
from apps.risk.control_log import ControlLog
from apps.risk.engines import RiskEngines
from apps.risk.metrics import RiskMetrics
from apps.risk.readiness import Readiness
from apps.risk.shard_assembly import orders_into
from apps.runtime.chassis import cancelled
from domain.access.keys import KeyRing
from domain.access.scopes import AccessScope
from domain.execution.order_rules import AuctionOf, OrderRules, never_closing
from domain.risk.controls import Controls
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from tests.apps.callers import as_caller
from tests.domain.risk.scene import CURRENCIES, INSTRUMENTS, WITHOUT_VAR

BATCH_MAX = 8
GOOD = {"account": "alice", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000}


class Sent:
    """Stands for the NATS client: keeps what would have been published."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        self.messages.append((subject, payload))


class Message:
    def __init__(self, data: bytes, reply: str = "inbox", subject: str = CHECK) -> None:
        self.subject = subject
        self.data = data
        self.reply = reply


class Clock(SystemClock):
    """The machine's, and what a test lets pass."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns

    def later(self, seconds: int) -> None:
        self.ahead_ns += seconds * 1_000_000_000


class House:
    """risk as it is wired, on journals in memory; open from the start."""

    def __init__(self, *, second_person: bool = True, alone_max_usd: Decimal | None = None, **limits: Any) -> None:
        self.clock = Clock()
        controls = Controls()
        self.connection: int | None = 0
        self.risk = Risk(Limits(**{"enabled": WITHOUT_VAR, "price_collar": None, **limits}), INSTRUMENTS, CURRENCIES, controls)
        self.measures = RiskMetrics(CollectorRegistry(), 1000, dict)
        orders = MemoryJournal()
        self.orders = JournalSubscription(orders, ORDER_COMMITS, orders_into(self.risk), after=GENESIS)
        journal = MemoryJournal()
        self.symbols = JournalSubscription(journal, CONTROL_COMMITS, events_into(controls.apply), after=GENESIS)
        self.gate = Readiness(self.orders, self.symbols, orders, 0, lambda: self.connection)
        self.sent = Sent()
        self.holds = True
        self.auction_of: AuctionOf = never_closing
        self.may_trade: Callable[[str], bool] = lambda account: self.keys.may_trade(account)
        self.icebergs = set(INSTRUMENTS)
        may_trade, auction_of = lambda account: self.may_trade(account), lambda *asked: self.auction_of(*asked)
        self.rules = OrderRules(INSTRUMENTS, may_trade, icebergs=self.icebergs, auction_of=auction_of)
        self.check_service = CheckService(self.risk, self.gate, self.measures, self.rules, self.clock)
        self.handler = CheckHandler(self.sent, self.check_service, self.measures, BATCH_MAX, lambda: self.holds)  # type: ignore[arg-type]
        self.door = CheckEndpoint(RiskEngines([self.risk]), self.check_service, self.measures, self.rules, self.clock)
        self.obeyed: dict[str, str] = {"exeq": "yes", "oms": "yes"}
        log = ControlLog(journal, CONTROL_COMMITS, self.symbols, controls)
        scopes = Scopes(INSTRUMENTS, {"PAPER_A"})
        self.control_door = ControlEndpoint(RiskEngines([self.risk]), log, self, scopes, self.clock, second_person, alone_max_usd)  # type: ignore[arg-type]
        self._give_keys()
        for follower in (self.orders, self.symbols, self.access):
            follower.connected, follower.target = True, 0
        self.gate.opened, self.gate.read_over = True, 0

    def _give_keys(self) -> None:
        journal, self.keys = MemoryJournal(), KeyRing()
        self.access = JournalSubscription(journal, ACCESS_COMMITS, events_into(self.keys.apply), after=GENESIS)
        self.access_log = ControlLog(journal, ACCESS_COMMITS, self.access, self.keys)
        authority = Authority("keys", self.keys, TABLES["risk"], self.clock, KeysKnown(self.clock))
        self.access_door = AccessEndpoint(authority, self.access_log, self, self.clock, lambda: 0.0)  # type: ignore[arg-type]

    async def of(self, seq: int) -> Mapping[str, str]:
        """Stands for those who obey."""
        return self.obeyed

    async def seen(self, question: AccessQuestion) -> Mapping[str, AccessAnswer]:
        """Stands for the other services, which no key was used at."""
        return {}

    def asked(self, payload: bytes) -> Any:
        return msgspec.json.decode(encode(self.handler.answer(payload)))

    @asynccontextmanager
    async def http(self, caller: Caller = LOCAL_CALLER, *, fast: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        """A running house, and a client of it."""
        following = [asyncio.create_task(follower.run()) for follower in (self.symbols, self.access)]
        async with self.client(caller, fast=fast) as client:
            yield client
        for task in following:
            await cancelled(task)

    @asynccontextmanager
    async def client(self, caller: Caller, *, fast: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        """One more caller of a running house. `/access` is there for those who may use it."""
        access = [self.access_door.router()] if caller.has(AccessScope.ADMIN) else []
        app: Any = application("risk", self.door.router(), self.control_door.router(), *access)
        if fast:
            app = fast_path(app, {("POST", "/check"): self.door.check})
        transport = httpx.ASGITransport(app=as_caller(app, caller))
        async with httpx.AsyncClient(transport=transport, base_url="http://risk") as client:
            yield client


def text(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}).encode()
