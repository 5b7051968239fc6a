"""Feeds: the subscriptions to quotes and to the books behind them, and the notification that closes have changed."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from nats.aio.client import Client

from adapters import bus
from adapters.subjects import PRICES_CHANGED
from apps.connections.depths import Depths
from apps.connections.prints import PrintFeed
from apps.connections.ticks import Ticks
from apps.runtime import metrics
from apps.runtime.service import Chassis
from config.catalogue import VenueSettings
from config.market_section import MarketSection
from config.settings import Settings
from domain.instruments import Instrument, negative_prices
from domain.market.prints import Prints
from domain.market.quotes import Listed, Quote
from domain.ports import Clock, Unavailable

SIMULATED: Final = MarketSection()
AnySettings = TypeVar("AnySettings", bound=Settings)


async def follow_ticks(
    chassis: Chassis[AnySettings], client: Client, take: Callable[[Quote, int], None], listed: Listed, clock: Clock
) -> Ticks:
    """Pass every valid quote of `ticks.>` to `take`, with the monotonic time of its arrival in nanoseconds."""
    ticks = Ticks(take, listed, clock.monotonic_ns)
    await ticks.start(client)
    metrics.read(chassis.registry, ticks.series)
    return ticks


async def follow_depths(
    chassis: Chassis[AnySettings],
    client: Client,
    listed: Listed,
    clock: Clock,
    venues: Iterable[str] = ("*",),
    changed: Callable[[str, str], None] | None = None,
) -> Depths:
    """Keep the last book of each symbol at these venues. `changed` gets the venue and the symbol's token of one that arrives."""
    depths = Depths(listed, clock.monotonic_ns, changed)
    await depths.start(client, venues)
    metrics.read(chassis.registry, depths.series)
    return depths


def listed(instruments: Mapping[str, Instrument], venues: Mapping[str, VenueSettings], market: MarketSection = SIMULATED) -> Listed:
    """Return which venue may quote which symbol, by the catalogue, and by the settings of the market."""
    quoted = {name: venue.symbols for name, venue in venues.items()}
    return Listed(instruments.keys(), quoted, negative_prices(instruments.values()), market.rule())


async def follow_prints(chassis: Chassis[AnySettings], client: Client, take: Callable[[Prints], None], listed: Listed) -> None:
    """Pass the prints of listed venues to `take`, in the order of their arrival."""
    prints = PrintFeed(take, listed)
    await prints.start(client)
    metrics.read(chassis.registry, prints.series)


async def announce_prices(client: Client) -> None:
    """Publish that closes have changed. A lost message is harmless: readers also look periodically."""
    with contextlib.suppress(Unavailable):
        await bus.publish(client, PRICES_CHANGED, b"")
