"""The pass over the journal: the checker's audit, advanced from sequence to sequence. Its memory grows only with open orders."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from adapters.chain import GENESIS
from adapters.codec import ORDER_COMMITS
from adapters.scratch import ScratchLines
from apps.tools.verify.report import Counts
from domain.audit.algo_audit import AlgoAudit
from domain.audit.journal_audit import Audit, ObservedCommit
from domain.order import events as e
from domain.order.events import Foreign
from domain.order.index import note
from domain.ports import Head, Journal, JournalEntry, Unavailable
from domain.position.position import Position

Seen = Sequence[tuple[int, Sequence[e.OrderEvent]]]
"""Commits with their sequences, as just read."""


class Watcher(Protocol):
    """An observer of the commits during the pass, so that the journal is read only once."""

    async def see(self, commits: Seen) -> None: ...


class JournalFold:
    """The fold of all commits up to `head`. Corrupt where the journal cannot be read further."""

    def __init__(self, journal: Journal, mark: Head | None, progress: Callable[[int], None], watchers: Sequence[Watcher] = ()) -> None:
        self.journal = journal
        self.head = GENESIS
        self.lines = ScratchLines()
        self.audit = Audit(lines=self.lines)
        self._algos = AlgoAudit()
        self.accounts: dict[str, dict[str, Position]] = {}
        self.marked: Head | None = None
        self.mark = mark
        self.skipped: dict[int, Foreign] = {}
        """Messages that an operator's acceptance names as not being commits."""
        self._end = 0
        self._progress = progress
        self._watchers = watchers

    async def end(self) -> int:
        """Return the journal's last sequence as of now. Unavailable."""
        self._end = (await self.journal.head()).seq
        return self._end

    async def advance(self, until: int) -> None:
        """Advance to sequence `until`, unless it is already passed. Corrupt, Unavailable."""
        if until <= self.head.seq:
            return
        if until > self._end and until > await self.end():
            raise Unavailable(f"the journal ends at sequence {self._end}, before {until}")
        async with contextlib.aclosing(self.journal.follow(self.head, until=until)) as batches:
            async for batch in batches:
                seen = [(recorded.head.seq, self._take(recorded)) for recorded in batch]
                self.lines.settle()
                for watcher in self._watchers:
                    await watcher.see(seen)
                self._progress(self.head.seq)

    async def catch_up(self) -> None:
        await self.advance(await self.end())

    def _take(self, recorded: JournalEntry) -> tuple[e.OrderEvent, ...]:
        head, events = recorded.head, ORDER_COMMITS.read(recorded).events
        commit = ObservedCommit(head.seq, head.n, head.chain, recorded.payload, events)
        self.audit.take(commit)
        for found in self._algos.take(commit):
            self.audit.violated(found.name, found.where, found.what)
        for event in events:
            if (line := self.lines.get(event.order_id)) is not None:
                note(line.order, head.seq)
            if isinstance(event, (e.OrderFilled, e.TradeBusted)):
                self._held(event.account, event.symbol)
        if self.mark is not None and head.seq == self.mark.seq:
            self.marked = head
        self.head = head
        self.skipped.update({each.seq: each for event in events if isinstance(event, e.JournalAccepted) for each in event.skipped})
        return events

    async def foreign(self) -> list[Foreign]:
        """Return messages that are not commits, up to the journal's end, and that no acceptance names. Unavailable."""
        every = {each.seq: each for each in (*self.journal.passed, *await self.journal.foreign(self.head))}
        return [every[seq] for seq in sorted(every) if every[seq] != self.skipped.get(seq)]

    def _held(self, account: str, symbol: str) -> None:
        if (position := self.audit.book.positions.get((account, symbol))) is not None:
            self.accounts.setdefault(account, {})[symbol] = position

    def counts(self) -> Counts:
        return {"commits": self.head.n, "events": self.audit.events, "sequence": self.head.seq}

    def close(self) -> None:
        self.lines.close()
