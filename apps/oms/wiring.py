"""Wiring of oms: builds its parts and connects them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from typing import Any, Final, Protocol

from fastapi import APIRouter
from nats.aio.client import Client
from prometheus_client.core import Metric

from adapters import subjects
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from apps.connections import access, control_journal, feeds, journals, nats, stores
from apps.connections.order_rules import calendars_of, hours_of, icebergs_of
from apps.connections.past import PAST_MAX_S, WAITING_MAX
from apps.connections.unit import Unit
from apps.journal.algo_reactions import AlgoBounds
from apps.journal.publisher import Publisher
from apps.journal.shard_host import Landed, ShardHost
from apps.journal.watermark import Mark
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
from apps.oms.child_spawner import ChildSpawner
from apps.oms.command_handler import CommandHandler
from apps.oms.equity import EquityReads
from apps.oms.expiry import OrderExpiry
from apps.oms.history_client import HistoryProcess
from apps.oms.kill_switch import OmsKillSwitch
from apps.oms.list_rules import list_rules
from apps.oms.list_upkeep import ListUpkeep
from apps.oms.lists import ListHandler
from apps.oms.market_reads import MarketReads
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.reconciliation import PositionReconciliation, beside
from apps.oms.reduce_only import ReduceOnly
from apps.oms.replace import ReplaceHandler
from apps.oms.report_sessions import VenueSessions
from apps.oms.revoked_keys import RevokedKeys
from apps.oms.risk_client import RiskCheck, RiskClient, RiskClientBounds
from apps.oms.risk_in_process import RiskInProcess
from apps.oms.routes import router
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from apps.oms.submit_endpoint import SubmitEndpoint
from apps.oms.unsequenced_reports import UnsequencedVenues
from apps.runtime import metrics as metrics_page
from apps.runtime import tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.helper_process import OMS_KEY, HelperProcess
from config.catalogue import VenueSettings, load_instruments, load_venues
from config.settings import OmsSettings
from config.venues import routed_venue
from domain.execution.auctions import auction_of
from domain.groups.contingency import Rules
from domain.instruments import Denial, Instrument, negative_prices
from domain.market.listings import currency_of
from domain.market.quotes import Market
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.order.events import Candidate
from domain.ports import Clock, Journal
from domain.risk.controls import Controls
from domain.values import OrderType, Side, TimeInForce

QUOTE_AGE_MAX_S: Final = 10.0
RISK_TIMEOUT_S: Final = 0.5
RISK_AGAIN_S: Final = 0.1


async def build(chassis: Chassis[OmsSettings], unit: Unit | None = None) -> Service:
    """Build oms, by itself or as a part of `unit`. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    instruments = load_instruments().instruments
    venues = load_venues(instruments).venues
    chassis.ready.set("journal", False, "recovering")
    client, writer = await nats.connect(chassis, unit), await nats.connect_writer(chassis)
    journal, mark = await _journal(chassis, client, writer)
    positions, fills, market, controls = stores.positions(chassis), stores.fills(chassis), Market(), Controls()
    ticks = await feeds.follow_ticks(chassis, client, market.update, feeds.listed(instruments, venues, settings.market), clock)
    metrics, negative = OmsMetrics(chassis.registry), negative_prices(instruments.values())
    host = _host(chassis, journal, clock, mark, negative, unit, list_rules(instruments, controls))
    _follow_access(chassis, client, host)
    risk = RiskClient(client, _bounds(settings)) if unit is None else RiskInProcess(unit)
    publisher, sessions = Publisher(client), _sessions(client, host, venues, settings.journal.shard, chassis.fail)
    switch = await _follow_controls(chassis, client, host, publisher, controls)
    intake = _intake(settings, host, risk, switch)
    calendars = calendars_of(venues.values())
    expirer = OrderExpiry(host, clock, _timeout_ns(settings), calendars)
    host.on_ready, host.on_append = _on_ready(chassis, metrics, sessions, expirer), metrics.appended
    alarms, recent = OrderAlarms(metrics), RecentFills()
    host.on_landed, host.on_unrecorded = partial(_on_landed, alarms, expirer, recent), alarms.unrecorded
    await risk.start()
    await sessions.start()
    await _take_commands(chassis, client, host, algo_assembly.spawner(chassis, host, intake, risk), publisher, unit)
    _spawn(chassis, publisher, host, sessions, expirer)
    chassis.spawn(lambda: _await_risk(chassis, risk, instruments), tasks.AWAIT_RISK)
    past, verification = _helper_processes(chassis)
    positions_upkeep, reduce_only = _upkeep(chassis, host)
    currency = partial(currency_of, instruments, controls.listings)
    accounts = Accounts(positions, fills, market, clock, QUOTE_AGE_MAX_S, currency, HistoryProcess(past))
    reads, keys = OrderReads(host, journal, chassis.keys.owner_of), chassis.keys
    replaces, reader = ReplaceHandler(host, risk, instruments, intake.forbidden), _reader(chassis, instruments, venues, market, clock)
    routes = router(host, reads, accounts, replaces, instruments, keys.may_trade)
    lists = ListHandler(host, intake, risk, settings.groups.lists_open_max_per_account)
    algos = algo_assembly.routes(settings.groups, host, intake, risk, reads, journal, reader, instruments, calendars, clock, keys.owner_of)
    catalogue = instrument_list.router(instruments, venues, controls.listings)
    listed = list_routes.router(lists, list_routes.ListReads(host, reads, journal, keys.owner_of), reader, clock)
    settled = settle.router(host, reads, negative, clock, settings.order_management.settle_second_person == "required")
    _include(routes, catalogue, admin.router(Admin(verification)), listed, algos, settled)
    kept: dict[str, HasStats] = {"positions_upkeep": positions_upkeep, "quotes": ticks, "reduce_only": reduce_only}
    kept |= {"lists": _lists_upkeep(chassis, host), "algos": algo_assembly.upkeep(chassis, host, clock)}
    assets, tables = AssetBook(instruments.values(), calendars), _tables(chassis, routes, clock)
    parts = FacadeParts(host, reads, intake, replaces, reader, accounts, fills, recent, lists, market, controls, clock, metrics, *tables)

    async def stop_intake() -> None:
        intake.stopping = True
        positions_upkeep.stop()
        for program in filter(None, (past, verification)):
            program.stop()

    metrics_page.read(chassis.registry, partial(_series, host, intake, risk, sessions, publisher))
    return Service(
        router=routes,
        fast={("POST", "/orders"): SubmitEndpoint(reader, intake, clock, metrics)},
        mounts=alpaca.mounts(chassis, assets, [venue.rules.calendar for venue in venues.values()], parts, QUOTE_AGE_MAX_S),
        websockets=await stream(chassis, client, unit, host, assets),
        stats=lambda: _stats(metrics, host, intake, risk, sessions, publisher, switch, kept) | {"alarms": alarms.encoded()},
        stop_intake=stop_intake,
    )


