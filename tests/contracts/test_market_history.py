"""Bars and last trades of the recorded market: what QuestDB's views answer is what an independent computation gives."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from adapters import questmarket
from adapters.clock import SystemClock
from adapters.memory_market import MemoryMarket
from adapters.questmarket import ROWS_AT_ONCE, ROWS_OF_QUERY, VENUES_MAX, QuestDbMarket, QuestDbMarketReader
from adapters.questpg import EPOCH, ROWS_A_TURN, connected
from adapters.questticks import QuestDbTicks
from domain.archive.checkpoint import Checkpoint
from domain.archive.market_rows import QUOTES, TRADES
from domain.archive.ports import ArchiveRow
from domain.market.bar_history import DAY_NS, MINUTE_NS, Timeframe, timeframe_of
from domain.market.quotes import Quote
from domain.market.records import MarketTrade
from domain.market.tick_history import TickSpan, TickTable
from domain.ports import Unavailable
from domain.values import rfc3339
from tests.contracts.test_tick_places import Tables
from tests.contracts.test_tick_places import tables as tables
from tests.contracts.ticks import quote, trade
from tests.live import LiveServer

FRAMES: Final = ("1Min", "5Min", "7Min", "15Min", "45Min", "1Hour", "4Hour", "23Hour", "1Day", "1Week", "1Month", "3Month", "12Month")
BEGIN: Final = 20_780 * DAY_NS
END: Final = 2**62
VISIBLE_S: Final = 60.0


@pytest.fixture
def empty_questdb(tables: Tables) -> LiveServer:
    """The QuestDB of the whole run, without ticks."""
    return tables.server


async def at_once(_rows: int) -> None:
    """A pace that does not wait."""


def market() -> list[MarketTrade]:
    """Two venues over some months, with gaps: dense for two hours, then sparse."""
    dense = [number * 40 * 10**9 for number in range(180)]
    sparse = [DAY_NS + number * 37 * 3600 * 10**9 for number in range(60)]
    return [
        trade(
            ("ALPHA", "BETA")[number % 2],
            number,
            at=BEGIN + offset + number,
            price=f"{100 + number * 7 % 31}.{number:03d}",
            quantity=f"0.{1 + number % 9}",
        )
        for number, offset in enumerate((*dense, *sparse))
    ]


@asynccontextmanager
async def recorded(server: LiveServer, trades: list[MarketTrade], quotes: Sequence[Quote] = ()) -> AsyncIterator[QuestDbMarket]:
    """A market that sink-ticks wrote, once its views have every trade and its table every quote."""
    place = QuestDbTicks(server.url, server.pg_url, "ticks", "me", SystemClock(), lambda _: None)
    await place.claim()
    rows = [ArchiveRow(TRADES, "trades", 1, number, 0, each) for number, each in enumerate(trades)]
    rows += [ArchiveRow(QUOTES, "quotes", 1, number, 0, each) for number, each in enumerate(quotes)]
    await place.write(rows, Checkpoint())
    found = QuestDbMarket(server.pg_url, at_once)
    try:
        async with asyncio.timeout(VISIBLE_S):
            while sum(bar.count for bar in await bars(found, Timeframe(1, "Day"))) != len(trades):
                await asyncio.sleep(0.05)
            while len(await ticks(found, "quotes_of", TickSpan(0, END))) != len(quotes):
                await asyncio.sleep(0.05)
        yield found
    finally:
        await found.close()
        await place.close()


async def bars(market: Any, frame: Timeframe, **more: Any) -> Any:
    since, until = frame.begin(BEGIN - 400 * DAY_NS), frame.begin(BEGIN + 400 * DAY_NS)
    asked = {"since_ns": since, "until_ns": until, "limit": 10_000} | more
    async with market.opened() as reader:
        return await reader.bars("BTCUSDT", frame, **asked)


async def ticks(market: Any, name: str, span: TickSpan, limit: int = 10_000) -> Any:
    async with market.opened() as reader:
        return await getattr(reader, name)("BTCUSDT", span, limit)


async def test_the_views_answer_what_the_trades_give(empty_questdb: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questmarket, "ROWS_AT_ONCE", 50)
    expected = MemoryMarket()
    empty = QuestDbMarket(empty_questdb.pg_url, at_once)
    async with empty.opened() as reader:
        assert reader is None, "nothing was ever recorded"
    await empty.close()
    expected.trades = market()
    async with recorded(empty_questdb, expected.trades) as found:
        for word in FRAMES:
            frame = timeframe_of(word)
            assert frame is not None
            whole = await bars(expected, frame)
            assert await bars(found, frame) == whole, word
            assert await bars(found, frame, newest_first=True) == whole[::-1], word
            assert await bars(found, frame, newest_first=True, limit=2) == whole[::-1][:2], word
            assert await bars(found, frame, limit=1) == whole[:1], word
            assert all(bar.at == frame.begin(bar.at) for bar in whole)
        window = {"since_ns": BEGIN + 10 * MINUTE_NS, "until_ns": BEGIN + 20 * MINUTE_NS}
        assert await bars(found, Timeframe(1, "Min"), **window) == await bars(expected, Timeframe(1, "Min"), **window) != []
        async with found.opened() as reader, expected.opened() as other:
            assert reader is not None
            assert other is not None
            assert await reader.last_trade("BTCUSDT", BEGIN) == await other.last_trade("BTCUSDT", BEGIN)
            assert await reader.last_trade("ETHUSDT", BEGIN) is None
            assert await reader.bars("ETHUSDT", Timeframe(1, "Min"), BEGIN, BEGIN + DAY_NS, 9) == []


def crowd() -> list[MarketTrade]:
    """Trades of two venues: twelve share each moment, with ids of different lengths, and neighbours are a nanosecond apart."""
    ids = (9, 10, 99, 100, 101, 1000)
    return [trade(venue, id_, at=BEGIN + moment) for moment in range(4) for venue in ("BETA", "ALPHA") for id_ in ids]


async def test_ticks_of_one_moment_are_paged_without_a_hole(empty_questdb: LiveServer) -> None:
    expected = MemoryMarket()
    expected.trades = crowd()
    expected.quotes = [quote("ALPHA", number % 3) for number in range(3)] + [quote("BETA", number) for number in range(3)]
    async with recorded(empty_questdb, expected.trades, expected.quotes) as found:
        for name, newest_first in itertools.product(("trades_of", "quotes_of"), (False, True)):
            whole = await ticks(expected, name, TickSpan(0, END, newest_first))
            for limit in (1, 5, 12, 30, 48):
                seen: list[Any] = []
                while page := await ticks(found, name, TickSpan(0, END, newest_first, seen[-1].place if seen else None), limit):
                    assert len(page) == min(limit, len(whole) - len(seen)), "only the last page is short"
                    seen += page
                assert seen == whole, (name, newest_first, limit)
            some = TickSpan(whole[0].at, whole[0].at, newest_first)
            assert await ticks(found, name, some) == await ticks(expected, name, some) != []
        together = await ticks(found, "trades_of", TickSpan(BEGIN, BEGIN), 6)
        assert [each.trade_id for each in together] == ["9", "10", "99", "100", "101", "1000"]


async def test_days_whose_ticks_were_dropped_are_known_by_their_bars(empty_questdb: LiveServer) -> None:
    days = [trade("ALPHA", number, at=BEGIN + number * DAY_NS + 5) for number in range(3)]
    async with recorded(empty_questdb, days) as found:
        async with found.opened() as reader:
            assert reader is not None
            assert await reader.kept_since(TickTable.TRADES) is None
            assert await reader.kept_since(TickTable.QUOTES) is None, "none was ever stored"
        async with connected(empty_questdb.pg_url) as connection:
            await connection.execute(f"ALTER TABLE trades DROP PARTITION WHERE at < '{rfc3339(BEGIN + 2 * DAY_NS)}'")
        async with asyncio.timeout(VISIBLE_S), found.opened() as reader:
            assert reader is not None
            while await reader.kept_since(TickTable.TRADES) != BEGIN + 2 * DAY_NS:
                await asyncio.sleep(0.05)


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        async with QuestDbMarket("postgresql://admin:quest@127.0.0.1:1/qdb", at_once).opened():
            raise AssertionError("it does not open")


class Minutes:
    """Answers like QuestDB: a row for each of these minutes and two venues. `asked` is how many rows a query may return."""

    def __init__(self, minutes: int) -> None:
        self.asked: list[int] = []
        self.begun = self.ended = 0
        self._left: list[Any] = []
        begins = [EPOCH + timedelta(minutes=number) for number in range(minutes)]
        self._rows: list[tuple[Any, ...]] = [
            (at, venue, *[Decimal(number)] * 5, 1, Decimal(1)) for number, at in enumerate(begins) for venue in ("ALPHA", "BETA")
        ]

    def transaction(self) -> Any:
        return self

    async def start(self) -> None:
        self.begun += 1

    async def rollback(self) -> None:
        self.ended += 1

    async def cursor(self, statement: str, _symbol: str, since: datetime, until: datetime, limit: int) -> Any:
        self.asked.append(limit)
        found = [row for row in self._rows if since <= row[0] < until]
        self._left = sorted(found, key=lambda row: row[0], reverse="DESC" in statement)[:limit]
        return self

    async def fetch(self, rows: int) -> list[Any]:
        assert rows == ROWS_A_TURN
        turn, self._left = self._left[:rows], self._left[rows:]
        return turn


@pytest.mark.parametrize(("limit", "asked"), [(1, [VENUES_MAX + 1]), (300, [ROWS_AT_ONCE] * 2), (2000, [ROWS_AT_ONCE] * 3)])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_client_of_one_bar_costs_few_rows(limit: int, asked: list[int], newest_first: bool) -> None:
    store: Any = Minutes(600)
    found = await QuestDbMarketReader(store, at_once).bars("X", Timeframe(1, "Min"), 0, DAY_NS, limit, newest_first=newest_first)
    minutes = range(599, -1, -1) if newest_first else range(600)
    assert [bar.at // MINUTE_NS for bar in found] == list(minutes[:limit])
    assert store.asked == asked
    assert store.begun == store.ended == len(asked)


async def test_other_work_comes_between_a_few_rows_and_the_next() -> None:
    store: Any = Minutes(600)
    passed: list[int] = []

    async def pace(rows: int) -> None:
        passed.append(rows)

    await QuestDbMarketReader(store, pace).bars("X", Timeframe(1, "Min"), 0, DAY_NS, 40)
    assert passed == [ROWS_OF_QUERY, *[ROWS_A_TURN] * 3], "80 rows for 40 bars, and two that show that the last is whole"


async def test_a_reader_that_gives_up_does_not_wait_for_a_store_that_may_hang() -> None:
    store: Any = Minutes(600)

    async def late(rows: int) -> None:
        if rows == ROWS_A_TURN:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await QuestDbMarketReader(store, late).bars("X", Timeframe(1, "Min"), 0, DAY_NS, 40)
    assert (store.begun, store.ended) == (1, 0)


def test_bars_over_venues_take_open_and_close_of_the_leading_venue() -> None:
    house = MemoryMarket()
    house.trades = [
        trade("ALPHA", 1, at=BEGIN, price="10", quantity="1"),
        trade("BETA", 2, at=BEGIN + 1, price="12", quantity="3"),
        trade("BETA", 3, at=BEGIN + 2, price="11", quantity="1"),
        trade("ALPHA", 4, at=BEGIN + 3, price="9", quantity="1"),
    ]
    (bar,) = asyncio.run(house.bars("BTCUSDT", Timeframe(1, "Min"), BEGIN, BEGIN + DAY_NS, 9))
    assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == [Decimal(number) for number in (12, 12, 9, 11, 6)]
    assert bar.count == 4
    assert bar.vwap == Decimal("10.666666666667"), "2 x 28 and 4 x 34, by 6 x 3"


@pytest.mark.parametrize(
    ("word", "frame"),
    [
        ("1Min", Timeframe(1, "Min")),
        ("30min", Timeframe(30, "Min")),
        ("1HOUR", Timeframe(1, "Hour")),
        ("59T", Timeframe(59, "Min")),
        ("23H", Timeframe(23, "Hour")),
        ("1D", Timeframe(1, "Day")),
        ("1W", Timeframe(1, "Week")),
        ("4M", Timeframe(4, "Month")),
        *(
            (word, None)
            for word in ("", "60Min", "0Min", "24Hour", "2Day", "2Week", "5Month", "1m", "1h", "1", "Min", "1Year", "-1Min", "١Min")
        ),
    ],
)
def test_words_of_timeframes(word: str, frame: Timeframe | None) -> None:
    assert timeframe_of(word) == frame
