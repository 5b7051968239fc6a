"""sink-ticks: one pipeline for each stream of the market and each place."""

from nats.aio.client import Client

from adapters.clock import SystemClock
from apps.connections import nats
from apps.connections.tick_places import PLACES, market_source
from apps.runtime.chassis import Chassis
from apps.sink.pipeline import FlushBounds, Pipeline
from apps.sink.sinks import SinkParts
from config.sink_settings import SinkTicksSettings
from domain.archive.market_rows import record_rows, tick_rows
from domain.archive.ports import DeadLetters

ROWS = {"questdb": tick_rows, "s3": record_rows}


async def tick_parts(chassis: Chassis[SinkTicksSettings], core: Client, letters: DeadLetters) -> SinkParts:
    """Build the pipelines. Each reads by itself, so that a place that is away holds up no other. `core` is not used: nothing is in it."""
    settings = chassis.settings
    market = await nats.connect_market(chassis, settings.market_nats)
    pipelines = [
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
    return SinkParts(pipelines)
