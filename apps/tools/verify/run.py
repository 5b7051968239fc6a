"""The steps of a verification: the journal once, each view at its own sequence, the live orders of oms last."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

import msgspec

from apps.journal.watermark import listed
from apps.tools.verify.controls import ACCESS, ControlsSide, check_controls
from apps.tools.verify.controls import NAME as CONTROLS
from apps.tools.verify.fills import NAME as FILLS
from apps.tools.verify.fills import FillsTable
from apps.tools.verify.fold import JournalFold
from apps.tools.verify.live import NAME as LIVE
from apps.tools.verify.live import Live, LiveOrders
from apps.tools.verify.orders import NAME as ORDERS
from apps.tools.verify.orders import StoredOrdersView
from apps.tools.verify.own_orders import OwnOrders
from apps.tools.verify.positions import NAME as POSITIONS
from apps.tools.verify.positions import StoredPositions
from apps.tools.verify.report import CheckLine, Tell, VerificationReport, report_of
from domain.audit.journal_audit import Violation
from domain.ports import Corrupt, Fills, Head, Journal, Missing, Positions, StoredPicture, Unavailable
from domain.shards import ONE_SHARD, Shards

JOURNAL: Final = "journal"
LIVES: Final = "orders"
OF_THE_CHAIN: Final = ("contiguity", "chain")
CHASES_MAX: Final = 10
NOT_ASKED: Final = "no address was given"
NO_COMMIT: Final = "it is no commit, and no operator skipped it: see trade journal show"


class Sides(msgspec.Struct, kw_only=True):
    """The views to compare with the journal; None is not compared. `mark` reads the high-water mark, before anything else."""

    mark: Callable[[], Head | None] | None = None
    orders: Callable[[], AbstractContextManager[StoredPicture | None]] | None = None
    positions: Positions | None = None
    fills: Fills | None = None
    live: Live | None = None
    controls: ControlsSide | None = None
    access: ControlsSide | None = None
    shards: Shards = ONE_SHARD
    shard: int = 0
    """The one whose journal this is. Controls and access are of all shards, and are compared with the first."""


class View(Protocol):
    """A view that can be compared with the pass. Unavailable."""

    async def compare(self, fold: JournalFold) -> CheckLine: ...


class Moving(View, Protocol):
    async def stands(self) -> int | None:
        """Return the sequence that the view has reached; None if it is empty, which is compared as of now. Unavailable."""


async def verify(
    journal: Journal, sides: Sides, *, tell: Tell = lambda check: None, progress: Callable[[int], None] = lambda seq: None
) -> VerificationReport:
    """Read the journal once and compare the views. Unavailable if the journal itself cannot be read."""
    mark, found = _mark(sides)
    table = FillsTable(sides.fills) if sides.fills is not None else None
    own = OwnOrders(sides.shards, sides.shard) if sides.shards.count > 1 else None
    fold = JournalFold(journal, mark, progress, [each for each in (table, own) if each is not None])
    try:
        return await Verification(fold, sides, table, tell, found, own).run()
    finally:
        fold.close()


def _mark(sides: Sides) -> tuple[Head | None, str]:
    """Return the mark, and what is wrong with it."""
    try:
        return sides.mark() if sides.mark is not None else None, ""
    except (Corrupt, Unavailable) as trouble:
        return None, str(trouble)


class Verification:
    """One run of a verification, with its checks in order."""

    def __init__(self, fold: JournalFold, sides: Sides, table: FillsTable | None, tell: Tell, found: str, own: OwnOrders | None) -> None:
        self._fold = fold
        self._sides = sides
        self._table = table
        self._tell = tell
        self._found_at_mark = found
        self._own = own
        self._checks: list[CheckLine] = []

    async def run(self) -> VerificationReport:
        try:
            await self._all()
        except Corrupt as trouble:
            self._done(CheckLine(JOURNAL, "different", self._fold.counts(), str(trouble)))
            for name in (LIVES, ORDERS, POSITIONS, FILLS, LIVE):
                if name not in {check.name for check in self._checks}:
                    self._done(CheckLine(name, "not_looked_at", {}, "the journal cannot be read to its end"))
        for name, side in ((CONTROLS, self._sides.controls), (ACCESS, self._sides.access)) if self._sides.shard == 0 else ():
            self._done(await self._controls(name, side))
        return report_of(self._checks, self._fold.head.seq)

    async def _all(self) -> None:
        fold, table, live = self._fold, self._table, self._sides.live
        end = await self._end()
        if table is not None:
            await table.begin(end)
        found = await self._views(end)
        await fold.advance(end)
        found.append(await self._compared(FILLS, table))
        found.append(
            await self._compared(LIVE, LiveOrders(live, self._sides.shards.number(self._sides.shard)) if live is not None else None)
        )
        for check in (await self._journal(), self._lives(), *found):
            self._done(check)

    async def _controls(self, name: str, side: ControlsSide | None) -> CheckLine:
        if side is None:
            return CheckLine(name, "not_looked_at", {}, NOT_ASKED)
        try:
            return await check_controls(side)
        except Unavailable as trouble:
            return CheckLine(name, "unreachable", {}, str(trouble))

    async def _end(self) -> int:
        try:
            return await self._fold.end()
        except Missing as trouble:
            if (mark := self._fold.mark) is None:
                raise
            raise Corrupt(f"{trouble}, but sequence {mark.seq} had been acknowledged") from trouble

    async def _views(self, end: int) -> list[CheckLine]:
        """Compare the views that services update meanwhile. The one at the earliest sequence comes first: the pass cannot go back."""
        orders, positions = self._sides.orders, self._sides.positions
        waiting: dict[str, Moving] = {}
        if orders is not None:
            waiting[ORDERS] = StoredOrdersView(orders)
        if positions is not None:
            waiting[POSITIONS] = StoredPositions(positions)
        found = {name: await self._compared(name, None) for name in (ORDERS, POSITIONS) if name not in waiting}
        while waiting:
            name = await self._next(waiting, end)
            found[name] = await self._compared(name, waiting.pop(name))
        return [found[ORDERS], found[POSITIONS]]

    async def _next(self, waiting: dict[str, Moving], end: int) -> str:
        """Return the next view, with the pass advanced to its sequence. A view that does not answer comes at once, and fails there."""
        name = ""
        for _ in range(CHASES_MAX):
            stands: dict[str, int] = {}
            for name, view in waiting.items():
                try:
                    at = await view.stands()
                except Unavailable:
                    return name
                stands[name] = end if at is None else min(at, end)
            name = min(stands, key=lambda name: stands[name])
            if self._fold.head.seq >= stands[name]:
                break
            await self._fold.advance(stands[name])
        return name

    async def _compared(self, name: str, view: View | None) -> CheckLine:
        if view is None:
            return CheckLine(name, "not_looked_at", {}, NOT_ASKED)
        try:
            return await view.compare(self._fold)
        except Unavailable as trouble:
            return CheckLine(name, "unreachable", {}, str(trouble))

    async def _journal(self) -> CheckLine:
        fold, counts = self._fold, self._fold.counts()
        found = next((str(violation) for violation in fold.audit.violations if violation.name in OF_THE_CHAIN), self._found_at_mark)
        if fold.mark is not None:
            counts["high_water_mark"] = fold.mark.seq
            found = found or _unmarked(fold, fold.mark)
        if fold.skipped:
            counts["skipped"] = f"{len(fold.skipped)} (sequence {listed([fold.skipped[seq] for seq in sorted(fold.skipped)])})"
        if foreign := await fold.foreign():
            found = found or str(Violation("foreign", listed(foreign), NO_COMMIT))
        return CheckLine(JOURNAL, "different" if found else "ok", counts, found)

    def _lives(self) -> CheckLine:
        audit = self._fold.audit
        found = next((str(violation) for violation in audit.violations if violation.name not in OF_THE_CHAIN), "")
        found = found or (self._own.found if self._own is not None else "")
        counts: dict[str, int | str] = {"orders": len(audit.clients), "trades": len(audit.trades), "positions": len(audit.book.positions)}
        return CheckLine(LIVES, "different" if found else "ok", counts, found)

    def _done(self, check: CheckLine) -> None:
        if self._own is not None and check.name not in (CONTROLS, ACCESS):
            check = msgspec.structs.replace(check, name=f"{check.name} {self._sides.shard}")
        self._checks.append(check)
        self._tell(check)


def _unmarked(fold: JournalFold, mark: Head) -> str:
    if fold.head.seq < mark.seq:
        short = f"the journal ends before its mark at sequence {mark.seq}: it was truncated"
        return str(Violation("high_water_mark", str(fold.head.seq), short))
    if mark.seq and fold.marked != mark:
        return str(Violation("high_water_mark", str(mark.seq), f"the journal has another commit at sequence {mark.seq} than the mark says"))
    return ""
