"""The contract of places on the engine of ClickHouse in this process; its views, and what a query may and may not do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters import clickhouse, clickhouse_query
from adapters.clickhouse import ClickHouse, ClickHousePlace
from adapters.clickhouse_query import QUERY_ROWS_MAX, ClickHouseQueries, QueryRefused
from adapters.clickhouse_schema import TABLES
from apps.stack import analytics
from apps.stack.trouble import CannotStart
from domain.archive import tables
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.ports import ArchiveRow, RowsRefused
from domain.market.records import Fact, FactKind
from domain.order.events import OrderEvent
from domain.order.lifecycle import State
from tests.contracts import places
from tests.contracts.clickhouse_server import http_server
from tests.contracts.facts import busted, filled, queued, submitted
from tests.contracts.places import Fails, Shelf

MESSAGES = [
    Message(part="orders.0", epoch=0, n=n, body=[submitted(f"O{n}"), queued(f"O{n}"), filled(f"E{n}", order_id=f"O{n}")][: n % 3 + 1])
    for n in range(1, 10)
]
REFUSABLE = Message(part="orders.1", epoch=0, n=1, body=[filled("E0", price="1e40")])


def rows(message: Message[list[OrderEvent]]) -> list[ArchiveRow]:
    return tables.order_event_rows(message.part, int(message.part.rpartition(".")[2]), message.n, message.body)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        analytics.check()
    except CannotStart as absent:
        pytest.skip(str(absent).replace("\n", " "))
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture
async def engine(directory: Path) -> AsyncIterator[ClickHouse]:
    """The engine with empty tables: a process has one, in one directory."""
    made = ClickHouse(path=directory)
    await made.run(_emptied)
    yield made
    await made.close()


def _emptied(client: Any) -> None:
    for name in (*TABLES, "checkpoints"):
        client.command(f"TRUNCATE TABLE trade.{name}")


@pytest.fixture
def shelf(engine: ClickHouse) -> Shelf:
    async def held() -> Counter[Hashable]:
        names = ", ".join(f"`{name}`" for name in tables.EventTableRow.__struct_fields__ if name != "at")
        sql = f"SELECT toUnixTimestamp64Nano(at), {names} FROM trade.order_events FINAL"
        return Counter(await engine.run(lambda client: [tuple(row) for row in client.query(sql).result_rows]))

    def identity(row: ArchiveRow) -> Hashable:
        return row.value.at, *(getattr(row.value, name) for name in row.value.__struct_fields__ if name != "at")

    def opened(fails: Fails) -> ClickHousePlace:
        return ClickHousePlace(engine, "orders", fails)

    return Shelf(opened, held, rows, identity, MESSAGES, REFUSABLE)


async def test_delivered_twice(shelf: Shelf) -> None:
    await places.check_delivered_twice(shelf)


async def test_split_anywhere(shelf: Shelf) -> None:
    await places.check_split(shelf)


@pytest.mark.parametrize("failpoint", places.FAILPOINTS)
async def test_killed_at(shelf: Shelf, failpoint: str) -> None:
    await places.check_killed(shelf, failpoint)


async def test_two_at_once(shelf: Shelf) -> None:
    await places.check_two_at_once(shelf)


async def test_a_refused_row_goes_aside(shelf: Shelf) -> None:
    await places.check_refused_goes_aside(shelf)
    assert shelf.letters.newest(1)[0].reason.startswith("price: ")


@pytest.mark.parametrize("price", ["1e27", "1e-13", "1e999999999", "1e-999999999", "0e-999999999", "NaN", "-Infinity"])
async def test_a_number_that_does_not_fit_is_refused_and_ends_nothing(engine: ClickHouse, price: str) -> None:
    """MARKETDATA 4: absurd print."""
    place = ClickHousePlace(engine, "orders", places.never)
    await place.claim()
    first, second = tables.order_event_rows("orders.0", 0, 1, [submitted("O1"), filled("E1")])
    absurd = msgspec.structs.replace(second, value=msgspec.structs.replace(second.value, price=Decimal(price)))
    with pytest.raises(RowsRefused) as refused:
        await place.write([first, absurd], Checkpoint())
    assert [row.i for row, _ in refused.value.rows] == [1]


async def test_a_table_that_cannot_be_made_and_has_no_row_to_blame_is_never_left_out(
    engine: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ValueError("not the fault of a row")

    place = ClickHousePlace(engine, "orders", places.never)
    before = await place.claim()
    monkeypatch.setattr(clickhouse, "_columns", failing)
    with pytest.raises(ValueError, match="not the fault of a row"):
        await place.write(tables.order_event_rows("orders.0", 0, 1, [submitted("O1")]), Checkpoint({"orders.0": {0: 1}}))
    assert await place.checkpoint() == before


async def test_each_fact_of_no_frame_is_a_row_however_often_it_comes(engine: ClickHouse) -> None:
    place = ClickHousePlace(engine, "facts", places.never)
    await place.claim()
    silences = [
        Fact(fact=FactKind.STALE, venue="ALPHA", at=at, symbol=symbol) for at, symbol in ((5, "BTCUSDT"), (5, "ETHUSDT"), (9, "BTCUSDT"))
    ]
    for _ in range(2):
        await place.write([row for fact in silences for row in tables.fact_rows("facts.ALPHA", 1, 0, [fact])], Checkpoint())
    queries = ClickHouseQueries(engine)
    assert await answer(queries, "SELECT symbol, count() AS facts FROM market_facts GROUP BY symbol ORDER BY symbol") == [
        {"symbol": "BTCUSDT", "facts": 2},
        {"symbol": "ETHUSDT", "facts": 1},
    ]
    await queries.close()


async def stored(engine: ClickHouse, *commits: list[OrderEvent]) -> ClickHouseQueries:
    place = ClickHousePlace(engine, "orders", places.never)
    await place.claim()
    written = [row for n, events in enumerate(commits, 1) for row in tables.order_event_rows("orders.0", 0, n, events)]
    await place.write(written, Checkpoint())
    await place.write(written, Checkpoint())
    return ClickHouseQueries(engine)


async def answer(queries: ClickHouseQueries, sql: str) -> list[dict[str, Any]]:
    found = await queries.ask(sql)
    return [dict(zip((name for name, _ in found.columns), row, strict=True)) for row in found.rows]


async def test_an_order_is_one_row_of_its_events_and_numbers_are_exact(engine: ClickHouse) -> None:
    fee = "0." + "0" * 35 + "1"
    trade = filled("E1", "123456789012345678.000000000001", "0.000000000003", order_id="O1", fee=fee, status=State.FILLED)
    queries = await stored(engine, [submitted("O1"), queued("O1")], [trade])
    (order,) = await answer(queries, "SELECT * FROM orders")
    assert (order["order_id"], order["account"], order["status"], order["trades"]) == ("O1", trade.account, "filled", 1)
    assert (order["cum_quantity"], order["average_price"], order["fees"]) == (trade.quantity, trade.price, trade.fee)
    assert order["notional"] == trade.quantity * trade.price
    await queries.close()


async def test_a_bust_is_a_fill_with_the_opposite_sign(engine: ClickHouse) -> None:
    queries = await stored(engine, [submitted("O1"), queued("O1")], [filled("E1", order_id="O1")], [busted(filled("E1", order_id="O1"))])
    fills = await answer(queries, "SELECT exec_id, quantity FROM fills ORDER BY n")
    assert [row["exec_id"] for row in fills] == ["E1", "E1:bust"]
    assert sum(row["quantity"] for row in fills) == 0
    (order,) = await answer(queries, "SELECT cum_quantity, average_price FROM orders")
    assert order == {"cum_quantity": 0, "average_price": None}
    await queries.close()


async def test_the_pnl_of_a_day_is_the_change_of_value_and_the_cash_less_the_fees(engine: ClickHouse) -> None:
    day = 86_400 * 1_000_000_000
    bought = filled("E1", "2", "100", order_id="O1", at=20_000 * day, fee="1")
    sold = filled("E2", "1", "110", order_id="O2", at=20_003 * day, side="sell", fee="1")
    queries = await stored(engine, [bought], [sold])
    found = await answer(queries, "SELECT toString(day) AS day, position, close, pnl FROM pnl_daily ORDER BY day")
    assert found == [
        {"day": "2024-10-04", "position": 2, "close": 100, "pnl": -1},
        {"day": "2024-10-07", "position": 1, "close": 110, "pnl": 19},  # 110 in cash, value from 200 to 110, and the fee
    ]
    await queries.close()


def _with_another_database(client: Any) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS elsewhere")
    client.command("CREATE OR REPLACE VIEW elsewhere.notes AS SELECT 'secret' AS text")


ALLOWED = (
    "SELECT count() FROM order_events",
    "WITH x AS (SELECT account FROM orders) SELECT * FROM x -- ; DROP TABLE orders",
    "SELECT ';DROP TABLE trade.order_events' AS text FROM numbers(1)",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "WITH orders AS (SELECT 1 AS one) SELECT o.one FROM orders AS o JOIN trade.order_events AS e ON e.n >= o.one",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
)
REFUSED = {
    "DROP TABLE order_events": "query_not_allowed",
    "INSERT INTO controls SELECT * FROM controls": "query_not_allowed",
    "SELECT 1; DROP TABLE trade.order_events": "query_invalid",
    "SELECT 1) ; DROP TABLE trade.order_events; SELECT (1": "query_invalid",
    "SELECT 1 INTO OUTFILE '{outside}'": "query_not_allowed",
    "SELECT * FROM file('{outside}', 'LineAsString')": "query_not_allowed",
    "SELECT file('{outside}')": "query_not_allowed",
    "SELECT `FILE`('{outside}')": "query_not_allowed",
    "SELECT * FROM (SELECT * FROM url('http://127.0.0.1:9/', 'CSV'))": "query_not_allowed",
    "SELECT 1 IN file('{outside}', 'LineAsString')": "query_not_allowed",
    "SELECT * APPLY(file) FROM (SELECT '{outside}' AS a)": "query_not_allowed",
    "SELECT COLUMNS('a') APPLY(x -> file(x)) FROM (SELECT '{outside}' AS a)": "query_not_allowed",
    "SELECT arrayMap(file, ['{outside}'])": "query_not_allowed",
    "SELECT arrayMap(x -> file(x), ['{outside}'])": "query_not_allowed",
    "SELECT (SELECT * REPLACE(file(a) AS a) FROM (SELECT '{outside}' AS a))": "query_not_allowed",
    "WITH (SELECT * FROM file('{outside}', 'LineAsString')) AS x SELECT x": "query_not_allowed",
    "SELECT aiGenerate('x', 'y')": "query_not_allowed",
    "SELECT * FROM python('x')": "query_not_allowed",
    "SELECT 1 IN default.`{outside}`": "query_not_allowed",
    "SELECT * FROM default.`{outside}`": "query_not_allowed",
    "SELECT * FROM `{outside}`": "query_not_allowed",
    "SELECT * FROM system.tables": "query_not_allowed",
    "SELECT * FROM checkpoints": "query_not_allowed",
    "SELECT (SELECT body FROM trade.checkpoints AS `x, table_name: trade.orders` LIMIT 1)": "query_not_allowed",
    "SELECT ('orders', 1, 1, '') IN (checkpoints)": "query_not_allowed",
    "SELECT (SELECT toUInt8(text) FROM elsewhere.notes)": "query_not_allowed",
    "SELECT 'x' IN elsewhere.notes": "query_not_allowed",
    "SELECT 1 SETTINGS readonly = 0": "query_not_allowed",
    "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)": "query_not_allowed",
    "SET readonly = 0": "query_not_allowed",
    "SYSTEM SHUTDOWN": "query_not_allowed",
    "SELECT 1 FORMAT CSV": "query_not_allowed",
    "EXPLAIN SELECT 1": "query_not_allowed",
    f"SELECT * FROM numbers({QUERY_ROWS_MAX + 1})": "query_too_large",
    "SELECT groupArray(repeat('x', 1000000)) FROM numbers(1000)": "query_too_large",
    "SELECT nothing FROM orders": "query_invalid",
    "": "query_invalid",
}


async def test_only_a_select_over_the_tables_of_this_system_passes_and_each_refusal_has_its_code(
    engine: ClickHouse, tmp_path: Path
) -> None:
    queries = await stored(engine, [submitted("O1")])
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n")
    await engine.run(_with_another_database)
    for sql in ALLOWED:
        assert (await queries.ask(sql)).rows
    found = {}
    for sql in REFUSED:
        with pytest.raises(QueryRefused) as refused:
            await queries.ask(sql.replace("{outside}", str(outside)))
        found[sql] = refused.value.code
        assert "secret" not in str(refused.value)
    assert found == REFUSED
    assert outside.read_text() == "secret\n"
    assert (await answer(queries, "SELECT count() AS found FROM order_events")) == [{"found": 1}]
    await queries.close()


async def test_a_server_answers_the_same_and_each_of_its_requests_is_read_only(engine: ClickHouse, directory: Path) -> None:
    await (await stored(engine, [submitted("O1")])).close()
    with http_server(directory) as url:
        server = ClickHouse(url=url)
        queries = ClickHouseQueries(server)
        for sql, found in {
            "SELECT order_id FROM orders": "O1",
            "SELECT getSetting('readonly')": 1,
            "SELECT getSetting('max_result_rows')": QUERY_ROWS_MAX,
            "SELECT currentDatabase()": "trade",
        }.items():
            assert (await queries.ask(sql)).rows == [[found]], sql
        for sql in ("SELECT * FROM system.tables", "DROP TABLE order_events", "SELECT * FROM checkpoints"):
            with pytest.raises(QueryRefused) as refused:
                await queries.ask(sql)
            assert refused.value.code == "query_not_allowed", sql
        await queries.close()
        await server.close()


async def test_queries_that_were_not_asked_close_without_a_server() -> None:
    server = ClickHouse(url="http://127.0.0.1:9/")
    await ClickHouseQueries(server).close()
    await server.close()


async def test_bad_sql_names_the_position(engine: ClickHouse) -> None:
    queries = ClickHouseQueries(engine)
    with pytest.raises(QueryRefused, match="Syntax error") as refused:
        await queries.ask("SELECT count() FORM orders WHERE")
    assert refused.value.position == 21
    await queries.close()


async def test_a_query_that_takes_too_long_is_ended(engine: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(clickhouse_query.SETTINGS, "max_execution_time", 1)
    queries = ClickHouseQueries(engine)
    with pytest.raises(QueryRefused) as refused:
        await queries.ask("SELECT sum(cityHash64(number)) FROM numbers(1000000000000)")
    assert refused.value.code == "query_too_long"
    assert (await queries.ask("SELECT 1")).rows == [[1]]
    await queries.close()


async def test_a_query_waits_for_no_write_and_a_write_for_no_error(engine: ClickHouse) -> None:
    queries = await stored(engine, [submitted("O1")])
    asked = await asyncio.gather(*(queries.ask(sql) for sql in ("SELECT 1", "SELEC", "SELECT 2")), return_exceptions=True)
    assert [isinstance(each, QueryRefused) for each in asked] == [False, True, False]
    await queries.close()


async def test_an_alias_does_not_hide_the_column_of_its_name(engine: ClickHouse) -> None:
    queries = await stored(engine, [submitted("O1")], [queued("O1")])
    assert await answer(queries, "SELECT uniqExact(shard, n, i) AS places, max(n) AS n FROM order_events") == [{"places": 2, "n": 2}]
    await queries.close()
