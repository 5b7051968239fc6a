"""Old days of ticks leave QuestDB only after their rows were counted and hashed equal in the archive; the bars stay."""

import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from adapters.archived_days import ArchivedDays, HeldObject
from adapters.clock import SystemClock
from adapters.objects import Objects
from adapters.objectstore import MarketObjects
from adapters.questdays import HOUR_NS, LIMITED, QuestDbTickDays, key_of
from adapters.questticks import QuestDbTicks
from apps.sink.tick_days import AGAIN_AFTER_LOOKS, DAY_NS, TickDays
from config.loading import BACKEND, load_sink
from config.text import ConfigError
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.day_proof import DayProof, Row
from domain.archive.market_rows import BOOK_TOP, QUOTES, TRADES, record_rows, tick_rows
from tests.apps.test_prices import TODAY, Day
from tests.contracts import places, ticks
from tests.contracts.test_tick_places import Tables as TickTables
from tests.live import LiveServer

WAIT_S = 120.0


def proof() -> DayProof:
    return DayProof(key_of(TRADES, ("at", "venue", "symbol", "trade_id")))


def row(number: int, price: str = "100", received: int = 7) -> Row:
    return (number, "ALPHA", "BTCUSDT", str(number), Decimal(price), Decimal(1), "buy", received, number, None)


def test_equal_rows_in_any_order_are_equal_and_what_was_repeated_counts_once() -> None:
    found = proof()
    found.add([row(1), row(2, received=9)], [row(2), row(1), row(2, received=9), row(1)])
    assert (found.stored, found.archived, found.trouble) == (2, 2, None)


@pytest.mark.parametrize(
    ("archived", "trouble"),
    [
        ([row(1)], "2 rows, and 1 in the archive"),
        ([row(1), row(2), row(3)], "2 rows, and 3 in the archive"),
        ([row(1), row(2, price="100.000000000000000001")], "2 rows in both, with other contents"),
        ([row(1), row(3)], "2 rows in both, with other contents"),
    ],
)
def test_a_missing_an_additional_and_a_changed_row_are_found(archived: Sequence[Row], trouble: str) -> None:
    found = proof()
    found.add([row(1), row(2)], archived)
    assert found.trouble == trouble


def test_what_came_late_for_a_dropped_day_must_be_in_the_archive_which_has_more() -> None:
    found, other = (DayProof(key_of(TRADES, ("at", "venue", "symbol", "trade_id")), rest=True) for _ in range(2))
    found.add([row(2)], [row(1), row(2), row(3)])
    other.add([row(2), row(9)], [row(1), row(2), row(3)])
    assert (found.trouble, other.trouble) == (None, "2 rows, and 1 in the archive")


class Tables:
    """Days of one row each, in memory. `lost` are days whose row is not in the archive."""

    def __init__(self, days: Iterable[int], lost: Iterable[int] = ()) -> None:
        self.held = {table: set(days) for table in (QUOTES, TRADES, BOOK_TOP)}
        self.lost = set(lost)
        self.compared = 0

    async def prepare(self, keep_days: int) -> None: ...

    async def days(self, table: str) -> list[int]:
        return sorted(self.held[table])

    async def received(self, table: str, day: int) -> set[int]:
        self.compared += 1
        return {day}

    async def slices(self, table: str, day: int, length: int) -> set[int]:
        return {day * DAY_NS}

    async def rows(self, table: str, begin: int, end: int) -> list[Row]:
        return [row(begin)] if not begin % DAY_NS and begin // DAY_NS in self.held[table] else []

    async def drop(self, table: str, day: int) -> bool:
        self.held[table] = {each for each in self.held[table] if (each > day if table == TRADES else each != day)}
        return True


