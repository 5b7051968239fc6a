"""Wiring of exeq: builds its parts and connects them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from nats.aio.client import Client

from adapters.clock import SystemClock
from adapters.local_kills import DIRECTORY, LocalKills
from apps.connections import access, control_journal, feeds, nats
from apps.connections.controls import Scopes
from apps.connections.depths import Depths
from apps.connections.order_rules import order_rules_of
from apps.connections.ticks import Ticks
from apps.connections.unit import Unit
from apps.exeq import local_kill_endpoint, reconciliation_endpoint, route_preview
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.metrics import series
from apps.exeq.reconciliation import VenueReconciliation, beside
from apps.exeq.router import throttles_of
from apps.exeq.routes import router
from apps.exeq.routing_rules import routing_rules
from apps.exeq.shard_assembly import ExecutionContext, ExecutionShards, execution_shards
from apps.exeq.trade_prints import TradePrints
from apps.exeq.venue_wire import VenueWire
from apps.journal.publisher import Publisher
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.histogram import Hops
from config.catalogue import VenueSettings, load_instruments, load_venues
from config.settings import ExeqSettings
from config.venues import routed_venue
from domain.execution.routing import RoutedVenue
from domain.instruments import Instrument
from domain.market.quotes import STALE, Listed, Market, Quote
from domain.ports import Clock
from domain.risk.controls import Controls

MILLISECOND_NS: Final = 1_000_000


async def build(chassis: Chassis[ExeqSettings], unit: Unit | None = None) -> Service:
    """Build exeq, by itself or as a part of `unit`. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    nats.refuse_apart(unit, settings.unit.name)
    instruments = load_instruments().instruments
    listed = load_venues(instruments).venues
    venues = {name: routed_venue(venue) for name, venue in listed.items()}
    rules = routing_rules(settings.routing, venues)
    chassis.ready.set("journal", False, "catching up with the journal")
    client = await nats.connect(chassis, unit)
    access.follow_access(chassis, client)
    turn = await nats.turn_in(unit, chassis, client)
    market, publisher, controls = Market(), Publisher(client), Controls()
    switch = ExeqKillSwitch(controls, _local_kills(settings.service.data_dir))
    ticks, depths = await _follow_market(chassis, client, market, instruments, listed, clock)
    venue_wire = VenueWire(publisher.put, nats.interest(chassis, client, unit), venues)
    hops, throttles = Hops(chassis.registry, clock), throttles_of(venues.values())
    common = ExecutionContext(instruments, venues, market, depths, clock, rules, switch, turn, venue_wire, hops, throttles, {})
    switch.controls_known = await control_journal.follow_controls(chassis, client, publisher, controls.apply, switch.heard)
    chassis.ready.depend("kill switches of this machine", switch.unreadable)
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_REQUESTS)
    chassis.spawn(lambda: switch.run(client), tasks.LOCAL_SWITCHES)
    shards = await execution_shards(chassis, client, unit, common)
    reconciling = _upkeep(chassis, venues, clock)
    for each in shards.parts:
        each.doubts.on_back = reconciling.wanted
    _follow_trades(chassis, client, market, feeds.listed(instruments, listed, settings.market), clock, shards)
    metrics.read(chassis.registry, partial(series, switch, controls, publisher))
    metrics.read(chassis.registry, lambda: shards.series(clock))

    def stats() -> dict[str, Any]:
        own = shards.stats() | {"alarms": reconciling.alarms(), "venues_upkeep": reconciling.stats()}
        own |= {"orders_announced": venue_wire.announced.stats()}
        own |= {"quotes": ticks.stats(), "requests_dropped": publisher.dropped} | ({} if depths is None else {"depths": depths.stats()})
        return own | switch.stats()

    routes = _router(chassis, shards, market, instruments, listed, switch, publisher, clock)
    routes.include_router(reconciliation_endpoint.router(reconciling))
    return Service(router=routes, stats=stats)


def _follow_trades(
    chassis: Chassis[ExeqSettings], client: Client, market: Market, listed: Listed, clock: Clock, shards: ExecutionShards
) -> None:
    """Keep the last trades of symbols while a trailing stop follows them."""
    prints = TradePrints(client, listed, market.trades, clock, shards.on_trades)
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
    shards: ExecutionShards,
    market: Market,
    instruments: Mapping[str, Instrument],
    venues: Mapping[str, VenueSettings],
    switch: ExeqKillSwitch,
    publisher: Publisher,
    clock: Clock,
) -> APIRouter:
    routes = router(shards, market, clock)
    rules = order_rules_of(instruments, venues.values(), chassis.keys.may_trade, clock)
    routes.include_router(route_preview.router(shards, rules, clock))
    routes.include_router(local_kill_endpoint.router(switch, publisher, Scopes(instruments, venues), clock))
    return routes


def _local_kills(directory: Path | None) -> LocalKills | None:
    return LocalKills(directory / DIRECTORY) if directory else None


def _upkeep(chassis: Chassis[ExeqSettings], venues: Mapping[str, RoutedVenue], clock: Clock) -> VenueReconciliation:
    """Start the periodic reconciliation with the venues. A failed comparison is counted and repeated later."""
    every_s = float(chassis.settings.routing.reconcile_venues_interval_sec)
    full = (venue.name for venue in venues.values() if not venue.plain)
    upkeep = VenueReconciliation(full, every_s, beside(chassis.environment), clock, chassis.settings.nats.shards)
    missed = partial(metrics.counter, "exeq_venues_upkeep_failed", "Comparisons of venues with the journal that could not be made")
    metrics.read(chassis.registry, lambda: [missed(upkeep.failed)])
    chassis.spawn(upkeep.run, tasks.VENUES_UPKEEP)
    return upkeep
