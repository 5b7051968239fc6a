"""Wiring of exeq: builds its parts and connects them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from nats.aio.client import Client

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.local_kills import DIRECTORY, LocalKills
from apps.connections import access, control_journal, feeds, journals, nats
from apps.connections.controls import Scopes
from apps.connections.depths import Depths
from apps.connections.order_rules import order_rules_of
from apps.connections.ticks import Ticks
from apps.connections.unit import Unit
from apps.exeq import local_kill_endpoint, reconciliation_endpoint, route_preview
from apps.exeq.algos import Algos
from apps.exeq.executor import Executor
from apps.exeq.in_doubt import InDoubtRoutes
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.metrics import series
from apps.exeq.oms_commands import oms_commands
from apps.exeq.ownership import Ownership
from apps.exeq.reconciliation import VenueReconciliation, beside
from apps.exeq.router import Router
from apps.exeq.routes import router
from apps.exeq.routing_rules import routing_rules
from apps.exeq.stop_orders import StopOrders
from apps.exeq.timed_orders import TimedOrders
from apps.exeq.trade_prints import TradePrints
from apps.exeq.trailing_stops import TrailingStops
from apps.exeq.venue_wire import VenueWire
from apps.journal.publisher import Publisher
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import JournalSubscription
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.histogram import Hops
from config.catalogue import VenueSettings, load_instruments, load_venues
from config.settings import ExeqSettings
from config.venues import routed_venue
from domain.execution.projection import OLDER_SHAPES, STATE_VERSION, Executions, ExecutionsState
from domain.execution.routing import RoutedVenue
from domain.instruments import Instrument
from domain.market.quotes import STALE, Market, Quote
from domain.ports import Clock
from domain.risk.controls import Controls

MILLISECOND_NS: Final = 1_000_000


async def build(chassis: Chassis[ExeqSettings], unit: Unit | None = None) -> Service:
    """Build exeq, by itself or as a part of `unit`. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    instruments = load_instruments().instruments
    listed = load_venues(instruments).venues
    venues = {name: routed_venue(venue) for name, venue in listed.items()}
    rules = routing_rules(settings.routing, venues)
    chassis.ready.set("journal", False, "catching up with the journal")
    client = await nats.connect(chassis, unit)
    access.follow_access(chassis, client)
    turn = await nats.turn(chassis, client)
    journal = await journals.followed_orders(client, unit)
    oms, market, publisher, controls = oms_commands(client, unit), Market(), Publisher(client), Controls()
    switch = ExeqKillSwitch(controls, _local_kills(settings.service.data_dir))
    ticks, depths = await _follow_market(chassis, client, market, instruments, listed, clock)
    executions = Executions(holds_stops=settings.routing.stops == "exeq")
    routing = Router(venues, instruments, market, clock, rules, executions, killed=switch.venue_killed, depths=depths)
    ownership = Ownership(oms, turn.sender, turn.holds, chassis.fail)
    venue_wire = VenueWire(publisher.put, nats.interest(chassis, client, unit), venues)
    executor = Executor(
        oms,
        venue_wire.send,
        switch,
        clock,
        executions,
        routing,
        settings.routing.route_batch_max,
        ownership,
        caught_up=lambda: orders.caught_up and switch.controls_known() and ownership.active(),
        is_past=lambda seq: orders.is_past(seq),  # called only after the subscription below exists
        failed=chassis.fail,
    )
    snapshots = journals.snapshotter(chassis, executions, ExecutionsState, STATE_VERSION, OLDER_SHAPES)
    head = await nats.patiently(lambda: snapshots.recover(journal))
    timed = Hops(chassis.registry, clock).timed("exeq", snapshots.whole(executor.apply))
    orders = JournalSubscription(journal, ORDER_COMMITS, timed, after=head, wait_s=float(settings.following.follower_wait_ms) / 1000)
    switch.controls_known = await control_journal.follow_controls(chassis, client, publisher, controls.apply, switch.heard)
    chassis.ready.depend("kill switches of this machine", switch.unreadable)
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_REQUESTS)
    chassis.spawn(lambda: switch.run(client), tasks.LOCAL_SWITCHES)
    chassis.spawn(orders.run, tasks.JOURNAL_FOLLOWER)
    chassis.spawn(lambda: ownership.run(lambda: orders.caught_up and switch.controls_known()), tasks.OWNERSHIP)
    chassis.spawn(executor.run, tasks.EXECUTOR)
    reconciling = _upkeep(chassis, venues, clock)
    doubts = InDoubtRoutes(client, executor)
    doubts.on_back = reconciling.wanted
    chassis.spawn(doubts.run, tasks.DOUBTS)
    _watch_held(chassis, client, executor, market, clock, rules.quote_age_max_ns, instruments, listed, switch)
    journals.report_readiness(chassis, orders, executor.caught_up)
    journals.keep(chassis, snapshots, orders)
    metrics.read(chassis.registry, partial(series, executor, doubts, switch, controls, publisher, clock))

    def stats() -> dict[str, Any]:
        own = _stats(executor, doubts, orders, snapshots, reconciling) | {"orders_announced": venue_wire.announced.stats()}
        own |= {"quotes": ticks.stats(), "requests_dropped": publisher.dropped} | ({} if depths is None else {"depths": depths.stats()})
        return own | switch.stats()

    routes = _router(chassis, executor, market, instruments, listed, switch, publisher, clock)
    routes.include_router(reconciliation_endpoint.router(reconciling))
    return Service(router=routes, stats=stats)


