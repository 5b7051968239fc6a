"""Wiring of risk: the only module that connects its parts to NATS, Valkey and QuestDB."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from statistics import NormalDist
from typing import Any, Final

from nats.aio.client import Client

from adapters import bus
from adapters.chain import GENESIS
from adapters.clock import SystemClock
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL, CONTROL_COMMITS, CONTROL_JOURNAL
from adapters.risk_snapshot import ValkeySnapshots
from apps.connections import control_journal, feeds, journals, nats, stores
from apps.connections.access import AccessAcks, ready_with_keys
from apps.connections.controls import Scopes, events_into
from apps.connections.order_rules import order_rules_of
from apps.connections.unit import Unit
from apps.http import tls
from apps.journal.end import JournalEnd
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import access_accepted
from apps.risk.access_endpoint import OTHERS, AccessEndpoint
from apps.risk.access_record import record_cli_key
from apps.risk.catalogue_record import record_catalogue
from apps.risk.check_endpoint import CheckEndpoint
from apps.risk.check_handler import CheckHandler
from apps.risk.control_acks import ControlAcks, LocalKillReports
from apps.risk.control_endpoint import ControlEndpoint
from apps.risk.control_log import ControlLog
from apps.risk.decision_lookup import Decisions
from apps.risk.engines import Checks, RiskEngines, checks_of
from apps.risk.four_eyes import two_hands
from apps.risk.metrics import RiskMetrics
from apps.risk.overfills import Overfills
from apps.risk.portfolio_publisher import PortfolioPublisher
from apps.risk.price_cache import PriceHistory
from apps.risk.shard_assembly import RiskContext, risk_shards
from apps.runtime import tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.standby import AnyTurn
from config.catalogue import load_instruments, load_venues
from config.percent import fractions_among
from config.sections import RiskChecksSection
from config.settings import RiskSettings
from domain.access.scopes import AccessScope
from domain.risk.controls import ControlEvent, Controls
from domain.risk.engine import Risk
from domain.risk.limits import VAR_LIMIT, Limits
from domain.risk.var import Method
from domain.values import MONEY_PLACES

CONTROLS_WAIT_S: Final = 0.0
"""Controls are read without a batching delay: a block must take effect at once."""


async def build(chassis: Chassis[RiskSettings], unit: Unit | None = None) -> Service:
    """Build risk, by itself or as a part of `unit`. The lines follow the order in which parts depend on each other."""
    settings = chassis.settings
    nats.refuse_apart(unit, settings.unit.name)
    checks = settings.risk_checks
    catalogue = load_instruments()
    venues = load_venues(catalogue.instruments).venues
    for sentence in fractions_among(catalogue.instruments.values()):
        chassis.log.warning(sentence)
    controls, clock = Controls(), SystemClock()

    client, writer = await nats.connect(chassis, unit), await nats.connect_writer(chassis)
    turn = await nats.turn_in(unit, chassis, client)
    controls_journal, control_mark = await control_journal.written_controls(chassis, client, writer)
    control_follower = JournalSubscription(
        controls_journal, CONTROL_COMMITS, events_into(controls.apply), after=GENESIS, wait_s=CONTROLS_WAIT_S
    )
    chassis.spawn(control_follower.run, tasks.CONTROL_FOLLOWER)
    control_log = ControlLog(controls_journal, CONTROL_COMMITS, control_follower, controls, control_mark)
    await record_catalogue(chassis, catalogue, controls, controls_journal, control_follower, control_log)
    access_http = await _access(chassis, client, writer)
    engine = partial(Risk, limits_of(checks), catalogue.instruments, catalogue.currencies, controls)
    first = engine()
    risk = RiskEngines([first, *(engine(first.marks) for _ in range(1, settings.nats.shards))])
    measures = RiskMetrics(chassis.registry, settings.monitoring.latency_alert_threshold_ms, risk.figures)
    overfills = Overfills(controls, clock)
    rules = order_rules_of(catalogue.instruments, venues.values(), chassis.keys.may_trade, clock)
    checked = RiskContext(measures, control_follower, rules, clock)
    shards = await risk_shards(chassis, client, unit, risk, checked, overfills.look)
    check_service = checks_of([each.checks for each in shards])
    control_journal.keep(chassis, CONTROL_JOURNAL, controls_journal, control_mark, control_follower)

    await _valkey(chassis, risk, clock)
    history = await _price_history(chassis, risk, clock, client)
    listed = feeds.listed(catalogue.instruments, venues, settings.market)
    ticks = await feeds.follow_ticks(chassis, client, risk.marks.update, listed, clock)
    await _answer_oms(chassis, client, check_service, measures, turn, unit)
    await LocalKillReports(client, control_log).start()
    chassis.spawn(lambda: overfills.run(control_log), tasks.OVERFILLS)
    acks = ControlAcks(client, None if unit is None else unit.leases)
    control_http = _controls(settings, risk, control_log, acks, Scopes(catalogue.instruments, venues), clock)
    check_http = CheckEndpoint(risk, check_service, measures, rules, clock)
    routes = check_http.router()
    for part in (control_http, access_http, _decisions(chassis)):
        routes.include_router(part.router())

    def stats() -> dict[str, Any]:
        quotes = {"ticks": ticks.taken, "ticks_refused": ticks.refused.total(), "quotes": ticks.stats()}
        own = {"price_history": history.stats() if history else None, "alarms": overfills.alarms()}
        own["snapshots"] = shards[0].snapshots.stats() if len(shards) == 1 else [each.snapshots.stats() for each in shards]
        return {**measures.stats(), **quotes, **own}

    return Service(router=routes, fast={("POST", "/check"): check_http.check}, stats=stats)


def _decisions(chassis: Chassis[RiskSettings]) -> Decisions:
    decisions = Decisions.at(chassis.settings.peers.oms_url, chassis.keys, tls.context_to_peers(chassis.settings))
    chassis.exits.push_async_callback(decisions.close)
    return decisions


def _controls(
    settings: RiskSettings, risk: RiskEngines, log: ControlLog[ControlEvent], acks: ControlAcks, scopes: Scopes, clock: SystemClock
) -> ControlEndpoint:
    controls = settings.controls
    return ControlEndpoint(risk, log, acks, scopes, clock, controls.second_person == "required", controls.limits_second_person_above_usd)


async def _access(chassis: Chassis[RiskSettings], client: Client, writer: Client) -> AccessEndpoint:
    """Open the journal of access, read it, record the command line's key, and return the routes. Until then no key opens anything here."""
    journal, mark = await control_journal.written(chassis, client, writer, ACCESS_JOURNAL, access_accepted)
    follower = JournalSubscription(journal, ACCESS_COMMITS, events_into(chassis.keys.apply), after=GENESIS, wait_s=CONTROLS_WAIT_S)
    chassis.spawn(follower.run, tasks.ACCESS_FOLLOWER)
    access_log = ControlLog(journal, ACCESS_COMMITS, follower, chassis.keys, mark)
    await record_cli_key(chassis, journal, follower, access_log)
    chassis.spawn(JournalEnd(journal, follower, SystemClock(), chassis.keys_known.read_to_end).run, tasks.KEYS_KNOWN)
    ready_with_keys(chassis)
    control_journal.keep(chassis, ACCESS_JOURNAL, journal, mark, follower)
    owners = chassis.keys.owners_with(AccessScope.RISK, SystemClock().now_ns())
    if chassis.settings.controls.second_person == "required" and (reason := two_hands(chassis.authority.mode, owners)):
        chassis.log.warning(reason)
    filled = journals.measure_rooms(chassis, client, [ACCESS_JOURNAL.stream])
    return AccessEndpoint(chassis.authority, access_log, AccessAcks(client, OTHERS), SystemClock(), filled)


