"""What every store of fills promises: the same rows twice change nothing, numbers are exact, texts are only texts."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from adapters import questdb
from adapters.memory import MemoryFills
from adapters.questdb import QuestDbFills
from adapters.sqlite import SqliteFills
from domain.order import events as e
from domain.order.lifecycle import State
from domain.ports import FillPlace, Fills, Unavailable
from domain.position.rows import FillRow, OrderEventRow, Owners
from domain.values import from_rfc3339, rfc3339
from tests.contracts.facts import AT, busted, commits, filled, queued, rows, submitted
from tests.live import LiveServer

SECOND = 1_000_000_000
HOSTILE = ("'; DROP TABLE fills; --", "a\nfills,account=x seq=1i", "a,b", "a=b", 'say "no"', "back\\slash", "é € 𝄞", " ", "$1", "*")


@dataclass
class Shelf:
    """A store, a way to read `order_events`, and how much of the journal its checkpoint gives again."""

    fills: Fills
    events: Callable[[], Awaitable[list[dict[str, Any]]]]
    overlap: int = 0

    async def settled(self, seq: int) -> None:
        """Until everything written so far can be read: a trade at `seq` shows it in either table, for each is applied in order."""
        await self.fills.write(rows(seq, filled(f"MARK{seq}", account="MARKER", order_id="MARKER", at=AT + 1000 * SECOND)))
        async with asyncio.timeout(120):
            while not (await self._marked(seq) and any(event["seq"] == seq for event in await self.events())):
                await asyncio.sleep(0.02)

    async def _marked(self, seq: int) -> bool:
        return any(fill["seq"] == seq for fill in await self.fills.fills("MARKER", symbol=None, since_ns=0, limit=100))


@pytest.fixture(params=["memory", "sqlite", "questdb"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """An empty, prepared store."""
    if request.param == "memory":
        memory = MemoryFills()

        async def kept() -> list[dict[str, Any]]:
            return [msgspec.structs.asdict(row) for row in memory.event_rows.values()]

        yield Shelf(memory, kept)
    elif request.param == "sqlite":
        sqlite = SqliteFills(tmp_path / "new" / "fills.db")
        await sqlite.prepare()

        async def selected() -> list[dict[str, Any]]:
            with sqlite3.connect(tmp_path / "new" / "fills.db") as connection:
                found = connection.execute("SELECT * FROM order_events").fetchall()
            connection.close()
            return [dict(zip(OrderEventRow.__struct_fields__, row, strict=True)) for row in found]

        yield Shelf(sqlite, selected)
        await sqlite.close()
    else:
        server: LiveServer = request.getfixturevalue("questdb_server")
        connection = await asyncpg.connect(server.pg_url)
        for table in ("fills", "order_events"):
            await connection.execute(f"DROP TABLE IF EXISTS {table}")
        quest = QuestDbFills(server.pg_url)
        await quest.prepare()

        async def asked() -> list[dict[str, Any]]:
            return [dict(record) for record in await connection.fetch("SELECT * FROM order_events")]

        yield Shelf(quest, asked, questdb.OVERLAP)
        await quest.close()
        await connection.close()


async def fills_of(shelf: Shelf, account: str = "alice", **which: Any) -> list[dict[str, object]]:
    return await shelf.fills.fills(account, **({"symbol": None, "since_ns": 0, "limit": 1000} | which))


async def test_a_trade_is_a_row_with_the_columns_of_the_api_page(shelf: Shelf) -> None:
    await shelf.fills.write(commits([submitted("O1")], [filled("E1", "0.1", "45000.5", fee="0.45")]))
    await shelf.settled(3)
    assert await fills_of(shelf) == [
        {
            "timestamp": "2023-11-14T22:13:20.123456Z",
            "exec_id": "E1",
            "order_id": "O1",
            "client_order_id": "client-O1",
            "account": "alice",
            "symbol": "BTCUSDT",
            "side": "buy",
            "venue": "PAPER_A",
            "quantity": Decimal("0.1"),
            "price": Decimal("45000.5"),
            "fee": Decimal("0.45"),
            "liquidity": "taker",
            "seq": 2,
        }
    ]
    assert list((await fills_of(shelf))[0]) == list(FillRow.__struct_fields__)


async def test_what_was_written_is_recognised_until_it_is_cleared(shelf: Shelf) -> None:
    # FAILURES 13, 24
    trade, birth = rows(1, filled("E1", "0.1"))[0], rows(2, submitted("O1"))[0]
    await shelf.fills.write([trade, birth])
    await shelf.settled(3)
    assert [await shelf.fills.holds(row) for row in (trade, birth)] == [(True, True), (True, True)]
    for stranger in (rows(1, filled("E1", "0.1", at=AT + SECOND)), rows(2, submitted("O2")), rows(4, queued("O1"))):
        assert not (await shelf.fills.holds(stranger[0]))[0]
    assert await shelf.fills.holds(rows(1, filled("E2", "0.1"))[0]) == (True, False), "this event's order, but not its trade"
    await shelf.fills.clear()
    await shelf.settled(5)
    assert await shelf.fills.holds(trade) == (False, False)
    assert await shelf.fills.holds(birth) == (False, True)
    assert [fill["exec_id"] for account in ("alice", "MARKER") for fill in await fills_of(shelf, account)] == ["MARK5"]


async def test_every_event_has_a_row_with_its_owner_and_its_own_fields(shelf: Shelf) -> None:
    await shelf.fills.write(commits([submitted("O1"), queued("O1")], [filled("E1", "0.1")]))
    await shelf.settled(3)
    first, second, third = sorted((event for event in await shelf.events() if event["seq"] < 3), key=lambda r: (r["seq"], r["index"]))
    assert [(r["type"], r["status"], r["account"], r["symbol"], r["order_id"]) for r in (first, second, third)] == [
        ("OrderSubmitted", "new", "alice", "BTCUSDT", "O1"),
        ("OrderQueued", "queued", "alice", "BTCUSDT", "O1"),
        ("OrderFilled", "partially_filled", "alice", "BTCUSDT", "O1"),
    ]
    assert (first["seq"], first["index"], second["index"], third["seq"], third["index"]) == (1, 0, 1, 2, 0)
    assert json.loads(first["detail"])["quantity"] == 10
    assert json.loads(second["detail"]) == {}
    assert not {"order_id", "at", "status", "account", "symbol"} & json.loads(third["detail"]).keys()


async def test_the_same_rows_again_change_nothing(shelf: Shelf) -> None:  # FAILURES 23
    batch = commits([submitted("O1"), queued("O1")], [filled("E1"), filled("E2", "2")], [queued("O1", at=AT + SECOND)])
    for _ in range(3):
        await shelf.fills.write(batch)
    await shelf.fills.write(batch[2:])
    await shelf.settled(4)
    assert [fill["exec_id"] for fill in await fills_of(shelf)] == ["E2", "E1"]
    assert len(await shelf.events()) == len(batch) + 1


async def test_rows_written_again_by_a_process_that_saw_no_beginning_keep_their_owner(shelf: Shelf) -> None:
    await shelf.fills.write(commits([submitted("O1")], [queued("O1")]))
    await shelf.settled(3)
    shelf.fills._owners = Owners()  # type: ignore[attr-defined]  # what a restart does to it
    await shelf.fills.write(rows(2, queued("O1")) + rows(4, queued("O1", at=AT + 1), queued("ABSENT")))
    await shelf.settled(5)
    owners = {(event["seq"], event["order_id"]): event["account"] for event in await shelf.events()}
    assert (owners[2, "O1"], owners[4, "O1"], owners[4, "ABSENT"]) == ("alice", "alice", None)


async def test_a_retry_of_an_order_that_closed_keeps_its_owner(shelf: Shelf) -> None:
    end = e.OrderCancelled(order_id="O1", at=AT + 5, status=State.CANCELLED, source="client", reason="requested")
    await shelf.fills.write(commits([submitted("O1")], [end]))
    await shelf.fills.write(rows(2, end))
    await shelf.settled(3)
    await shelf.fills.write(rows(2, end))
    await shelf.settled(4)
    (found,) = [event for event in await shelf.events() if event["seq"] == 2]
    assert found["account"] == "alice"


async def test_the_checkpoint_is_no_later_than_what_is_stored(shelf: Shelf) -> None:
    assert await shelf.fills.checkpoint() == 0
    await shelf.fills.write(rows(500, queued("O1")) + rows(2500, queued("O1", at=AT + 1)))
    await shelf.settled(2600)
    assert await shelf.fills.checkpoint() == 2600 - shelf.overlap


async def test_numbers_are_exact_to_the_last_digit(shelf: Shelf) -> None:
    large, small = "999999999999999999.123456789012", "0.000000000001"
    fee = "-0.000000000000000000000000000000000001"
    await shelf.fills.write(rows(1, filled("E1", large, small, fee=fee), filled("E2", small, large, fee=large, at=AT + SECOND)))
    await shelf.settled(2)
    second, first = await fills_of(shelf)
    assert [first[name] for name in ("quantity", "price", "fee")] == [Decimal(large), Decimal(small), Decimal(fee)]
    assert [second[name] for name in ("quantity", "price", "fee")] == [Decimal(small), Decimal(large), Decimal(large)]


async def test_details_have_exact_numbers_without_exponents(shelf: Shelf) -> None:
    checked = e.OrderRiskChecked(
        order_id="O1",
        at=AT,
        status=State.RISK_CHECKED,
        limits_version=1,
        checks="PRICE_E-1 1E-8 1E+3",
        reference=Decimal("0E-12"),
    )
    await shelf.fills.write(rows(1, checked))
    await shelf.settled(2)
    (found,) = [event for event in await shelf.events() if event["seq"] == 1]
    assert found["detail"] == '{"limits_version":1,"checks":"PRICE_E-1 1E-8 1E+3","reference":0}'


async def test_a_bust_is_a_row_that_turns_the_sums_back(shelf: Shelf) -> None:  # FAILURES 32
    trade = filled("E1", "3", "50", fee="0.1")
    await shelf.fills.write(rows(1, trade, busted(trade)))  # even in the same microsecond
    await shelf.settled(2)
    found = await fills_of(shelf)
    assert {fill["exec_id"] for fill in found} == {"E1", "E1:bust"}
    assert sum(Decimal(str(fill["quantity"])) for fill in found) == 0
    assert sum(Decimal(str(fill["fee"])) for fill in found) == 0


async def test_two_venues_may_use_the_same_execution_id_at_the_same_time(shelf: Shelf) -> None:
    await shelf.fills.write(rows(1, filled("E1", venue="PAPER_A"), filled("E1", venue="PAPER_B")))
    await shelf.settled(2)
    assert {fill["venue"] for fill in await fills_of(shelf)} == {"PAPER_A", "PAPER_B"}


async def test_readers_choose_by_account_symbol_time_and_number(shelf: Shelf) -> None:
    trades = [filled(f"E{n}", symbol=("BTCUSDT", "ETH/USDT")[n % 2], at=AT + n * SECOND) for n in range(6)]
    await shelf.fills.write(commits(*([trade] for trade in trades), [filled("X", account="bob")]))
    await shelf.settled(8)
    assert [fill["exec_id"] for fill in await fills_of(shelf)] == ["E5", "E4", "E3", "E2", "E1", "E0"]
    assert [fill["exec_id"] for fill in await fills_of(shelf, symbol="ETH/USDT", limit=2)] == ["E5", "E3"]
    since = await fills_of(shelf, since_ns=AT + 4 * SECOND)
    assert [(fill["exec_id"], fill["timestamp"]) for fill in since] == [(f"E{n}", rfc3339(AT + n * SECOND)) for n in (5, 4)]
    assert await fills_of(shelf, account="absent") == []


def place_of(row: dict[str, object]) -> FillPlace:
    return FillPlace(from_rfc3339(str(row["timestamp"])), cast(int, row["seq"]), str(row["exec_id"]), str(row["venue"]))


async def pages_of(shelf: Shelf, size: int, **which: Any) -> list[tuple[object, object]]:
    """Every row, a page after the other, by its execution and venue."""
    seen: list[tuple[object, object]] = []
    below = None
    while page := await fills_of(shelf, below=below, **({"limit": size} | which)):
        seen += [(fill["exec_id"], fill["venue"]) for fill in page]
        below = place_of(page[-1])
    return seen


async def test_pages_lead_back_to_the_first_trade_whatever_moment_and_commit_trades_share(shelf: Shelf) -> None:
    commit = [filled(f"E{n}", at=AT + n // 4 * SECOND, venue=venue) for n in range(8) for venue in ("PAPER_A", "PAPER_B")]
    await shelf.fills.write(commits(commit, [filled("LATER", at=AT)], [filled("OTHER", account="bob")]))
    await shelf.settled(4)
    whole = [(fill["exec_id"], fill["venue"]) for fill in await fills_of(shelf)]
    assert len(set(whole)) == len(whole) == 17
    for size in (1, 3, 17):
        assert await pages_of(shelf, size) == whole
    older = [row for row in whole if row[0] in ("E0", "E1", "E2", "E3", "LATER")]
    assert await pages_of(shelf, 2, until_ns=AT + SECOND) == older


async def test_a_page_behind_a_place_stays_when_new_trades_come(shelf: Shelf) -> None:
    await shelf.fills.write(commits(*([filled(f"E{n}", at=AT + n * SECOND)] for n in range(4))))
    await shelf.settled(5)
    first = await fills_of(shelf, limit=2)
    await shelf.fills.write(rows(6, filled("NEW", at=AT + 9 * SECOND)))
    await shelf.settled(7)
    second = await fills_of(shelf, limit=2, below=place_of(first[-1]))
    assert [fill["exec_id"] for fill in (*first, *second)] == ["E3", "E2", "E1", "E0"]


async def test_a_window_takes_its_first_moment_and_leaves_out_its_last(shelf: Shelf) -> None:
    await shelf.fills.write(commits(*([filled(f"E{n}", at=AT + n * SECOND)] for n in range(4))))
    await shelf.settled(5)

    async def found(since_ns: int, until_ns: int) -> list[object]:
        return [fill["exec_id"] for fill in await fills_of(shelf, since_ns=since_ns, until_ns=until_ns)]

    assert await found(AT + SECOND, AT + 3 * SECOND) == ["E2", "E1"]
    assert await found(AT + SECOND + 1000, AT + 3 * SECOND + 1000) == ["E3", "E2"]
    first, last = from_rfc3339("0001-01-01T00:00:00Z"), from_rfc3339("9999-12-31T23:59:59Z")
    assert len(await found(first, last)) == 4
    assert await found(last, last) == await found(first, first) == []


async def test_a_check_reads_rows_by_their_sequences(shelf: Shelf) -> None:
    assert (await shelf.fills.reaches(), await shelf.fills.rows(0, 9), await shelf.fills.count(9)) == (0, [], 0)
    first, second = filled("E1", "3", "50", fee="0.1"), filled("E2", account="bob", at=AT + SECOND)
    await shelf.fills.write(commits([submitted("O1")], [first], [second, busted(first)], [queued("O1")]))
    await shelf.settled(5)
    assert await shelf.fills.reaches() == 5
    assert [sorted(str(row["exec_id"]) for row in await shelf.fills.rows(n - 1, n)) for n in (1, 2, 3, 4)] == [
        [],
        ["E1"],
        ["E1:bust", "E2"],
        [],
    ]
    assert len(await shelf.fills.rows(0, 3)) == 3
    assert [await shelf.fills.count(until) for until in range(6)] == [0, 0, 1, 3, 3, 4]
    (row,) = await shelf.fills.rows(1, 2)
    (asked,) = [fill for fill in await fills_of(shelf) if fill["exec_id"] == "E1"]
    assert row == asked, "the same columns and values that every reader gets"


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_are_only_texts(shelf: Shelf, text: str) -> None:  # FAILURES 64
    trade = filled(text, account=text, symbol=text, order_id=text, venue=text)
    await shelf.fills.write(rows(1, submitted(text, account=text, symbol=text), trade, queued(text)) + rows(2, filled("E1")))
    await shelf.settled(3)
    (found,) = await fills_of(shelf, account=text, symbol=text)
    assert await fills_of(shelf, account=text, below=place_of(found)) == []
    assert await fills_of(shelf, account=text, below=place_of(found)._replace(exec_id=text + "~")) == [found]
    assert [found[name] for name in ("exec_id", "order_id", "account", "symbol", "venue")] == [text] * 5
    assert await fills_of(shelf, account=text, symbol="'") == []
    assert [fill["exec_id"] for fill in await fills_of(shelf)] == ["E1"]
    assert {event["order_id"] for event in await shelf.events() if event["seq"] == 1} == {text}


async def test_an_sqlite_file_that_was_taken_away_is_reported_and_made_again(tmp_path: Path) -> None:
    store, reader = SqliteFills(tmp_path / "fills.db"), SqliteFills(tmp_path / "fills.db")
    await store.prepare()
    await store.write(rows(1, filled("E1")))
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(Unavailable):
        await reader.fills("alice", symbol=None, since_ns=0, limit=1)
    assert not list(tmp_path.iterdir()), "a reader makes no file"
    sqlite3.connect(tmp_path / "fills.db").close()
    with pytest.raises(Unavailable, match=r"replaced|No such file"):
        await store.write(rows(2, filled("E2")))
    await store.prepare()
    assert await store.checkpoint() == 0
    await store.write(rows(2, filled("E2")))
    assert len(await reader.fills("alice", symbol=None, since_ns=0, limit=9)) == 1
    await store.close()
    await reader.close()


async def test_questdb_refuses_a_number_with_too_many_places_and_does_not_round_it(questdb_server: LiveServer) -> None:
    store = QuestDbFills(questdb_server.pg_url)
    await store.prepare()
    before = await store.count(1_000_000)
    for spoiled in (filled("E1", "0.0000000000001"), filled("E1", fee="1E-37"), filled("E1", "1E+30")):
        with pytest.raises(Unavailable):
            await store.write(rows(1, filled("E0"), spoiled))
    await store.write(rows(2, filled("E2")))
    async with asyncio.timeout(20):
        while await store.count(1_000_000) == before:
            await asyncio.sleep(0.02)
    assert await store.count(1_000_000) == before + 1, "nothing of a refused write was stored"
    await store.close()


async def test_a_dropped_table_is_reported_and_never_made_without_keys(questdb_server: LiveServer) -> None:
    store = QuestDbFills(questdb_server.pg_url)
    await store.prepare()
    connection = await asyncpg.connect(questdb_server.pg_url)
    await connection.execute("DROP TABLE fills")
    with pytest.raises(Unavailable, match="missing"):
        await store.write(rows(1, filled("E1")))
    await connection.execute("CREATE TABLE fills (timestamp TIMESTAMP) timestamp(timestamp) PARTITION BY DAY WAL")
    with pytest.raises(Unavailable, match="DEDUP"):
        await store.prepare()
    await connection.execute("DROP TABLE fills")
    await store.prepare()
    await connection.close()
    await store.close()


async def test_questdb_that_dies_is_unavailable_and_takes_rows_when_it_is_back(fresh_questdb: LiveServer) -> None:
    store = QuestDbFills(fresh_questdb.pg_url)
    await store.prepare()
    fresh_questdb.kill()
    for call in (store.write(rows(1, filled("E1"))), store.checkpoint(), store.ping(), store.prepare()):
        with pytest.raises(Unavailable):
            await call
    fresh_questdb.start()
    await store.prepare()
    await store.write(rows(1, filled("E1")))
    async with asyncio.timeout(120):
        while not await store.fills("alice", symbol=None, since_ns=0, limit=1):
            await asyncio.sleep(0.02)
    await store.close()
