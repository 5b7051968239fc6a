"""One reading of a journal for several followers in a process: each commit is fetched, verified and decoded once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Final, Generic, TypeVar

from adapters.codec import CommitCodec, Decoded
from apps.journal.journal_view import JournalView
from domain.ports import Head, Journal, JournalEntry

E = TypeVar("E")

KEPT_BYTES_MAX: Final = 2 * 2**20
"""Payload bytes kept for followers behind the first one: a second of a busy shard. A follower further behind reads by itself."""


class SharedReading(JournalView, Generic[E]):
    """A journal that is fetched, verified and decoded once for all its followers.

    A slow follower does not delay the others. If it is further behind than the kept commits, it reads by itself until it has caught up.
    """

    def __init__(self, journal: Journal, codec: CommitCodec[E], *, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        super().__init__(journal)
        self._codec = codec
        self._kept_bytes_max = kept_bytes_max
        self._kept: dict[int, Decoded[E]] = {}
        """By the number of the commit, without holes from behind `_begin` to `_end`."""
        self._begin = self._end = Head()
        self._kept_bytes = 0
        self._followers = 0
        self._reading: AsyncGenerator[Sequence[JournalEntry]] | None = None
        self._next: asyncio.Task[Sequence[JournalEntry]] | None = None

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        at = after
        while True:
            alone = until is not None or (self._followers > 0 and not self._has(at))
            async with contextlib.aclosing(self._alone(at, until) if alone else self._together(at)) as batches:
                async for batch in batches:
                    yield batch
                    at = batch[-1].head
            if until is not None:
                return

    async def _alone(self, at: Head, until: int | None) -> AsyncGenerator[Sequence[JournalEntry]]:
        """Read the journal separately, until the kept commits are reached."""
        async with contextlib.aclosing(self._journal.follow(at, until=until)) as batches:
            async for batch in batches:
                yield batch
                if until is None and self._has(batch[-1].head):
                    return

    async def _together(self, at: Head) -> AsyncGenerator[Sequence[JournalEntry]]:
        """Yield kept and new commits, until this follower falls behind them."""
        if not self._has(at):
            self._kept, self._kept_bytes = {}, 0
            self._begin = self._end = at
        self._followers += 1
        try:
            while self._has(at):
                await self._look()
                if at != self._end and self._has(at):
                    batch = [self._kept[n] for n in range(at.n + 1, self._end.n + 1)]
                    at = self._end
                    yield batch
                elif self._next is not None:
                    await asyncio.wait([self._next])
        finally:
            self._followers -= 1
            if not self._followers:
                await self._stop()

    def _has(self, at: Head) -> bool:
        """Return whether every commit after `at` is kept."""
        kept = self._kept.get(at.n)
        return at == (self._begin if kept is None else kept.head)

    async def _look(self) -> None:
        """Keep what has arrived, also since the last fetch ended, and leave a fetch in progress. Corrupt, Unavailable."""
        self._take()
        if self._next is None:
            if self._reading is None:
                self._reading = self._journal.follow(self._end)
            self._next = asyncio.ensure_future(anext(self._reading))
            await asyncio.sleep(0)
            self._take()

    def _take(self) -> None:
        """Keep the result of the fetch. An error is raised in the follower that finds it; the next one reads on from the end."""
        if self._next is None or not self._next.done():
            return
        done, self._next = self._next, None
        try:
            batch = [self._codec.decoded(recorded) for recorded in done.result()]
        except BaseException:
            self._reading = None
            raise
        while self._kept_bytes > self._kept_bytes_max:
            dropped = self._kept.pop(self._begin.n + 1)
            self._kept_bytes -= len(dropped.payload)
            self._begin = dropped.head
        for commit in batch:
            self._kept[commit.head.n] = commit
            self._kept_bytes += len(commit.payload)
        self._end = batch[-1].head

    async def _stop(self) -> None:
        """End the fetch after the last follower has left. A follower that arrives meanwhile starts a new reading behind the end."""
        fetch, self._next = self._next, None
        reading, self._reading = self._reading, None
        if fetch is not None:
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
        if reading is not None:
            await reading.aclose()