class Kept:
    """Their archive."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

        self.noted: set[tuple[str, int]] = set()

    async def note_dropped(self, table: str, day: int) -> None:
        self.noted.add((table, day))

    async def dropped(self, table: str) -> set[int]:
        return {day for of, day in self.noted if of == table}

    async def held(self, table: str, received: Iterable[int]) -> list[HeldObject]:
        return [HeldObject("", day * DAY_NS, day * DAY_NS) for day in sorted(received)]

    async def rows(self, table: str, held: Iterable[HeldObject], begin: int, end: int) -> list[Row]:
        day = begin // DAY_NS
        return [row(begin)] if begin in {each.first for each in held} and day in self.tables.held[table] - self.tables.lost else []


async def test_days_that_are_old_and_equal_are_dropped_and_the_others_stay_and_are_named() -> None:
    tables = Tables(range(TODAY - 6, TODAY + 1), lost={TODAY - 5})
    days = TickDays(tables, Kept(tables), key_of, Day(), 3)
    await days.look()
    young = set(range(TODAY - 3, TODAY + 1))
    assert tables.held[QUOTES] == tables.held[BOOK_TOP] == young | {TODAY - 5}
    assert tables.held[TRADES] == young | {TODAY - 5, TODAY - 4}, "a day of trades is dropped with all before it, so it waits"
    reason = {"day": "2024-09-29", "reason": "1 rows, and 0 in the archive"}
    assert days.stats()["tick_days"] == {
        "dropped": {QUOTES: 2, TRADES: 1, BOOK_TOP: 2},
        "unequal": [{"table": table} | reason for table in (BOOK_TOP, QUOTES, TRADES)],
        "waits_for": "",
    }
    # when it is looked again soon, nothing is compared a second time; later, when the archive has it, the days go
    before, tables.lost = tables.compared, set()
    await days.look()
    assert tables.compared == before
    for _ in range(AGAIN_AFTER_LOOKS):
        await days.look()
    assert (tables.held[TRADES], tables.held[QUOTES], days.unequal) == (young, young, {})


async def test_an_object_that_cannot_be_read_keeps_its_day_and_no_other(tmp_path: Path) -> None:
    tables, objects = Tables(range(TODAY - 6, TODAY + 1)), Objects.at(f"file://{tmp_path}")
    damaged = f"market/quotes/venue=ALPHA/day={_day(TODAY - 5)}/epoch=1-n=1-2.parquet"
    await objects.put_new(damaged, b"PAR1 and no more")
    days = TickDays(tables, ArchivedDays(objects), key_of, Day(), 3)
    await days.look()
    assert days.unequal[QUOTES, TODAY - 5] == f"{damaged} in the archive cannot be read"
    assert days.unequal[TRADES, TODAY - 6] == days.unequal[QUOTES, TODAY - 4] == "1 rows, and 0 in the archive", "the look continued"


async def test_the_newest_day_of_a_market_that_stopped_stays() -> None:
    tables = Tables([TODAY - 40, TODAY - 30])
    await TickDays(tables, Kept(tables), key_of, Day(), 3).look()
    assert tables.held[TRADES] == {TODAY - 30}


def test_days_are_not_dropped_without_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text((BACKEND / "sink-ticks" / "config.yaml").read_text().replace("ticks_keep_days: 0 ", "ticks_keep_days: 7 "))
    with pytest.raises(ConfigError, match=r"places must be \[questdb, s3\]"):
        load_sink(file, {})


# On a real QuestDB, with objects in a directory.


class Moment:
    """A clock that stands."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now_ns(self) -> int:
        return self.at

    def monotonic_ns(self) -> int:
        return self.at


def market(today: int, hour: int) -> list[Message[Any]]:
    """Five old days, and `hour` of today: trades, quotes and a book of each; a trade received a day later, and one that came twice."""
    made: list[Message[Any]] = []
    for n, begin in enumerate([*(day * DAY_NS + 5 for day in range(today - 5, today)), hour], 1):
        late = msgspec.structs.replace(ticks.trade("ALPHA", 8, at=begin + 3, price="12"), received=begin + DAY_NS)
        trades = [ticks.trade("ALPHA", 1, at=begin, price="100.25"), ticks.trade("BETA", 2, at=begin + 2, price=str(90 + n))]
        sizes = {"bid_size": Decimal(0), "ask_size": Decimal("9999999999999999999.5")}
        quote = msgspec.structs.replace(ticks.quote("ALPHA", n, "1E-12"), at=begin + 1, received=begin + 9, **sizes)
        book = msgspec.structs.replace(ticks.book("ALPHA", n), at=begin + 1, received=begin + 9)
        again = msgspec.structs.replace(trades[0], received=trades[0].received + 1, seq=99)
        made += [
            ticks.told("trades", "ALPHA", n, 1, *trades),
            ticks.told("trades", "ALPHA", n, 2, again),
            ticks.told("trades", "ALPHA", n, 3, late),
        ]
        made += [ticks.told("quotes", "ALPHA", n, 1, quote), ticks.told("books", "ALPHA", n, 1, book)]
    return made


