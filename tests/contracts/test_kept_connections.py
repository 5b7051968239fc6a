"""Connections to QuestDB that reads keep: one that failed, was cut off or lost is not used again."""

import asyncio
from typing import Any

import asyncpg
import pytest

from adapters import questpg
from adapters.questpg import KeptConnections
from domain.ports import Unavailable
from tests.live import LiveServer


async def used(reads: KeptConnections) -> None:
    """One read."""
    async with reads.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_connection_is_kept_after_a_success_only(questdb_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0
    connect: Any = asyncpg.connect

    async def counted(*args: Any, **named: Any) -> Any:
        nonlocal opened
        opened += 1
        return await connect(*args, **named)

    monkeypatch.setattr(asyncpg, "connect", counted)
    reads = KeptConnections(questdb_server.pg_url, 10)
    for _ in range(3):
        await used(reads)
    assert opened == 1
    with pytest.raises(Unavailable):
        async with reads.connection() as connection:
            await connection.fetch("SELECT nothing FROM nowhere")
    await used(reads)
    assert opened == 2, "an error cuts it off"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0), reads.connection() as connection:
            await asyncio.sleep(10)
    await used(reads)
    assert opened == 3, "a deadline cuts it off"
    reads.close()
    await used(reads)
    assert opened == 4
    async with reads.connection() as connection:
        connection.terminate()
    await used(reads)
    assert opened == 5, "one that the server closed is not lent again"
    reads.close()


async def test_no_more_are_kept_than_the_bound(questdb_server: LiveServer) -> None:
    reads = KeptConnections(questdb_server.pg_url, 10)
    await asyncio.gather(*(used(reads) for _ in range(questpg.KEPT_MAX + 2)))
    assert len(reads._idle) <= questpg.KEPT_MAX
    reads.close()
