"""The contract of places on QuestDB, with every table of ticks; bars against an independent computation; planted bugs."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.questtables import BARS, TICK_TABLES
from adapters.questticks import QuestDbTicks
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.market_rows import BOOK_TOP, FACTS, QUOTES, TRADES, tick_rows
from domain.archive.ports import ArchiveRow, RowsRefused
from domain.market.records import MarketTrade
from tests.contracts import places, ticks
from tests.contracts.places import Fails, Shelf
from tests.live import LiveServer

OVERLAP = 2
MINUTE = 60 * ticks.SECOND
INTERVALS = {"bars_1m": MINUTE, "bars_5m": 5 * MINUTE, "bars_15m": 15 * MINUTE, "bars_1h": 60 * MINUTE, "bars_1d": 1440 * MINUTE}
COLUMNS = {
    QUOTES: ("at", "venue", "symbol", "bid", "bid_size", "ask", "ask_size", "received", "seq", "flags"),
    TRADES: ("at", "venue", "symbol", "trade_id", "price", "quantity", "side", "received", "seq", "flags"),
    BOOK_TOP: ("at", "venue", "symbol", "level", "bid", "bid_size", "ask", "ask_size", "received", "seq", "flags"),
    FACTS: ("at", "venue", "symbol", "fact", "from_seq", "to_seq", "detail", "epoch", "n"),
}
TIMES = ("at", "received")
WAITING = "SELECT count() FROM wal_tables() WHERE sequencerTxn > writerTxn"
_processes = itertools.count(1)


def identity(row: ArchiveRow) -> Hashable:
    """What a reader of the table finds: every column, numbers as numbers."""
    value = row.value
    fields = msgspec.structs.asdict(value) | {"from_seq": getattr(value, "from_", 0), "to_seq": getattr(value, "to", 0)}
    fields["flags"] = " ".join(fields.get("flags", ())) or None
    return row.table, *(str(field) if isinstance(field, str) else field for field in (fields[name] for name in COLUMNS[row.table]))


class Tables:
    """The tables in QuestDB, emptied, and what readers find in them."""

    def __init__(self, server: LiveServer, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.server = server
        self.connection = connection

    async def drop(self) -> None:
        for name in reversed(BARS):
            await self.connection.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")
        for name in (*TICK_TABLES, "sink_owners", "sink_checkpoints"):
            await self.connection.execute(f"DROP TABLE IF EXISTS {name}")

    def open(self, fails: Fails) -> QuestDbTicks:
        owner = f"process {next(_processes)}"
        return QuestDbTicks(self.server.url, self.server.pg_url, "ticks", owner, SystemClock(), fails, overlap=OVERLAP)

    async def held(self) -> Counter[Hashable]:
        await self.settled()
        found = Counter[Hashable]()
        for table, columns in COLUMNS.items():
            selected = ", ".join(f"cast({name} as long) AS {name}" if name in TIMES else name for name in columns)
            found.update((table, *row.values()) for row in await self.connection.fetch(f"SELECT {selected} FROM {table}"))
        return found

    async def settled(self) -> None:
        """Until everything written can be read."""
        async with asyncio.timeout(120):
            while await self.connection.fetchval(WAITING):
                await asyncio.sleep(0.02)

    async def bars(self, name: str, count: int) -> dict[Hashable, tuple[Any, ...]]:
        """The view, once it has counted this many trades."""
        async with asyncio.timeout(120):
            while await self.connection.fetchval(f"SELECT sum(count) FROM {name}") != count:
                await asyncio.sleep(0.02)
        found = await self.connection.fetch(f"SELECT cast(at as long), venue, symbol, open, high, low, close, volume, count FROM {name}")
        return {tuple(row.values())[:3]: tuple(row.values())[3:] for row in found}


@pytest.fixture
async def tables(questdb_server: LiveServer) -> AsyncIterator[Tables]:
    connection = await asyncpg.connect(questdb_server.pg_url)
    made = Tables(questdb_server, connection)
    await made.drop()
    yield made
    await made.drop()
    await connection.close()


def shelf(tables: Tables, open: Callable[[Fails], Any] | None = None) -> Shelf:  # noqa: A002
    return Shelf(open or tables.open, tables.held, tick_rows, identity, ticks.ticks(), ticks.REFUSABLE)


async def test_every_tick_is_there_once_whatever_happens(tables: Tables) -> None:
    one = shelf(tables)
    for failpoint in places.FAILPOINTS:
        await tables.drop()
        await places.check_killed(one, failpoint)
    # and the others must change nothing of what is there
    await places.check_delivered_twice(one)
    await places.check_split(one, sizes=(2, 5))
    await places.check_two_at_once(one)
    await tables.drop()
    await places.check_refused_goes_aside(one)


def computed(trades: Iterable[MarketTrade], interval: int) -> dict[Hashable, tuple[Any, ...]]:
    """Bars by hand, from trades in the order of their time."""
    bars: dict[Hashable, tuple[Any, ...]] = {}
    for one in trades:
        key = one.at // interval * interval, one.venue, one.symbol
        bar = bars.get(key)
        bars[key] = (
            (one.price, one.price, one.price, one.price, one.quantity, 1)
            if bar is None
            else (bar[0], max(bar[1], one.price), min(bar[2], one.price), one.price, bar[4] + one.quantity, bar[5] + 1)
        )
    return bars


def day(count: int = 1000) -> list[MarketTrade]:
    """Trades of a day and a half at two venues; many share a time, as venues count milliseconds."""
    chance, made, at = random.Random(17), [], ticks.AT
    for number in range(count):
        at += chance.choice((0, 0, 1_000_000, 40 * ticks.SECOND, 90 * ticks.SECOND))
        price, quantity = Decimal(chance.randrange(1, 10**9)).scaleb(-4), Decimal(chance.randrange(1, 10**20)).scaleb(-12)
        venue, symbol = chance.choice(("ALPHA", "BETA")), chance.choice(("BTCUSDT", "ETHUSDT"))
        made.append(ticks.trade(venue, number, at=at, price=str(price), quantity=str(quantity), symbol=symbol))
    return made


def batches(trades: list[MarketTrade], size: int = 40, epoch: int = 1) -> list[Message[Any]]:
    return [ticks.told("trades", "ALPHA", epoch, start + 1, *trades[start : start + size]) for start in range(0, len(trades), size)]


async def test_bars_equal_an_independent_computation_also_after_late_and_repeated_trades(tables: Tables) -> None:
    trades, one = day(), shelf(tables)
    times = Counter(trade.at for trade in trades)
    late = [trade for number, trade in enumerate(trades) if not number % 9 and times[trade.at] == 1]
    in_time = [trade for trade in trades if trade not in late]
    await places.moved(one, places.ListSource(places.numbered(batches(in_time)), size=4), flush_rows=300)
    for name, interval in INTERVALS.items():
        assert await tables.bars(name, len(in_time)) == computed(in_time, interval), name
    # when the missing trades arrive late, behind repeated ones
    repeated = [*batches(in_time), *batches(in_time[500:900], epoch=2), *batches(late, epoch=3)]
    await places.moved(one, places.ListSource(places.numbered(repeated), size=4), flush_rows=300)
    for name, interval in INTERVALS.items():
        assert await tables.bars(name, len(trades)) == computed(trades, interval), name


def planted(change: Callable[[Any], Mapping[str, Any]]) -> Callable[[Message[Any]], list[ArchiveRow]]:
    """Rows with a bug: some fields of each trade are changed."""

    def rows(message: Message[Any]) -> list[ArchiveRow]:
        return [
            msgspec.structs.replace(row, value=msgspec.structs.replace(row.value, **change(row.value))) if row.table == TRADES else row
            for row in tick_rows(message)
        ]

    return rows


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda trade: {"price": Decimal(str(float(trade.price)))}, id="a float in one column"),
        pytest.param(lambda trade: {"at": trade.received}, id="time of receipt stored as the market's time"),
    ],
)
async def test_a_planted_bug_in_the_rows_is_found(tables: Tables, change: Callable[[Any], Mapping[str, Any]]) -> None:
    one = shelf(tables)
    one.planted = planted(change)
    await places.moved(one, places.ListSource(places.numbered(one.messages)))
    with pytest.raises(AssertionError, match="rows that no message has"):
        await places.check_once_each(one)


async def test_a_key_without_the_venue_is_found(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = TICK_TABLES[TRADES].replace("KEYS(at, venue, symbol, trade_id)", "KEYS(at, symbol, trade_id)")
    monkeypatch.setitem(TICK_TABLES, TRADES, wrong)
    one = shelf(tables)
    await places.moved(one, places.ListSource(places.numbered(one.messages)))
    with pytest.raises(AssertionError, match="missing"):
        await places.check_once_each(one)


class CheckpointFirst(QuestDbTicks):
    """Planted bug: the checkpoint is stored before the rows."""

    async def write(self, rows: Any, checkpoint: Any) -> None:
        fails, self._fails = self._fails, places.never
        await super().write([], checkpoint)
        self._fails = fails
        self._fails("after_rows")
        await super().write(rows, checkpoint)


async def test_a_checkpoint_before_its_rows_is_found(tables: Tables) -> None:
    def opened(fails: Fails) -> QuestDbTicks:
        return CheckpointFirst(tables.server.url, tables.server.pg_url, "ticks", f"process {next(_processes)}", SystemClock(), fails)

    with pytest.raises(AssertionError, match="the checkpoint is ahead"):
        await places.check_killed(shelf(tables, opened), "after_rows", 1)


HOSTILE = ("a\ntrades,venue=x price=1d", "a,b", "a=b c", 'say "no"', "back\\slash", "é € 𝄞", "'; DROP TABLE trades; --", "")
UNSOUND = {
    "0E-77": "an exponent beyond 76",
    "NaN": "is not finite",
    "Infinity": "is not finite",
    "1E+20": "digits before the point",
    "1E-19": "decimals",
    "1E-400": "exponent",
    "1E+400": "digits",
}


async def test_texts_are_only_texts_and_what_can_never_be_stored_is_named(tables: Tables) -> None:
    place = tables.open(places.never)
    good = [msgspec.structs.replace(ticks.trade("ALPHA", n), trade_id=text) for n, text in enumerate(HOSTILE)]
    bad = [ticks.trade("BETA", n, price=text) for n, text in enumerate(UNSOUND)]
    bad += [msgspec.structs.replace(ticks.trade("BETA", 18), at=0), msgspec.structs.replace(ticks.trade("BETA", 19), trade_id="\ud800")]
    rows = tick_rows(ticks.told("trades", "ALPHA", 1, 1, *good, *bad))
    reached = await place.claim()
    refused = dict[int, str]()
    for _ in range(2):  # what QuestDB would store as NULL is found before it is sent, the rest after QuestDB has refused the batch
        with pytest.raises(RowsRefused) as found:
            await place.write([row for row in rows if row.i not in refused], reached)
        refused |= {row.i: why for row, why in found.value.rows}
    await place.write([row for row in rows if row.i not in refused], reached)
    await place.close()
    whys = [*UNSOUND.values(), "at: is not after 1970", "trade_id: is not valid text"]
    assert sorted(refused) == list(range(len(good), len(rows)))
    assert all(why in refused[number] for number, why in enumerate(whys, len(good)))
    assert await tables.held() == Counter(identity(row) for row in rows[: len(good)])


async def test_a_process_that_begins_again_keeps_its_claim(tables: Tables) -> None:
    place = tables.open(places.never)
    for _ in range(3):
        await place.claim()
    assert await tables.connection.fetchval("SELECT count() FROM sink_owners") == 1
    await place.close()


async def test_rows_that_do_not_fit_a_changed_table_go_aside_and_the_rest_is_written(tables: Tables) -> None:
    """MARKETDATA 4: schema refused by a place."""
    place = tables.open(places.never)
    await place.claim()
    await tables.connection.execute("ALTER TABLE book_top ALTER COLUMN bid_size TYPE DECIMAL(38,2)")
    await tables.settled()
    book = ticks.book("ALPHA", 1)
    odd = msgspec.structs.replace(book, bids=[*book.bids[:3], (Decimal(90), Decimal("0.125")), *book.bids[4:]])
    messages = [ticks.told("books", "ALPHA", 1, 1, book), ticks.told("books", "ALPHA", 1, 2, msgspec.structs.replace(odd, seq=2))]
    rows = [row for message in messages for row in tick_rows(message)]
    with pytest.raises(RowsRefused) as found:
        await place.write(rows, Checkpoint())
    assert [(row.n, row.value.level) for row, _ in found.value.rows] == [(2, 4)]
    assert "bid_size" in found.value.rows[0][1]
    await place.write([row for row in rows if (row.n, row.value.level) != (2, 4)], Checkpoint())
    await place.close()
    await tables.settled()
    assert await tables.connection.fetchval("SELECT count() FROM book_top") == len(rows) - 1
