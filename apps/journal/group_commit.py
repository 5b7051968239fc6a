"""Group commit: while one commit is being written to disk, the next one fills up. Effects are released only after the ack."""

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
"""How often an idle writer checks in the journal that it is still the only writer."""
TRUST_S: Final = 2.5
"""How long a writer may answer from memory after the journal last confirmed that no other writer has appended."""

BATCH_MIN: Final = 4
"""A commit that starts with fewer queued commands than this does not wait for more: measurements show it would gather almost none."""

Outcome = int | Unavailable
"""The sequence of the commit that holds the events, or why they were not committed (or may not have been)."""
Done = Callable[[Outcome], None]


class Pace(msgspec.Struct, frozen=True):
    """The bounds of the open commit: how long and how much it gathers."""

    wait_s: float = 0.001
    events_max: int = 1000
    bytes_max: int = 512 * 1024


class GroupCommit(Generic[E]):
    """One writer's open commit and the loop that makes it durable. Only one task may run it."""

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
        """`held` creates the event of a commit that only proves that this writer can still append. A cluster needs it: a deposed leader
        still reports its last commit, and only an append needs a majority. None: the journal is on a single server.
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
        """Whether commands may be decided from memory. If the journal has been silent for TRUST_S, another writer may have taken over.

        A process that was suspended finds the time expired and checks the journal before it answers.
        """
        return self._lost is None and asyncio.get_running_loop().time() - self._heard_at < TRUST_S

    @property
    def proven(self) -> bool:
        """Whether reads may be answered from memory. On a cluster only after an acknowledged append, counted from when it was sent."""
        return self._lost is None and asyncio.get_running_loop().time() - self._confirmed_at < TRUST_S

    async def prove(self) -> None:
        """Wait until memory is proven, by a commit in flight or by one of its own. Unavailable."""
        while not self.proven:
            if self._lost is not None:
                raise self._lost
            if self._held is None:  # `run` asks the server when nothing is in flight; between two commits its answer proves nothing
                try:
                    async with asyncio.timeout(TRUST_S):
                        await self._advanced.wait()
                except TimeoutError as silence:
                    raise Unavailable("the journal does not answer") from silence
            else:
                await self.settled(self._proving())

    def when_proven(self, seq: int, done: Done) -> None:
        """Call `done` with `seq` once memory is proven; at once if it is."""
        if self.proven or self._held is None:
            done(seq)
        else:
            self.join(self._proving(), lambda outcome: done(outcome if isinstance(outcome, Unavailable) else seq))

    def _proving(self) -> int:
        """Return the ticket of a commit whose ack is a proof: the last one in flight, else a new one."""
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
        """Report the loss between failure and recovery; like all outcomes, not from inside the call."""
        asyncio.get_running_loop().call_soon(_call_all, [((), [done])], lost)

    async def settled(self, ticket: int) -> None:
        """Wait until everything up to the ticket is on disk. Unavailable if it was lost."""
        while self.durable < ticket:
            if self._lost is not None:
                raise self._lost
            await self._advanced.wait()

    async def run(self) -> None:
        """Commit until cancelled. Raise Fenced or Unavailable when memory can no longer be trusted: recover from the journal."""
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
        """Wait for something to commit; return False if nothing came within CONFIRM_EVERY_S."""
        if not self._filled.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_EVERY_S):
                    await self._filled.wait()
        return self._filled.is_set()

    async def confirm(self) -> None:
        """Check that the journal's last commit is still this writer's. Fenced if not. Without an answer, trust expires.

        On a cluster a deposed leader may answer: a later end is true, an earlier end is stale, and neither proves that no other writer
        has appended.
        """
        asked_at = asyncio.get_running_loop().time()
        try:
            last = await self._journal.head()
        except Unavailable as trouble:
            log.warning("the journal does not answer", reason=str(trouble))
            return
        if self._held is not None and last.seq < self.head.seq:
            log.warning("the journal's server reported an outdated end", sequence=last.seq, ours=self.head.seq)
            return
        if last != self.head:
            raise Fenced(f"the journal ends at sequence {last.seq}, not at {self.head.seq}: another writer wrote, or the store changed")
        self._heard_at = asked_at
        if self._held is None:
            self._confirmed_at = asked_at
            self._advance()

    async def _gather(self) -> None:
        """Wait up to `wait_s` for more commands; return early once the commit is full, or at once if few are queued."""
        if len(self._open) < BATCH_MIN:
            await asyncio.sleep(0)  # include commands that arrive in this turn of the loop
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
        """Return the next commit within its bounds, its bytes and its event count; its effects wait in `_in_flight` for the ack."""
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
        """Report the loss: events in flight may be stored if the outcome is unknown; events still open certainly are not."""
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
    """Call every callback. A reply to a closed connection may raise, which must not stop the commit loop and the other replies."""
    for _, callbacks in groups:
        for callback in callbacks:
            try:
                callback(outcome)
            except Exception:  # an effect is code of another part: isolate it, log it, continue
                log.exception("an effect failed after its commit")
