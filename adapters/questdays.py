"""Days of ticks in QuestDB: which there are, their rows, and how they are dropped so that the bars stay.

Measured on QuestDB 9.3.4: `DROP PARTITION` makes every view of the table invalid for good. A TTL drops partitions too, and leaves the views
valid; it counts from the newest row, or from the server's clock if that is earlier. A late trade of a dropped day would replace its bar by
one of itself alone, unless the view has a refresh limit.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from adapters.questpg import EPOCH, ONE_DAY, Connection, begin_of, connected
from adapters.questtables import TTL_OFF, TTL_SET
from adapters.questwire import columns
from domain.archive.day_proof import Row
from domain.archive.market_rows import TRADES
from domain.market.file_times import DAY_NS
from domain.ports import Clock

QUERY_TIMEOUT_S: Final = 60.0
HOUR_NS: Final = 3_600 * 10**9
EARLY_NS: Final = HOUR_NS * 5 // 6
"""A TTL counts whole hours. It is set only in the first fifty minutes of one, so that it is the same hour when the server applies it."""
GONE_WITHIN_S: Final = 20.0
LOOK_AGAIN_S: Final = 0.05
DAYS: Final = "SELECT DISTINCT substring(name, 1, 10) AS day FROM table_partitions('{table}') ORDER BY day"
PARTITIONS: Final = "SELECT name FROM table_partitions('{table}') WHERE name LIKE $1"
RECEIVED: Final = "SELECT DISTINCT cast(received AS LONG) / 86400000000000 AS day FROM {table} WHERE at >= $1 AND at < $2"
SLICES: Final = "SELECT DISTINCT cast(at AS LONG) / {length} AS number FROM {table} WHERE at >= $1 AND at < $2"
NEWEST: Final = f"SELECT cast(max(at) AS LONG) FROM {TRADES}"
LIMITED: Final = (
    "SELECT count() FROM materialized_views() WHERE view_name = 'bars_1m' AND refresh_limit = $1 AND refresh_limit_unit = 'DAY'"
)


class QuestDbTickDays:
    """Port: apps.sink.tick_days.StoredDays. Days count from 1970-01-01, UTC, by the venue's time."""

    def __init__(self, pg_url: str, clock: Clock) -> None:
        self._pg_url = pg_url
        self._clock = clock

    async def prepare(self, keep_days: int) -> None:
        """End a TTL that a process left when it was killed, and let no trade older than `keep_days` change a bar."""
        async with connected(self._pg_url, timeout_s=QUERY_TIMEOUT_S) as connection:
            if await connection.fetchval(TTL_SET):
                await connection.execute(TTL_OFF)
            if not await connection.fetchval(LIMITED, keep_days):
                await connection.execute(f"ALTER MATERIALIZED VIEW bars_1m SET REFRESH LIMIT {int(keep_days)} DAYS")

    async def days(self, table: str) -> list[int]:
        """Return the days that have rows, the oldest first."""
        async with connected(self._pg_url, timeout_s=QUERY_TIMEOUT_S) as connection:
            found = await connection.fetch(DAYS.format(table=table))
        return [(datetime.fromisoformat(day) - EPOCH) // ONE_DAY for (day,) in found]

    async def received(self, table: str, day: int) -> set[int]:
        """Return the days on which the rows of a day were received."""
        async with connected(self._pg_url, timeout_s=QUERY_TIMEOUT_S) as connection:
            found = await connection.fetch(RECEIVED.format(table=table), begin_of(day), begin_of(day + 1))
        return {received for (received,) in found}

    async def slices(self, table: str, day: int, length: int) -> set[int]:
        """Return the begins of the slices of a day that have rows. `length`: of a slice, nanoseconds."""
        async with connected(self._pg_url, timeout_s=QUERY_TIMEOUT_S) as connection:
            found = await connection.fetch(SLICES.format(table=table, length=int(length)), begin_of(day), begin_of(day + 1))
        return {number * length for (number,) in found}

    async def rows(self, table: str, begin: int, end: int) -> list[Row]:
        """Return the rows from `begin` until before `end`, whole microseconds in nanoseconds."""
        named = columns(table)
        selected = ", ".join(f"cast({name} AS LONG) AS {name}" if kind == "TIMESTAMP_NS" else name for name, kind in named)
        async with connected(self._pg_url, timeout_s=QUERY_TIMEOUT_S) as connection:
            found = await connection.fetch(f"SELECT {selected} FROM {table} WHERE at >= $1 AND at < $2", _at(begin), _at(end))
        return [tuple(record.values()) for record in found]

    async def drop(self, table: str, day: int) -> bool:
        """Drop a day; of trades also all days before it. Return whether they are gone. Unavailable.

        No TTL is set late in an hour, nor before a trade of this hour is stored: while older trades are caught up with, the newest one may
        move by hours before the TTL is applied, and hours of the next day would be dropped too.
        """
        async with connected(self._pg_url, timeout_s=QUERY_TIMEOUT_S) as connection:
            if table != TRADES:
                names = await connection.fetch(PARTITIONS.format(table=table), f"{begin_of(day):%Y-%m-%d}%")
                listed = ", ".join(f"'{name}'" for (name,) in names)
                await connection.execute(f"ALTER TABLE {table} DROP PARTITION LIST {listed}")
                return await self._gone(connection, table, day)
            newest, now = await connection.fetchval(NEWEST), self._clock.now_ns()
            if now % HOUR_NS > EARLY_NS or newest < now - now % HOUR_NS:
                return False
            await connection.execute(f"ALTER TABLE {TRADES} SET TTL {(now - (day + 1) * DAY_NS) // HOUR_NS} HOURS")
            try:
                return await self._gone(connection, table, day)
            finally:
                await connection.execute(TTL_OFF)

    async def _gone(self, connection: Connection, table: str, day: int) -> bool:
        """Wait until the day has no partition."""
        until = time.monotonic() + GONE_WITHIN_S
        while await connection.fetch(PARTITIONS.format(table=table), f"{begin_of(day):%Y-%m-%d}%"):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)
        return True


def key_of(table: str, names: Sequence[str]) -> Callable[[Row], Any]:
    """Return a function from a row to its values of these columns."""
    places = [[name for name, _ in columns(table)].index(name) for name in names]
    return lambda row: tuple(row[place] for place in places)


def _at(nanoseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)
