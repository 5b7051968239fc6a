"""Keeping one projection: begin where its store stands, follow the journal, and after any trouble begin again from what the store holds."""

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
    """The store did not take what we sent, or stands elsewhere than we thought: nothing in memory may be trusted."""


class Projection(Protocol):
    """A fold of the journal with its state in a store, and that alone: memory is thrown away at every `begin`."""

    name: str
    seq: int
    """What the store stands for."""

    newest: int
    """The latest sequence that the store has something of, as of `begin`; 0 for an empty store."""

    async def begin(self) -> int:
        """Make ready and return the sequence to follow from. Unavailable, StartOver."""

    async def recognises(self, events: Sequence[OrderEvent]) -> bool:
        """Does what the store has of `newest` come from these events? Unavailable."""

    async def apply(self, commits: Applied[OrderEvent]) -> None:
        """The next commits. StartOver."""

    async def run(self) -> None:
        """What goes on beside the following, for ever. StartOver, Unavailable."""


class ProjectionLoop:
    """One projection, kept up to date for as long as the service lives."""

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
        """For ever. Corrupt ends it, and the service: nobody goes on from a journal that does not verify."""
        await first_to_end(self._keep_going(), self._measure())

    async def behind(self) -> str | None:
        """None once the store holds what the journal held when we began to read; else what it waits for."""
        follower = self._follower
        if self._trouble is not None or follower is None:
            return self._trouble
        if not follower.connected or follower.target is None:
            return "the journal does not answer"
        return None if self.projection.seq >= follower.target else f"at {self.projection.seq} of {follower.target}"

    @property
    def lag(self) -> int:
        """Commits that are in the journal and not in the store, as of the last second."""
        return max(0, self.journal_seq - self.projection.seq)

    async def _keep_going(self) -> None:
        pause = RETRY_FIRST_S
        while True:
            began = self.projection.seq
            try:
                await self._keep()
            except (StartOver, Unavailable) as trouble:
                self._say(str(trouble))
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
        """The place in the journal that the store stands for."""
        recorded = await self._journal.read(seq) if seq else None
        if seq and recorded is None:
            raise Corrupt(
                f"the store of {self.projection.name} stands at sequence {seq}, which the journal does not have: it was made from another "
                "journal. Put the right one back, or empty the store to have it rebuilt"
            )
        return recorded.head if recorded else Head()

    async def _verify_origin(self) -> None:
        """Another journal, or one that went back and grew again, has other events where the store's newest row came from."""
        seq = self.projection.newest
        recorded = await self._journal.read(seq) if seq else None
        if seq and (recorded is None or not await self.projection.recognises(ORDER_COMMITS.read(recorded).events)):
            raise Corrupt(
                f"the store of {self.projection.name} has something of sequence {seq} that is not in the journal there: it was made from "
                "another journal. Put the right one back, or empty the store to have it rebuilt"
            )

    async def _measure(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                self.journal_seq = (await self._journal.head()).seq
            await asyncio.sleep(MEASURE_EVERY_S)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning(f"{self.projection.name} held, trying again", at=self.projection.seq, reason=trouble)
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
