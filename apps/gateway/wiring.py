"""gateway, assembled: one feed and one writer a venue, requests to them, and the state of each."""

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Final

from adapters import ccxt_exchange, subjects, venue_socket
from adapters.clock import SystemClock
from adapters.marketstreams import StreamWriter, ensure_market_stream, last_message
from adapters.venue_rest import VenueRest
from apps.connections import access, market_nats, nats
from apps.gateway.control import VenueControl
from apps.gateway.epochs import Epochs, epoch_of
from apps.gateway.link import NO_CREDENTIALS, Bounds, Credentials
from apps.gateway.metrics import series, stats
from apps.gateway.raw_writer import LATENCY_BUCKETS_S, RawStream, RawWriter
from apps.gateway.rest_fetch import RestFetcher
from apps.gateway.routes import venue_routes
from apps.gateway.symbols import Listing
from apps.gateway.venue_feed import Dial, FeedState, VenueFeed
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.metrics import Observations
from config import secrets
from config.catalogue import Catalogue, load_instruments
from config.gateway_settings import WITH_KEYS, MarketGatewaySettings, VenueFeedSection
from config.text import ConfigError
from domain.execution.token_bucket import SECOND_NS
from domain.market.venues.feed import VenueScript
from domain.market.venues.kinds import script
from domain.market.venues.names import exchange_of
from domain.ports import Clock

LAG_MAX_NS: Final = 5 * SECOND_NS
"""While a frame has waited longer for its ack, gateway is not ready."""
DRAIN_S: Final = 1.5
NO_VENUE: Final = "no venue reached"


async def build(chassis: Chassis[MarketGatewaySettings]) -> Service:
    """Build gateway. What the configuration says wrong is found before a connection is made."""
    settings, clock = chassis.settings, SystemClock()
    catalogue = load_instruments()
    listings = {name: listing_of(name, venue, catalogue) for name, venue in settings.venues.items()}
    for name, venue in settings.venues.items():
        script_of(venue, listings[name])
        dial_of(name, venue)
    credentials = credentials_of(settings.venues, secrets.read(chassis.name, chassis.environment or os.environ))

    core = await nats.connect(chassis)
    access.follow_access(chassis, core)
    await nats.turn(chassis, core)
    market = await market_nats.connect(chassis, core)
    ensure = partial(
        ensure_market_stream,
        market,
        subjects.MARKET_RAW_STREAM,
        [subjects.MARKET_RAW],
        max_bytes=settings.raw.max_bytes,
        replicas=settings.market_nats.replicas,
    )
    stream = await nats.patiently(lambda: StreamWriter.open(market, ensure))

    latency, feeds = Observations(LATENCY_BUCKETS_S), dict[str, VenueFeed]()
    for name in settings.venues:
        last = epoch_of(await nats.patiently(partial(last_message, market, subjects.MARKET_RAW_STREAM, subjects.market("raw", name))))
        writer = _writer(name, settings, stream, clock, latency)
        feeds[name] = _feed(chassis, name, listings[name], writer, Epochs(clock, last), credentials.get(name, NO_CREDENTIALS))
    for name, feed in feeds.items():
        chassis.spawn(feed.writer.run, tasks.RAW_WRITER, name)
        chassis.spawn(feed.run, tasks.VENUE_FEED, name)
    control = VenueControl(feeds, catalogue.market_name, clock)
    await control.listen(market)

    _report_readiness(chassis, feeds)
    metrics.read(chassis.registry, lambda: series(feeds, control, latency))
    return Service(router=venue_routes(feeds), stats=lambda: stats(feeds, control), stop_intake=partial(_stop, feeds))


def _writer(name: str, settings: MarketGatewaySettings, stream: RawStream, clock: Clock, latency: Observations) -> RawWriter:
    wait_s, bytes_max = settings.raw.raw_wait_ms / 1000, settings.pending_bytes_max()
    return RawWriter(name, subjects.market("raw", name), stream, clock, latency, wait_s=wait_s, bytes_max=bytes_max)


