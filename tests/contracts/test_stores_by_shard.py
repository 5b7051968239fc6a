"""Stores of positions and fills with the rows of two shards: each shard has its own checkpoint, and readers see all accounts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from adapters import questdb
from adapters.questdb import QuestDbFills, SharedTables
from adapters.sqlite import SqliteFills
from adapters.valkey import ValkeyPositions
from domain.ports import Fills, Unavailable
from domain.position.position import Position
from domain.shards import Shards
from tests.contracts.facts import filled, rows, submitted
from tests.live import LiveServer

DATABASE = 10
SHARDS = Shards(2)
ALICE, BOB = (next(name for name in ("alice", "bob", "carol", "dora", "emil") if SHARDS.of(name) == shard) for shard in (0, 1))


def position(account: str) -> Position:
    return Position(account=account, symbol="BTCUSDT", quantity=Decimal(1), cost=Decimal(50))


async def test_positions_of_a_shard_have_their_own_checkpoint_and_a_rebuild_leaves_the_others(valkey_server: LiveServer) -> None:
    async with Redis.from_url(valkey_server.url, db=DATABASE) as client:
        await client.flushdb()
    writers = [ValkeyPositions.at(valkey_server.url, database=DATABASE, shards=SHARDS, shard=shard) for shard in (0, 1)]
    reader = ValkeyPositions.at(valkey_server.url, database=DATABASE, shards=SHARDS)
    try:
        assert await writers[0].store([position(ALICE)], after=0, seq=7)
        assert await writers[1].store([position(BOB)], after=0, seq=3)
        assert not await writers[1].store([position(BOB)], after=7, seq=8), "that is the checkpoint of the other shard"
        assert [await writer.checkpoint() for writer in writers] == [7, 3]
        assert [[held.account for held in await writer.load()] for writer in writers] == [[ALICE], [BOB]]
        assert [(await reader.of(account))[1] for account in (ALICE, BOB)] == [7, 3]
        await writers[0].clear()
        assert [await writer.checkpoint() for writer in writers] == [0, 3]
        assert ((await reader.of(ALICE))[0], [held.account for held in (await reader.of(BOB))[0]]) == ([], [BOB])
    finally:
        for store in (*writers, reader):
            await store.close()


@pytest.fixture(params=["sqlite", "questdb"])
async def by_shard(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Sequence[Fills], Fills]]:
    """The writers of two shards, and a reader of all."""
    writers: Sequence[SqliteFills | QuestDbFills]
    reader: SqliteFills | QuestDbFills
    if request.param == "sqlite":
        file = tmp_path / "fills.db"
        writers, reader = [SqliteFills(file, shard) for shard in (0, 1)], SqliteFills(file)
    else:
        server: LiveServer = request.getfixturevalue("questdb_server")
        connection = await asyncpg.connect(server.pg_url)
        for table in ("fills", "order_events"):
            await connection.execute(f"DROP TABLE IF EXISTS {table}")
        await connection.close()
        tables = SharedTables(server.pg_url)
        writers, reader = [QuestDbFills(server.pg_url, shard, tables) for shard in (0, 1)], QuestDbFills(server.pg_url)
    for store in writers:
        await store.prepare()
    yield writers, reader
    for store in (*writers, reader):
        await store.close()


async def until_reached(store: Fills, seq: int) -> None:
    """Until the last rows of a shard can be read."""
    async with asyncio.timeout(120):
        while await store.reaches() != seq:
            await asyncio.sleep(0.02)


async def test_fills_of_a_shard_are_counted_by_themselves_and_read_together(by_shard: tuple[Sequence[Fills], Fills]) -> None:
    (first, second), reader = by_shard
    await first.write([*rows(1, submitted("O1", account=ALICE)), *rows(5000, filled("E1", "0.1", order_id="O1", account=ALICE))])
    await second.write([*rows(1, submitted("O2", account=BOB)), *rows(2, filled("E2", "0.2", order_id="O2", account=BOB))])
    await until_reached(first, 5000)
    await until_reached(second, 2)
    assert await second.checkpoint() <= 2, "not the one of the other shard"
    assert [[row["exec_id"] for row in await store.rows(0, 9000)] for store in (first, second)] == [["E1"], ["E2"]]
    assert [await store.count(9000) for store in (first, second)] == [1, 1]
    for account, exec_id in ((ALICE, "E1"), (BOB, "E2")):
        (row,) = await reader.fills(account, symbol=None, since_ns=0, limit=10)
        assert (row["exec_id"], "shard" in row) == (exec_id, False)


async def test_a_shard_that_is_written_again_loses_no_row_of_the_other(by_shard: tuple[Sequence[Fills], Fills]) -> None:
    """QuestDB cannot delete the rows of one shard alone. All are deleted, and the other shard writes nothing until it starts over."""
    (first, second), _ = by_shard
    of_first = [*rows(1, submitted("O1", account=ALICE)), *rows(2, filled("E1", "0.1", order_id="O1", account=ALICE))]
    of_second = [*rows(1, submitted("O2", account=BOB)), *rows(2, filled("E2", "0.2", order_id="O2", account=BOB))]
    await first.write(of_first)
    await second.write(of_second)
    await until_reached(second, 2)
    await first.clear()
    await first.write(of_first)
    if isinstance(second, QuestDbFills):
        with pytest.raises(Unavailable, match="emptied for another shard"):
            await second.write(rows(3, submitted("O3", account=BOB)))
        await second.prepare()
        assert await second.checkpoint() == 0, "it starts over"
        await second.write(of_second)
    await until_reached(first, 2)
    await until_reached(second, 2)
    assert [await store.count(9000) for store in (first, second)] == [1, 1]
    assert questdb.OVERLAP > 0