def _spawn(chassis: Chassis[OmsSettings], publisher: Publisher, host: ShardHost, sessions: VenueSessions, expirer: OrderExpiry) -> None:
    """Start the tasks of the writer."""
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_NOTICES)
    chassis.spawn(host.run, tasks.HOST)
    chassis.spawn(sessions.run, tasks.SESSIONS)
    chassis.spawn(expirer.run, tasks.EXPIRER)


async def _journal(chassis: Chassis[OmsSettings], client: Client, writer: Client) -> tuple[Journal, Mark | None]:
    """Open the order journal for its only writer, and the watermark of what was acknowledged."""
    settings = chassis.settings.journal
    subject = subjects.order_subject(settings.shard)
    mark = journals.watermark(chassis, subject, ORDER_COMMITS, settings.shard)
    await journals.durable_stream(chassis, client, subjects.ORDER_STREAM, [subjects.ORDER_JOURNALS], [mark])
    return await journals.written_journal(client, writer, settings, subjects.ORDER_STREAM, subject), mark


async def _take_commands(
    chassis: Chassis[OmsSettings], client: Client, host: ShardHost, children: ChildSpawner, publisher: Publisher, unit: Unit | None
) -> None:
    """Accept commands from other services: over NATS, and by a direct call from services in this process."""
    handler = CommandHandler(host, children, publisher, failed=chassis.fail)
    await handler.start(client, chassis.settings.journal.shard)
    if unit is not None:
        unit.perform = handler.perform


