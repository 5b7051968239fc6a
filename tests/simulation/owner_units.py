"""Three units and their four shards: the real keeper of leases on simulated servers, and shards that only count their commits."""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from adapters.chain import GENESIS
from adapters.codec import ORDER_COMMITS
from apps.journal.shard_keeper import Opened, ShardKeeper
from domain.execution.owner import NO_OWNER, owner_after
from domain.leases import UnitAlive
from domain.order.events import OrderEvent, ShardHeld, ShardReleased, ShardTaken
from domain.ownership import Phase
from domain.ports import Clock, Fenced, Head, JournalEntry, Unavailable
from tests.simulation.loop import OWNER
from tests.simulation.owner_servers import Net, SimLeases, SimShardJournal
from tests.simulation.world import SimClock

UNITS: Final = ("unit-a", "unit-b", "unit-c")
SHARDS: Final = 4
AGAIN_S: Final = 0.2


class NotAccepted(Exception):
    """The unit does not own the shard, or may not trust its memory: nothing was done."""


class Writer(Protocol):
    """The process that a seat belongs to."""

    name: str
    sender: str
    keeper: ShardKeeper

    @property
    def clock(self) -> Clock: ...


class JournalOfShard(Protocol):
    """What a seat needs of its journal."""

    async def append(self, payload: bytes, after: Head) -> Head: ...

    async def behind(self, after: Head) -> Sequence[JournalEntry]: ...

    def follow(self, after: Callable[[], Head]) -> AsyncGenerator[Sequence[JournalEntry]]: ...


class CountingSeat:
    """A shard whose orders are its commits: what a client writes is one commit, what it reads is how many there are."""

    def __init__(self, unit: Writer, shard: int, journal: JournalOfShard) -> None:
        self._unit = unit
        self.shard = shard
        self.journal = journal
        self.memory = GENESIS
        self.owner = NO_OWNER
        self._open = False
        self._doubt = False
        self._lock = asyncio.Lock()

    @property
    def keeper(self) -> ShardKeeper:
        return self._unit.keeper

    def trusted(self) -> bool:
        return self._open and self.keeper.trusted(self.shard)

    def is_mine(self) -> bool:
        """Whether the last ShardTaken that this process has read is its own."""
        return self.owner.sender == self._unit.sender

    async def follow(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                async for entries in self.journal.follow(lambda: self.memory):
                    self._apply(entries)
            await asyncio.sleep(AGAIN_S)

    def _apply(self, entries: Sequence[JournalEntry]) -> None:
        for entry in entries:
            if entry.head.n == self.memory.n + 1:
                self.memory = entry.head
                events = ORDER_COMMITS.read(entry).events
                for event in events:
                    self.owner = owner_after(self.owner, event, entry.head.n)
                self.keeper.applied(self.shard, entry.head.n, events)

    async def end(self) -> None:
        self._apply(await self.journal.behind(self.memory))

    async def take(self, lease: int) -> Opened:
        n = await self._append(
            lambda: ShardTaken(
                at=self._unit.clock.now_ns(), unit=self._unit.name, sender=self._unit.sender, before=self.owner.epoch, lease=lease
            )
        )
        self._open = True
        return Opened(self.owner.epoch, n)

    async def hold(self) -> None:
        await self._append(self._held)

    async def release(self, to: str) -> None:
        self._open = False
        await self._append(lambda: ShardReleased(at=self._unit.clock.now_ns(), unit=self._unit.name, to=to))

    async def stop(self) -> None:
        self._open = False

    async def work(self) -> tuple[int, int]:
        """What a client writes. Return its commit and the epoch. Raises NotAccepted, Fenced, Unavailable."""
        if not self.trusted():
            raise NotAccepted
        return await self._append(self._held), self.owner.epoch

    def look(self) -> int:
        """What a client reads. Raises NotAccepted."""
        if not self.trusted():
            raise NotAccepted
        return self.memory.n

    def _held(self) -> OrderEvent:
        return ShardHeld(at=self._unit.clock.now_ns(), unit=self._unit.name)

    async def _append(self, make: Callable[[], OrderEvent]) -> int:
        """Append behind what was read. After an unknown outcome the journal is read first: the commit may be there."""
        async with self._lock:
            if self._doubt:
                await self.end()
                self._doubt = False
            event = make()
            if not isinstance(event, ShardTaken) and not self.is_mine():
                raise Fenced("another process took the shard")
            after, sent_at = self.memory, self._unit.clock.monotonic_ns()
            payload = ORDER_COMMITS.encode(self.shard, after.n + 1, [event])
            try:
                head = await self.journal.append(payload, after)
            except (Fenced, Unavailable):
                self._doubt = True
                raise
            self._apply([JournalEntry(head, payload)])
            self.keeper.appended(self.shard, head.n, sent_at)
            return head.n


class UnitProcess:
    """One life of one unit. It may be stopped, and it dies without a word."""

    def __init__(self, net: Net, name: str, life: int) -> None:
        self.name = name
        self.sender = f"oms-{life}-of-{name}"
        self.clock = SimClock(net.world.loop)
        self.tasks: list[asyncio.Task[Any]] = []
        self.frozen = False
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        self.seats = {shard: CountingSeat(self, shard, SimShardJournal(net, name, log)) for shard, log in enumerate(net.logs)}
        self.keeper = ShardKeeper(
            name, self.sender, self.seats, SimLeases(net, name), self.clock, UnitAlive(version="0.3.0", reads=1, door="")
        )
        for work in (self.keeper.watch, self.keeper.beat):
            self.run(work())
        for shard, seat in self.seats.items():
            self.run(seat.follow())
            self.run(self.keeper.keep(shard))

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """In this process, so that it stops and dies with it."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    def owns(self, shard: int) -> bool:
        return self.keeper.phase(shard) in (Phase.OWNING, Phase.RELEASING)

    def failed(self) -> list[BaseException]:
        return [error for task in self.tasks if task.done() and not task.cancelled() and (error := task.exception()) is not None]

    async def die(self) -> None:
        self.frozen = False
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