def _watch_held(
    chassis: Chassis[ExeqSettings],
    client: Client,
    executor: Executor,
    market: Market,
    clock: Clock,
    quote_age_max_ns: int,
    instruments: Mapping[str, Instrument],
    venues: Mapping[str, VenueSettings],
    switch: ExeqKillSwitch,
) -> None:
    """Start what releases the orders that wait here for a price or a time, and what works parents."""
    every_ns = int(chassis.settings.routing.trail_every_ms * MILLISECOND_NS)
    trailing = TrailingStops(executor, executor.executions, instruments, switch.forbids, every_ns)
    chassis.spawn(StopOrders(executor, executor.executions, market, clock, quote_age_max_ns, trailing).run, tasks.STOPS)
    chassis.spawn(TimedOrders(executor, executor.executions, market, clock, quote_age_max_ns).run, tasks.TIMED)
    algos = Algos(executor, executor.executions, market, instruments, clock, quote_age_max_ns, switch.forbids)
    chassis.spawn(algos.run, tasks.ALGOS)
    listed, held = feeds.listed(instruments, venues, chassis.settings.market), executor.executions.held
    prints = TradePrints(client, listed, market.trades, clock, lambda: held.on_trades)
    metrics.read(chassis.registry, prints.feed.series)
    chassis.spawn(prints.run, tasks.TRADE_PRINTS)


async def _follow_market(
    chassis: Chassis[ExeqSettings],
    client: Client,
    market: Market,
    instruments: Mapping[str, Instrument],
    venues: Mapping[str, VenueSettings],
    clock: Clock,
) -> tuple[Ticks, Depths | None]:
    """Keep the quotes of the venues that orders go to. With a real market also their books; paper venues show its quotes and books."""
    quoted = feeds.listed(instruments, venues, chassis.settings.market)
    is_simulated = chassis.settings.market.mode == "simulated"
    depths = None if is_simulated else await feeds.follow_depths(chassis, client, quoted, clock, venues)

    def take(quote: Quote, arrived_ns: int) -> None:
        if quote.venue in venues:
            market.update(quote, arrived_ns)
            if depths is not None and STALE in quote.flags:
                depths.end(quote)

    return await feeds.follow_ticks(chassis, client, take, quoted, clock), depths


def _router(
    chassis: Chassis[ExeqSettings],
    executor: Executor,
    market: Market,
    instruments: Mapping[str, Instrument],
    venues: Mapping[str, VenueSettings],
    switch: ExeqKillSwitch,
    publisher: Publisher,
    clock: Clock,
) -> APIRouter:
    routes = router(executor, market, clock)
    rules = order_rules_of(instruments, venues.values(), chassis.keys.may_trade, clock)
    routes.include_router(route_preview.router(executor, rules, clock))
    routes.include_router(local_kill_endpoint.router(switch, publisher, Scopes(instruments, venues), clock))
    return routes


def _local_kills(directory: Path | None) -> LocalKills | None:
    return LocalKills(directory / DIRECTORY) if directory else None


def _upkeep(chassis: Chassis[ExeqSettings], venues: Mapping[str, RoutedVenue], clock: Clock) -> VenueReconciliation:
    """Start the periodic reconciliation with the venues. A failed comparison is counted and repeated later."""
    every_s = float(chassis.settings.routing.reconcile_venues_interval_sec)
    full = (venue.name for venue in venues.values() if not venue.plain)
    upkeep = VenueReconciliation(full, every_s, beside(chassis.environment), clock)
    missed = partial(metrics.counter, "exeq_venues_upkeep_failed", "Comparisons of venues with the journal that could not be made")
    metrics.read(chassis.registry, lambda: [missed(upkeep.failed)])
    chassis.spawn(upkeep.run, tasks.VENUES_UPKEEP)
    return upkeep


def _stats(
    executor: Executor,
    doubts: InDoubtRoutes,
    orders: JournalSubscription[Any],
    snapshots: Snapshotter[Any],
    reconciling: VenueReconciliation,
) -> dict[str, Any]:
    return {
        **executor.stats(),
        **doubts.stats(),
        "seq": orders.head.seq,
        "ready": executor.caught_up(),
        "snapshots": snapshots.stats(),
        "alarms": reconciling.alarms(),
        "venues_upkeep": reconciling.stats(),
    }
