"""sink-ticks: one pipeline for each stream of the market and each place."""

from collections.abc import Sequence

from nats.aio.client import Client

from adapters.clock import SystemClock
from apps.connections import market_nats
from apps.connections.tick_places import PLACES, market_source
from apps.runtime.chassis import Chassis
from apps.sink.pipeline import FlushBounds, Pipeline
from config.sink_settings import SinkTicksSettings
from domain.archive.market_rows import record_rows, tick_rows
from domain.archive.ports import DeadLetters

ROWS = {"questdb": tick_rows, "s3": record_rows}


async def tick_pipelines(chassis: Chassis[SinkTicksSettings], core: Client, letters: DeadLetters) -> Sequence[Pipeline]:
    """Build the pipelines. Each reads by itself, so that a place that is away holds up no other.

    Without a server of the market's own, its streams are on `core`.
    """
    settings = chassis.settings
    market = await market_nats.connect(chassis, core)
    return [
        Pipeline(
            f"{place} {stream}",
            market_source(market, stream),
            ROWS[place],
            PLACES[place](chassis, stream),
            letters,
            SystemClock(),
            bounds=FlushBounds(rows=section.flush_rows, wait_s=float(section.flush_wait_sec)),
        )
        for place in settings.places
        for section in (settings.questdb if place == "questdb" else settings.s3,)
        for stream in settings.streams
    ]
