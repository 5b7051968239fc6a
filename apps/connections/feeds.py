"""Quotes in, and the notice that closes have changed."""

import contextlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from nats.aio.client import Client

from adapters import bus
from adapters.subjects import PRICES_CHANGED
from apps.connections.ticks import Ticks
from apps.runtime import metrics
from apps.runtime.service import Chassis
from config.catalogue import VenueSettings
from config.settings import Settings
from domain.instruments import Instrument, negative_prices
from domain.market.quotes import Listed, Quote
from domain.ports import Clock, Unavailable

AnySettings = TypeVar("AnySettings", bound=Settings)


async def follow_ticks(
    chassis: Chassis[AnySettings], client: Client, take: Callable[[Quote, int], None], listed: Listed, clock: Clock
) -> Ticks:
    """Every quote of `ticks.>` that is one into `take`, with the steady time at which it came."""
    ticks = Ticks(take, listed, clock.monotonic_ns)
    await ticks.start(client)
    metrics.read(chassis.registry, ticks.series)
    return ticks


def listed(instruments: Mapping[str, Instrument], venues: Mapping[str, VenueSettings]) -> Listed:
    """What the catalogue says of who may quote what."""
    return Listed(instruments.keys(), {name: venue.symbols for name, venue in venues.items()}, negative_prices(instruments.values()))


async def announce_prices(client: Client) -> None:
    """Somebody has written closes. Nobody waits for it: whoever reads them looks by itself in a while."""
    with contextlib.suppress(Unavailable):
        await bus.publish(client, PRICES_CHANGED, b"")
