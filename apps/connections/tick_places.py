"""The market's streams as sources, and the places of ticks, opened as the configuration says."""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from nats.aio.client import Client

from adapters.clock import SystemClock
from adapters.dead_letters import SqliteDeadLetters
from adapters.market_source import MarketSource
from adapters.memory_places import MemoryDeadLetters
from adapters.price_history import QuestDbPrices
from adapters.questbars import QuestDbDayBars
from adapters.questticks import QuestDbTicks
from apps.runtime.chassis import Chassis
from apps.runtime.failpoint import failpoint
from config.s3 import s3_access
from config.sink_settings import SinkTicksSettings
from domain.archive.ports import DeadLetters, Place

if TYPE_CHECKING:
    from adapters.archived_days import ArchivedDays
    from adapters.objects import Objects
    from adapters.questdays import QuestDbTickDays
    from domain.archive.day_proof import Row

LETTERS_FILE: Final = "dead_letters.db"
log = structlog.get_logger()


def market_source(client: Client, stream: str) -> MarketSource:
    return MarketSource(client, stream, SystemClock())


def dead_letters(chassis: Chassis[Any], letters_max: int) -> DeadLetters:
    """Open the dead letters in the data directory. Without one they are in memory, and a restart loses them."""
    directory = chassis.settings.service.data_dir
    if directory is None:
        log.warning("no data directory: rows that a place refuses are kept in memory only")
        return MemoryDeadLetters(letters_max)
    letters = SqliteDeadLetters(directory / chassis.name / LETTERS_FILE, letters_max)
    chassis.exits.callback(letters.close)
    return letters


def questdb_ticks(chassis: Chassis[SinkTicksSettings], stream: str) -> Place:
    settings = chassis.settings.questdb
    http_url = str(settings.http_url) if settings.rows == "ilp" else ""
    place = QuestDbTicks(http_url, str(settings.pg_url), stream, uuid.uuid4().hex, SystemClock(), failpoint)
    chassis.exits.push_async_callback(place.close)
    return place


def day_bars(chassis: Chassis[SinkTicksSettings]) -> QuestDbDayBars:
    return QuestDbDayBars(str(chassis.settings.questdb.pg_url))


def prices(chassis: Chassis[SinkTicksSettings]) -> QuestDbPrices:
    """Open the daily closes beside the ticks, where risk reads them."""
    return QuestDbPrices(str(chassis.settings.questdb.pg_url))


def market_objects(chassis: Chassis[SinkTicksSettings], stream: str) -> Place:
    from adapters.objectstore import MarketObjects  # imported only where objects are written: it takes 60 MB

    return MarketObjects(_objects(chassis), stream, failpoint)


def tick_days(
    chassis: Chassis[SinkTicksSettings],
) -> "tuple[QuestDbTickDays, ArchivedDays, Callable[[str, Sequence[str]], Callable[[Row], Any]]]":
    """Open what old days are compared by: the tables, the archive, and what identifies a row of a table."""
    from adapters.archived_days import ArchivedDays
    from adapters.questdays import QuestDbTickDays, key_of

    return QuestDbTickDays(str(chassis.settings.questdb.pg_url), SystemClock()), ArchivedDays(_objects(chassis)), key_of


def _objects(chassis: Chassis[SinkTicksSettings]) -> "Objects":
    from adapters.objects import Objects

    access = s3_access(chassis.environment or os.environ)
    return Objects.at(chassis.settings.s3.address, endpoint=access.endpoint, credentials=access.keys)


PLACES: Final[Mapping[str, Callable[[Chassis[SinkTicksSettings], str], Place]]] = {"questdb": questdb_ticks, "s3": market_objects}
