"""The order of a verification: the journal once, its views where they stand, oms itself at the end."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

import msgspec

from apps.verify.fills import NAME as FILLS
from apps.verify.fills import FillsTable
from apps.verify.fold import Fold
from apps.verify.live import NAME as LIVE
from apps.verify.live import Live, LiveOrders
from apps.verify.orders import NAME as ORDERS
from apps.verify.orders import StoredOrders
from apps.verify.positions import NAME as POSITIONS
from apps.verify.positions import StoredPositions
from apps.verify.report import Check, Report, Tell, report_of
from domain.checker import Violation
from domain.ports import Corrupt, Fills, Head, Journal, Positions, StoredPicture, Unavailable

JOURNAL: Final = "journal"
LIVES: Final = "orders"
OF_THE_CHAIN: Final = ("contiguity", "chain")
CHASES_MAX: Final = 10
NOT_ASKED: Final = "nobody said where it is"


class Sides(msgspec.Struct, kw_only=True):
    """What the journal is held against; None is not looked at. `mark` is its high-water mark, read before anything else."""

    mark: Head | None = None
    orders: Callable[[], AbstractContextManager[StoredPicture | None]] | None = None
    positions: Positions | None = None
    fills: Fills | None = None
    live: Live | None = None


class Moving(Protocol):
    """A view that somebody keeps up to date while we look. Unavailable."""

    async def stands(self) -> int | None:
        """How far it has come; None when there is nothing in it, which is compared as of now."""

    async def compare(self, fold: Fold) -> Check: ...


async def verify(
    journal: Journal, sides: Sides, *, tell: Tell = lambda check: None, progress: Callable[[int], None] = lambda seq: None
) -> Report:
    """Read the journal once and compare. Unavailable when the journal itself cannot be read."""
    table = FillsTable(sides.fills) if sides.fills is not None else None
    fold = Fold(journal, sides.mark, progress, [table] if table else ())
    try:
        return await Verification(fold, sides, table, tell).run()
    finally:
        fold.close()


class Verification:
    """One run: the checks that were made, in order."""

    def __init__(self, fold: Fold, sides: Sides, table: FillsTable | None, tell: Tell) -> None:
        self._fold = fold
        self._sides = sides
        self._table = table
        self._tell = tell
        self._checks: list[Check] = []
        self._fills_away = ""

    async def run(self) -> Report:
        try:
            await self._all()
        except Corrupt as trouble:
            self._done(Check(JOURNAL, "different", self._fold.counts(), str(trouble)))
            for name in (LIVES, ORDERS, POSITIONS, FILLS, LIVE):
                if name not in {check.name for check in self._checks}:
                    self._done(Check(name, "not_looked_at", {}, "the journal cannot be read to its end"))
        return report_of(self._checks, self._fold.head.seq)

    async def _all(self) -> None:
        fold = self._fold
        end = await fold.end()
        if self._table is not None:
            try:
                await self._table.begin(end)
            except Unavailable as trouble:
                self._fills_away = str(trouble)
        found = await self._views(end)
        await fold.advance(end)
        found += [await self._fills(), await self._live()]
        self._done(self._journal())
        self._done(self._lives())
        for check in found:
            self._done(check)

    async def _views(self, end: int) -> list[Check]:
        """The one that stands earliest first: the pass cannot go back."""
        waiting: dict[str, Moving] = {}
        if self._sides.orders is not None:
            waiting[ORDERS] = StoredOrders(self._sides.orders)
        if self._sides.positions is not None:
            waiting[POSITIONS] = StoredPositions(self._sides.positions)
        found = [Check(name, "not_looked_at", {}, NOT_ASKED) for name in (ORDERS, POSITIONS) if name not in waiting]
        while waiting:
            name = await self._earliest(waiting, end, found)
            if name is not None:
                view = waiting.pop(name)
                found.append(await self._compared(name, view))
        return found

    async def _earliest(self, waiting: dict[str, Moving], end: int, found: list[Check]) -> str | None:
        """Whose turn it is, with the pass led up to where it stands; None when somebody fell away."""
        for _ in range(CHASES_MAX):
            stands: dict[str, int] = {}
            for name, view in waiting.items():
                try:
                    at = await view.stands()
                except Unavailable as trouble:
                    del waiting[name]
                    found.append(Check(name, "unreachable", {}, str(trouble)))
                    return None
                stands[name] = end if at is None else min(at, end)
            first = min(stands, key=lambda name: stands[name])
            if self._fold.head.seq >= stands[first]:
                break
            await self._fold.advance(stands[first])
        return first

    async def _compared(self, name: str, view: Moving | LiveOrders) -> Check:
        try:
            return await view.compare(self._fold)
        except Unavailable as trouble:
            return Check(name, "unreachable", {}, str(trouble))

    async def _fills(self) -> Check:
        if self._table is None:
            return Check(FILLS, "not_looked_at", {}, NOT_ASKED)
        if self._fills_away:
            return Check(FILLS, "unreachable", {}, self._fills_away)
        try:
            return await self._table.check(self._fold)
        except Unavailable as trouble:
            return Check(FILLS, "unreachable", {}, str(trouble))

    async def _live(self) -> Check:
        if self._sides.live is None:
            return Check(LIVE, "not_looked_at", {}, NOT_ASKED)
        return await self._compared(LIVE, LiveOrders(self._sides.live))

    def _journal(self) -> Check:
        fold, mark = self._fold, self._sides.mark
        counts = fold.counts()
        found = next((str(violation) for violation in fold.audit.violations if violation.name in OF_THE_CHAIN), "")
        if mark is not None:
            counts["high_water_mark"] = mark.seq
            found = found or _unmarked(fold, mark)
        return Check(JOURNAL, "different" if found else "ok", counts, found)

    def _lives(self) -> Check:
        audit = self._fold.audit
        found = next((str(violation) for violation in audit.violations if violation.name not in OF_THE_CHAIN), "")
        counts: dict[str, int | str] = {"orders": len(audit.clients), "trades": len(audit.trades), "positions": len(audit.book.positions)}
        return Check(LIVES, "different" if found else "ok", counts, found)

    def _done(self, check: Check) -> None:
        self._checks.append(check)
        self._tell(check)


def _unmarked(fold: Fold, mark: Head) -> str:
    if fold.head.seq < mark.seq:
        return str(Violation("high_water_mark", str(fold.head.seq), f"the journal ends before its mark at {mark.seq}: it was truncated"))
    if mark.seq and fold.marked != mark:
        return str(Violation("high_water_mark", str(mark.seq), "the journal has another commit here than the mark says"))
    return ""
