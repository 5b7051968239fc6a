"""Wiring of normalizer: builds its parts and connects them."""

from nats.aio.client import Client

from adapters import subjects
from adapters.clock import SystemClock
from adapters.market_lookup import MarketLookup
from adapters.marketstreams import StreamWriter, ensure_market_stream
from apps.connections import access, market_nats, nats
from apps.journal.publisher import Publisher
from apps.normalizer.frame_quality import FrameQuality
from apps.normalizer.market_watch import MarketWatch
from apps.normalizer.metrics import series, stats
from apps.normalizer.recent_facts import RecentFacts, facts_before
from apps.normalizer.routes import normalizer_routes
from apps.normalizer.venue_reader import MarketPlaces, ReaderBounds, VenueReader
from apps.normalizer.venue_run import LATENCY_BUCKETS_S, VenueRules, VenueShared
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.metrics import Observations
from config.normalizer_settings import NormalizerSettings
from domain.market.collar import CollarRule
from domain.market.conflation import DepthPace, TickPace
from domain.market.liveness import Patience
from domain.market.normalization import BookRules
from domain.market.venues.kinds import decoder
from domain.market.wishes import SECOND


async def build(chassis: Chassis[NormalizerSettings]) -> Service:
    """Build normalizer. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    client = await nats.connect(chassis)
    access.follow_access(chassis, client)
    await nats.turn(chassis, client)
    market = await market_nats.connect(chassis, client)
    places = await _places(settings, market)

    publisher, facts = Publisher(client), RecentFacts(settings.bounds.facts_kept)
    facts.refill(await nats.patiently(lambda: facts_before(market, places.facts, settings.bounds.facts_kept)))
    shared = VenueShared(clock, facts, FrameQuality(), Observations(LATENCY_BUCKETS_S), publisher.put)
    rules, bounds = rules_of(settings), _bounds(settings)

    def make(venue: str) -> VenueReader:
        reader = VenueReader(venue, places, rules, shared, bounds)
        reader.on_trouble = lambda reason: chassis.ready.set(f"venue {venue}", reason is None, reason or "")
        return reader

    watch = MarketWatch(market, places.raw, make, settings.bounds.control_timeout_ms / 1000)
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_NOTICES)
    chassis.spawn(watch.read, tasks.MARKET_VENUES)
    chassis.spawn(watch.tick, tasks.MARKET_TICKS)
    chassis.spawn(watch.look, tasks.MARKET_SILENCE)
    chassis.ready.depend("reading", lambda: watch.trouble(settings.bounds.lag_max_sec))
    chassis.ready.depend("frames", lambda: _frame_trouble(shared))
    metrics.read(chassis.registry, lambda: series(watch, shared, publisher))
    return Service(router=normalizer_routes(watch, facts), stats=lambda: stats(watch, shared, publisher))


async def _places(settings: NormalizerSettings, market: Client) -> MarketPlaces:
    """Make the streams that are missing, and return all of them. The gateway makes the one of frames."""
    streams, replicas = settings.streams, settings.market_nats.replicas
    kept = [subjects.MARKET_QUOTES, subjects.MARKET_TRADES, subjects.MARKET_BOOKS]

    async def ensure() -> None:
        for name, of, max_bytes in (
            (subjects.MARKET_STREAM, kept, streams.market_max_bytes),
            (subjects.MARKET_FACTS_STREAM, [subjects.MARKET_FACTS], streams.facts_max_bytes),
        ):
            await ensure_market_stream(market, name, of, max_bytes=max_bytes, replicas=replicas)

    writer = await nats.patiently(lambda: StreamWriter.open(market, ensure))
    raw, records, facts = (
        MarketLookup(market, name) for name in (subjects.MARKET_RAW_STREAM, subjects.MARKET_STREAM, subjects.MARKET_FACTS_STREAM)
    )
    return MarketPlaces(market, raw, records, facts, writer.write)


def rules_of(settings: NormalizerSettings) -> VenueRules:
    """Return the rules of every venue, in nanoseconds."""
    books, live, ticks = settings.books, settings.liveness, settings.ticks
    return VenueRules(
        decoder_of=decoder,
        books=BookRules(books.levels, _ns(books.snapshot_sec), books.delta_levels_max),
        patience=Patience(live.factor, _ns(live.least_sec), _ns(live.most_sec), _ns(live.window_sec)),
        pace=TickPace(SECOND // ticks.touch_per_symbol_max, _ns(ticks.repeat_sec)),
        depth=DepthPace(ticks.depth_levels, SECOND // ticks.depth_per_symbol_max),
        behind_max=_ns(ticks.behind_max_sec),
        collar=CollarRule(settings.prints.collar_pct.scaleb(-2), settings.prints.confirm),
    )


def _bounds(settings: NormalizerSettings) -> ReaderBounds:
    return ReaderBounds(
        wait_s=settings.streams.publish_wait_ms / 1000,
        bars_kept=settings.bars.kept,
        refill_messages=settings.bars.refill_messages,
        replay_frames_max=settings.bounds.replay_frames_max,
    )


def _ns(seconds: float) -> int:
    return int(seconds * SECOND)


async def _frame_trouble(shared: VenueShared) -> str | None:
    return shared.quality.trouble(shared.clock.monotonic_ns())