async def _follow_controls(
    chassis: Chassis[OmsSettings], client: Client, host: ShardHost, publisher: Publisher, controls: Controls
) -> OmsKillSwitch:
    """Follow the controls: forbidden orders are refused and cancelled in oms too."""
    switch = OmsKillSwitch(host, controls)
    switch.known = await control_journal.follow_controls(chassis, client, publisher, controls.apply, switch.heard)
    chassis.spawn(switch.run, tasks.FORBIDDEN)
    return switch


def _follow_access(chassis: Chassis[OmsSettings], client: Client, host: ShardHost) -> None:
    """Follow accounts and keys: a revoked key may cancel the orders of its account."""
    revoked = RevokedKeys(host, chassis.keys)
    access.follow_access(chassis, client, revoked.heard)
    chassis.spawn(revoked.run, tasks.REVOKED_KEYS)


def _upkeep(chassis: Chassis[OmsSettings], host: ShardHost) -> tuple[PositionReconciliation, ReduceOnly]:
    """Start the periodic checks."""
    every_s = float(chassis.settings.order_management.reconcile_positions_interval_sec)
    positions, reduce_only = PositionReconciliation(every_s, chassis.registry, beside(chassis.environment)), ReduceOnly(host)
    chassis.spawn(positions.run, tasks.POSITIONS_UPKEEP)
    chassis.spawn(reduce_only.run, tasks.REDUCE_ONLY)
    metrics_page.read(chassis.registry, reduce_only.series)
    return positions, reduce_only


def _lists_upkeep(chassis: Chassis[OmsSettings], host: ShardHost) -> ListUpkeep:
    upkeep = ListUpkeep(host, chassis.settings.groups.exclusive_wait_ms / 1000)
    chassis.spawn(upkeep.run, tasks.LISTS)
    metrics_page.read(chassis.registry, upkeep.series)
    return upkeep


def _include(routes: APIRouter, *others: APIRouter) -> None:
    for each in others:
        routes.include_router(each)


def _tables(chassis: Chassis[OmsSettings], routes: APIRouter, clock: Clock) -> tuple[EquityReads, MarketReads]:
    """Build the reads of equity samples, with their route, and of the recorded market."""
    samples = EquityReads(stores.equity(chassis), BoundedReads(), clock)
    routes.include_router(equity.router(samples))
    return samples, MarketReads(stores.recorded_market(chassis, RowPace().spend), BoundedReads())


def _intake(settings: OmsSettings, host: ShardHost, risk: RiskCheck, switch: OmsKillSwitch) -> SubmitHandler:
    orders = settings.order_management
    return SubmitHandler(
        host,
        risk,
        forbids=switch.forbids,
        informed=switch.known,
        open_orders_max=orders.max_open_orders_per_account,
        in_flight_max=orders.intake_max,
    )


def _on_ready(chassis: Chassis[OmsSettings], metrics: OmsMetrics, sessions: VenueSessions, expirer: OrderExpiry) -> Callable[[bool], None]:
    def on_ready(ready: bool) -> None:
        chassis.ready.set("journal", ready, "recovering")
        metrics.ready(ready)
        if ready:
            sessions.restart()
            expirer.restart()

    return on_ready


