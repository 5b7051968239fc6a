"""sink-ticks: one pipeline for each stream of the market and each place, and what is kept up in QuestDB."""

from collections.abc import Sequence

from nats.aio.client import Client

from adapters.clock import SystemClock
from apps.connections import market_nats
from apps.connections.tick_places import PLACES, day_bars, market_source, prices, tick_days
from apps.runtime.chassis import Chassis
from apps.sink.bar_closes import BarCloses, CloseRule
from apps.sink.pipeline import FlushBounds, Pipeline
from apps.sink.sinks import SinkParts, Upkeep
from apps.sink.tick_days import TickDays
from config.sink_settings import SinkTicksSettings
from domain.archive.market_rows import record_rows, tick_rows
from domain.archive.ports import DeadLetters

ROWS = {"questdb": tick_rows, "s3": record_rows}


async def tick_parts(chassis: Chassis[SinkTicksSettings], core: Client, letters: DeadLetters) -> SinkParts:
    return SinkParts(await _pipelines(chassis, core, letters), upkeep=_upkeep(chassis))


def _upkeep(chassis: Chassis[SinkTicksSettings]) -> Sequence[Upkeep]:
    """Build the filling of daily closes, if this sink writes the bars that they are taken from, and the dropping of old days."""
    settings, found = chassis.settings, list[Upkeep]()
    closes = settings.closes
    if "questdb" in settings.places and closes.days:
        rule = CloseRule(closes.days, float(closes.wait_sec), float(closes.margin_sec), closes.venues)
        found.append(BarCloses(day_bars(chassis), prices(chassis), SystemClock(), rule))
    if settings.ticks_keep_days:
        stored, archive, key_of = tick_days(chassis)
        found.append(TickDays(stored, archive, key_of, SystemClock(), settings.ticks_keep_days))
    return found


async def _pipelines(chassis: Chassis[SinkTicksSettings], core: Client, letters: DeadLetters) -> Sequence[Pipeline]:
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
