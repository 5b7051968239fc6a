"""The services of the house, wired as their own `build` functions wire them, in processes that can die at any moment and start again."""

import asyncio
import contextvars
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from prometheus_client import CollectorRegistry

from adapters.codec import ORDER_COMMITS
from adapters.controls import CONTROL_COMMITS
from adapters.memory import MemoryOrderStore, MemoryPositions, MemorySnapshots, MemoryWatermark
from apps.connections.controls import ControlAck, KnownControls, connections, events_into
from apps.connections.nats import patiently
from apps.connections.ticks import Ticks
from apps.connections.unit import Unit
from apps.exeq.algos import Algos
from apps.exeq.executor import Executor
from apps.exeq.in_doubt import InDoubtRoutes
from apps.exeq.kill_switch import ExeqKillSwitch as SendSwitch
from apps.exeq.oms_commands import oms_commands
from apps.exeq.ownership import Ownership
from apps.exeq.router import Router, RoutingRules
from apps.exeq.stop_orders import StopOrders
from apps.exeq.timed_orders import TimedOrders
from apps.exeq.trade_prints import TradePrints
from apps.exeq.trailing_stops import TrailingStops
from apps.exeq.venue_wire import VenueWire
from apps.journal.commit_feed import FedJournal
from apps.journal.group_commit import Pace
from apps.journal.order_repository import OrderRepository
from apps.journal.publisher import Publisher
from apps.journal.shard_host import ShardHost
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import Mark
from apps.live_gateway.feed import QuotedVenues
from apps.live_gateway.flush_marker import FlushMarker
from apps.live_gateway.report_log import VENUE_COMMITS
from apps.live_gateway.report_wire import announced_fills
from apps.live_gateway.request_handler import RequestHandler as VenueIntake
from apps.live_gateway.session import Sessions
from apps.live_gateway.simulated_trades import SimulatedTrades
from apps.live_gateway.venue_host import VenueHost
from apps.oms.algo_upkeep import AlgoUpkeep
from apps.oms.algos import AlgoHandler
from apps.oms.child_spawner import ChildSpawner
from apps.oms.command_handler import CommandHandler
from apps.oms.expiry import OrderExpiry
from apps.oms.kill_switch import OmsKillSwitch
from apps.oms.list_rules import list_rules
from apps.oms.list_upkeep import ListUpkeep
from apps.oms.lists import ListHandler
from apps.oms.reduce_only import ReduceOnly
from apps.oms.replace import ReplaceHandler
from apps.oms.report_sessions import VenueSessions
from apps.oms.risk_client import RiskCheck, RiskClient
from apps.oms.risk_client import RiskClientBounds as RiskBounds
from apps.oms.risk_in_process import RiskInProcess
from apps.oms.submit import SubmitHandler
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop
from apps.risk.check_handler import CheckHandler
from apps.risk.check_service import CheckService
from apps.risk.control_acks import ControlAcks, LocalKillReports
from apps.risk.control_log import ControlLog
from apps.risk.metrics import RiskMetrics
from apps.risk.readiness import Readiness
from apps.risk.shard_assembly import orders_into
from domain.execution.projection import STATE_VERSION as EXECUTIONS_VERSION
from domain.execution.projection import Executions, ExecutionsState
from domain.execution.routing import RoutedVenue
from domain.market.quotes import Market
from domain.ports import Head, Journal
from domain.risk.controls import ControlEvent, Controls
from domain.risk.engine import Risk
from domain.risk.snapshot import VERSION as RISK_STATE_VERSION
from domain.risk.snapshot import RiskState
from tests.interest import NeverSubscribed
from tests.simulation import market
from tests.simulation.bus import Client, Network
from tests.simulation.journal import Disk, SimJournal
from tests.simulation.loop import OWNER
from tests.simulation.rogue_host import RogueHost
from tests.simulation.world import SimClock, World

ORDERS = "oms.journal.0"
RISK_TTL_S = 2.5
RISK_BUDGET_S = 0.01
SNAPSHOT_EVERY_COMMITS, SNAPSHOT_EVERY_S = 8, 1.0
OPEN_ORDERS_MAX = 25
IN_FLIGHT_MAX = 12
LISTS_MAX = 100
EXCLUSIVE_WAIT_S = 0.5
TRAIL_EVERY_NS = 250_000_000


