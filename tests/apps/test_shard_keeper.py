"""Two units on a real lease store and a real journal: one is gone without a word, the other takes its shard; and how a unit joins."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import pytest

from adapters import bus, subjects
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import JetStreamJournal, ensure_stream
from adapters.leases import NatsLeases, ensure_bucket
from adapters.memory_leases import MemoryBucket, MemoryLeases
from apps.journal.shard_keeper import ShardKeeper, join
from domain.audit.owner_audit import OwnerAudit
from domain.leases import CLUSTER, Cluster, OtherShards, UnitAlive
from domain.order.events import OrderEvent, ShardReleased, ShardTaken
from domain.ownership import Phase
from domain.ports import Fenced, Head, JournalEntry, Leases
from tests.live import LiveServer
from tests.simulation.owner_units import CountingSeat, NotAccepted

DEADLINE_S = 120


class Whole:
    """A journal on the server, as a seat uses it."""

    def __init__(self, journal: JetStreamJournal) -> None:
        self._journal = journal

    async def append(self, payload: bytes, after: Head) -> Head:
        return await self._journal.append(payload, after)

    async def behind(self, after: Head) -> Sequence[JournalEntry]:
        until = (await self._journal.head()).seq
        return [entry async for batch in self._journal.follow(after, until=until) for entry in batch] if until > after.seq else []

    async def follow(self, after: Callable[[], Head]) -> AsyncGenerator[Sequence[JournalEntry]]:
        async with contextlib.aclosing(self._journal.follow(after())) as batches:
            async for batch in batches:
                yield batch


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not reached():
            await asyncio.sleep(0.02)


class RealUnit:
    """One process of a unit with shard 0."""

    def __init__(self, name: str, leases: Leases, journal: Whole) -> None:
        self.name = name
        self.sender = f"oms-of-{name}"
        self.clock = SystemClock()
        self.seat = CountingSeat(self, 0, journal)
        self.keeper = ShardKeeper(name, self.sender, {0: self.seat}, leases, self.clock, UnitAlive(version="0.3.0", reads=1))
        works = (self.keeper.watch(), self.keeper.beat(), self.keeper.keep(0), self.seat.follow())
        self._tasks = [asyncio.create_task(work) for work in works]

    async def owns(self) -> None:
        await until(self.seat.trusted)

    async def works(self) -> int:
        """Append one commit and return its epoch. On a slow machine the unit may have to prove first that the shard is its own."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(NotAccepted):
                    _, epoch = await self.seat.work()
                    return epoch
                await asyncio.sleep(0.02)

    async def die(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


MakeUnit = Callable[[str], RealUnit]


@pytest.fixture
async def unit(fresh_nats: LiveServer) -> AsyncIterator[MakeUnit]:
    client = await bus.connect(fresh_nats.url, "units", closed=lambda: None)
    await ensure_bucket(client)
    await ensure_stream(client, subjects.ORDER_STREAM, [subjects.ORDER_JOURNALS], 64 * 1024 * 1024)
    journals = [await JetStreamJournal.open(client, stream=subjects.ORDER_STREAM, subject=subjects.order_subject(0)) for _ in range(2)]
    units: list[RealUnit] = []

    def make(name: str) -> RealUnit:
        units.append(RealUnit(name, NatsLeases(client), Whole(journals[len(units)])))
        return units[-1]

    yield make
    for each in units:
        await each.die()
    await client.close()


def events(seat: CountingSeat, entries: Sequence[JournalEntry]) -> list[OrderEvent]:
    return [event for entry in entries for event in ORDER_COMMITS.read(entry).events]


async def test_the_shard_of_a_unit_that_is_gone_is_taken_and_the_gone_one_cannot_write(unit: MakeUnit) -> None:
    # SCALE S1, S2 "its append refused"
    first = unit("unit-a")
    await first.owns()
    assert await first.works() == 1
    other = unit("unit-b")
    with pytest.raises(NotAccepted):
        await other.seat.work()
    await first.die()
    await other.owns()
    assert await other.works() > 1
    with pytest.raises(Fenced):
        await first.seat.hold()
    history = events(other.seat, await other.seat.journal.behind(Head()))
    taken = [event for event in history if isinstance(event, ShardTaken)]
    assert [(event.unit, event.before) for event in taken] == [("unit-a", 0), ("unit-b", 1)]
    audit = OwnerAudit()
    assert [what for n, event in enumerate(history, 1) for what in audit.take(n, [event])] == []


async def test_a_planned_move_needs_no_silence(unit: MakeUnit) -> None:
    first, other = unit("unit-a"), unit("unit-b")
    await until(lambda: first.seat.trusted() is not other.seat.trusted())
    owner, heir = (first, other) if first.seat.trusted() else (other, first)
    owner.keeper.move(0, heir.name)
    await heir.owns()
    await until(lambda: owner.keeper.phase(0) is Phase.FOLLOWING)
    history = events(heir.seat, await heir.seat.journal.behind(Head()))
    released = [event for event in history if isinstance(event, ShardReleased)]
    assert [(event.unit, event.to) for event in released] == [(owner.name, heir.name)]
    assert [event.unit for event in history if isinstance(event, ShardTaken)] == [owner.name, heir.name]


async def test_a_unit_that_drains_gives_its_shard_up_and_takes_none(unit: MakeUnit) -> None:
    first = unit("unit-a")
    await first.owns()
    first.keeper.drain()
    assert not first.seat.trusted()
    await until(lambda: first.keeper.drained)
    other = unit("unit-b")
    await other.owns()
    assert first.keeper.drained
    assert first.keeper.takes == 1


async def test_a_unit_with_another_number_of_shards_does_not_join() -> None:
    # SCALE S22
    leases = MemoryLeases(MemoryBucket())
    born = Cluster(shards=4, writes=1, born=1_700_000_000_000_000_000)
    assert await join(leases, born) == born
    assert await join(leases, Cluster(shards=4, writes=1, born=2)) == born
    with pytest.raises(OtherShards, match="configured for 8 shards and the cluster was created with 4"):
        await join(leases, Cluster(shards=8, writes=1, born=3))
    assert (await leases.read(CLUSTER)).value == born
