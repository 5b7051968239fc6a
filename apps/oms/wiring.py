"""Wiring of oms: builds its parts and connects them."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

from fastapi import APIRouter
from prometheus_client.core import Metric

from adapters.clock import SystemClock
from apps.connections import access, control_journal, feeds, nats, stores
from apps.connections.order_rules import calendars_of, hours_of, icebergs_of
from apps.connections.past import PAST_MAX_S, WAITING_MAX
from apps.connections.unit import Unit
from apps.journal.publisher import Publisher
from apps.journal.shard_hosts import Hosts
from apps.oms import admin, algo_assembly, equity, history_client, instrument_list, list_routes, settle
from apps.oms.accounts import Accounts
from apps.oms.admin import Admin
from apps.oms.alarms import OrderAlarms
from apps.oms.alpaca import wiring as alpaca
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.recent_fills import RecentFills
from apps.oms.alpaca.stream_assembly import stream
from apps.oms.alpaca.wiring import FacadeParts
from apps.oms.bounded_reads import BoundedReads, RowPace
from apps.oms.equity import EquityReads
from apps.oms.history_client import HistoryProcess
from apps.oms.kill_switch import OmsKillSwitch
from apps.oms.lists import ListHandler
from apps.oms.market_reads import MarketReads
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.reconciliation import PositionReconciliation, beside
from apps.oms.replace import ReplaceHandler
from apps.oms.risk_client import RiskCheck, RiskClient, RiskClientBounds
from apps.oms.risk_in_process import RiskInProcess
from apps.oms.routes import router
from apps.oms.shard_assembly import OrderShards, ShardContext, order_shards
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from apps.oms.submit_endpoint import SubmitEndpoint
from apps.runtime import metrics as metrics_page
from apps.runtime import tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.helper_process import OMS_KEY, HelperProcess
from config.catalogue import VenueSettings, load_instruments, load_venues
from config.settings import OmsSettings
from domain.execution.auctions import auction_of
from domain.instruments import Denial, Instrument, negative_prices
from domain.market.listings import currency_of
from domain.market.quotes import Market
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.order.events import Candidate
from domain.ports import Clock
from domain.risk.controls import Controls
from domain.shards import Shards
from domain.values import OrderType, Side, TimeInForce

QUOTE_AGE_MAX_S: Final = 10.0
RISK_TIMEOUT_S: Final = 0.5
RISK_AGAIN_S: Final = 0.1


async def build(chassis: Chassis[OmsSettings], unit: Unit | None = None) -> Service:
    """Build oms, by itself or as a part of `unit`. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    nats.refuse_apart(unit, settings.unit.name)
    instruments = load_instruments().instruments
    venues = load_venues(instruments).venues
    chassis.ready.set("journal", False, "recovering")
    client, writer = await nats.connect(chassis, unit), await nats.connect_writer(chassis)
    market, controls, metrics = Market(), Controls(), OmsMetrics(chassis.registry)
    alarms, recent, publisher = OrderAlarms(metrics), RecentFills(), Publisher(client)
    common = ShardContext(instruments, venues, calendars_of(venues.values()), controls, clock, metrics, alarms, recent)
    shards = await order_shards(chassis, client, writer, unit, common)
    chassis.ready.set("journal", settings.nats.shards > 1, "recovering")  # each of several shards has a check of its own
    hosts, switch = shards.hosts, shards.parts[0].switch
    positions, fills = stores.positions(chassis), stores.fills(chassis)
    ticks = await feeds.follow_ticks(chassis, client, market.update, feeds.listed(instruments, venues, settings.market), clock)
    access.follow_access(chassis, client, shards.heard)
    risk = RiskClient(client, _bounds(settings)) if unit is None else RiskInProcess(unit)
    shards.known(await control_journal.follow_controls(chassis, client, publisher, controls.apply, shards.taken))
    intake = _intake(settings, hosts, risk, switch)
    await risk.start()
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_NOTICES)
    await shards.start(chassis, client, algo_assembly.spawner(chassis, hosts, intake, risk), publisher, unit)
    chassis.spawn(lambda: _await_risk(chassis, risk, instruments), tasks.AWAIT_RISK)
    past, verification = _helper_processes(chassis)
    positions_upkeep = _upkeep(chassis)
    currency = partial(currency_of, instruments, controls.listings)
    accounts = Accounts(positions, fills, market, clock, QUOTE_AGE_MAX_S, currency, HistoryProcess(past), hosts.shards)
    reads, keys = OrderReads(hosts, chassis.keys.owner_of), chassis.keys
    replaces, reader = ReplaceHandler(hosts, risk, instruments, intake.forbidden), _reader(chassis, instruments, venues, market, clock)
    routes = router(hosts, reads, accounts, replaces, instruments, keys.may_trade)
    lists = ListHandler(hosts, intake, risk, settings.groups.lists_open_max_per_account)
    algos = algo_assembly.routes(settings.groups, hosts, intake, risk, reads, reader, instruments, common.calendars, clock, keys.owner_of)
    listed = list_routes.router(lists, list_routes.ListReads(hosts, reads, keys.owner_of), reader, clock)
    negative, two = negative_prices(instruments.values()), settings.order_management.settle_second_person == "required"
    catalogue, settled = instrument_list.router(instruments, venues, controls.listings), settle.router(hosts, reads, negative, clock, two)
    _include(routes, catalogue, admin.router(Admin(verification)), listed, algos, settled)
    kept: dict[str, HasStats] = {"positions_upkeep": positions_upkeep, "quotes": ticks}
    if unit is not None and unit.leases is not None:
        kept["leases"] = unit.leases
    assets, tables = AssetBook(instruments.values(), common.calendars), _tables(chassis, routes, clock)
    parts = FacadeParts(hosts, reads, intake, replaces, reader, accounts, fills, recent, lists, market, controls, clock, metrics, *tables)

    async def stop_intake() -> None:
        intake.stopping = True
        if unit is not None and unit.leases is not None:
            await unit.leases.drain()
        positions_upkeep.stop()
        for program in filter(None, (past, verification)):
            program.stop()

    metrics_page.read(chassis.registry, partial(_series, intake, risk, publisher))
    return Service(
        router=routes,
        fast={("POST", "/orders"): SubmitEndpoint(reader, intake, clock, metrics)},
        mounts=alpaca.mounts(chassis, assets, [venue.rules.calendar for venue in venues.values()], parts, QUOTE_AGE_MAX_S),
        websockets=await stream(chassis, client, unit, hosts, assets),
        stats=lambda: _stats(metrics, shards, intake, risk, publisher, kept) | {"alarms": alarms.encoded()},
        stop_intake=stop_intake,
    )


