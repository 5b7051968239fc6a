"""What the writer in this process has just made durable, for the folds beside it: they need not read it back from the journal."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from adapters.codec import Appended
from domain.events import Foreign
from domain.ports import Head, Journal, Recorded

KEPT_MAX: Final = 64
"""Commits that are kept. A reader that is further behind reads the journal until it has come so near again."""
KEPT_BYTES_MAX: Final = 1024 * 1024
"""Their size in the journal. The last commit is kept whatever its size."""


class CommitFeed:
    """The newest commits of one writer without a hole, each put here after its ack. Nobody is waited for.

    While the writer recovers there is none of its commits to go by: readers read the journal, in which somebody else may have written.
    """

    def __init__(self) -> None:
        self._kept: deque[Appended[Any]] = deque()
        self._before: Head | None = None
        """The head on which the first of those kept was appended; None while nobody writes."""
        self._bytes = 0
        self._moved = asyncio.Event()

    def begin(self, head: Head) -> None:
        """The writer goes on from `head`."""
        self._forget()
        self._before = head
        self._wake()

    def end(self) -> None:
        """The writer may not be the only one any more."""
        self._forget()
        self._wake()

    def put(self, appended: Appended[Any]) -> None:
        """The writer's next commit, durable."""
        self._kept.append(appended)
        self._bytes += len(appended.payload)
        while len(self._kept) > KEPT_MAX or (self._bytes > KEPT_BYTES_MAX and len(self._kept) > 1):
            oldest = self._kept.popleft()
            self._bytes -= len(oldest.payload)
            self._before = oldest.head
        self._wake()

    def behind(self, head: Head) -> Sequence[Appended[Any]] | None:
        """All commits after `head`. None when that cannot be said from here: the journal has to be asked."""
        if self._before is None:
            return None
        place = head.n - self._before.n
        if not 0 <= place <= len(self._kept):
            return None
        if head != (self._kept[place - 1].head if place else self._before):
            return None
        return [self._kept[at] for at in range(place, len(self._kept))]

    async def moved(self) -> None:
        """Until something has changed."""
        await self._moved.wait()

    def _forget(self) -> None:
        self._kept.clear()
        self._before, self._bytes = None, 0

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


class FedJournal:
    """A journal whose writer is in this process: what it appends is taken from its feed, everything else from the journal itself."""

    def __init__(self, journal: Journal, feed: CommitFeed) -> None:
        self._journal = journal
        self._feed = feed

    @property
    def passed(self) -> Sequence[Foreign]:
        return self._journal.passed

    async def head(self) -> Head:
        return await self._journal.head()

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        return await self._journal.foreign(after)

    async def append(self, payload: bytes, after: Head) -> Head:
        return await self._journal.append(payload, after)

    async def read(self, seq: int) -> Recorded | None:
        return await self._journal.read(seq)

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[Recorded]]:
        """As the journal's own. Reading up to a given sequence is reading the journal."""
        head = after
        while True:
            fed = None if until is not None else self._feed.behind(head)
            if fed is None:
                async with contextlib.aclosing(self._journal.follow(head, until=until)) as batches:
                    async for recorded in batches:
                        yield recorded
                        head = recorded[-1].head
                        if until is None and self._feed.behind(head) is not None:
                            break
                    else:
                        return
            elif fed:
                yield fed
                head = fed[-1].head
            else:
                await self._feed.moved()
