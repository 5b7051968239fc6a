"""Stores from before there were shards: with one shard their tables are read and written as they are."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from adapters.orderstore import SqliteOrderStore
from adapters.questdb import QuestDbFills
from adapters.sqlite import SqliteFills
from domain.order.algo import AlgoFilter
from domain.ports import Fills
from tests.contracts.facts import filled, rows, submitted
from tests.contracts.test_order_store import an_order, save
from tests.live import LiveServer

SQLITE: Final = """
CREATE TABLE fills (
  timestamp TEXT NOT NULL, exec_id TEXT NOT NULL, order_id TEXT NOT NULL, client_order_id TEXT,
  account TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, venue TEXT NOT NULL,
  quantity TEXT NOT NULL, price TEXT NOT NULL, fee TEXT NOT NULL, liquidity TEXT, seq INTEGER NOT NULL,
  PRIMARY KEY (timestamp, exec_id, venue)
) WITHOUT ROWID;
CREATE TABLE order_events (
  timestamp TEXT NOT NULL, order_id TEXT NOT NULL, account TEXT, symbol TEXT, type TEXT NOT NULL, status TEXT NOT NULL,
  seq INTEGER NOT NULL, "index" INTEGER NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (seq, "index")
) WITHOUT ROWID;
INSERT INTO fills VALUES ('2023-11-14T22:13:20.123456789Z','E1','O1','c1','alice','BTCUSDT','buy','PAPER_A','0.1','50','0',NULL,2);
INSERT INTO order_events VALUES ('2023-11-14T22:13:20.123456789Z','O1','alice','BTCUSDT','OrderSubmitted','new',1,0,'');
INSERT INTO order_events VALUES ('2023-11-14T22:13:20.123456789Z','O1','alice','BTCUSDT','OrderFilled','filled',2,0,'');
"""
QUESTDB: Final = (
    """
CREATE TABLE fills (
  timestamp TIMESTAMP, exec_id VARCHAR, order_id VARCHAR, client_order_id VARCHAR, account SYMBOL, symbol SYMBOL, side SYMBOL, venue SYMBOL,
  quantity DECIMAL(38,12), price DECIMAL(38,12), fee DECIMAL(76,36), liquidity SYMBOL, seq LONG
) timestamp(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, exec_id, venue)
""",
    """
CREATE TABLE order_events (
  timestamp TIMESTAMP, order_id VARCHAR, account SYMBOL, symbol SYMBOL, type SYMBOL, status SYMBOL, seq LONG, "index" INT, detail VARCHAR
) timestamp(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, order_id, seq, "index")
""",
    "INSERT INTO fills VALUES ('2023-11-14T22:13:20.123456Z','E1','O1','c1','alice','BTCUSDT','buy','PAPER_A',0.1m,50m,0m,NULL,2)",
    "INSERT INTO order_events VALUES ('2023-11-14T22:13:20.123456Z','O1','alice','BTCUSDT','OrderSubmitted','new',1,0,'')",
    "INSERT INTO order_events VALUES ('2023-11-14T22:13:20.123456Z','O1','alice','BTCUSDT','OrderFilled','filled',2,0,'')",
)


@pytest.fixture(params=["sqlite", "questdb"])
async def of_before(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fills]:
    store: SqliteFills | QuestDbFills
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "fills.db") as file:
            file.executescript(SQLITE)
        file.close()
        store = SqliteFills(tmp_path / "fills.db")
    else:
        server: LiveServer = request.getfixturevalue("questdb_server")
        connection = await asyncpg.connect(server.pg_url)
        for statement in ("DROP TABLE IF EXISTS fills", "DROP TABLE IF EXISTS order_events", *QUESTDB):
            await connection.execute(statement)
        await connection.close()
        store = QuestDbFills(server.pg_url)
    yield store
    await store.close()


async def until_at(store: Fills, seq: int) -> None:
    async with asyncio.timeout(120):
        while await store.reaches() != seq:
            await asyncio.sleep(0.02)


async def test_tables_without_a_column_shard_are_read_and_written(of_before: Fills) -> None:
    await of_before.prepare()
    await until_at(of_before, 2)
    assert await of_before.checkpoint() <= 2
    await of_before.write([*rows(3, submitted("O2")), *rows(4, filled("E2", "0.2", order_id="O2"))])
    await until_at(of_before, 4)
    async with asyncio.timeout(120):
        while await of_before.count(9) != 2:
            await asyncio.sleep(0.02)
    assert {row["exec_id"] for row in await of_before.rows(0, 9)} == {"E1", "E2"}
    assert {row["exec_id"] for row in await of_before.fills("alice", symbol=None, since_ns=0, limit=9)} == {"E1", "E2"}


def test_an_order_store_without_the_table_of_parents_is_not_rebuilt(tmp_path: Path) -> None:
    before = SqliteOrderStore(tmp_path / "orders.db")
    save(before, an_order("a"))
    before.close()
    with sqlite3.connect(tmp_path / "orders.db") as file:
        file.execute("DROP TABLE parents")
    file.close()
    store = SqliteOrderStore(tmp_path / "orders.db")
    found = store.load()
    assert found is not None
    assert (found.checkpoint, found.parents, store.find(an_order("a").order_id)) == (7, [], an_order("a"))
    assert store.parents(AlgoFilter(), None, 10) == []
    store.close()
