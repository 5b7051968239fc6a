"""Bars and last trades of the recorded market in QuestDB, read from the tables that sink-ticks writes."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from adapters.questpg import EPOCH, Connection, KeptConnections
from domain.market.bar_history import LastTrade, MarketBar, Timeframe, VenueBar, over_venues
from domain.values import Side

QUERY_TIMEOUT_S: Final = 5.0
ROWS_AT_ONCE: Final = 500
"""Rows in one answer, so that decoding it keeps the event loop for a few milliseconds only."""
VENUES_MAX: Final = 64
"""Venues of one bar: the bound of normalizer. A query returns one row for each bar and venue."""

TABLES: Final = ("trades", "bars_1m", "bars_5m", "bars_15m", "bars_1h", "bars_1d")
STANDING: Final = f"SELECT count() FROM tables() WHERE table_name IN {TABLES}"
_MEASURES: Final = (
    "first(open) AS open, max(high) AS high, min(low) AS low, last(close) AS close, sum(volume) AS volume, sum(count) AS count,"
    " sum(volume * (high + low + close)) AS typical"
)
BARS: Final = (
    "SELECT cast(at AS TIMESTAMP), venue, open, high, low, close, volume, count, typical FROM ("
    f"SELECT at, venue, {_MEASURES} FROM {{view}} WHERE symbol = $1 AND at >= $2 AND at < $3 SAMPLE BY {{step}} ALIGN TO CALENDAR"
    ") ORDER BY at {order}, venue LIMIT $4"
)
LAST: Final = (
    "SELECT cast(at AS LONG), venue, price, quantity, side, trade_id FROM trades WHERE symbol = $1 AND at >= $2 ORDER BY at DESC LIMIT 1"
)
STEPS: Final = {"Min": "m", "Hour": "h", "Day": "d", "Week": "w", "Month": "M"}


class QuestDbMarket:
    """Port: apps.oms.market_reads.RecordedMarket."""

    def __init__(self, pg_url: str) -> None:
        self._reads = KeptConnections(pg_url, QUERY_TIMEOUT_S)

    async def close(self) -> None:
        self._reads.close()

    @contextlib.asynccontextmanager
    async def opened(self) -> "AsyncIterator[QuestDbMarketReader | None]":
        """Lend a connection for the reads of a request; None if no market was ever recorded here. Unavailable."""
        async with self._reads.connection() as connection:
            yield QuestDbMarketReader(connection) if await connection.fetchval(STANDING) == len(TABLES) else None


class QuestDbMarketReader:
    """Port: apps.oms.market_reads.MarketReader."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def bars(
        self, symbol: str, frame: Timeframe, since_ns: int, until_ns: int, limit: int, *, newest_first: bool = False
    ) -> list[MarketBar]:
        """Return at most `limit` bars that begin from `since_ns` until before `until_ns`, which are begins of bars."""
        statement = BARS.format(view=_view(frame), step=f"{frame.count}{STEPS[frame.kind]}", order="DESC" if newest_first else "ASC")
        found: list[MarketBar] = []
        many = min(ROWS_AT_ONCE, limit * VENUES_MAX + 1)
        while len(found) < limit and since_ns < until_ns:
            rows = await self._connection.fetch(statement, symbol, _datetime(since_ns), _datetime(until_ns), many)
            bars = over_venues(VenueBar((at - EPOCH) // timedelta(microseconds=1) * 1000, *values) for at, *values in rows)
            if len(rows) < many:
                return (found + bars)[:limit]
            assert len(bars) > 1, f"a bar has at most {VENUES_MAX} venues"
            found += bars[:-1]  # venues of the last one may be in the next rows
            since_ns, until_ns = (since_ns, bars[-2].at) if newest_first else (bars[-1].at, until_ns)
        return found[:limit]

    async def last_trade(self, symbol: str, since_ns: int) -> LastTrade | None:
        found = await self._connection.fetchrow(LAST, symbol, _datetime(since_ns))
        if found is None:
            return None
        at, venue, price, quantity, side, trade_id = found
        return LastTrade(at, venue, price, quantity, Side(side), trade_id)


def _view(frame: Timeframe) -> str:
    """Return the coarsest view whose bars fit into those of the timeframe."""
    if frame.kind == "Min":
        return "bars_15m" if not frame.count % 15 else "bars_5m" if not frame.count % 5 else "bars_1m"
    return "bars_1h" if frame.kind == "Hour" else "bars_1d"


def _datetime(at_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_ns // 1000)
