"""What every store of equity samples promises: exact, one for each account and moment, thinned by intervals."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from adapters.equity_samples import QuestDbEquity, SqliteEquity
from adapters.memory_equity import MemoryEquity
from adapters.questpg import connected
from domain.ports import EquitySamples, Unavailable
from domain.position.equity import MINUTE_NS, STEPS, EquitySample
from tests.live import LiveServer

DAY: Final = STEPS["1d"]
BEGIN: Final = 20_000 * DAY
EXACT: Final = Decimal("99999.999999999999999999999999999999999999")
VISIBLE_S: Final = 60.0


def sample(minute: int, equity: Decimal | int = 100, account: str = "alice", short: int = 0) -> EquitySample:
    return EquitySample(BEGIN + minute * MINUTE_NS, account, Decimal(equity), Decimal(equity) - short, Decimal(0), Decimal(short))


@pytest.fixture(params=["memory", "sqlite", "questdb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EquitySamples]:
    """An empty, prepared store."""
    found: EquitySamples
    if request.param == "memory":
        found = MemoryEquity()
    elif request.param == "sqlite":
        found = SqliteEquity(tmp_path)
    else:
        server: LiveServer = request.getfixturevalue("questdb_server")
        async with connected(server.pg_url) as connection:
            await connection.execute("DROP TABLE IF EXISTS account_equity")
        found = QuestDbEquity(server.pg_url)
    await found.prepare()
    yield found
    if isinstance(found, QuestDbEquity):
        await found.close()


async def until_read(store: EquitySamples, expected: list[EquitySample], step: str = "1m", **bounds: int) -> None:
    """Rows of QuestDB are readable a moment after they were written."""
    asked = {"since_ns": 0, "until_ns": BEGIN + 400 * DAY, "limit": 1000} | bounds
    async with asyncio.timeout(VISIBLE_S):
        while True:
            found = await store.history("alice", step, since_ns=asked["since_ns"], until_ns=asked["until_ns"], limit=asked["limit"])
            if found == expected:
                return
            await asyncio.sleep(0.02)


async def test_samples_come_back_exactly_and_once_however_often_they_are_written(store: EquitySamples) -> None:
    samples = [sample(0, EXACT), sample(1, -EXACT, short=-7), sample(2, 5)]
    assert await store.history("alice", "1m", since_ns=0, until_ns=BEGIN + DAY, limit=9) == []
    assert await store.last_before("alice", BEGIN + DAY) is None
    for _ in range(2):
        await store.prepare()
        await store.write([*samples, sample(0, 1, "bob")])
    await until_read(store, samples[::-1])
    corrected = sample(2, 6)
    await store.write([corrected])
    await until_read(store, [corrected, *samples[1::-1]])
    assert await store.history("bob", "1m", since_ns=0, until_ns=BEGIN + DAY, limit=9) == [sample(0, 1, "bob")]


async def test_an_interval_shows_its_last_sample_and_a_gap_is_left_out(store: EquitySamples) -> None:
    await store.write([sample(minute, minute) for minute in (0, 1, 4, 5, 14, 30, 1439, 1440)])
    await until_read(store, [sample(1440, 1440), sample(1435, 1439), sample(30, 30), sample(10, 14), sample(5, 5), sample(0, 4)], "5m")
    await until_read(store, [sample(1440, 1440), sample(1425, 1439), sample(30, 30), sample(0, 14)], "15m")
    await until_read(store, [sample(1440, 1440), sample(1380, 1439), sample(0, 30)], "1h")
    await until_read(store, [sample(1440, 1440), sample(0, 1439)], "1d")
    await until_read(store, [sample(1440, 1440)], "1d", limit=1)
    await until_read(store, [sample(5, 5), sample(4, 4)], since_ns=BEGIN + 4 * MINUTE_NS, until_ns=BEGIN + 14 * MINUTE_NS)
    assert await store.last_before("alice", BEGIN + DAY) == sample(1439, 1439)
    assert await store.last_before("alice", BEGIN + 1000) == sample(0, 0)
    assert await store.last_before("alice", BEGIN) is None


async def test_old_months_are_dropped(store: EquitySamples) -> None:
    months = [sample(month * 31 * 1440, month) for month in range(4)]
    await store.write(months)
    await until_read(store, months[::-1])
    for _ in range(2):
        await store.drop_before(months[2].at)
        await until_read(store, months[:1:-1])
    await store.write(months[2:])
    await until_read(store, months[:1:-1])


async def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "equity.db").write_bytes(b"this is no database" * 100)
    for lost in (SqliteEquity(tmp_path), SqliteEquity(tmp_path / "absent"), QuestDbEquity("postgresql://admin:quest@127.0.0.1:1/qdb")):
        with pytest.raises(Unavailable):
            await lost.write([sample(0)])
        with pytest.raises(Unavailable):
            await lost.last_before("alice", BEGIN)
