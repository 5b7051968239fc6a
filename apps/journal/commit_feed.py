"""The commits that the writer in this process has just made durable. Folds in the same process apply them without reading them back."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from adapters.codec import Decoded
from apps.journal.journal_view import JournalView
from domain.ports import Head, Journal, JournalEntry

KEPT_MAX: Final = 64
"""Commits that are kept. A reader that is further behind reads the journal until the feed covers its position."""
KEPT_BYTES_MAX: Final = 1024 * 1024
"""Their size in the journal. The last commit is kept whatever its size."""


class CommitFeed:
    """The newest commits of one writer without a hole, added after their acknowledgement. Adding does not wait for readers.

    While the writer recovers the feed is empty: another process may have written, so readers read the journal.
    """

    def __init__(self) -> None:
        self._kept: deque[Decoded[Any]] = deque()
        self._before: Head | None = None
        """The head on which the first of those kept was appended; None while there is no writer."""
        self._bytes = 0
        self._moved = asyncio.Event()

    def begin(self, head: Head) -> None:
        """Start the feed: the writer continues from `head`."""
        self._forget()
        self._before = head
        self._wake()

    def end(self) -> None:
        """Empty the feed: the writer may no longer be the only one."""
        self._forget()
        self._wake()

    def put(self, appended: Decoded[Any]) -> None:
        """Add the writer's next durable commit."""
        self._kept.append(appended)
        self._bytes += len(appended.payload)
        while len(self._kept) > KEPT_MAX or (self._bytes > KEPT_BYTES_MAX and len(self._kept) > 1):
            oldest = self._kept.popleft()
            self._bytes -= len(oldest.payload)
            self._before = oldest.head
        self._wake()

    def behind(self, head: Head) -> Sequence[Decoded[Any]] | None:
        """Return all commits after `head`. None if the feed does not cover `head`: read the journal."""
        if self._before is None:
            return None
        place = head.n - self._before.n
        if not 0 <= place <= len(self._kept):
            return None
        if head != (self._kept[place - 1].head if place else self._before):
            return None
        return [self._kept[at] for at in range(place, len(self._kept))]

    async def moved(self) -> None:
        """Wait for the next change of the feed."""
        await self._moved.wait()

    def _forget(self) -> None:
        self._kept.clear()
        self._before, self._bytes = None, 0

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


class FedJournal(JournalView):
    """A journal whose writer is in this process: new commits come from its feed, everything else from the journal."""

    def __init__(self, journal: Journal, feed: CommitFeed) -> None:
        super().__init__(journal)
        self._feed = feed

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        """Follow the feed where it covers the position, else the journal. With `until` only the journal is read."""
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