def _feed(
    chassis: Chassis[MarketGatewaySettings], name: str, listing: Listing, writer: RawWriter, epochs: Epochs, credentials: Credentials
) -> VenueFeed:
    settings, clock = chassis.settings, SystemClock()
    venue, liveness = settings.venues[name], settings.liveness
    rest = VenueRest(venue.rest_url) if venue.rest_url else None
    if rest is not None:
        chassis.exits.push_async_callback(rest.close)
    fetcher = RestFetcher(name, venue.kind, rest.get if rest else None, clock)
    bounds = Bounds(
        stale_ns=int(liveness.stale_after_sec * SECOND_NS),
        mute_ns=int(liveness.mute_after_sec * SECOND_NS),
        age_ns=int(liveness.connection_age_max_sec * SECOND_NS),
        instruments_every_ns=int(settings.instruments.check_sec * SECOND_NS),
    )
    return VenueFeed(name, listing, partial(script_for, venue), dial_of(name, venue), fetcher, writer, epochs, clock, bounds, credentials)


def listing_of(name: str, venue: VenueFeedSection, catalogue: Catalogue) -> Listing:
    """Return the venue's names of the symbols that it is asked for. Raises ConfigError."""
    found = {symbol: catalogue.market_symbol(venue.kind, symbol) for symbol in venue.symbols}
    ours: dict[str, str] = {}
    for symbol, row in found.items():
        if (other := ours.setdefault(row.venue_symbol, symbol)) != symbol:
            raise ConfigError(f"venues.{name}.symbols: {other} and {symbol} are both {row.venue_symbol} there")
    return Listing(venue.kind, {symbol: row.venue_symbol for symbol, row in found.items()}, max(row.depth for row in found.values()))


def credentials_of(venues: Mapping[str, VenueFeedSection], known: secrets.Credentials) -> dict[str, Credentials]:
    """Return the key and the secret of each venue that wants them, from the secrets file. Raises ConfigError without them."""
    wanted = [name for name, venue in venues.items() if venue.kind in WITH_KEYS]
    for name in wanted:
        if f"venues.{name}" not in known:
            raise ConfigError(f"venues.{name}: needs a key: {secrets.VARIABLE}, file gateway.yaml, `venues.{name}: [key, secret]`")
    return {name: Credentials(*known[f"venues.{name}"]) for name in wanted}


def script_of(venue: VenueFeedSection, listing: Listing) -> VenueScript:
    """Return the script of a venue as it is configured. Raises ConfigError for more symbols than a connection may have."""
    try:
        return script_for(venue, listing)
    except ValueError as error:
        raise ConfigError(f"venues: {venue.address}: {error}") from error


def script_for(venue: VenueFeedSection, listing: Listing) -> VenueScript:
    return script(venue.kind, venue.address, listing.symbols, listing.depth)


def dial_of(name: str, venue: VenueFeedSection) -> Dial:
    """Return what opens a connection to a venue. Raises ConfigError for an exchange that ccxt does not have, or without ccxt."""
    exchange = exchange_of(venue.kind)
    if exchange is None:
        return venue_socket.dial
    try:
        ccxt_exchange.check(exchange)
    except ValueError as error:
        raise ConfigError(f"venues.{name}.kind: {error}") from error
    return lambda _: ccxt_exchange.dial(exchange, venue.rest_url)


def _report_readiness(chassis: Chassis[MarketGatewaySettings], feeds: Mapping[str, VenueFeed]) -> None:
    async def venues() -> str | None:
        return None if any(feed.state is FeedState.LIVE for feed in feeds.values()) else NO_VENUE

    async def stream() -> str | None:
        late = [name for name, feed in feeds.items() if feed.writer.oldest_ns() > LAG_MAX_NS]
        return f"frames of {', '.join(sorted(late))} wait for their ack" if late else None

    chassis.ready.set("venues", False, NO_VENUE)  # until the first probe
    chassis.ready.depend("venues", venues)
    chassis.ready.depend("stream", stream)


async def _stop(feeds: Mapping[str, VenueFeed]) -> None:
    """End the connections, and wait until the last frames are stored."""
    await asyncio.gather(*(feed.stop() for feed in feeds.values()))
    await asyncio.gather(*(feed.writer.drained(DRAIN_S) for feed in feeds.values()))