async def written(server: LiveServer, objects: Objects, messages: Sequence[Message[Any]]) -> tuple[QuestDbTicks, MarketObjects]:
    """Both places with these messages."""
    tables = QuestDbTicks(server.url, server.pg_url, "ticks", "one process", SystemClock(), places.never)
    archive = MarketObjects(objects, "ticks", places.never)
    await tables.claim()
    await archive.claim()
    for message in messages:
        await tables.write(tick_rows(message), Checkpoint())
        await archive.write(record_rows(message), Checkpoint())
    return tables, archive


async def test_days_leave_questdb_when_the_archive_has_them_and_the_bars_stay_also_after_a_late_trade(
    questdb_server: LiveServer, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(questdb_server.pg_url, statement_cache_size=0)
    await TickTables(questdb_server, connection).drop()
    objects, hour = Objects.at(f"file://{tmp_path}/objects"), time.time_ns() // HOUR_NS * HOUR_NS
    today = hour // DAY_NS
    tables, archive = await written(questdb_server, objects, market(today, hour))

    async def until(query: str, wanted: object) -> None:
        end, found = time.monotonic() + WAIT_S, None
        while found != wanted:
            assert time.monotonic() < end, f"{query}: {found}, not {wanted}"
            found = await connection.fetchval(query)

    # given a quote of the day before yesterday's eve that only QuestDB has, and a TTL that a killed process left
    await until("SELECT sum(count) FROM bars_1d", 18)
    stray = msgspec.structs.replace(ticks.quote("ALPHA", 50), at=(today - 4) * DAY_NS + 77, received=(today - 4) * DAY_NS + 78)
    await tables.write(tick_rows(ticks.told("quotes", "ALPHA", 9, 1, stray)), Checkpoint())
    await until("SELECT count() FROM quotes", 7)
    await connection.execute("ALTER TABLE trades SET TTL 900 DAYS")
    # and while the newest trade is of an earlier hour, because the sink catches up, no day of trades is dropped: the next one might go too
    stored, ahead = (QuestDbTickDays(questdb_server.pg_url, Moment(at)) for at in (hour, hour + 2 * HOUR_NS))
    assert (await ahead.drop(TRADES, today - 5), (await stored.days(TRADES))[0]) == (False, today - 5)
    days = TickDays(stored, ArchivedDays(objects), key_of, SystemClock(), 2)
    # when the old days are looked at
    await days.look()
    # then what is equal is gone, and the rest is named
    await until("SELECT count() FROM trades", 9)
    assert [await stored.days(table) for table in (TRADES, QUOTES, BOOK_TOP)] == [
        [today - 2, today - 1, today],
        [today - 4, today - 2, today - 1, today],
        [today - 2, today - 1, today],
    ]
    assert days.dropped == {QUOTES: 2, TRADES: 3, BOOK_TOP: 3}
    assert days.unequal == {(QUOTES, today - 4): "2 rows, and 1 in the archive"}
    await until("SELECT count() FROM tables() WHERE table_name = 'trades' AND ttlValue > 0", 0)
    assert await connection.fetchval(LIMITED, 2) == 1, "no trade older than two days changes a bar"
    # and the bars stay as they were, follow new trades, and do not follow a late one of a day that is gone
    late = ticks.trade("ALPHA", 70, at=(today - 5) * DAY_NS + 6, price="1")
    fresh = ticks.trade("ALPHA", 71, at=today * DAY_NS + 1, price="1")
    came = ticks.told("trades", "ALPHA", 9, 2, late, fresh)
    await tables.write(tick_rows(came), Checkpoint())
    await until("SELECT sum(count) FROM bars_1d", 19)
    assert await connection.fetchval("SELECT count() FROM materialized_views() WHERE view_status != 'valid'") == 0
    assert [
        tuple(r) for r in await connection.fetch(f"SELECT close, count FROM bars_1d WHERE at < '{_day(today - 3)}' AND venue = 'BETA'")
    ] == [(Decimal(91), 1), (Decimal(92), 1)]
    # and the late one is dropped as well, once the archive has it
    await until("SELECT count() FROM trades", 11)
    await days.look()
    assert days.unequal[TRADES, today - 5] == "1 rows, and 0 in the archive"
    await archive.write(record_rows(came), Checkpoint())
    await TickDays(stored, ArchivedDays(objects), key_of, SystemClock(), 2).look()
    assert (await stored.days(TRADES))[0] == today - 2
    await tables.close()
    await TickTables(questdb_server, connection).drop()
    await connection.close()


def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86_400))
