"""The bars of days in QuestDB, the closes that are stored for them, and which days were recorded to their end."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from adapters.price_history import FORGOTTEN
from adapters.questpg import EPOCH, ONE_DAY, Connection, begin_of, connected
from domain.market.bar_closes import DayBar, HeldClose
from domain.market.price_history import SIMULATED
from domain.market.quotes import INEXACT, REPLAYED
from domain.ports import Unavailable

ROWS_MAX: Final = 100_000
LEVEL_WITHIN_S: Final = 20.0
LOOK_AGAIN_S: Final = 0.05

BARS: Final = (
    "SELECT cast(at AS TIMESTAMP), venue, symbol, close, volume FROM bars_1d WHERE at >= $1 AND at <= $2 ORDER BY at DESC LIMIT $3"
)
HELD: Final = (
    "SELECT timestamp, symbol, close, source FROM daily_closes "
    f"WHERE timestamp >= $1 AND timestamp <= $2 AND source != '{SIMULATED}' LIMIT $3"
)
AROUND: Final = tuple(
    f"SELECT venue, symbol, min(at) < $3 AS before, max(at) >= $3 AS after FROM {table} "
    f"WHERE at >= $1 AND at < $2 AND (flags IS NULL OR NOT (flags LIKE '%{INEXACT}%' OR flags LIKE '%{REPLAYED}%'))"
    for table in ("quotes", "trades")
)
VIEWS: Final = ("bars_1m", "bars_1h", "bars_1d")
"""From the trades to the bars of a day, each made from the one before."""
# The status is `valid`, or `refreshing` while rows are taken over.
INVALID: Final = f"SELECT count() FROM materialized_views() WHERE view_name IN {VIEWS} AND view_status = 'invalid'"
REACHED: Final = "SELECT base_table_txn, refresh_base_table_txn FROM materialized_views() WHERE view_name = $1"


class QuestDbDayBars:
    """Port: apps.sink.bar_closes.DayBars. Opens one connection a call, because it is called a few times a minute."""

    def __init__(self, pg_url: str) -> None:
        self._pg_url = pg_url

    async def bars(self, first: int, last: int) -> list[DayBar]:
        """Return the bars of these days, once the views have every trade that is stored. Unavailable if they do not follow any more."""
        async with connected(self._pg_url) as connection:
            if await connection.fetchval(INVALID):
                raise Unavailable("QuestDB: the views of bars are invalid (docs/market-sinks.md)")
            for view in VIEWS:
                await self._level(connection, view)
            found = await connection.fetch(BARS, begin_of(first), begin_of(last), ROWS_MAX)
        return [DayBar((at - EPOCH) // ONE_DAY, venue, symbol, close, volume) for at, venue, symbol, close, volume in found]

    async def _level(self, connection: Connection, view: str) -> None:
        """Wait until a view has what the table that it is made from has now; rows that come in the meantime do not matter."""
        until, wanted = time.monotonic() + LEVEL_WITHIN_S, None
        while (found := await connection.fetchrow(REACHED, view)) is not None:
            wanted = found["base_table_txn"] if wanted is None else wanted
            if (found["refresh_base_table_txn"] or 0) >= (wanted or 0):
                return
            if time.monotonic() > until:
                raise Unavailable(f"QuestDB: {view} does not have the newest trades after {LEVEL_WITHIN_S:g} s")
            await asyncio.sleep(LOOK_AGAIN_S)
        raise Unavailable(f"QuestDB has no view {view}")

    async def held(self, first: int, last: int) -> Mapping[tuple[int, str], HeldClose]:
        """Return the stored closes of these days by day and symbol, without simulated ones. Unavailable if they are too many to be read."""
        async with connected(self._pg_url) as connection:
            found = await connection.fetch(HELD, begin_of(first), begin_of(last), ROWS_MAX + 1)
        if len(found) > ROWS_MAX:  # a close that is not read would be replaced
            raise Unavailable(f"QuestDB has more than {ROWS_MAX} daily closes in the days of closes.days: choose fewer days")
        return {
            ((at - EPOCH) // ONE_DAY, symbol): HeldClose(source, None if source == FORGOTTEN else price)
            for at, symbol, price, source in found
        }

    async def recorded(self, day: int, margin_s: float) -> set[tuple[str, str]]:
        """Return venues and symbols of which a quote or trade was recorded within `margin_s` before the end of the day, and after it.

        Inexact and replayed ones do not count.
        """
        end, margin = begin_of(day + 1), timedelta(seconds=margin_s)
        before: set[tuple[str, str]] = set()
        after: set[tuple[str, str]] = set()
        async with connected(self._pg_url) as connection:
            for around in AROUND:
                for venue, symbol, is_before, is_after in await connection.fetch(around, end - margin, end + margin, end):
                    before |= {(venue, symbol)} if is_before else set()
                    after |= {(venue, symbol)} if is_after else set()
        return before & after