def _upkeep(chassis: Chassis[OmsSettings]) -> PositionReconciliation:
    """Start the periodic comparison of positions."""
    every_s = float(chassis.settings.order_management.reconcile_positions_interval_sec)
    positions = PositionReconciliation(every_s, chassis.registry, beside(chassis.environment))
    chassis.spawn(positions.run, tasks.POSITIONS_UPKEEP)
    return positions


def _include(routes: APIRouter, *others: APIRouter) -> None:
    for each in others:
        routes.include_router(each)


def _tables(chassis: Chassis[OmsSettings], routes: APIRouter, clock: Clock) -> tuple[EquityReads, MarketReads]:
    """Build the reads of equity samples, with their route, and of the recorded market."""
    samples = EquityReads(stores.equity(chassis), BoundedReads(), clock)
    routes.include_router(equity.router(samples))
    return samples, MarketReads(stores.recorded_market(chassis, RowPace().spend), BoundedReads())


def _intake(settings: OmsSettings, hosts: Hosts, risk: RiskCheck, switch: OmsKillSwitch) -> SubmitHandler:
    orders = settings.order_management
    return SubmitHandler(
        hosts,
        risk,
        forbids=switch.forbids,
        informed=switch.known,
        open_orders_max=orders.max_open_orders_per_account,
        in_flight_max=orders.intake_max,
    )


