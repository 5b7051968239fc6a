"""Daily closes from the bars of a recorded market: in memory with a clock that stands, and through sink-ticks on a real QuestDB."""

import time
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from adapters import bus, questbars, subjects
from adapters.codec import encode
from adapters.marketstreams import ensure_market_stream
from adapters.price_history import QuestDbPrices
from adapters.questbars import QuestDbDayBars
from adapters.questtables import BARS, TICK_TABLES
from apps.sink.bar_closes import DAY_NS, LOOKS_BETWEEN, BarCloses, CloseRule
from domain.archive.checkpoint import Message
from domain.market.bar_closes import DayBar, HeldClose
from domain.market.price_history import SIMULATED, DailyClose
from domain.market.records import Flag
from domain.ports import Unavailable
from tests.apps.test_prices import TODAY, Day, Shelf
from tests.contracts import ticks
from tests.live import LiveServer
from tests.process import Changes, LiveService

S = ticks.SECOND
MINUTE = 60 * S
WAIT_S = 120.0


class Recorded:
    """A recorded market in memory. `ends` are days that were recorded to their end."""

    def __init__(self, shelf: Shelf, closes: Mapping[int, str], ends: set[int]) -> None:
        self.shelf, self.closes, self.ends = shelf, dict(closes), ends
        self.asked: list[tuple[int, int]] = []

    async def bars(self, first: int, last: int) -> list[DayBar]:
        return [DayBar(day, "KRAKEN", "BTCUSD", Decimal(price), Decimal(1)) for day, price in self.closes.items() if first <= day <= last]

    async def held(self, first: int, last: int) -> dict[tuple[int, str], HeldClose]:
        self.asked.append((first, last))
        rows = self.shelf.rows.values()
        return {(c.day, c.symbol): HeldClose(c.source, c.price) for c in rows if first <= c.day <= last and c.source != SIMULATED}

    async def recorded(self, day: int, margin_s: float) -> set[tuple[str, str]]:
        return {("KRAKEN", "BTCUSD")} if day in self.ends else set()


class Hour(Day):
    """A clock at this many seconds after the begin of a day."""

    seconds = 0.0

    def now_ns(self) -> int:
        return self.today * DAY_NS + int(self.seconds * S)


def bar_closes(recorded: Recorded, clock: Hour) -> BarCloses:
    return BarCloses(recorded, recorded.shelf, clock, CloseRule(days=60, wait_s=300, margin_s=600))


def from_bars(day: int, price: str) -> DailyClose:
    return DailyClose(day, "BTCUSD", Decimal(price), "bars:KRAKEN")


async def test_each_complete_day_is_written_once_after_its_end_and_a_late_trade_corrects_it() -> None:
    clock, shelf = Hour(), Shelf([DailyClose(TODAY - 1, "BTCUSD", Decimal(1), SIMULATED)])
    recorded = Recorded(shelf, {TODAY - 2: "99", TODAY - 1: "100"}, {TODAY - 1, TODAY})
    keeper = bar_closes(recorded, clock)
    clock.seconds = 299
    assert await keeper.look() == 0, "the last day may still get late trades, and the one before was not recorded to its end"
    clock.seconds = 300
    assert (await keeper.look(), shelf.rows[TODAY - 1, "BTCUSD"]) == (1, from_bars(TODAY - 1, "100")), "the simulated close makes room"
    assert (await keeper.look(), shelf.writes) == (0, 1)
    recorded.closes[TODAY - 1] = "100.25"
    assert (await keeper.look(), shelf.rows[TODAY - 1, "BTCUSD"]) == (1, from_bars(TODAY - 1, "100.25"))
    assert keeper.stats() == {"daily_closes": {"written": 2, "waits_for": ""}}


