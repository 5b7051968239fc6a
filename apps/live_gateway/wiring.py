"""Wiring of live-gateway: builds its parts and connects them."""

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import subjects
from adapters.clock import SystemClock
from apps.connections import access, feeds, journals, nats, stores
from apps.connections.announcements import Send
from apps.journal.publisher import Publisher
from apps.journal.watermark import Mark
from apps.live_gateway.fault_endpoint import misbehaviour_routes
from apps.live_gateway.feed import QuotedVenues, Recording, simulate
from apps.live_gateway.flush_marker import FlushMarker
from apps.live_gateway.market_quotes import MarketQuotes
from apps.live_gateway.metrics import series
from apps.live_gateway.report_log import VENUE_COMMITS
from apps.live_gateway.report_wire import Announced, announced_fills
from apps.live_gateway.request_handler import RequestHandler
from apps.live_gateway.routes import gateway_routes
from apps.live_gateway.session import Sessions
from apps.live_gateway.simulated_closes import keep_closes
from apps.live_gateway.simulated_trades import SimulatedTrades
from apps.live_gateway.venue_host import VenueHost
from apps.live_gateway.views import venue_stats
from apps.runtime import metrics, tasks
from apps.runtime.service import Chassis, Service
from config.catalogue import SimulatedQuote, VenueSettings, load_instruments, load_venues
from config.settings import GatewaySettings
from config.text import ConfigError
from domain.instruments import Instrument
from domain.market.csv_rows import Columns, columns_of
from domain.market.prints import Prints
from domain.market.recorded import COLUMNS, NOTES, BadQuotes, MarketRow, read_quotes
from domain.market.simulated import SimulatedMarket
from domain.ports import Clock

log = structlog.get_logger()

TRY_AGAIN_S: Final = 0.5


async def build(chassis: Chassis[GatewaySettings]) -> Service:
    """Build live-gateway. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    instruments = load_instruments().instruments
    listed, simulated = load_venues(instruments)
    hosted = [venue for venue in listed.values() if venue.session == "full" and not venue.live]  # others have their own program
    notes: Counter[str] = Counter()
    columns = columns_of(settings.quotes.columns, COLUMNS)
    rows = recorded_quotes(settings.quotes.file, instruments, columns, notes) if settings.quotes.file else None
    venues = _with_their_queues(hosted, settings, rows or ())

    client, writer = await nats.connect(chassis), await nats.connect_writer(chassis)
    access.follow_access(chassis, client)
    marks = {name: journals.watermark(chassis, subjects.venue_subject(name), VENUE_COMMITS) for name in venues}
    await _stream(chassis, client, list(marks.values()))
    publisher = Publisher(client)
    sent = await FlushMarker.open(client, publisher)
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_REPORTS)

    announced = announced_fills(nats.interest(chassis, client), publisher.put)
    wire = publisher.put, announced
    hosts = {name: await _host(chassis, client, writer, venue, instruments, clock, wire, marks[name]) for name, venue in venues.items()}
    for name, host in hosts.items():
        host.on_ready = _report_ready(chassis, name)
        chassis.spawn(host.run, tasks.VENUE, name)
        chassis.spawn(host.watch, tasks.FOREIGN, name)
        await host.ready.wait()

    audience = QuotedVenues(hosts, SimulatedTrades(hosts, publisher.put, clock))
    recording = Recording(rows, audience, sent) if rows is not None else None
    stepped = recording if settings.quotes.speed == "stepped" else None
    intake = RequestHandler(hosts)
    sessions = Sessions(hosts, intake, sent)
    chassis.spawn(sessions.run, tasks.RESENDS)
    chassis.spawn(audience.heartbeat, tasks.HEARTBEAT)
    await intake.listen(client)
    await sessions.listen(client)
    markets = _markets(simulated, instruments, settings.quotes.seed)
    if settings.market.mode != "simulated":
        await _follow_market(chassis, client, hosts, instruments, clock)
    elif feed := _feed(settings, recording, list(markets.values()), audience, clock):
        chassis.spawn(feed, tasks.QUOTES)
    if recording is None:
        _keep_closes(chassis, client, markets, clock)

    def stats() -> dict[str, object]:
        return {
            "requests": {"taken": intake.taken, "unreadable": intake.unreadable},
            "reports_resent": sessions.resent,
            "messages_dropped": publisher.dropped,
            "fills_announced": announced.stats(),
            "rows_played": recording.position if recording else None,
            "rows_not_as_written": dict(notes),
            "venues": {name: venue_stats(host) for name, host in sorted(hosts.items())},
        }

    routes = gateway_routes(hosts, stepped)
    routes.include_router(misbehaviour_routes(hosts, allowed=settings.faults == "allowed"))
    metrics.read(chassis.registry, lambda: series(hosts, intake, sessions, publisher))
    return Service(router=routes, stats=stats)


async def _stream(chassis: Chassis[GatewaySettings], client: Client, marks: Sequence[Mark | None]) -> None:
    """Create the stream of the venues' journals if it is missing."""
    wanted = journals.WantedStream(subjects.VENUE_STREAM, [subjects.VENUE_JOURNALS], chassis.settings.journal.max_bytes, marks)
    await journals.durable_streams(chassis, client, [wanted])


