"""Positions as readers see them, compared with the fold of the journal."""

from typing import Final

from apps.tools.rebuild import compare
from apps.tools.verify.fold import JournalFold
from apps.tools.verify.orders import said
from apps.tools.verify.report import CheckLine
from domain.ports import Positions
from domain.position.comparison import PositionDifference

NAME: Final = "positions"


class StoredPositions:
    """The stored positions, compared account by account, each as of the sequence at which it was read: a projector may be running."""

    def __init__(self, positions: Positions) -> None:
        self._positions = positions

    async def stands(self) -> int | None:
        return await self._positions.checkpoint() or None

    async def compare(self, fold: JournalFold) -> CheckLine:
        stands, end = await self.stands(), await fold.end()
        if stands is not None and stands > end:
            return CheckLine(NAME, "different", {"as_of": stands}, f"they are of another journal: this one ends at sequence {end}")
        found = await compare(fold, self._positions)
        behind = await fold.end() - found.seq
        counts: dict[str, int | str] = {"positions": sum(map(len, fold.accounts.values())), "as_of": found.seq, "behind": behind}
        if found.expired:
            counts["expired"] = found.expired
        return CheckLine(NAME, "different", counts, _said(found.differences[0])) if found.differences else CheckLine(NAME, "ok", counts)


def _said(first: PositionDifference) -> str:
    return f"{first.account} {first.symbol} {first.field}: {said(first.journal)} by the journal, {said(first.stored)} in Valkey"