async def test_a_loaded_close_stays_and_days_are_looked_for_within_their_bound() -> None:
    clock, shelf = Hour(), Shelf([DailyClose(TODAY - 1, "BTCUSD", Decimal(90), "closes.csv")])
    recorded = Recorded(shelf, {TODAY - 61: "1", TODAY - 60: "2", TODAY - 1: "100"}, {TODAY - 61, TODAY - 60, TODAY - 1})
    keeper = bar_closes(recorded, clock)
    clock.seconds = 300
    assert await keeper.look() == 1
    assert sorted(shelf.rows.values(), key=lambda c: c.day) == [
        from_bars(TODAY - 60, "2"),
        DailyClose(TODAY - 1, "BTCUSD", Decimal(90), "closes.csv"),
    ]
    for _ in range(LOOKS_BETWEEN):
        await keeper.look()
    whole, recent = (TODAY - 60, TODAY - 1), (TODAY - 3, TODAY - 1)
    assert recorded.asked[::2] == recorded.asked[1::2] == [whole, *[recent] * (LOOKS_BETWEEN - 1), whole], (
        "all days at first and now and then, else the last three"
    )


async def test_a_close_that_is_loaded_during_a_look_stays() -> None:
    clock, shelf = Hour(), Shelf()
    loaded = DailyClose(TODAY - 1, "BTCUSD", Decimal(90), "closes.csv")

    class LoadedMeanwhile(Recorded):
        async def recorded(self, day: int, margin_s: float) -> set[tuple[str, str]]:
            await shelf.write([loaded])
            return await super().recorded(day, margin_s)

    clock.seconds = 300
    assert await bar_closes(LoadedMeanwhile(shelf, {TODAY - 1: "100"}, {TODAY - 1}), clock).look() == 0
    assert list(shelf.rows.values()) == [loaded]


async def test_while_the_store_is_away_nothing_is_lost() -> None:
    """MARKETDATA 4: QuestDB away."""
    clock, shelf = Hour(), Shelf()
    keeper = bar_closes(Recorded(shelf, {TODAY - 1: "100"}, {TODAY - 1}), clock)
    clock.seconds, shelf.away = 300, True
    with pytest.raises(Unavailable):
        await keeper.look()
    shelf.away = False
    assert await keeper.look() == 1


# On real servers.


@pytest.fixture
async def questdb(questdb_server: LiveServer) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(questdb_server.pg_url, statement_cache_size=0)
    for name in reversed(BARS):
        await connection.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")
    for name in (*TICK_TABLES, "sink_owners", "sink_checkpoints", "daily_closes"):
        await connection.execute(f"DROP TABLE IF EXISTS {name}")
    yield connection
    await connection.execute("DROP TABLE IF EXISTS daily_closes")
    await connection.close()


def two_days(yesterday: int) -> list[Message[Any]]:
    """ALPHA trades over the end of the day before yesterday; BETA, which trades more, was cut off an hour before; both traded before.

    GAMMA trades most, and its numbers are inexact.
    """
    end = yesterday * DAY_NS
    alpha = [(end - 30 * 3600 * S, "90"), (end - 2 * MINUTE, "100.5"), (end + MINUTE, "101")]
    beta = [(end - 26 * 3600 * S, "91"), (end - 60 * MINUTE, "99"), (end + MINUTE, "102")]
    messages = []
    for venue, size, its in (("ALPHA", "1", alpha), ("BETA", "7", beta)):
        trades = [ticks.trade(venue, n, at=at, price=price, quantity=size) for n, (at, price) in enumerate(its)]
        messages.append(ticks.told("trades", venue, 1, 1, *trades))
    rough = [ticks.trade("GAMMA", n, at=at, price=price, quantity="99") for n, (at, price) in enumerate(alpha)]
    flagged = [msgspec.structs.replace(each, flags=(Flag.INEXACT,)) for each in rough]
    return [*messages, ticks.told("trades", "GAMMA", 1, 1, *flagged)]


