"""The journals of controls and of access, compared with their chain, their versions, and the marks of their writer and followers."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from adapters.controls import ACCESS_JOURNAL, CONTROL_JOURNAL, RiskJournal
from apps.journal.watermark import listed
from apps.tools.verify.report import CheckLine, Counts
from domain.access.events import AccessAccepted
from domain.access.keys import KeyRing
from domain.order.events import Foreign
from domain.ports import Corrupt, Head, Journal, Missing, Unavailable
from domain.risk.controls import Controls, ControlsAccepted

NAME: Final = "controls"
ACCESS: Final = "access"

Marks = Mapping[str, Callable[[], Head | None]]
"""Readers of marks, by the service that keeps each."""


class Fold(Protocol):
    """A fold of events, each with the next version."""

    version: int

    def apply(self, event: Any) -> None: ...


class Kind(msgspec.Struct, frozen=True):
    """One of the journals that risk writes: its fold, and what of it is counted."""

    name: str
    journal: RiskJournal[Any]
    fold: Callable[[], Fold]
    counts: Callable[[Any], Counts]


CONTROLS_KIND: Final = Kind(NAME, CONTROL_JOURNAL, Controls, lambda controls: {"killed": len(controls.kills)})
ACCESS_KIND: Final = Kind(ACCESS, ACCESS_JOURNAL, KeyRing, lambda keys: {"keys": len(keys.by_id), "accounts": len(keys.accounts)})


class ControlsSide(msgspec.Struct, frozen=True):
    """Access to one of these journals and its marks. `open` raises Missing if the stream does not exist."""

    open: Callable[[], Awaitable[Journal]]
    marks: Marks
    kind: Kind = CONTROLS_KIND


class _Pass:
    """All events, read once."""

    def __init__(self, kind: Kind) -> None:
        self.fold = kind.fold()
        self.head = Head()
        self.accepted: list[ControlsAccepted | AccessAccepted] = []
        self.marked: dict[int, Head] = {}

    @property
    def skipped(self) -> dict[int, Foreign]:
        return {each.seq: each for event in self.accepted for each in event.skipped}

    def covers(self, mark: Head) -> bool:
        """Return whether an operator accepted that this event is lost."""
        return any(event.lost and mark.seq <= event.acknowledged_to for event in self.accepted)


async def check_controls(side: ControlsSide) -> CheckLine:
    """Verify the journal and compare it with its marks. Unavailable if it cannot be read."""
    counts: Counts = {}
    try:
        marks = {service: mark for service, read in side.marks.items() if (mark := read()) is not None and mark.seq}
        found = await _found(side, marks, counts)
    except Corrupt as trouble:
        found = str(trouble)
    return CheckLine(side.kind.name, "different" if found else "ok", counts, found)


async def _found(side: ControlsSide, marks: Mapping[str, Head], counts: Counts) -> str:
    """Return the first difference; empty if none."""
    try:
        journal = await side.open()
    except Missing:
        service, mark = max(marks.items(), key=lambda item: item[1].seq, default=("", Head()))
        if not mark.seq:
            raise Unavailable(f"the stream {side.kind.journal.stream} does not exist yet: risk creates it") from None
        return f"the stream {side.kind.journal.stream} is missing, but {service} had sequence {mark.seq}"
    passed = await _read(side.kind, journal, {mark.seq for mark in marks.values()})
    counts |= {"commits": passed.head.n, "sequence": passed.head.seq, **side.kind.counts(passed.fold)}
    if marks:
        counts["high_water_mark"] = max(mark.seq for mark in marks.values())
    if skipped := passed.skipped:
        counts["skipped"] = f"{len(skipped)} (sequence {listed([skipped[seq] for seq in sorted(skipped)])})"
    for service, mark in sorted(marks.items()):
        if passed.marked.get(mark.seq) != mark and not passed.covers(mark):
            how = "ends before it" if mark.seq > passed.head.seq else "has another commit there"
            return f"{service} had sequence {mark.seq}, and the journal {how}"
    every = {each.seq: each for each in (*journal.passed, *await journal.foreign(passed.head))}
    strange = [every[seq] for seq in sorted(every) if every[seq] != skipped.get(seq)]
    return f"sequence {listed(strange)} is no commit, and no operator skipped it" if strange else ""


async def _read(kind: Kind, journal: Journal, marked: set[int]) -> _Pass:
    """Read all events. Corrupt, Unavailable."""
    passed, until = _Pass(kind), (await journal.head()).seq
    async with contextlib.aclosing(journal.follow(Head(), until=until)) as batches:
        async for batch in batches:
            for recorded in batch:
                for event in kind.journal.commits.read(recorded).events:
                    if event.version != passed.fold.version + 1:
                        before = passed.fold.version
                        raise Corrupt(f"sequence {recorded.head.seq}: version {event.version} follows version {before}")
                    passed.fold.apply(event)
                    if isinstance(event, ControlsAccepted | AccessAccepted):
                        passed.accepted.append(event)
                if recorded.head.seq in marked:
                    passed.marked[recorded.head.seq] = recorded.head
                passed.head = recorded.head
    return passed
