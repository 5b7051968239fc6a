"""The parts of exeq that every shard has for itself: its fold of the journal, routing, executor, and what watches its open orders."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from nats.aio.client import Client
from prometheus_client.core import Metric

from adapters.codec import ORDER_COMMITS
from apps.connections import journals, nats
from apps.connections.depths import Depths
from apps.connections.unit import Unit
from apps.connections.unit_leases import UnitLeases
from apps.exeq import metrics as exeq_metrics
from apps.exeq.algos import Algos
from apps.exeq.executor import Executor
from apps.exeq.in_doubt import InDoubtRoutes
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.oms_commands import OmsCommands, oms_commands
from apps.exeq.ownership import Ownership
from apps.exeq.router import Router, RoutingRules
from apps.exeq.stop_orders import StopOrders
from apps.exeq.timed_orders import TimedOrders
from apps.exeq.trailing_stops import TrailingStops
from apps.exeq.venue_wire import VenueWire
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import JournalSubscription
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis
from apps.runtime.histogram import Hops
from apps.runtime.standby import AnyTurn
from config.settings import ExeqSettings
from domain.execution.projection import OLDER_SHAPES, STATE_VERSION, Executions, ExecutionsState
from domain.execution.routing import RoutedVenue
from domain.execution.token_bucket import TokenBucket
from domain.execution.venue_health import VenueHealth
from domain.instruments import Instrument
from domain.market.quotes import Market
from domain.order.events import OrderEvent
from domain.ports import Clock
from domain.shards import Shards

MILLISECOND_NS: Final = 1_000_000


class ExecutionContext(NamedTuple):
    """What the parts of all shards use together. A venue has one rate and one health, whichever shard an order is of."""

    instruments: Mapping[str, Instrument]
    venues: Mapping[str, RoutedVenue]
    market: Market
    depths: Depths | None
    clock: Clock
    rules: RoutingRules
    switch: ExeqKillSwitch
    turn: AnyTurn
    wire: VenueWire
    hops: Hops
    throttles: dict[str, TokenBucket]
    health: dict[str, VenueHealth]


class ExecutionParts(NamedTuple):
    """The parts of one shard."""

    executor: Executor
    doubts: InDoubtRoutes
    orders: JournalSubscription[OrderEvent]
    snapshots: Snapshotter[ExecutionsState]

    def stats(self) -> dict[str, Any]:
        return {
            **self.executor.stats(),
            **self.doubts.stats(),
            "seq": self.orders.head.seq,
            "ready": self.executor.caught_up(),
            "snapshots": self.snapshots.stats(),
        }


class ExecutionShards:
    """The parts of all shards of this exeq."""

    def __init__(self, parts: Sequence[ExecutionParts]) -> None:
        self.parts = parts
        self.executors = tuple(each.executor for each in parts)
        self._shards = Shards(len(parts))

    def of(self, account: str) -> Executor:
        return self.executors[self._shards.of(account)]

    def of_id(self, order_id: str) -> Executor:
        """Return the executor that may know the order. An id that names no shard is known to none."""
        return self.executors[self._shards.of_id(order_id) or 0]

    def on_trades(self) -> Collection[str]:
        """Return the symbols whose last trade a trailing stop of some shard follows."""
        if len(self.executors) == 1:
            return self.executors[0].executions.held.on_trades
        return set().union(*(executor.executions.held.on_trades for executor in self.executors))

    def stats(self) -> dict[str, Any]:
        """Return the figures of the only shard; of several, a list with those of each."""
        if len(self.parts) == 1:
            return self.parts[0].stats()
        shards = [{"shard": shard, **each.stats()} for shard, each in enumerate(self.parts)]
        return {"ready": all(each.executor.caught_up() for each in self.parts), "shards": shards}

    def series(self, clock: Clock) -> Iterator[Metric]:
        yield from metrics.by_shard([partial(exeq_metrics.of_shard, each.executor, each.doubts, clock) for each in self.parts])()
        yield from exeq_metrics.of_venues(self.executors, clock)


async def execution_shards(chassis: Chassis[ExeqSettings], client: Client, unit: Unit | None, common: ExecutionContext) -> ExecutionShards:
    """Build the parts of all shards and start their tasks."""
    shards = await journals.followed_shards(chassis, client)
    built = ExecutionShards([await _parts(chassis, client, unit, common, shard, shards) for shard in range(shards)])
    followed = [(each.snapshots, each.orders) for each in built.parts]
    shared = unit is not None and unit.leases is not None  # a standby is ready
    journals.report_readiness(chassis, [(each.orders, _read(each.orders) if shared else each.executor.caught_up) for each in built.parts])
    journals.keep(chassis, followed)
    return built


def _read(orders: JournalSubscription[OrderEvent]) -> Callable[[], bool]:
    return lambda: orders.caught_up


async def _parts(
    chassis: Chassis[ExeqSettings], client: Client, unit: Unit | None, common: ExecutionContext, shard: int, shards: int
) -> ExecutionParts:
    """Build the parts of a shard and start their tasks, in the order in which they depend on each other."""
    settings, switch, clock = chassis.settings, common.switch, common.clock
    journal = await journals.followed_orders(client, unit, shard, shards)
    oms = oms_commands(client, unit, shard)
    executions = Executions(shard, holds_stops=settings.routing.stops == "exeq", health=common.health)
    routing = Router(
        common.venues,
        common.instruments,
        common.market,
        clock,
        common.rules,
        executions,
        killed=switch.venue_killed,
        depths=common.depths,
        throttles=common.throttles,
    )
    leases = None if unit is None else unit.leases
    ownership = _ownership(chassis, oms, common.turn, leases, shard)
    executor = Executor(
        oms,
        common.wire.send,
        switch,
        clock,
        executions,
        routing,
        settings.routing.route_batch_max,
        ownership,
        caught_up=lambda: orders.caught_up and switch.controls_known() and ownership.active(),
        # called only after the subscription below exists; what another unit routed is not sent here
        is_past=lambda seq: orders.is_past(seq) or (leases is not None and ownership.epoch is None),
        failed=chassis.fail,
    )
    snapshots = journals.snapshotter(chassis, executions, ExecutionsState, STATE_VERSION, OLDER_SHAPES, shard)
    head = await nats.patiently(lambda: snapshots.recover(journal))
    timed = common.hops.timed("exeq", snapshots.whole(executor.apply))
    orders = JournalSubscription(journal, ORDER_COMMITS, timed, after=head, wait_s=float(settings.following.follower_wait_ms) / 1000)
    doubts = InDoubtRoutes(client, executor, shard)
    name = Shards(shards).name(shard)
    chassis.spawn(orders.run, tasks.JOURNAL_FOLLOWER, name)
    if leases is None:
        chassis.spawn(lambda: ownership.run(lambda: orders.caught_up and switch.controls_known()), tasks.OWNERSHIP, name)
    else:
        leases.follows(shard, orders)
    chassis.spawn(executor.run, tasks.EXECUTOR, name)
    chassis.spawn(doubts.run, tasks.DOUBTS, name)
    _watch_held(chassis, executor, common, name)
    return ExecutionParts(executor, doubts, orders, snapshots)


def _ownership(chassis: Chassis[ExeqSettings], oms: OmsCommands, turn: AnyTurn, leases: UnitLeases | None, shard: int) -> Ownership:
    """Return how the epoch of the shard is taken: by exeq itself, or by its unit, under whose epoch it sends while the lease is trusted."""
    if leases is None:
        return Ownership(oms, turn.sender, turn.holds, chassis.fail)
    trusted = partial(leases.trusted, shard)
    return Ownership(oms, leases.sender, trusted, lambda reason: chassis.log.warning(reason), unit=leases.unit)


def _watch_held(chassis: Chassis[ExeqSettings], executor: Executor, common: ExecutionContext, name: str) -> None:
    """Start what releases the orders that wait here for a price or a time, and what works parents."""
    every_ns, age_max_ns = int(chassis.settings.routing.trail_every_ms * MILLISECOND_NS), common.rules.quote_age_max_ns
    trailing = TrailingStops(executor, executor.executions, common.instruments, common.switch.forbids, every_ns)
    stops = StopOrders(executor, executor.executions, common.market, common.clock, age_max_ns, trailing)
    chassis.spawn(stops.run, tasks.STOPS, name)
    chassis.spawn(TimedOrders(executor, executor.executions, common.market, common.clock, age_max_ns).run, tasks.TIMED, name)
    algos = Algos(executor, executor.executions, common.market, common.instruments, common.clock, age_max_ns, common.switch.forbids)
    chassis.spawn(algos.run, tasks.ALGOS, name)