def _reader(
    chassis: Chassis[OmsSettings],
    instruments: Mapping[str, Instrument],
    venues: Mapping[str, VenueSettings],
    market: Market,
    clock: Clock,
) -> TermsReader:
    orders, hours = chassis.settings.order_management, hours_of(venues.values())
    types = frozenset(OrderType(name) for name in orders.supported_order_types)
    icebergs = icebergs_of(venues.values())

    def touching(symbol: str, side: Side) -> Candidate | None:
        quote = market.touching(symbol, side, clock.monotonic_ns() - int(QUOTE_AGE_MAX_S * 1e9))
        return None if quote is None else Candidate(quote.venue, quote.bid, quote.ask, quote.size(side), quote_seq=quote.seq or None)

    def auction(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
        return auction_of(time_in_force, hours.get(symbol, {}), clock.now_ns())

    return TermsReader(
        instruments,
        orders.default_account,
        types,
        chassis.keys.may_trade,
        touching,
        icebergs,
        auction,
        Shards(chassis.settings.nats.shards),
    )


def _helper_processes(chassis: Chassis[OmsSettings]) -> tuple[HelperProcess, HelperProcess | None]:
    """Return the helper programs that read the journal: point-in-time queries and, if enabled, verification."""
    own = chassis.environment
    past = HelperProcess(history_client.MODULE, deadline_s=PAST_MAX_S, waiting_max=WAITING_MAX, environment=own)
    if chassis.settings.admin.verify != "enabled":
        return past, None
    key = {OMS_KEY: chassis.authority.key_of_helper()}
    return past, HelperProcess(admin.MODULE, deadline_s=admin.VERIFY_MAX_S, environment={**own, **key})


async def _await_risk(chassis: Chassis[OmsSettings], risk: RiskCheck, instruments: Mapping[str, Instrument]) -> None:
    """Keep oms not ready until risk has decided once, and unhealthy while risk does not decide: every order would be refused."""
    chassis.ready.set("risk", False, "risk has not answered yet")
    probe = _probe(next(iter(instruments.values())), chassis.settings.order_management.default_account)
    while not await risk.is_open(probe, RISK_TIMEOUT_S):  # noqa: ASYNC110 - the condition is in another process
        await asyncio.sleep(RISK_AGAIN_S)
    chassis.ready.set("risk", True, "")

    async def trouble() -> str | None:
        return None if await risk.is_open(probe, RISK_TIMEOUT_S) else "risk does not decide: every order is refused"

    chassis.health.depend("risk", trouble)


def _probe(instrument: Instrument, account: str) -> Terms:
    """Return the smallest well-formed order of an instrument. Without an order id it reserves nothing."""
    return Terms(
        order_id="",
        account=account,
        client_order_id="",
        symbol=instrument.symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=instrument.lot,
        price=instrument.tick * (instrument.notional_min // (instrument.lot * instrument.tick) + 1),
    )


class HasStats(Protocol):
    def stats(self) -> Any: ...


def _stats(
    metrics: OmsMetrics,
    shards: OrderShards,
    intake: SubmitHandler,
    risk: RiskCheck,
    publisher: Publisher,
    parts: Mapping[str, HasStats],
) -> dict[str, Any]:
    return {
        **metrics.stats(),
        **shards.stats(),
        "in_flight": intake.in_flight,
        "risk": {"timeouts": risk.timeouts, "errors": risk.errors},
        "notifications_dropped": publisher.dropped,
        **{name: part.stats() for name, part in parts.items()},
    }


def _series(intake: SubmitHandler, risk: RiskCheck, publisher: Publisher) -> Iterator[Metric]:
    """Yield the series that are read on each scrape; OmsMetrics observes the others as they happen."""
    counter, gauge = metrics_page.counter, metrics_page.gauge
    yield gauge("oms_submits_in_flight", "Submits between request and response", intake.in_flight)
    yield counter(
        "oms_risk_no_answer", "Risk checks that ended without a decision", {"timeout": risk.timeouts, "error": risk.errors}, "outcome"
    )
    yield counter("oms_notifications_dropped", "Notifications dropped before they were published", publisher.dropped)


def _bounds(settings: OmsSettings) -> RiskClientBounds:
    risk = settings.risk_service
    return RiskClientBounds(budget_s=float(risk.timeout_sec), wait_s=float(risk.risk_wait_ms) / 1000, batch_max=risk.batch_max)
