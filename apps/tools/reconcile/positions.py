"""Reconciliation of the stored positions that readers see with the journal. Nothing is printed here."""

from collections.abc import Sequence
from typing import Final

from apps.oms.reconciliation import PositionsPass
from apps.tools.history.books import Books
from apps.tools.history.fold import BOOK_EVERY_EVENTS
from apps.tools.rebuild import Rebuilt, compare, repair
from domain.ports import Journal, Positions, Unavailable

DIFFERENCES_TOLD_MAX: Final = 100


async def reconcile(journal: Journal, positions: Positions, books: Books | None = None) -> PositionsPass:
    """Compare, repair, and compare again, so that a repair is only reported once verified. Corrupt, Unavailable."""
    checkpoint, end = await positions.checkpoint(), (await journal.head()).seq
    if checkpoint > end:
        raise Unavailable(f"the stored positions are at sequence {checkpoint}, but the journal ends at {end}: they are of another journal")
    if not checkpoint:
        return PositionsPass(0, 0)  # nothing is projected yet, or a projector is rebuilding them
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
        raise Unavailable(f"the stored positions still differ, {left.differences[0]} first: another program writes them")
    wrong = {(difference.account, difference.symbol) for difference in found.differences}
    return PositionsPass(found.seq, len(again.book.positions), tuple(found.differences[:DIFFERENCES_TOLD_MAX]), len(wrong))


def together(passes: Sequence[PositionsPass]) -> PositionsPass:
    """Return the result of all shards. Sequences of different shards cannot be compared, so it then has none."""
    if len(passes) == 1:
        return passes[0]
    differences = tuple(difference for each in passes for difference in each.differences)
    return PositionsPass(0, sum(each.positions for each in passes), differences, sum(each.repaired for each in passes))


async def _begun(journal: Journal, books: Books | None, until: int) -> Rebuilt:
    rebuilt = Rebuilt(journal)
    if books is not None:
        rebuilt.begin(*await books.newest(journal, until))
    return rebuilt