class DataDirectory:
    """What writers of journals keep on their machine. Another machine has its own for oms; the venues stay where they are."""

    def __init__(self, venues: "DataDirectory | None" = None) -> None:
        self.orders = MemoryOrderStore()
        self.marks: dict[str, MemoryWatermark] = {name: mark for name, mark in venues.marks.items() if name != ORDERS} if venues else {}

    def mark(self, name: str, codec: Any) -> Mark:
        return Mark(self.marks.setdefault(name, MemoryWatermark()), name, codec)


class Ground:
    """What outlives every process: the disks, the stores, the network."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = Network(world)
        self.orders = Disk(world, ORDERS)
        self.controls = Disk(world, "risk.control.symbols")
        self.venues = {name: Disk(world, f"venue.journal.{name}") for name in market.VENUES}
        self.directory = DataDirectory()
        self.snapshots = MemorySnapshots()
        self.positions = MemoryPositions()
        self.unit: Unit | None = None
        """What oms, risk and exeq share that start now; None where each is a process of its own."""
        self.order_rate: frozenset[str] = frozenset()
        """How the venues misbehave now."""

    @property
    def disks(self) -> Iterator[Disk]:
        yield from (self.orders, self.controls, *self.venues.values())


class Process(ABC):
    """One life of one service. `begin` wires it; when it dies its tasks end, and nothing it still says is heard."""

    name = ""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.world = ground.world
        self.client: Client = ground.network.connect(self.name)
        self.clock = SimClock(ground.world.loop)
        self.tasks: list[asyncio.Task[Any]] = []
        self.alive = True
        self.frozen = False
        self.unit = ground.unit
        self.followed: Callable[[str], None] = self.failed
        """Told when another process works in the place of this one, which then ends."""
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)

    async def start(self) -> None:
        await self.run(self.begin())

    @abstractmethod
    async def begin(self) -> None:
        """What the service builds, wired as in its own `build`."""

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """In the name of this process: what it starts dies with it."""
        return self.world.loop.create_task(coroutine, context=self._context)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """As the chassis does: the process ends when one of these does."""
        asyncio.get_running_loop().create_task(coroutine).add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if self.alive and not task.cancelled():
            self.world.violated("no_task_dies", self.name, repr(task.exception() or "ended"))

    def failed(self, reason: str) -> None:
        self.world.violated("no_task_dies", self.name, reason)

    def snapshots(self, fold: Any, kind: type[Any], version: int) -> Snapshotter[Any]:
        store = self.ground.snapshots
        return Snapshotter(store, self.name, fold, kind, version, every_commits=SNAPSHOT_EVERY_COMMITS, every_s=SNAPSHOT_EVERY_S)

    def journal(self, disk: Disk) -> SimJournal:
        return SimJournal(disk, self.client)

    def followed_orders(self) -> Journal:
        """The order journal for a fold of a service, as apps.connections.journals has it."""
        journal = self.journal(self.ground.orders)
        return FedJournal(journal, self.unit.feeds[0]) if self.unit else journal

    async def follow_controls(self, publisher: Publisher, *taken: Callable[[ControlEvent], None]) -> KnownControls:
        """As apps.connections.journals does it."""
        client: Any = self.client
        journal = self.journal(self.ground.controls)
        follower = JournalSubscription(journal, CONTROL_COMMITS, events_into(*taken), after=Head(), wait_s=0)
        known = KnownControls(journal, follower, connections(client))
        await ControlAck(self.name, follower, publisher).start(client)
        self.spawn(follower.run())
        self.spawn(known.run())
        return known

    def freeze(self, *, frozen: bool) -> None:
        """SIGSTOP and SIGCONT: nothing of it runs, while messages pile up and time goes by."""
        self.frozen = frozen
        self.world.loop.look_again()

    def die(self) -> None:
        self.alive = False
        self.freeze(frozen=False)
        self.client.close()
        for task in self.tasks:
            task.cancel()

    def lost_errors(self) -> Iterator[BaseException]:
        """What a task raised and was never awaited."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and task._log_traceback and (error := task.exception()):
                yield error


