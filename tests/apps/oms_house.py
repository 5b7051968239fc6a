"""oms as it is wired, without a server: the journal in memory, a risk that a test can hold, and the same doors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from adapters.clock import SystemClock
from adapters.memory import MemoryFills, MemoryJournal, MemoryLog, MemoryPositions
from adapters.memory_equity import MemoryEquity
from apps.http.app import Handler, application, fast_path
from apps.http.caller import LOCAL_CALLER, Caller
from apps.journal import group_commit
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.oms import admin, algo_reports, algo_routes, equity, instrument_list, list_routes, settle
from apps.oms.accounts import Accounts
from apps.oms.algo_body import AlgoReader, ParamBounds
from apps.oms.algo_reads import AlgoReads
from apps.oms.algo_upkeep import AlgoUpkeep
from apps.oms.algos import AlgoHandler
from apps.oms.bounded_reads import BoundedReads
from apps.oms.child_spawner import ChildSpawner
from apps.oms.equity import EquityReads
from apps.oms.list_rules import list_rules
from apps.oms.lists import ListHandler
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler
from apps.oms.routes import router
from apps.oms.submit import SubmitHandler
from apps.oms.submit_endpoint import SubmitEndpoint
from apps.runtime.chassis import cancelled
from domain.access.keys import KeyRing
from domain.instruments import negative_prices
from domain.market.listings import Listings
from domain.market.quotes import Market
from domain.order.commands import RiskDecision, Terms
from domain.risk.controls import Controls
from tests.apps.callers import ERIN, as_caller
from tests.apps.submits import CURRENCY, INSTRUMENTS, READER
from tests.given import approved

QUOTE_AGE_MAX_S = 10.0
LISTS_MAX = 3
ALGOS_MAX = 3


class HeldRisk:
    """Stands for the risk client: approves whatever it is asked, when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let = asyncio.Event()
        self.let.set()

    async def check(self, terms: Terms) -> RiskDecision:
        self.asked.append(terms.order_id)
        await self.let.wait()
        return approved(terms.order_id)

    async def check_list(self, legs: Sequence[Terms]) -> Sequence[RiskDecision]:
        return [msgspec.structs.replace(await self.check(terms), reference=terms.price or terms.stop_price) for terms in legs]


class OmsHouse:
    """One oms on a log that outlives it."""

    def __init__(self, log: MemoryLog, *, in_flight_max: int = 4096, second_person: bool = False, open_orders_max: int = 1000) -> None:
        clock, journal = SystemClock(), MemoryJournal(log)
        self.log, self.risk = log, HeldRisk()
        self.forbids: Callable[[Terms], str | None] = lambda terms: None
        self.informed: Callable[[], bool] = lambda: True
        self.positions, self.fills = MemoryPositions(), MemoryFills()
        negative = negative_prices(INSTRUMENTS.values())
        self.controls = Controls()
        rules = list_rules(INSTRUMENTS, self.controls)
        self.host = ShardHost(journal, clock, pace=Pace(), negative_prices=negative, rules=rules)
        self.intake = SubmitHandler(
            self.host,
            self.risk,  # type: ignore[arg-type]
            forbids=lambda terms: self.forbids(terms),
            informed=lambda: self.informed(),
            open_orders_max=open_orders_max,
            in_flight_max=in_flight_max,
        )
        self.clock, self.metrics, self.market = clock, OmsMetrics(CollectorRegistry()), Market()
        self.door = SubmitEndpoint(READER, self.intake, clock, self.metrics)
        self.replaces = ReplaceHandler(self.host, self.risk, INSTRUMENTS, self.intake.forbidden)  # type: ignore[arg-type]
        self.accounts = Accounts(self.positions, self.fills, self.market, clock, QUOTE_AGE_MAX_S, CURRENCY)
        self.reads = OrderReads(self.host, {ERIN.key_id: ERIN.owner}.get)
        settlements = settle.router(self.host, self.reads, negative, clock, second_person)
        self.listings = Listings()
        self.lists = ListHandler(self.host, self.intake, self.risk, LISTS_MAX)  # type: ignore[arg-type]
        list_reads = list_routes.ListReads(self.host, self.reads, {ERIN.key_id: ERIN.owner}.get)
        listed = list_routes.router(self.lists, list_reads, READER, clock)
        self.samples, self.bounded = MemoryEquity(), BoundedReads()
        self.equity = EquityReads(self.samples, self.bounded, clock)
        catalogue, worth = instrument_list.router(INSTRUMENTS, {}, self.listings), equity.router(self.equity)
        self.children = ChildSpawner(self.host, self.intake, self.risk)  # type: ignore[arg-type]
        self.algo_upkeep = AlgoUpkeep(self.host, clock)
        handler = AlgoHandler(self.host, self.intake, self.risk, ALGOS_MAX)  # type: ignore[arg-type]
        algo_reads = AlgoReads(self.host, handler, self.reads, INSTRUMENTS, clock, {ERIN.key_id: ERIN.owner}.get)
        door = algo_routes.AlgoDoor(AlgoReader(READER, ParamBounds(), {}, clock), READER, INSTRUMENTS, clock)
        algos = algo_routes.router(handler, algo_reads, door)
        algos.include_router(algo_reports.router(algo_reports.AlgoReports(self.host, algo_reads)))
        others = (admin.router(admin.Admin(None)), settlements, catalogue, listed, algos, worth)
        own = router(self.host, self.reads, self.accounts, self.replaces, INSTRUMENTS, KeyRing().may_trade)
        self.application = application("oms", own, *others)
        self.app: Handler = fast_path(self.application, {("POST", "/orders"): self.door})

    async def ready(self) -> None:
        async with asyncio.timeout(120):
            while not self.host.ready:
                await asyncio.sleep(0.001)

    async def recovered(self) -> None:
        """Until the memory was thrown away once, and is there again."""
        async with asyncio.timeout(120):
            while not self.host.recoveries:
                await asyncio.sleep(0.001)
        await self.ready()

    async def under_way(self, count: int) -> None:
        async with asyncio.timeout(120):
            while len(self.risk.asked) < count:
                await asyncio.sleep(0.001)

    @asynccontextmanager
    async def http(self, caller: Caller = LOCAL_CALLER) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=as_caller(self.app, caller))
        async with httpx.AsyncClient(transport=transport, base_url="http://oms") as client:
            yield client


@asynccontextmanager
async def living(log: MemoryLog | None = None, **bounds: Any) -> AsyncIterator[tuple[OmsHouse, httpx.AsyncClient]]:
    """A house whose host runs, and a client of it. Give the same log again for a restart.

    Its memory is trusted however long the machine does other things: that it is not forever is looked at in test_host.py.
    """
    house = OmsHouse(log or MemoryLog(), **bounds)
    trusted_s = vars(group_commit)["TRUST_S"]
    vars(group_commit)["TRUST_S"] = 600.0
    running, spawning = asyncio.create_task(house.host.run()), asyncio.create_task(house.children.run())
    try:
        await house.ready()
        async with house.http() as client:
            yield house, client
    finally:
        await cancelled(running)
        await cancelled(spawning)
        vars(group_commit)["TRUST_S"] = trusted_s