async def test_a_recorded_day_becomes_the_close_that_risk_reads(
    fresh_nats: LiveServer,
    questdb_server: LiveServer,
    questdb: "asyncpg.Connection[asyncpg.Record]",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a market that was recorded over the end of a day, with a simulated close for it
    yesterday = time.time_ns() // DAY_NS - 1
    prices = QuestDbPrices(questdb_server.pg_url)
    await prices.prepare()
    await prices.write([DailyClose(yesterday - 1, "BTCUSDT", Decimal(7), SIMULATED)])
    client = await bus.connect(fresh_nats.url, "normalizer's part", closed=lambda: None)
    market = (subjects.MARKET_QUOTES, subjects.MARKET_TRADES, subjects.MARKET_BOOKS)
    await ensure_market_stream(client, subjects.MARKET_STREAM, market, max_bytes=2**28)
    await ensure_market_stream(client, subjects.MARKET_FACTS_STREAM, [subjects.MARKET_FACTS], max_bytes=2**26)
    for message in two_days(yesterday):
        await bus.request(client, f"market.{message.part}", encode(message.body), 10)
    await client.close()
    # when sink-ticks has written it, and looks for days that are over
    urls = {"rows": "ilp", "http_url": questdb_server.url, "pg_url": questdb_server.pg_url}
    changes: Changes = {"questdb": urls | {"flush_wait_sec": 0.1}, "bounds": {"lag_max_sec": 60}}
    sink = LiveService("sink-ticks", fresh_nats, tmp_path / "sink", changes=changes)
    sink.start()
    end = time.monotonic() + WAIT_S
    while await questdb.fetchval("SELECT sum(count) FROM bars_1d") != 9:
        assert time.monotonic() < end, sink.said()
    sink.kill()
    sink.start()  # its first look may have come before the rows, and the next one is a minute later
    while len(found := await prices.recent(["BTCUSDT"], 9)) < 1 or found[0].source == SIMULATED:
        assert time.monotonic() < end, sink.said()
    # then the venue that was recorded to the end of the day gives the close, and a day that was not recorded to its end has none
    assert found == [DailyClose(yesterday - 1, "BTCUSDT", Decimal("100.5"), "bars:ALPHA")]
    sink.kill()
    bars = QuestDbDayBars(questdb_server.pg_url)
    assert await bars.held(yesterday - 1, yesterday) == {(yesterday - 1, "BTCUSDT"): HeldClose("bars:ALPHA", Decimal("100.5"))}
    assert await bars.recorded(yesterday - 1, 600) == {("ALPHA", "BTCUSDT")}
    assert await bars.recorded(yesterday - 1, 2 * 3600) == {("ALPHA", "BTCUSDT"), ("BETA", "BTCUSDT")}
    # and a close that a person removed stays removed
    await prices.forget("BTCUSDT", "bars:ALPHA", 0, yesterday)
    assert await bars.held(yesterday - 1, yesterday) == {(yesterday - 1, "BTCUSDT"): HeldClose("forgotten", None)}
    # and if there are more than can be read, none is replaced
    monkeypatch.setattr(questbars, "ROWS_MAX", 0)
    with pytest.raises(Unavailable, match=r"more than 0 daily closes in the days of closes\.days"):
        await bars.held(yesterday - 1, yesterday)


async def test_views_that_do_not_follow_their_trades_are_named(
    questdb_server: LiveServer, questdb: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await questdb.execute("CREATE TABLE trades (at TIMESTAMP_NS, price INT) timestamp(at) PARTITION BY HOUR WAL")
    await questdb.execute("CREATE MATERIALIZED VIEW bars_1m AS (SELECT at, max(price) AS close FROM trades SAMPLE BY 1m) PARTITION BY DAY")
    await questdb.execute("INSERT INTO trades VALUES (0, 1), (90000000000000, 1)")
    await questdb.execute("ALTER TABLE trades DROP PARTITION LIST '1970-01-01T00'")
    bars = QuestDbDayBars(questdb_server.pg_url)
    end = time.monotonic() + WAIT_S
    while True:
        try:
            await bars.bars(0, 1)
        except Unavailable as trouble:
            if "the views of bars are invalid" in str(trouble):
                break
        assert time.monotonic() < end