class Oms(Process):
    name = "oms"
    open = False

    async def begin(self) -> None:
        client, publisher = self.client, Publisher(self.client)  # type: ignore[arg-type]
        directory, unit, controls = self.ground.directory, self.unit, Controls()
        mark, feed = directory.mark(ORDERS, ORDER_COMMITS), None if unit is None else unit.feeds[0]
        rules = list_rules(market.INSTRUMENTS, controls)
        journal = self.journal(self.ground.orders)
        self.host = ShardHost(journal, self.clock, store=directory.orders, mark=mark, pace=Pace(), feed=feed, rules=rules)
        self.risk: RiskCheck = RiskInProcess(unit) if unit else RiskClient(client, RiskBounds(budget_s=RISK_BUDGET_S))  # type: ignore[arg-type]
        self.sessions = VenueSessions(client, self.host, market.VENUES, 0, failed=self.failed)  # type: ignore[arg-type]
        switch = OmsKillSwitch(self.host, controls)
        switch.known = known = await self.follow_controls(publisher, controls.apply, switch.heard)
        self.intake = SubmitHandler(
            self.host, self.risk, forbids=switch.forbids, informed=known, open_orders_max=OPEN_ORDERS_MAX, in_flight_max=IN_FLIGHT_MAX
        )
        self.lists = ListHandler(self.host, self.intake, self.risk, LISTS_MAX)
        self.list_upkeep = ListUpkeep(self.host, EXCLUSIVE_WAIT_S)
        self.replaces = ReplaceHandler(self.host, self.risk, market.INSTRUMENTS, self.intake.forbidden)
        self.expirer = OrderExpiry(self.host, self.clock, None, {})
        self.reduce_only = ReduceOnly(self.host)
        self.host.on_landed = self.expirer.landed
        self.host.on_ready = self._on_ready
        await self.risk.start()
        await self.sessions.start()
        self.algos = AlgoHandler(self.host, self.intake, self.risk, LISTS_MAX)
        children = ChildSpawner(self.host, self.intake, self.risk)
        desk = CommandHandler(self.host, children, publisher, failed=self.failed)
        await desk.start(client, 0)  # type: ignore[arg-type]
        if unit:
            unit.performs[0] = desk.perform
        for coroutine in (publisher.run(), mark.run(), self.host.run(), self.sessions.run(), switch.run(), self.expirer.run()):
            self.spawn(coroutine)
        for coroutine in (self.reduce_only.run(), self.list_upkeep.run(), children.run(), AlgoUpkeep(self.host, self.clock).run()):
            self.spawn(coroutine)
        self.open = True

    def _on_ready(self, ready: bool) -> None:
        if ready:
            self.sessions.restart()
            self.expirer.restart()

    @property
    def book(self) -> OrderRepository:
        return self.host.book


class RiskService(Process):
    name = "risk"

    async def begin(self) -> None:
        controls, client = Controls(), self.client
        self.risk = Risk(market.LIMITS, market.INSTRUMENTS, market.CURRENCIES, controls)
        measures = RiskMetrics(CollectorRegistry(), 1e9, dict)
        orders = self.followed_orders()
        snapshots = self.snapshots(self.risk.fold, RiskState, RISK_STATE_VERSION)
        head = await patiently(lambda: snapshots.recover(orders))
        self.orders = JournalSubscription(orders, ORDER_COMMITS, snapshots.whole(orders_into(self.risk)), after=head)
        journal = self.journal(self.ground.controls)
        blocks = JournalSubscription(journal, CONTROL_COMMITS, events_into(controls.apply), after=Head(), wait_s=0)
        gate = self.gate = Readiness(self.orders, blocks, orders, RISK_TTL_S, connections(client))  # type: ignore[arg-type]
        self.spawn(self.orders.run())
        self.spawn(snapshots.run(self.orders))
        self.spawn(blocks.run())
        self.run(gate.open())
        self.spawn(gate.watch(lambda ok, why: None))
        self.spawn(gate.give_back(self.risk.exposure, measures))
        await Ticks(self.risk.marks.update, market.LISTED, self.world.steady_ns).start(client)  # type: ignore[arg-type]
        service = CheckService(self.risk, gate, measures, market.RULES, self.clock)
        handler = CheckHandler(client, service, measures, 256, lambda: True, self.unit and self.unit.share)  # type: ignore[arg-type]
        await handler.start()
        if self.unit:
            self.unit.decide, self.unit.decide_list = handler.decide, handler.decide_list
        self.obeying = ControlAcks(client)  # type: ignore[arg-type]
        self.control_log = ControlLog(journal, CONTROL_COMMITS, blocks, controls)
        await LocalKillReports(client, self.control_log).start()  # type: ignore[arg-type]