def _sessions(
    client: Client, host: ShardHost, venues: Mapping[str, VenueSettings], shard: int, failed: Callable[[str], None]
) -> VenueSessions:
    plain = UnsequencedVenues(host, map(routed_venue, venues.values()))
    full = [name for name, venue in venues.items() if venue.session == "full"]
    return VenueSessions(client, host, full, shard, plain, failed=failed)


def _host(
    chassis: Chassis[OmsSettings],
    journal: Journal,
    clock: Clock,
    mark: Mark | None,
    negative: Set[str],
    unit: Unit | None,
    rules: Rules,
) -> ShardHost:
    settings, store = chassis.settings, stores.order_store(chassis)
    host = ShardHost(
        journal,
        clock,
        store=store,
        mark=mark,
        shard=settings.journal.shard,
        pace=journals.pace(settings.journal),
        replicas=settings.nats.replicas,
        feed=None if unit is None else unit.feed,
        negative_prices=negative,
        rules=rules,
        bounds=AlgoBounds(settings.groups.slices_max, settings.groups.refusals_max),
    )
    chassis.ready.depend("journal's answers", host.distrusted)
    return host


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

    return TermsReader(instruments, orders.default_account, types, chassis.keys.may_trade, touching, icebergs, auction)


def _on_landed(alarms: OrderAlarms, expirer: OrderExpiry, recent: RecentFills, landed: Landed) -> None:
    alarms(landed)
    expirer.landed(landed)
    recent.landed(landed)


def _timeout_ns(settings: OmsSettings) -> int | None:
    timeout_s = settings.order_management.order_timeout_sec
    return None if timeout_s is None else int(timeout_s * 1e9)


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
    host: ShardHost,
    intake: SubmitHandler,
    risk: RiskCheck,
    sessions: VenueSessions,
    publisher: Publisher,
    switch: OmsKillSwitch,
    parts: Mapping[str, HasStats],
) -> dict[str, Any]:
    return {
        **metrics.stats(),
        "ready": host.ready,
        "seq": host.head.seq,
        "recoveries": host.recoveries,
        "orders": {str(state): count for state, count in host.orders.states.items() if count},
        "in_flight": intake.in_flight,
        "risk": {"timeouts": risk.timeouts, "errors": risk.errors},
        "reports": sessions.stats(),
        "controls": switch.stats(),
        "notifications_dropped": publisher.dropped,
        **{name: part.stats() for name, part in parts.items()},
    }


def _series(host: ShardHost, intake: SubmitHandler, risk: RiskCheck, sessions: VenueSessions, publisher: Publisher) -> Iterator[Metric]:
    """Yield the series that are read on each scrape; OmsMetrics observes the others as they happen."""
    counter, gauge = metrics_page.counter, metrics_page.gauge
    yield gauge("oms_journal_sequence", "Last sequence written", host.head.seq)
    yield gauge("oms_stamps_ahead_seconds", "How far the journal's timestamps are ahead of the wall clock", host.stamps.ahead_s)
    yield gauge("oms_orders_by_status", "Orders by status", {str(state): n for state, n in host.orders.states.items()}, "status")
    yield gauge("oms_submits_in_flight", "Submits between request and response", intake.in_flight)
    yield counter("oms_recoveries", "Times that the in-memory state was discarded and rebuilt", host.recoveries)
    yield counter(
        "oms_risk_no_answer", "Risk checks that ended without a decision", {"timeout": risk.timeouts, "error": risk.errors}, "outcome"
    )
    yield counter("oms_reports", "Venue reports by outcome", sessions.stats(), "outcome")
    yield counter("oms_notifications_dropped", "Notifications dropped before they were published", publisher.dropped)


def _bounds(settings: OmsSettings) -> RiskClientBounds:
    risk = settings.risk_service
    return RiskClientBounds(budget_s=float(risk.timeout_sec), wait_s=float(risk.risk_wait_ms) / 1000, batch_max=risk.batch_max)
