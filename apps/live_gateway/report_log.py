"""Journaled reports of one venue, by shard and report_seq: the newest in memory, all of them in the journal."""

import contextlib
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from typing import Final

from adapters.codec import CommitCodec
from domain.order.commands import VenueReport
from domain.paper.events import Reported, VenueEvent
from domain.ports import Head, Journal

VENUE_COMMITS: Final[CommitCodec[VenueEvent]] = CommitCodec(VenueEvent)

KEPT_MAX: Final = 5_000
"""Reports kept in memory per shard; a resend of older ones reads the journal."""

MARK_EVERY: Final = 1_000
"""Reports between two marks: positions in the journal from which such a read can start."""


class ReportLog:
    """Keeps the last reports of each shard, and marks in the journal for reads of older ones."""

    def __init__(self, journal: Journal, *, kept_max: int = KEPT_MAX, mark_every: int = MARK_EVERY) -> None:
        self._journal = journal
        self._kept_max = kept_max
        self._mark_every = mark_every
        self._shards: dict[int, deque[VenueReport]] = {}
        self._marks: list[tuple[Head, dict[int, int]]] = [(Head(), {})]
        self._unmarked = 0
        self.head = Head()

    def last(self, shard: int) -> int:
        kept = self._shards.get(shard)
        return kept[-1].report_seq if kept else 0

    def add(self, reports: Sequence[Reported], head: Head) -> None:
        """Add reports of the commit at `head`; a commit may be added in parts."""
        if head.seq != self.head.seq:
            self._mark()
            self.head = head
        for reported in reports:
            kept = self._shards.get(reported.shard)
            if kept is None:
                kept = self._shards[reported.shard] = deque(maxlen=self._kept_max)
            kept.append(reported.report)
        self._unmarked += len(reports)

    def _mark(self) -> None:
        """Set a mark behind the commit at `self.head`, which is complete."""
        if self._unmarked >= self._mark_every:
            self._marks.append((self.head, {shard: self.last(shard) for shard in self._shards}))
            self._unmarked = 0

    async def read(self, shard: int, first: int, last: int) -> AsyncGenerator[Sequence[VenueReport]]:
        """Yield reports `first` to `last`, both included, in batches. Raises Unavailable, Corrupt."""
        kept = self._shards.get(shard)
        if not kept or first > last:
            return
        oldest = kept[0].report_seq
        if first >= oldest:
            yield list(islice(kept, first - oldest, last - oldest + 1))
            return
        async with contextlib.aclosing(self._read_journal(shard, first, last)) as batches:
            async for batch in batches:
                yield batch

    async def _read_journal(self, shard: int, first: int, last: int) -> AsyncGenerator[Sequence[VenueReport]]:
        behind = bisect_left(self._marks, first, key=lambda mark: mark[1].get(shard, 0)) - 1
        async with contextlib.aclosing(self._journal.follow(self._marks[max(behind, 0)][0], until=self.head.seq)) as batches:
            async for recorded in batches:
                reports = [report for r in recorded for report in _reports(r.payload, shard) if first <= report.report_seq <= last]
                yield reports
                if reports and reports[-1].report_seq == last:
                    return


def _reports(payload: bytes, shard: int) -> list[VenueReport]:
    return [e.report for e in VENUE_COMMITS.decode(payload).events if isinstance(e, Reported) and e.shard == shard]
