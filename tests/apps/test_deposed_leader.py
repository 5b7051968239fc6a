"""A cluster whose server answers with an old end: a leader that was deposed and does not know it. Memory proves nothing then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal import group_commit as commits_module
from apps.journal import shard_host as host_module
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from domain.order.commands import CancelOrder
from domain.order.events import ShardHeld
from domain.order.lifecycle import State
from domain.ports import Head, Unavailable
from tests import given
from tests.apps.held_journal import until

QUICK_S = 0.01


@pytest.fixture(autouse=True)
def _quick_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "RECOVER_PAUSE_S", QUICK_S)


class DeposedJournal(MemoryJournal):
    """`depose()`: what is asked from here on is answered as of now, whatever others write. Appends need the others."""

    old: Head | None = None

    async def depose(self) -> None:
        self.old = await super().head()

    async def head(self) -> Head:
        return self.old or await super().head()


@asynccontextmanager
async def writing(journal: MemoryJournal, replicas: int) -> AsyncIterator[ShardHost]:
    host = ShardHost(journal, SystemClock(), pace=Pace(wait_s=0), replicas=replicas)
    task = asyncio.create_task(host.run())
    await until(lambda: host.ready)
    yield host
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def shown(host: ShardHost) -> State:
    """As a read does it: look, then answer once that is known to be the truth. Unavailable."""
    order = host.find(given.ORDER_ID)
    assert order is not None
    status = order.status
    await host.settled(order)
    return status


@pytest.mark.parametrize("replicas", [3, 5])
async def test_on_a_cluster_an_old_end_is_no_proof(replicas: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # SCALE "Trust": a leader cut off from the others answered with an old end for 1.5 s after they had acknowledged newer commits
    log = MemoryLog()
    cut_off = DeposedJournal(log)
    async with writing(cut_off, replicas) as old:
        await old.perform(given.submit(given.terms()))
        await cut_off.depose()
        async with writing(MemoryJournal(log), replicas) as heir:
            await heir.perform(CancelOrder(order_id=given.ORDER_ID))
            assert await shown(heir) is State.CANCELLED
            monkeypatch.setattr(commits_module, "TRUST_S", 0.0)  # the last acknowledged append is long ago
            with pytest.raises(Unavailable):
                await shown(old)


async def test_a_read_proves_memory_by_one_commit_and_the_next_ones_need_none() -> None:
    log = MemoryLog()
    async with writing(MemoryJournal(log), 3) as host:
        assert not log.commits, "a start proves nothing that no read asks for"
        await host.proven()
        assert await kinds(log) == [ShardHeld]
        await asyncio.gather(*(host.proven() for _ in range(20)))
        assert await kinds(log) == [ShardHeld]
        await host.perform(given.submit(given.terms()))
        before = len(log.commits)
        assert await shown(host) is State.QUEUED
        again = await host.perform(given.submit(given.terms()))
        assert (again.events, len(log.commits)) == ((), before), "an order that was just acknowledged is a proof"


async def test_a_single_server_is_asked_as_before() -> None:
    log = MemoryLog()
    async with writing(MemoryJournal(log), 1) as host:
        await host.proven()
        assert not log.commits


async def kinds(log: MemoryLog) -> list[type[object]]:
    return [type(event) for _, payload in log.commits for event in ORDER_COMMITS.decode(payload).events]
