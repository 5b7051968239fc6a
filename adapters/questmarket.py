"""Bars, trades and quotes of the recorded market in QuestDB, read from the tables that sink-ticks writes."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from adapters.questpg import EPOCH, Connection, KeptConnections, in_turns
from domain.market.bar_history import DAY_NS, MarketBar, Timeframe, VenueBar, over_venues
from domain.market.tick_history import PLACE_WIDTH, TickSpan, TickTable, VenueQuote, VenueTrade
from domain.values import Side

QUERY_TIMEOUT_S: Final = 5.0
ROWS_AT_ONCE: Final = 500
"""Rows of one query, so that QuestDB does not sort many for a client that wants few."""
ROWS_OF_QUERY: Final = 10
"""What a query costs the event loop beside its rows, in rows."""
VENUES_MAX: Final = 64
"""Venues of one bar: the bound of normalizer. A query returns one row for each bar and venue."""

TABLES: Final = ("quotes", "trades", "bars_1m", "bars_5m", "bars_15m", "bars_1h", "bars_1d")
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
FIRST: Final = "SELECT cast(at AS LONG) FROM {table} LIMIT 1"
BEYOND: Final = "SELECT cast({edge}(at) AS LONG) FROM (SELECT at FROM {table} WHERE {where} ORDER BY at {order} LIMIT {many})"
"""The time of the last tick that is wanted. QuestDB finds it without sorting, and then sorts only the ticks up to it."""
TICKS: Final = "SELECT cast(at AS LONG), {columns} FROM {table} WHERE {where} ORDER BY at {order}, {beside} {order} LIMIT {many}"
IN_SPAN: Final = "symbol = $1 AND at >= $2 AND at < $3 AND at::LONG >= $4 AND at::LONG <= $5"
"""Whole microseconds choose what QuestDB reads, and nanoseconds what it returns: a parameter for `at` itself loses its nanoseconds."""
BEHIND: Final = " AND (at::LONG {sign} $6 OR {beside} {sign} $7)"
Tick = TypeVar("Tick", VenueTrade, VenueQuote)
Pace: TypeAlias = Callable[[int], Awaitable[None]]
STEPS: Final = {"Min": "m", "Hour": "h", "Day": "d", "Week": "w", "Month": "M"}


class _Kind(NamedTuple, Generic[Tick]):
    """A table of ticks. `beside`: as in TickPlace."""

    table: str
    columns: str
    beside: str
    made: Callable[..., Tick]


def _trade(at: int, venue: str, price: Decimal, quantity: Decimal, side: str, trade_id: str) -> VenueTrade:
    return VenueTrade(at, venue, price, quantity, Side(side), trade_id)


def _beside(column: str) -> str:
    return f"concat(venue, ' ', lpad({column}, {PLACE_WIDTH}, ' '))"


_TRADES: Final = _Kind("trades", "venue, price, quantity, side, trade_id", _beside("trade_id"), _trade)
_QUOTES: Final = _Kind("quotes", "venue, bid, bid_size, ask, ask_size, seq", _beside("seq::VARCHAR"), VenueQuote)


class QuestDbMarket:
    """Port: apps.oms.market_reads.RecordedMarket."""

    def __init__(self, pg_url: str, pace: Pace) -> None:
        """`pace` is awaited with the number of rows that were read, and before a query with ROWS_OF_QUERY."""
        self._reads = KeptConnections(pg_url, QUERY_TIMEOUT_S)
        self._pace = pace

    async def close(self) -> None:
        self._reads.close()

    @contextlib.asynccontextmanager
    async def opened(self) -> "AsyncIterator[QuestDbMarketReader | None]":
        """Lend a connection for the reads of a request; None if no market was ever recorded here. Unavailable."""
        async with self._reads.connection() as connection:
            yield QuestDbMarketReader(connection, self._pace) if await connection.fetchval(STANDING) == len(TABLES) else None


class QuestDbMarketReader:
    """Port: apps.oms.market_reads.MarketReader."""

    def __init__(self, connection: Connection, pace: Pace) -> None:
        self._connection = connection
        self._pace = pace

    async def bars(
        self, symbol: str, frame: Timeframe, since_ns: int, until_ns: int, limit: int, *, newest_first: bool = False
    ) -> list[MarketBar]:
        """Return at most `limit` bars that begin from `since_ns` until before `until_ns`, which are begins of bars."""
        statement = BARS.format(view=_view(frame), step=f"{frame.count}{STEPS[frame.kind]}", order="DESC" if newest_first else "ASC")
        found: list[MarketBar] = []
        many = min(ROWS_AT_ONCE, limit * VENUES_MAX + 1)
        while len(found) < limit and since_ns < until_ns:
            await self._pace(ROWS_OF_QUERY)
            before, count, last = len(found), 0, list[VenueBar]()
            query = in_turns(self._connection, statement, symbol, _datetime(since_ns), _datetime(until_ns), many)
            async with query as turns:
                async for rows in turns:
                    count += len(rows)
                    last += (VenueBar((at - EPOCH) // timedelta(microseconds=1) * 1000, *values) for at, *values in rows)
                    whole = next(number for number, bar in enumerate(last) if bar.at == last[-1].at)
                    found += over_venues(last[:whole])
                    last = last[whole:]  # venues of this bar may be in the next rows
                    await self._pace(len(rows))
                    if len(found) >= limit:
                        return found[:limit]
            if count < many:
                return found + over_venues(last)
            assert len(found) > before, f"a bar has at most {VENUES_MAX} venues"
            since_ns, until_ns = (since_ns, found[-1].at) if newest_first else (last[0].at, until_ns)
        return found

    async def last_trade(self, symbol: str, since_ns: int) -> VenueTrade | None:
        await self._pace(ROWS_OF_QUERY)
        found = await self._connection.fetchrow(LAST, symbol, _datetime(since_ns))
        if found is None:
            return None
        return _trade(*found)

    async def trades_of(self, symbol: str, span: TickSpan, limit: int) -> list[VenueTrade]:
        return await self._ticks(_TRADES, symbol, span, limit)

    async def quotes_of(self, symbol: str, span: TickSpan, limit: int) -> list[VenueQuote]:
        return await self._ticks(_QUOTES, symbol, span, limit)

    async def kept_since(self, ticks: TickTable) -> int | None:
        """Days of ticks are dropped whole, and their bars are kept: days of bars before the first tick had ticks once."""
        await self._pace(ROWS_OF_QUERY)
        tick, day = [await self._connection.fetchval(FIRST.format(table=table)) for table in (ticks, "bars_1d")]
        if tick is None or day is None:
            return None
        begin: int = tick // DAY_NS * DAY_NS
        return begin if day < begin else None

    async def _ticks(self, kind: "_Kind[Tick]", symbol: str, span: TickSpan, limit: int) -> list[Tick]:
        edge, order, sign = ("min", "DESC", "<") if span.newest_first else ("max", "ASC", ">")
        first, last, behind = span.first, span.last, span.behind
        where, known = IN_SPAN, tuple[object, ...]()
        if behind is not None:
            first, last = (first, min(last, behind.at)) if span.newest_first else (max(first, behind.at), last)
            where, known = IN_SPAN + BEHIND.format(sign=sign, beside=kind.beside), (behind.at, behind.beside)
        words = {"table": kind.table, "where": where, "order": order, "many": limit}
        await self._pace(ROWS_OF_QUERY)
        beyond = await self._connection.fetchval(BEYOND.format(edge=edge, **words), symbol, *_between(first, last), *known)
        if beyond is None:
            return []
        first, last = (beyond, last) if span.newest_first else (first, beyond)
        found: list[Tick] = []
        statement = TICKS.format(columns=kind.columns, beside=kind.beside, **words)
        async with in_turns(self._connection, statement, symbol, *_between(first, last), *known) as turns:
            async for rows in turns:
                found += (kind.made(*row) for row in rows)
                await self._pace(len(rows))
        return found


def _view(frame: Timeframe) -> str:
    """Return the coarsest view whose bars fit into those of the timeframe."""
    if frame.kind == "Min":
        return "bars_15m" if not frame.count % 15 else "bars_5m" if not frame.count % 5 else "bars_1m"
    return "bars_1h" if frame.kind == "Hour" else "bars_1d"


def _between(first_ns: int, last_ns: int) -> tuple[datetime, datetime, int, int]:
    """Return the values of IN_SPAN."""
    return _datetime(first_ns), _datetime(last_ns + 1000), first_ns, last_ns


def _datetime(at_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_ns // 1000)
