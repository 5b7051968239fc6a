"""Positions that readers see, held against the journal and put right. No printing here."""

from typing import Final

from apps.oms.reconciliation import PositionsPass
from apps.tools.history.books import Books
from apps.tools.history.fold import BOOK_EVERY_EVENTS
from apps.tools.rebuild import Rebuilt, compare, repair
from domain.ports import Journal, Positions, Unavailable

DIFFERENCES_TOLD_MAX: Final = 100


async def reconcile(journal: Journal, positions: Positions, books: Books | None = None) -> PositionsPass:
    """Compare, put right, and compare again: what is said to be right has been looked at. Corrupt, Unavailable."""
    checkpoint, end = await positions.checkpoint(), (await journal.head()).seq
    if checkpoint > end:
        raise Unavailable(
            f"the stored positions stand at sequence {checkpoint}, but the journal ends at {end}: they are of another journal"
        )
    if not checkpoint:
        return PositionsPass(0, 0)  # nothing was projected yet, or a projector builds them anew
    rebuilt = await _begun(journal, books, checkpoint)
    await rebuilt.advance(checkpoint)
    found = await compare(rebuilt, positions)
    if books is not None and rebuilt.events >= BOOK_EVERY_EVENTS:
        await books.keep(rebuilt.head, rebuilt.book)
    if not found.differences:
        return PositionsPass(found.seq, len(rebuilt.book.positions))
    again = await _begun(journal, books, max(checkpoint - 1, 0))
    await repair(again, journal, positions)
    if (left := await compare(again, positions)).differences:
        raise Unavailable(f"the stored positions differ still, {left.differences[0]} first: somebody else writes to them")
    wrong = {(difference.account, difference.symbol) for difference in found.differences}
    return PositionsPass(found.seq, len(again.book.positions), tuple(found.differences[:DIFFERENCES_TOLD_MAX]), len(wrong))


async def _begun(journal: Journal, books: Books | None, until: int) -> Rebuilt:
    rebuilt = Rebuilt(journal)
    if books is not None:
        rebuilt.begin(*await books.newest(journal, until))
    return rebuilt