def _keep_closes(chassis: Chassis[GatewaySettings], client: Client, markets: Mapping[str, SimulatedMarket], clock: Clock) -> None:
    prices, announce = stores.prices(chassis), partial(feeds.announce_prices, client)
    beside_market = chassis.settings.market.mode != "simulated"
    chassis.spawn(lambda: keep_closes(markets, prices, clock, announce, beside_market=beside_market), tasks.CLOSES)


def recorded_quotes(
    path: Path, instruments: Mapping[str, Instrument], columns: Columns | None = None, notes: Counter[str] | None = None
) -> Sequence[MarketRow]:
    """Read the rows of a quotes file. Raises ConfigError with the error and its place in one sentence."""
    notes = Counter() if notes is None else notes
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = read_quotes(lines, instruments, columns, notes)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except BadQuotes as error:
        raise ConfigError(f"{path}: {error}") from error
    prints = sum(isinstance(row, Prints) for row in rows)
    log.info("quotes read", file=str(path), quotes=len(rows) - prints, prints=prints, **{note: notes[note] for note in NOTES})
    return rows


async def _follow_market(
    chassis: Chassis[GatewaySettings],
    client: Client,
    hosts: Mapping[str, VenueHost],
    instruments: Mapping[str, Instrument],
    clock: Clock,
) -> None:
    """Show the quotes and books of the market's venues."""
    quotes = MarketQuotes(hosts, clock)
    own = {name: host.settings for name, host in hosts.items()}
    quoted = feeds.listed(instruments, own, chassis.settings.market)
    quotes.books = await feeds.follow_depths(chassis, client, quoted, clock, changed=quotes.take_book)
    await feeds.follow_prints(chassis, client, quotes.take_prints, quoted)
    await feeds.follow_ticks(chassis, client, quotes.take, quoted, clock)
    metrics.read(chassis.registry, quotes.series)
    chassis.spawn(quotes.run, tasks.QUOTES)


def _markets(simulated: Mapping[str, SimulatedQuote], instruments: Mapping[str, Instrument], seed: int) -> dict[str, SimulatedMarket]:
    return {
        symbol: SimulatedMarket(instruments[symbol], quote.start, quote.swing_pct, quote.size, quote.spread_ticks, seed)
        for symbol, quote in sorted(simulated.items())
    }


def _feed(
    settings: GatewaySettings, recording: Recording | None, markets: Sequence[SimulatedMarket], audience: QuotedVenues, clock: Clock
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Return the task that feeds quotes; None for a stepped recording, which only advances on request."""
    speed = settings.quotes.speed
    if recording is None:
        return lambda: simulate([market.quotes() for market in markets], audience, clock, float(settings.quotes.interval_ms) / 1000)
    if speed == "stepped":
        return None
    return lambda: recording.play(None if isinstance(speed, str) else speed)


async def _host(
    chassis: Chassis[GatewaySettings],
    client: Client,
    writer: Client,
    venue: VenueSettings,
    instruments: Mapping[str, Instrument],
    clock: Clock,
    wire: tuple[Send, Announced],
    mark: Mark | None,
) -> VenueHost:
    settings = chassis.settings.journal
    journal = await journals.written_journal(client, writer, settings, subjects.VENUE_STREAM, subjects.venue_subject(venue.name))
    traded = {symbol: instruments[symbol] for symbol in venue.symbols}
    return VenueHost(venue, traded, journal, clock, *wire, journals.pace(settings), mark, chassis.settings.nats.replicas)


def _with_their_queues(venues: Sequence[VenueSettings], settings: GatewaySettings, rows: Sequence[MarketRow]) -> dict[str, VenueSettings]:
    """Return the venues as they are hosted: a simulated market, and a file without prints, have no trades to estimate queues with."""
    if settings.market.mode != "simulated" or any(isinstance(row, Prints) for row in rows):
        return {venue.name: venue for venue in venues}
    return {venue.name: venue._replace(rules=msgspec.structs.replace(venue.rules, estimated=False)) for venue in venues}


def _report_ready(chassis: Chassis[GatewaySettings], name: str) -> Callable[[bool], None]:
    def on_ready(ready: bool) -> None:
        chassis.ready.set(f"venue {name}", ready, "reading its journal")

    return on_ready
