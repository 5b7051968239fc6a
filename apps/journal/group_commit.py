"""Group commit: while one commit is on its way to the disk, the next one fills up. Effects leave only after the ack."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from adapters.codec import Commit, CommitCodec, Decoded
from apps.runtime.failpoint import failpoint
from domain.ports import Fenced, Head, Journal, Unavailable

log = structlog.get_logger()
E = TypeVar("E")

CONFIRM_EVERY_S: Final = 0.5
"""How often an idle writer asks the journal whether it is still the only one."""
TRUST_S: Final = 2.5
"""How long a writer may answer from its memory since the journal last showed that nobody else has written."""

COMPANY_MIN: Final = 4
"""So many that came while the last commit was under way are worth waiting for more. Fewer show that waiting would gather next to nobody."""

Outcome = int | Unavailable
"""The sequence of the commit that holds the events, or why there is none (or none that we know of)."""
Done = Callable[[Outcome], None]


class Pace(msgspec.Struct, frozen=True):
    """How long and how much one commit gathers. All bounds of the open commit."""

    wait_s: float = 0.001
    events_max: int = 1000
    bytes_max: int = 512 * 1024


class GroupCommit(Generic[E]):
    """One writer's open commit and the loop that makes it durable. Not for two tasks to run."""

    def __init__(
        self,
        journal: Journal,
        codec: CommitCodec[E],
        head: Head,
        *,
        shard: int = 0,
        pace: Pace,
        held: Callable[[], E] | None = None,
    ) -> None:
        """`held` makes the event of a commit that only proves that we can still write. A cluster needs it: a leader that was deposed and
        does not know it answers what the last commit is, and only an append needs a majority. None: the journal is on a single server.
        """
        self._held = held
        self._journal = journal
        self._codec = codec
        self._shard = shard
        self._pace = pace
        self.head = head
        self.added = 0
        self.durable = 0
        self.on_append: Callable[[float, int], None] = lambda seconds, events: None
        self.on_head: Callable[[Head], None] = lambda head: None
        self.on_commit: Callable[[Decoded[E]], None] = lambda appended: None
        self._open: deque[tuple[Sequence[E], list[Done]]] = deque()
        self._open_events = 0
        self._in_flight: list[tuple[Sequence[E], list[Done]]] = []
        self._filled = asyncio.Event()
        self._full = asyncio.Event()
        self._advanced = asyncio.Event()
        self._lost: Unavailable | None = None
        self._confirmed_at = float("-inf")
        self._heard_at = float("-inf")

    @property
    def trusted(self) -> bool:
        """May commands be decided on memory? Not once the journal has been silent for too long: another writer may have taken over.

        A process that was stopped and wakes finds that the time has run on, and asks before it answers.
        """
        return self._lost is None and asyncio.get_running_loop().time() - self._heard_at < TRUST_S

    @property
    def proven(self) -> bool:
        """May memory be answered from as it is? On a cluster only behind an append that was acknowledged, counted from its sending."""
        return self._lost is None and asyncio.get_running_loop().time() - self._confirmed_at < TRUST_S

    async def prove(self) -> None:
        """Until memory is proven, by a commit that is under way or by one that says nothing else. Unavailable."""
        while not self.proven:
            if self._lost is not None:
                raise self._lost
            if self._held is None:  # `run` asks the server when nothing is under way; between two commits its answer says nothing
                try:
                    async with asyncio.timeout(TRUST_S):
                        await self._advanced.wait()
                except TimeoutError as silence:
                    raise Unavailable("the journal does not answer") from silence
            else:
                await self.settled(self._proving())

    def when_proven(self, seq: int, done: Done) -> None:
        """Call `done` with `seq` once memory is proven; at once where it is."""
        if self.proven or self._held is None:
            done(seq)
        else:
            self.join(self._proving(), lambda outcome: done(outcome if isinstance(outcome, Unavailable) else seq))

    def _proving(self) -> int:
        """The ticket of a commit whose ack is a proof: the last one under way, else one of its own."""
        if self.added > self.durable or self._lost is not None or self._held is None:
            return self.added
        return self.add((self._held(),), lambda outcome: None)

    def add(self, events: Sequence[E], done: Done) -> int:
        """Put events into the open commit, together; `done` is called once, after the ack or when they are lost.

        Returns a ticket: the events are durable when `durable` has reached it.
        """
        self.added += 1
        if self._lost is not None:
            self._refuse(done, self._lost)
            return self.added
        self._open.append((events, [done]))
        self._open_events += len(events)
        self._filled.set()
        if self._open_events >= self._pace.events_max:
            self._full.set()
        return self.added

    def join(self, ticket: int, done: Done) -> None:
        """Call `done` with the outcome of an earlier `add` that is not durable yet."""
        if self._lost is not None:
            self._refuse(done, self._lost)
            return
        place = ticket - self.durable - 1
        group = self._in_flight[place] if place < len(self._in_flight) else self._open[place - len(self._in_flight)]
        group[1].append(done)

    @staticmethod
    def _refuse(done: Done, lost: Unavailable) -> None:
        """Between the loss and the recovery: told like the others, and like them not from inside the call."""
        asyncio.get_running_loop().call_soon(_call_all, [((), [done])], lost)

    async def settled(self, ticket: int) -> None:
        """Until everything up to the ticket is on disk. Unavailable when it was lost."""
        while self.durable < ticket:
            if self._lost is not None:
                raise self._lost
            await self._advanced.wait()

    async def run(self) -> None:
        """Commit for ever. Raises Fenced or Unavailable when what is in memory can no longer be trusted: recover from the journal."""
        try:
            if not self.trusted:
                await self.confirm()
            while True:
                if not await self._filled_soon():
                    await self.confirm()
                    continue
                await self._gather()
                await self._commit()
        except (Fenced, Unavailable) as trouble:
            self._lose(trouble)
            raise

    async def _filled_soon(self) -> bool:
        """Is there something to commit? False when nothing came for a while."""
        if not self._filled.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_EVERY_S):
                    await self._filled.wait()
        return self._filled.is_set()

    async def confirm(self) -> None:
        """Is the journal's last commit still ours? Fenced when it is not. While nobody answers, trust runs out by itself.

        On a cluster the answer may be a deposed leader's: that there is more is true, that there is less is old, and neither proves
        what is not there.
        """
        asked_at = asyncio.get_running_loop().time()
        try:
            last = await self._journal.head()
        except Unavailable as trouble:
            log.warning("the journal does not answer", reason=str(trouble))
            return
        if self._held is not None and last.seq < self.head.seq:
            log.warning("the journal's server answered with an old end", sequence=last.seq, ours=self.head.seq)
            return
        if last != self.head:
            raise Fenced(f"the journal ends at sequence {last.seq}, not at {self.head.seq}: another writer wrote, or the store changed")
        self._heard_at = asked_at
        if self._held is None:
            self._confirmed_at = asked_at
            self._advance()

    async def _gather(self) -> None:
        """Wait a named moment for more company where there is some, cut short when the commit is full."""
        if len(self._open) < COMPANY_MIN:
            await asyncio.sleep(0)  # what this turn of the loop still brings goes along
        elif self._pace.wait_s > 0 and not self._full.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.wait_s):
                    await self._full.wait()

    async def _commit(self) -> None:
        commit, payload, count = self._take()
        loop = asyncio.get_running_loop()
        started = loop.time()
        failpoint("before_append")
        self.head = await self._journal.append(payload, self.head)
        failpoint("after_append")
        self._confirmed_at = self._heard_at = started
        self.on_head(self.head)
        self.on_append(loop.time() - started, count)
        landed, self._in_flight = self._in_flight, []
        self.durable += len(landed)
        self._advance()
        _call_all(landed, self.head.seq)
        self.on_commit(Decoded(self.head, payload, commit))

    def _take(self) -> tuple[Commit[E], bytes, int]:
        """The next commit and its bytes, within its bounds; its effects wait in `_in_flight` for the ack."""
        count = 0
        while self._open and (not count or count + len(self._open[0][0]) <= self._pace.events_max):
            count += len(self._open[0][0])
            self._in_flight.append(self._open.popleft())
        commit, payload = self._encoded()
        while len(payload) > self._pace.bytes_max and len(self._in_flight) > 1:
            for group in reversed(self._in_flight[len(self._in_flight) // 2 :]):
                self._open.appendleft(group)
                count -= len(group[0])
            del self._in_flight[len(self._in_flight) // 2 :]
            commit, payload = self._encoded()
        self._open_events -= count
        if not self._open:
            self._filled.clear()
        if self._open_events < self._pace.events_max:
            self._full.clear()
        return commit, payload, count

    def _encoded(self) -> tuple[Commit[E], bytes]:
        commit = self._codec.commit(self._shard, self.head.n + 1, (event for events, _ in self._in_flight for event in events))
        return commit, self._codec.written(commit)

    def _lose(self, trouble: Fenced | Unavailable) -> None:
        """What was in flight may be stored when nobody could tell; what was still open certainly is not."""
        unknown = isinstance(trouble, Unavailable) and trouble.unknown
        self._lost = Unavailable(str(trouble))
        self._advance()
        in_flight, self._in_flight = self._in_flight, []
        waiting, self._open = self._open, deque()
        _call_all(in_flight, Unavailable(str(trouble), unknown=unknown))
        _call_all(waiting, Unavailable(str(trouble)))

    def _advance(self) -> None:
        self._advanced.set()
        self._advanced = asyncio.Event()


def _call_all(groups: Iterable[tuple[Sequence[object], list[Done]]], outcome: Outcome) -> None:
    """A reply to a closed connection may raise; the journal's loop must not die of it with everybody else's replies."""
    for _, callbacks in groups:
        for callback in callbacks:
            try:
                callback(outcome)
            except Exception:  # an effect belongs to somebody else: isolate it, say so, go on
                log.exception("an effect failed after its commit")
