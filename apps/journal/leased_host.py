"""The host of a shard in a unit that shares the shards with others: a warm standby until the unit takes the shard, then its only writer.

The journal says who writes: this process does while the last ShardTaken in it is its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import structlog

from adapters.codec import ORDER_COMMITS
from apps.journal.group_commit import GroupCommit, Outcome
from apps.journal.order_repository import SAVE_EVERY_S
from apps.journal.outcomes import CommandRefused, Taken
from apps.journal.shard_host import ShardHost
from apps.journal.shard_keeper import Opened
from domain.execution.owner import Owner, owner_of
from domain.order.commands import TakeShard
from domain.order.events import OrderEvent, ShardHeld, ShardReleased, ShardTaken
from domain.ports import Fenced, Head, JournalEntry, ShardElsewhere, Unavailable

log = structlog.get_logger()

READ_AGAIN_S: Final = 0.1
SETTLE_S: Final = 1.0
"""How long a shard that is given up waits for what is in flight."""


class Tenure(Protocol):
    """What a host asks of the leases of its unit, and tells them."""

    @property
    def unit(self) -> str: ...

    @property
    def sender(self) -> str: ...

    def now(self) -> int:
        """Return the monotonic time in nanoseconds."""

    def trusted(self, shard: int) -> bool:
        """Return whether the unit may take orders of the shard, and answer from its memory."""

    def owner(self, shard: int) -> str:
        """Return the unit that should own the shard, by its lease; empty if there is none."""

    def recovered(self, shard: int, n: int, owner: Owner) -> None:
        """Note that the journal was read to commit `n`, and who owns the shard there."""

    def applied(self, shard: int, n: int, events: Sequence[OrderEvent]) -> None:
        """Note a commit that was read."""

    def appended(self, shard: int, n: int, sent_at: int) -> None:
        """Note a commit of this process that was acknowledged."""

    async def read_by_all(self, shard: int, seq: int) -> None:
        """Wait until all folds of this unit have read the journal up to `seq`."""


class LeasedCommits(GroupCommit[OrderEvent]):
    """A group commit that is trusted only as long as the lease of the shard is."""

    def __init__(
        self, *given: Any, may: Callable[[], bool], now: Callable[[], int], acked: Callable[[int, int], None], **more: Any
    ) -> None:
        super().__init__(*given, **more)
        self._may = may
        self._now = now
        self._acked = acked

    @property
    def trusted(self) -> bool:
        return super().trusted and self._may()

    @property
    def proven(self) -> bool:
        return super().proven and self._may()

    async def _commit(self) -> None:
        sent_at = self._now()
        await super()._commit()
        self._acked(self.head.n, sent_at)

    def end(self) -> None:
        """Tell everything that waits for a commit that it is lost: what is in flight may have been stored."""
        self._lose(Unavailable("the shard was given up", unknown=True))


class LeasedHost(ShardHost):
    """A host that follows the journal until `take_shard`, and again after `give_up` or `step_down`."""

    def __init__(self, *given: Any, tenure: Tenure, **more: Any) -> None:
        super().__init__(*given, **more)
        self._tenure = tenure
        self._followed: Head | None = None
        """The last commit in the book while this process follows; None while it recovers or writes."""
        self._epoch = 0
        """The epoch that this process took and still has; 0 for none."""
        self._owns = asyncio.Event()
        self._left = asyncio.Event()
        self._leaving: tuple[LeasedCommits, int] | None = None
        self.warm = asyncio.Event()
        """Set once the book was first read to the journal's end."""
        self.on_standby: Callable[[], None] = lambda: None
        self._kind = self._leased

    def _leased(self, *given: Any, **more: Any) -> LeasedCommits:
        shard, tenure = self.shard, self._tenure
        return LeasedCommits(
            *given, may=lambda: tenure.trusted(shard), now=tenure.now, acked=lambda n, at: tenure.appended(shard, n, at), **more
        )

    @property
    def standby(self) -> bool:
        return not self.ready and not (self._epoch and self._tenure.trusted(self.shard))

    @property
    def trouble(self) -> Unavailable:
        if not self.standby:
            return super().trouble
        owner = self._tenure.owner(self.shard)
        return ShardElsewhere(self.shard, "" if owner == self._tenure.unit else owner)

    @property
    def head(self) -> Head:
        return self._followed or super().head

    @property
    def epoch(self) -> int:
        """The shard's epoch, by what was read of the journal."""
        return self.book.owner.epoch

    async def distrusted(self) -> str | None:
        """Return why the shard is not ready. A unit that follows it is ready as a standby."""
        return None if self._followed is not None else await super().distrusted()

    def take(self, command: TakeShard, then: Taken) -> None:
        """Refuse: here the unit takes a shard, with its lease, and its exeq sends under that epoch."""
        then(CommandRefused(self.book.owner))

    # What the host does

    async def _read(self) -> Head:
        """Read the journal to its end, and follow it until this process has taken the shard."""
        head = await super()._read()
        self._followed = head
        try:
            self.stamps.heard((self.book.latest,))
            self._tenure.recovered(self.shard, head.n, self.book.owner)
            await self._follow()
            head = self._followed
        finally:
            self._followed = None
        await self._tenure.read_by_all(self.shard, head.seq)
        return head

    async def _follow(self) -> None:
        assert self._followed is not None
        self._owns.clear()
        if self._feed is not None:
            self._feed.begin(self._followed)
        self._notice()
        if not self._owns.is_set():
            log.info("this unit follows the shard", shard=self.shard, sequence=self._followed.seq)
        self.warm.set()
        self.on_standby()
        reading, saving = asyncio.create_task(self._read_on()), asyncio.create_task(self._save_on())
        owned = asyncio.create_task(self._owns.wait())
        try:
            await asyncio.wait((reading, saving, owned), return_when=asyncio.FIRST_COMPLETED)
            if not self._owns.is_set():
                for ended in (reading, saving):
                    if ended.done():
                        ended.result()
            await saving  # a save that was cut off would forget which orders it had
        finally:
            for task in (reading, saving, owned):
                task.cancel()
            await asyncio.gather(reading, saving, owned, return_exceptions=True)

    async def _read_on(self) -> None:
        """Follow the journal until cancelled."""
        while True:
            assert self._followed is not None
            try:
                async with contextlib.aclosing(self.journal.follow(self._followed)) as batches:
                    async for batch in batches:
                        self._apply(batch)
                        await asyncio.sleep(0)
            except Unavailable as trouble:
                log.warning("the journal cannot be followed", shard=self.shard, reason=str(trouble))
            await asyncio.sleep(READ_AGAIN_S)

    async def _save_on(self) -> None:
        """Save what was read, until this process owns the shard."""
        while not self._owns.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY_S):
                    await self._owns.wait()
            if self._followed is not None:
                await self.book.save(self._followed)

    def _apply(self, entries: Sequence[JournalEntry]) -> None:
        """Apply commits, of which some may have been applied."""
        for entry in entries:
            if self._followed is None or entry.head.n != self._followed.n + 1:
                continue
            commit = ORDER_COMMITS.decoded(entry)
            self.book.follow(entry.head, commit.commit.events)
            self._followed = entry.head
            self.stamps.heard((self.book.latest,))
            if self._feed is not None:
                self._feed.put(commit)
            self._tenure.applied(self.shard, entry.head.n, commit.commit.events)
        self._notice()

    def _notice(self) -> None:
        owner = self.book.owner
        if self._epoch and owner.sender == self._tenure.sender and owner.epoch == self._epoch:
            self._owns.set()

    def _held(self) -> OrderEvent:
        return ShardHeld(at=self.stamps.now(), unit=self._tenure.unit)

    async def _write(self, commits: GroupCommit[OrderEvent]) -> None:
        """Write until the shard is given up, or memory can no longer be trusted."""
        assert isinstance(commits, LeasedCommits)
        writing, left = asyncio.create_task(super()._write(commits)), asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait((writing, left), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            for task in (writing, left):
                task.cancel()
            await asyncio.gather(writing, left, return_exceptions=True)
        commits.end()
        raise Unavailable("the shard was given up")

    # What the unit's keeper asks

    async def read_to_end(self) -> None:
        """Read the journal to its end and apply it. Raises Unavailable."""
        after, last = self._following(), await self.journal.head()
        if last.seq > after.seq:
            async with contextlib.aclosing(self.journal.follow(after, until=last.seq)) as batches:
                async for batch in batches:
                    self._apply(batch)

    async def take_shard(self, lease: int) -> Opened:
        """Append ShardTaken behind what was read; the shard opens once all folds of the unit have read it. Raises Fenced, Unavailable."""
        after, tenure = self._following(), self._tenure
        event = ShardTaken(at=self.stamps.now(), unit=tenure.unit, sender=tenure.sender, before=self.epoch, lease=lease)
        payload = ORDER_COMMITS.encode(self.shard, after.n + 1, [event])
        head = await self.journal.append(payload, after)
        self._epoch = owner_of(event, head.n).epoch
        self._left.clear()
        self._apply([JournalEntry(head, payload)])
        return Opened(self._epoch, head.n)

    async def hold(self) -> None:
        """Append ShardHeld. Raises Fenced, Unavailable."""
        if self._commits is None:
            raise Unavailable("the shard recovers")
        await self._commits.settled(self._commits.add((self._held(),), _nothing))

    async def give_up(self, to: str) -> None:
        """Settle what is in flight and append ShardReleased. It may be called again. Raises Fenced, Unavailable."""
        commits = self._commits
        if commits is None:
            if self._following() and self.book.owner.sender != self._tenure.sender:
                self._end_tenure()
                if self.book.owner.unit:
                    raise Fenced("another process has the shard")
                return  # an earlier attempt was stored
            raise Unavailable("the shard recovers")
        assert isinstance(commits, LeasedCommits)
        if self._leaving is None or self._leaving[0] is not commits:
            event = ShardReleased(at=self.stamps.now(), unit=self._tenure.unit, to=to)
            self._leaving = commits, commits.add((event,), _nothing)
        try:
            async with asyncio.timeout(SETTLE_S):
                await commits.settled(self._leaving[1])
        except TimeoutError as silence:
            raise Unavailable("the journal does not answer") from silence
        self._end_tenure()

    async def step_down(self) -> None:
        """Settle what is in flight, as far as it can be, and follow."""
        if self._commits is not None:
            with contextlib.suppress(TimeoutError, Unavailable):
                async with asyncio.timeout(SETTLE_S):
                    await self._commits.settled(self._commits.added)
        self._end_tenure()

    def _end_tenure(self) -> None:
        self._epoch = 0
        self._left.set()

    def _following(self) -> Head:
        """Return the end of what was read. Raises Unavailable while the shard recovers, or is written here."""
        if self._followed is None:
            raise Unavailable("the shard recovers")
        return self._followed


def _nothing(outcome: Outcome) -> None:
    """Do nothing: the caller waits for the ticket."""


class HostSeat:
    """Port: apps.journal.shard_keeper.ShardSeat."""

    def __init__(self, host: LeasedHost) -> None:
        self._host = host

    async def end(self) -> None:
        await self._host.read_to_end()

    async def take(self, lease: int) -> Opened:
        return await self._host.take_shard(lease)

    async def hold(self) -> None:
        await self._host.hold()

    async def release(self, to: str) -> None:
        await self._host.give_up(to)

    async def stop(self) -> None:
        await self._host.step_down()
