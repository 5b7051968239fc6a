"""Positions at a sequence: the nearest saved book before it, then the journal from there."""

import contextlib
from typing import Final

from adapters.codec import ORDER_COMMITS
from apps.tools.history.books import Books
from domain.ports import Head, Journal, Unavailable
from domain.position.position import PositionBook

BOOK_EVERY_EVENTS: Final = 100_000


async def book_at(journal: Journal, seq: int, books: Books | None = None, every: int = BOOK_EVERY_EVENTS) -> PositionBook:
    """Return all positions as of `seq`, which must be in the journal. Save a book every `every` events. Corrupt, Unavailable."""
    end = (await journal.head()).seq
    if seq > end:
        raise Unavailable(f"the journal ends at sequence {end}, before {seq}")
    head, book = await books.newest(journal, seq) if books is not None else (Head(), PositionBook())
    if head.seq == seq:
        return book
    events = 0
    async with contextlib.aclosing(journal.follow(head, until=seq)) as batches:
        async for batch in batches:
            for recorded in batch:
                commit = ORDER_COMMITS.read(recorded)
                for event in commit.events:
                    book.apply(event, recorded.head.seq)
                events += len(commit.events)
                if books is not None and events >= every:
                    await books.keep(recorded.head, book)
                    events = 0
    return book