async def _answer_oms(
    chassis: Chassis[RiskSettings], client: Client, check_service: Checks, measures: RiskMetrics, turn: AnyTurn, unit: Unit | None
) -> None:
    """Serve oms's checks: over NATS, and by a direct call when oms is in this process."""
    handler = CheckHandler(
        client, check_service, measures, chassis.settings.risk_checks.batch_max, turn.holds, None if unit is None else unit.share
    )
    await handler.start()
    if unit is not None:
        unit.decide = handler.decide
        unit.decide_list = handler.decide_list


def limits_of(checks: RiskChecksSection) -> Limits:
    """Convert the configured limits; percentages become exact fractions."""
    return Limits(
        enabled=frozenset(checks.enabled),
        order_notional_max=checks.max_order_size_usd,
        order_quantity_max=checks.max_order_size_shares,
        algo_notional_max=checks.algo_order_usd_max,
        position_notional_max=checks.max_position_size_usd,
        concentration_max=_fraction(checks.max_concentration_pct),
        buying_power_initial=checks.initial_buying_power_usd,
        margin_rate=_fraction(checks.margin_requirement_pct),
        market_buffer=_fraction(checks.market_buffer_pct),
        short_accounts=frozenset(checks.short_allowed_accounts),
        var_max=checks.max_portfolio_var_usd,
        var_method=_method(checks),
        quote_age_max_ns=int(checks.quote_age_max_sec * 1e9),
        price_collar=None if checks.price_collar_pct is None else _fraction(checks.price_collar_pct),
        open_orders_max=checks.max_open_orders_per_account,
        order_rate_max=checks.max_orders_per_sec_per_account,
        duplicate_window_ns=None if checks.duplicate_order_window_ms is None else int(checks.duplicate_order_window_ms * 1e6),
        repeated_orders_max=checks.repeated_orders_max,
        repeated_window_ns=int(checks.repeated_orders_window_sec * 1e9),
    )


