"""The host of a shard that units share, on a journal in memory. It follows, takes the shard and gives it up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.memory import MemoryLog, MemoryOrderStore
from apps.journal import shard_host as host_module
from apps.journal.commit_feed import CommitFeed
from apps.journal.group_commit import Pace
from apps.journal.leased_host import HostSeat, LeasedHost
from apps.journal.outcomes import CommandRefused, Landed
from domain.execution.owner import Owner
from domain.order import commands as c
from domain.order.events import OrderEvent, ShardReleased, ShardTaken
from domain.order.lifecycle import State
from domain.ports import Fenced, ShardElsewhere, Unavailable
from domain.values import order_id_of
from tests import given
from tests.apps.held_journal import HeldJournal, until, within


@pytest.fixture(autouse=True)
def _quick_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "RECOVER_PAUSE_S", 0.01)


class Lease:
    """The leases of a unit, as a test says: port Tenure."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.sender = f"{unit}-life"
        self.names = ""
        self.trusts = False
        self.owners: list[Owner] = []
        self.seen: list[OrderEvent] = []
        self.acked: list[int] = []
        self.all_have_read = asyncio.Event()
        self.all_have_read.set()

    def now(self) -> int:
        return SystemClock().monotonic_ns()

    def trusted(self, shard: int) -> bool:
        return self.trusts

    def owner(self, shard: int) -> str:
        return self.names

    def recovered(self, shard: int, n: int, owner: Owner) -> None:
        self.owners.append(owner)

    def applied(self, shard: int, n: int, events: Sequence[OrderEvent]) -> None:
        self.seen += events

    def appended(self, shard: int, n: int, sent_at: int) -> None:
        self.acked.append(n)

    async def read_by_all(self, shard: int, seq: int) -> None:
        await self.all_have_read.wait()


class UnitHouse:
    """One unit's host of shard 0, running."""

    def __init__(self, unit: str, log: MemoryLog) -> None:
        self.lease = Lease(unit)
        self.journal, self.feed = HeldJournal(log), CommitFeed()
        self.store = MemoryOrderStore()
        self.host = LeasedHost(self.journal, SystemClock(), store=self.store, pace=Pace(wait_s=0), feed=self.feed, tenure=self.lease)
        self.seat = HostSeat(self.host)
        self.task = asyncio.create_task(self.host.run())

    async def warm(self) -> "UnitHouse":
        await within(self.host.warm.wait())
        return self

    async def take(self) -> int:
        """Take the shard as the keeper does; the epoch."""
        await self.seat.end()
        opened = await self.seat.take(7)
        self.lease.trusts = True
        await until(lambda: self.host.ready)
        return opened.epoch

    async def submit(self, name: str) -> Landed:
        order_id = order_id_of(given.ACCOUNT, name)
        return await self.host.perform(given.submit(msgspec.structs.replace(given.terms(), order_id=order_id, client_order_id=name)))

    def has(self, name: str) -> bool:
        return self.host.find(order_id_of(given.ACCOUNT, name)) is not None


@contextlib.asynccontextmanager
async def two_units() -> AsyncIterator[tuple[UnitHouse, UnitHouse]]:
    log = MemoryLog()
    units = UnitHouse("unit-a", log), UnitHouse("unit-b", log)
    try:
        for unit in units:
            await unit.warm()
        yield units
    finally:
        for unit in units:
            unit.task.cancel()
        await asyncio.gather(*(unit.task for unit in units), return_exceptions=True)


async def test_a_standby_has_every_order_in_memory_and_answers_none() -> None:
    async with two_units() as (one, two):
        epoch = await one.take()
        two.lease.names = "unit-a"
        await one.submit("first")
        await until(lambda: two.has("first"))
        assert (two.host.ready, two.host.standby, two.host.epoch) == (False, True, epoch)
        with pytest.raises(ShardElsewhere, match="shard 0 is owned by unit-a"):
            await two.submit("second")
        with pytest.raises(ShardElsewhere):
            await two.host.settled()
        assert await two.host.distrusted() is None, "it is ready as a standby"
        await until(lambda: two.store.find(order_id_of(given.ACCOUNT, "first")) is not None)


async def test_the_heir_takes_a_warm_shard_and_the_owner_of_before_can_store_nothing() -> None:
    async with two_units() as (one, two):
        first = await one.take()
        await one.submit("first")
        second = await two.take()
        assert second > first
        with pytest.raises(Unavailable):
            await one.submit("late")
        await until(lambda: one.host.epoch == second)
        assert one.lease.owners[-1].unit == "unit-b", "the keeper learns who has it"
        one.lease.trusts = False
        await one.seat.stop()
        await two.submit("second")
        await until(lambda: one.has("second"))
        assert not one.has("late")
        assert not two.has("late")
        assert two.has("first")


async def test_a_shard_opens_when_all_folds_have_read_that_it_was_taken() -> None:
    async with two_units() as (one, _):
        one.lease.all_have_read.clear()
        await one.seat.take(7)
        one.lease.trusts = True
        with pytest.raises(Unavailable, match="the order journal is not available"):
            await one.submit("early")
        one.lease.all_have_read.set()
        await until(lambda: one.host.ready)
        assert (await one.submit("first")).seq


async def test_an_owner_whose_lease_is_not_trusted_decides_nothing() -> None:
    async with two_units() as (one, _):
        await one.take()
        one.lease.trusts = False
        with pytest.raises(ShardElsewhere):
            await one.submit("first")
        one.lease.trusts = True
        await one.submit("first")


async def test_a_shard_that_is_given_up_settles_what_is_in_flight_and_is_followed() -> None:
    async with two_units() as (one, two):
        await one.take()
        one.journal.hold()
        submitting = asyncio.create_task(one.submit("first"))
        await one.journal.reached()
        one.lease.trusts = False
        giving = asyncio.create_task(one.seat.release("unit-b"))
        await asyncio.sleep(0)
        one.journal.release()
        await giving
        landed = await submitting
        assert landed.order is not None
        assert landed.order.status is State.QUEUED
        await until(lambda: any(isinstance(event, ShardReleased) and event.to == "unit-b" for event in two.lease.seen))
        assert await two.take() > 0
        await two.submit("second")
        await until(lambda: one.has("second"))
        with pytest.raises(Fenced):
            await one.seat.release("unit-b")


async def test_a_take_behind_a_commit_that_was_not_read_is_refused() -> None:
    async with two_units() as (one, two):
        await one.take()
        two.lease.names = "unit-a"
        after = two.host.head
        await one.submit("first")
        two.host._followed = after
        with pytest.raises(Fenced):
            await two.seat.take(8)


async def test_exeq_cannot_take_a_shard_beside_its_unit() -> None:
    async with two_units() as (one, _):
        epoch = await one.take()
        answers: list[object] = []
        one.host.take(c.TakeShard(unit="unit-a", sender="exeq-1", before=epoch), answers.append)
        assert answers == [CommandRefused(Owner("unit-a", "unit-a-life", epoch))]


async def test_the_feed_has_the_commits_of_every_unit() -> None:
    async with two_units() as (one, two):
        start = two.host.head
        await one.take()
        await one.submit("first")
        await until(lambda: two.has("first"))
        fed = two.feed.behind(start)
        assert fed is not None
        assert next(type(event) for commit in fed for event in commit.commit.events) is ShardTaken
