"""Loop of one projection: start at its store's sequence, follow the journal, and after a failure start again from the store."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog

from adapters.codec import ORDER_COMMITS
from apps.journal.subscription import Applied, JournalSubscription
from apps.runtime.histogram import Hops
from domain.order.events import OrderEvent
from domain.ports import Corrupt, Head, Journal, Unavailable

log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
MEASURE_EVERY_S: Final = 1.0


class StartOver(Exception):
    """The store refused a write, or is at another sequence than expected: memory is discarded."""


class Projection(Protocol):
    """A fold of the journal whose state is only in a store: memory is discarded at every `begin`."""

    name: str
    seq: int
    """The sequence that the store reflects."""

    newest: int
    """The latest sequence of which the store has data, as of `begin`; 0 for an empty store."""

    async def begin(self) -> int:
        """Prepare the store and return the sequence to follow from. Raises Unavailable, StartOver."""

    async def recognises(self, events: Sequence[OrderEvent]) -> bool:
        """Return whether the store's data of `newest` comes from these events. Raises Unavailable."""

    async def apply(self, commits: Applied[OrderEvent]) -> None:
        """Apply the next commits. Raises StartOver."""

    async def run(self) -> None:
        """Run the projection's own background work. Raises StartOver, Unavailable."""


class ProjectionLoop:
    """Keeps one projection up to date while the service runs."""

    def __init__(self, journal: Journal, projection: Projection, *, wait_s: float, hops: Hops | None = None) -> None:
        self.projection = projection
        self.starts = 0
        self.journal_seq = 0
        self._journal = journal
        self._wait_s = wait_s
        self._apply = hops.timed(projection.name, projection.apply) if hops else projection.apply
        self._follower: JournalSubscription[OrderEvent] | None = None
        self._trouble: str | None = "starting"

    async def run(self) -> None:
        """Run the projection. Raises Corrupt, which ends the service: a journal that does not verify must not be used."""
        await first_to_end(self._keep_going(), self._measure())

    async def behind(self) -> str | None:
        """Return what the projection waits for; None once the store has what the journal held when reading began."""
        follower = self._follower
        if self._trouble is not None or follower is None:
            return self._trouble
        if not follower.connected or follower.target is None:
            return "the journal does not answer"
        return None if self.projection.seq >= follower.target else f"at {self.projection.seq} of {follower.target}"

    @property
    def lag(self) -> int:
        """Commits in the journal that are not in the store, at most MEASURE_EVERY_S old."""
        return max(0, self.journal_seq - self.projection.seq)

    async def _keep_going(self) -> None:
        pause = RETRY_FIRST_S
        while True:
            began = self.projection.seq
            try:
                await self._keep()
            except (StartOver, Unavailable) as trouble:
                self._log_trouble(str(trouble))
            pause = RETRY_FIRST_S if self.projection.seq > began else min(pause * 2, RETRY_MAX_S)
            await asyncio.sleep(pause)

    async def _keep(self) -> None:
        seq = await self.projection.begin()
        after = await self._head_at(seq)
        await self._verify_origin()
        follower = JournalSubscription(self._journal, ORDER_COMMITS, self._apply, after=after, wait_s=self._wait_s)
        self.starts += 1
        self._follower, self._trouble = follower, None
        log.info(f"Projecting {self.projection.name}", after=seq, start=self.starts)
        await first_to_end(follower.run(), self.projection.run())

    async def _head_at(self, seq: int) -> Head:
        """Return the journal head at the store's sequence. Raises Corrupt when the journal does not have it."""
        recorded = await self._journal.read(seq) if seq else None
        if seq and recorded is None:
            raise Corrupt(
                f"the store of {self.projection.name} is at sequence {seq}, which the journal does not have: it was built from another "
                "journal. Restore the right journal, or empty the store to have it rebuilt"
            )
        return recorded.head if recorded else Head()

    async def _verify_origin(self) -> None:
        """Check that the store's newest row comes from this journal. Raises Corrupt for another journal, or one that went back and grew."""
        seq = self.projection.newest
        recorded = await self._journal.read(seq) if seq else None
        if seq and (recorded is None or not await self.projection.recognises(ORDER_COMMITS.read(recorded).events)):
            raise Corrupt(
                f"the store of {self.projection.name} has data of sequence {seq} that is not in the journal there: it was built from "
                "another journal. Restore the right journal, or empty the store to have it rebuilt"
            )

    async def _measure(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                self.journal_seq = (await self._journal.head()).seq
            await asyncio.sleep(MEASURE_EVERY_S)

    def _log_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning(f"{self.projection.name} held, retrying", at=self.projection.seq, reason=trouble)
        self._trouble = trouble


async def first_to_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them together until one of them ends or raises; then stop the others."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