def _method(checks: RiskChecksSection) -> Method:
    """Build the VaR method. The normal quantile is computed once as a float and rounded to 12 places; all later arithmetic is exact."""
    level = checks.var_confidence_level
    if checks.var_method == "historical":
        return Method(level)
    return Method(level, Decimal(f"{NormalDist().inv_cdf(float(level)):.{MONEY_PLACES}f}"))


def _fraction(percent: Decimal) -> Decimal:
    return percent.scaleb(-2)


async def _valkey(chassis: Chassis[RiskSettings], risk: RiskEngines, clock: SystemClock) -> None:
    """Connect Valkey. It is a dependency of /health, not of decisions: risk starts and decides without it."""
    section = chassis.settings.valkey
    snapshots = ValkeySnapshots.at(section.url, database=section.db, timeout_ms=section.timeout_ms, connections_max=section.max_connections)
    chassis.exits.push_async_callback(snapshots.close)
    await _log_connection(chassis, "Redis", snapshots.ping, section.url)
    chassis.health.depend("valkey", snapshots.ping)
    for shard, engine in enumerate(risk.all):
        chassis.spawn(PortfolioPublisher(engine, snapshots, clock).run, tasks.MIRROR, risk.shards.name(shard))


async def _price_history(chassis: Chassis[RiskSettings], risk: RiskEngines, clock: SystemClock, client: Client) -> PriceHistory | None:
    """Start the price history; None when VaR is not enabled.

    The store is a dependency of /health, not of decisions: value at risk uses the closes that were read last.
    """
    store = stores.prices(chassis)
    if chassis.settings.fills == "sqlite":
        chassis.log.info("running without QuestDB: fills and daily closes are in SQLite")
    else:
        await _log_connection(chassis, "QuestDB", store.ping, chassis.settings.questdb.http_url)
        chassis.health.depend("questdb", store.ping)
    if VAR_LIMIT not in risk.limits.enabled:
        return None
    checks = chassis.settings.risk_checks
    chassis.ready.set("price history", False, "no daily closes yet")
    history = PriceHistory(
        risk,
        store,
        clock,
        returns=checks.var_lookback_days,
        age_max_days=checks.price_history_age_max_days,
        refresh_s=checks.price_history_refresh_sec,
        ready=lambda ok: chassis.ready.set("price history", ok, "no daily closes yet"),
    )
    await history.listen(client)
    chassis.spawn(history.run, tasks.PRICE_HISTORY)
    return history


async def _log_connection(chassis: Chassis[RiskSettings], name: str, ping: Callable[[], Awaitable[None]], url: str) -> None:
    """Log once that a store is connected. Startup continues; the ping is retried in the background until it succeeds."""

    async def keep_trying() -> None:
        await nats.patiently(ping)
        chassis.log.info(f"Connected to {name}", url=bus.without_password(url))

    chassis.spawn(keep_trying, tasks.GREETING, name)
