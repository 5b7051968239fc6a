"""A reader of the journal: applies every commit once, in order, and resumes after an interruption."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import structlog

from adapters.codec import Commit, CommitCodec
from domain.ports import Corrupt, Head, Journal, JournalEntry, Unavailable

log = structlog.get_logger()
E = TypeVar("E")

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
MISSED_MAX: Final = 5
"""How often the journal must lack an applied commit before that counts as damage."""

Applied = Sequence[tuple[int, Commit[E]]]
"""Commits with their stream sequences."""


class NotApplied(Exception):
    """A dependency of the fold was unavailable. A fold that can wait for it catches Unavailable in `apply` itself."""


class JournalSubscription(Generic[E]):
    """One fold's position in the journal. `apply` gets batches; an exception in it ends the subscription (and the service)."""

    def __init__(
        self,
        journal: Journal,
        codec: CommitCodec[E],
        apply: Callable[[Applied[E]], Awaitable[None] | None],
        *,
        after: Head,
        wait_s: float = 0.001,
    ) -> None:
        self._journal = journal
        self._codec = codec
        self._apply = apply
        self._wait_s = wait_s
        self.head = after
        self.target: int | None = None
        self.began: int | None = None
        self.connected = False
        self._missed = 0
        self._progress = asyncio.Event()

    @property
    def caught_up(self) -> bool:
        """Whether everything in the journal when this reading began has been applied, and the reading still runs."""
        return self.connected and self.target is not None and self.head.seq >= self.target

    def is_past(self, seq: int) -> bool:
        """Return whether this sequence was in the journal before this subscription began to read."""
        return self.began is None or seq <= self.began

    async def wait_for(self, seq: int) -> None:
        """Wait until sequence `seq` has been applied."""
        while self.head.seq < seq:
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Follow the journal until cancelled. Corrupt ends it: no fold continues from a journal that does not verify."""
        pause = RETRY_FIRST_S
        while True:
            before = self.head.seq
            try:
                self.target = await self._end()
                self.began = self.target if self.began is None else self.began
                self.connected = True
                await self._read()
            except Unavailable as trouble:
                self.connected = False
                log.warning("journal reading interrupted", after=self.head.seq, reason=str(trouble))
            pause = RETRY_FIRST_S if self.head.seq > before else min(pause * 2, RETRY_MAX_S)
            await asyncio.sleep(pause)

    async def _end(self) -> int:
        """Return the journal's last sequence. Corrupt if an applied commit is missing: the store went back, or it is another journal.

        A server that lags behind looks the same, so the first MISSED_MAX - 1 times are Unavailable: nothing is read, and it is asked again.
        """
        last, applied = await self._journal.head(), self.head
        if not applied.chain or last == applied or await self._holds(applied, last):
            self._missed = 0
            return last.seq
        self._missed += 1
        missing = f"sequence {applied.seq} was applied and is not in the journal, which ends at {last.seq}: its store went back"
        raise Corrupt(missing) if self._missed >= MISSED_MAX else Unavailable(missing)

    async def _holds(self, applied: Head, last: Head) -> bool:
        found = await self._journal.read(applied.seq) if last.seq > applied.seq else None
        return found is not None and found.head == applied

    async def _read(self) -> None:
        self._progress.set()
        async with contextlib.aclosing(self._journal.follow(self.head)) as batches:
            async for recorded in batches:
                await self._hand_over(recorded)
                self.head = recorded[-1].head
                self._progress.set()
                if self._wait_s > 0 and self.caught_up:
                    await asyncio.sleep(self._wait_s)

    async def _hand_over(self, recorded: Sequence[JournalEntry]) -> None:
        commits = [(r.head.seq, self._codec.read(r)) for r in recorded]
        try:
            applied = self._apply(commits)
            if applied is not None:
                await applied
        except Unavailable as trouble:  # not the journal's: reading again would apply what may be half applied
            raise NotApplied(f"sequences {commits[0][0]} to {commits[-1][0]} of the journal: {trouble}") from trouble
        except Exception as error:  # it ends the service: the log should show where to look
            error.add_note(f"while applying sequences {commits[0][0]} to {commits[-1][0]} of the journal")
            raise