class Exeq(Process):
    name = "exeq"
    holds_stops = False

    async def begin(self) -> None:
        client: Any = self.client
        controls, quotes, publisher = Controls(), Market(), Publisher(client)
        await Ticks(quotes.update, market.LISTED, self.clock.monotonic_ns).start(client)
        venues = {name: RoutedVenue(name, v.maker_bps, v.taker_bps, v.symbols, icebergs=True) for name, v in market.VENUES.items()}
        executions, rules = Executions(holds_stops=self.holds_stops), RoutingRules("lowest_cost", 10_000_000_000)
        switch = SendSwitch(controls, None)
        sender = f"exeq-{self.ground.network.next_number()}"
        oms = oms_commands(client, self.unit)
        self.ownership = Ownership(oms, sender, lambda: True, lambda reason: self.followed(reason))
        routing = Router(venues, market.INSTRUMENTS, quotes, self.clock, rules, executions, killed=switch.venue_killed)
        self.executor = Executor(
            oms,
            VenueWire(publisher.put, NeverSubscribed(), venues).send,
            switch,
            self.clock,
            executions,
            routing,
            100,
            self.ownership,
            caught_up=lambda: self.orders.caught_up and switch.controls_known() and self.ownership.active(),
            is_past=lambda seq: self.orders.is_past(seq),
            failed=self.failed,
        )
        journal = self.followed_orders()
        snapshots = self.snapshots(self.executor.executions, ExecutionsState, EXECUTIONS_VERSION)
        head = await patiently(lambda: snapshots.recover(journal))
        self.orders = JournalSubscription(journal, ORDER_COMMITS, snapshots.whole(self.executor.apply), after=head)
        switch.controls_known = await self.follow_controls(publisher, controls.apply, switch.heard)
        for coroutine in (publisher.run(), switch.run(client), self.orders.run(), self.executor.run(), snapshots.run(self.orders)):
            self.spawn(coroutine)
        self.spawn(self.ownership.run(lambda: self.orders.caught_up and switch.controls_known()))
        self.spawn(InDoubtRoutes(client, self.executor).run())
        trailing = TrailingStops(self.executor, executions, market.INSTRUMENTS, switch.forbids, TRAIL_EVERY_NS)
        age = rules.quote_age_max_ns
        self.spawn(StopOrders(self.executor, executions, quotes, self.clock, age, trailing).run())
        self.spawn(TradePrints(client, market.LISTED, quotes.trades, self.clock, lambda: executions.held.on_trades).run())
        self.spawn(TimedOrders(self.executor, executions, quotes, self.clock, age).run())
        self.spawn(Algos(self.executor, executions, quotes, market.INSTRUMENTS, self.clock, age, switch.forbids).run())


class Gateway(Process):
    name = "gateway"

    async def begin(self) -> None:
        client: Any = self.client
        publisher = Publisher(client)
        sent = await FlushMarker.open(client, publisher)
        self.spawn(publisher.run())
        self.hosts = {name: self._host(name, publisher) for name in market.VENUES}
        for host in self.hosts.values():
            self.spawn(host.run())
            await host.ready.wait()
        intake = VenueIntake(self.hosts)
        sessions = Sessions(self.hosts, intake, sent)
        self.spawn(sessions.run())
        await intake.listen(client)
        await sessions.listen(client)
        self.trades = SimulatedTrades(self.hosts, publisher.put, self.clock)
        self.spawn(QuotedVenues(self.hosts, self.trades).heartbeat())
        self.spawn(self._quotes())

    def _host(self, name: str, publisher: Publisher) -> VenueHost:
        mark = self.ground.directory.mark(f"venue.journal.{name}", VENUE_COMMITS)
        self.spawn(mark.run())
        journal = self.journal(self.ground.venues[name])
        wire = publisher.put, announced_fills(NeverSubscribed(), publisher.put)
        return RogueHost(self.ground, market.VENUES[name], market.INSTRUMENTS, journal, self.clock, *wire, Pace(), mark)

    async def _quotes(self) -> None:
        """Each venue shows sizes of its own; one estimates with prints what is ahead of its orders."""
        quotes = market.quotes(self.world.random(f"quotes {self.world.loop.time()}"))
        prints = market.prints(self.world.random(f"prints {self.world.loop.time()}"))
        while True:
            for host in self.hosts.values():
                host.trade(market.SYMBOL, next(prints))
                host.show(next(quotes), self.clock.now_ns())
            self.trades.traded(market.SYMBOL, next(prints))
            await asyncio.sleep(market.QUOTE_EVERY_S)


class Projector(Process):
    name = "projector"

    async def begin(self) -> None:
        projection = PositionsProjection(self.ground.positions, self.client.publish, dict[str, str]().get)
        self.keeper = ProjectionLoop(self.journal(self.ground.orders), projection, wait_s=0.01)
        self.spawn(self.keeper.run())


SERVICES: dict[str, type[Process]] = {kind.name: kind for kind in (Gateway, RiskService, Exeq, Oms, Projector)}
"""In the order in which they are started."""
