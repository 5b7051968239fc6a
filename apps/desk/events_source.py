"""Events for streams: from memory, or from the journal if they are older."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

from adapters.codec import ORDER_COMMITS
from apps.desk.fold import Recorded
from apps.desk.frames import EVENTS_BYTES_MAX, Frames, array
from apps.desk.query import StreamQuery
from domain.order.events import AlgoSubmitted, OrderSubmitted
from domain.ports import Head, Journal, JournalEntry

READERS_MAX: Final = 4
"""Streams that read old events from the journal at once; others wait."""

Found = tuple[bytes, Head]
"""The events as a JSON array, and the commit up to which they are all."""


class EventsSource:
    """Events of a filter behind a sequence, at most EVENTS_BYTES_MAX at once, in whole commits."""

    def __init__(self, frames: Frames, journal: Journal) -> None:
        self._frames = frames
        self._journal = journal
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def after(self, query: StreamQuery, seq: int) -> Found:
        """Return the next events. Corrupt, Unavailable."""
        fold = self._frames.fold
        if seq < fold.events_after:
            async with self._readers:
                return await self._from_journal(query, seq)
        head = self._frames.head()
        wanted = None if query.every_account else set(query.accounts)
        encoded, last = self._packed(query, _commits(fold.events_since(seq, wanted)))
        if last is None:
            return encoded, head
        recorded = await self._journal.read(last)
        assert recorded is not None, f"the journal lost sequence {last}"
        return encoded, recorded.head

    def _packed(self, query: StreamQuery, commits: Iterable[list[Recorded]]) -> tuple[bytes, int | None]:
        """Return the events that fit, and the sequence of the last commit among them; None if all fit."""
        found: list[bytes] = []
        size, last = 0, 0
        for commit in commits:
            if size > EVENTS_BYTES_MAX:
                return array(found), last
            encoded = [self._frames.event(recorded, query.formats) for recorded in commit]
            found += encoded
            size += sum(map(len, encoded))
            last = commit[-1].seq
        return array(found), None

    async def _from_journal(self, query: StreamQuery, seq: int) -> Found:
        """Read events that are no longer in memory. Their `ord_status` is not known."""
        begin = await self._journal.read(seq) if seq else None
        at = begin.head if begin is not None else Head()
        accounts: dict[str, str] = {}
        found: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self._journal.follow(at, until=self._frames.head().seq)) as batches:
            async for entry in (entry async for batch in batches for entry in batch):
                encoded = [self._frames.event(recorded, query.formats) for recorded in self._shown(query, entry, accounts)]
                found += encoded
                size += sum(map(len, encoded))
                at = entry.head
                if size > EVENTS_BYTES_MAX:
                    break
        return array(found), at

    def _shown(self, query: StreamQuery, entry: JournalEntry, accounts: dict[str, str]) -> Iterator[Recorded]:
        """Yield the events of a commit that the stream shows. `accounts` collects those of orders that may not be in memory."""
        for place, event in enumerate(ORDER_COMMITS.read(entry).events):
            if type(event) is OrderSubmitted:
                accounts[event.order_id] = event.account
            elif type(event) is AlgoSubmitted:
                accounts[event.order_id] = event.terms.account
            account = self._account_of(event.order_id) or accounts.get(event.order_id, "")
            if query.every_account or account in query.accounts:
                yield Recorded(entry.head.seq, place, account, event, None)

    def _account_of(self, id_: str) -> str:
        """Return the account of an order or an algo in memory; empty if it is not there."""
        row = self._frames.fold.find(id_)
        return row.order.account if row is not None else self._frames.fold.algos.account_of(id_)


def _commits(events: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    commit: list[Recorded] = []
    for recorded in events:
        if commit and commit[-1].seq != recorded.seq:
            yield commit
            commit = []
        commit.append(recorded)
    if commit:
        yield commit
