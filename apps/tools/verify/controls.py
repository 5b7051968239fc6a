"""The journal of controls, compared with its chain, its versions, and the marks of its writer and its followers."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from adapters.controls import CONTROL_COMMITS
from adapters.subjects import CONTROL_STREAM
from apps.journal.watermark import listed
from apps.tools.verify.report import CheckLine, Counts
from domain.order.events import Foreign
from domain.ports import Corrupt, Head, Journal, Missing, Unavailable
from domain.risk.controls import Controls, ControlsAccepted

NAME: Final = "controls"

Marks = Mapping[str, Callable[[], Head | None]]
"""Readers of marks, by the service that keeps each."""


class ControlsSide(msgspec.Struct, frozen=True):
    """Access to the controls and their marks. `open` raises Missing if the stream does not exist."""

    open: Callable[[], Awaitable[Journal]]
    marks: Marks


class _Pass:
    """All controls, read once."""

    def __init__(self) -> None:
        self.controls = Controls()
        self.head = Head()
        self.accepted: list[ControlsAccepted] = []
        self.marked: dict[int, Head] = {}

    @property
    def skipped(self) -> dict[int, Foreign]:
        return {each.seq: each for event in self.accepted for each in event.skipped}

    def covers(self, mark: Head) -> bool:
        """Return whether an operator accepted that this control is lost."""
        return any(event.lost and mark.seq <= event.acknowledged_to for event in self.accepted)


async def check_controls(side: ControlsSide) -> CheckLine:
    """Verify the journal of controls and compare it with its marks. Unavailable if it cannot be read."""
    counts: Counts = {}
    try:
        marks = {service: mark for service, read in side.marks.items() if (mark := read()) is not None and mark.seq}
        found = await _found(side, marks, counts)
    except Corrupt as trouble:
        found = str(trouble)
    return CheckLine(NAME, "different" if found else "ok", counts, found)


async def _found(side: ControlsSide, marks: Mapping[str, Head], counts: Counts) -> str:
    """Return the first difference; empty if none."""
    try:
        journal = await side.open()
    except Missing:
        service, mark = max(marks.items(), key=lambda item: item[1].seq, default=("", Head()))
        if not mark.seq:
            raise Unavailable(f"the stream {CONTROL_STREAM} does not exist yet: risk creates it") from None
        return f"the stream {CONTROL_STREAM} is missing, but {service} had sequence {mark.seq}"
    passed = await _read(journal, {mark.seq for mark in marks.values()})
    counts |= {"commits": passed.head.n, "sequence": passed.head.seq, "killed": len(passed.controls.kills)}
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


async def _read(journal: Journal, marked: set[int]) -> _Pass:
    """Read all controls. Corrupt, Unavailable."""
    passed, until = _Pass(), (await journal.head()).seq
    async with contextlib.aclosing(journal.follow(Head(), until=until)) as batches:
        async for batch in batches:
            for recorded in batch:
                for event in CONTROL_COMMITS.read(recorded).events:
                    if event.version != passed.controls.version + 1:
                        before = passed.controls.version
                        raise Corrupt(f"sequence {recorded.head.seq}: control {event.version} follows control {before}")
                    passed.controls.apply(event)
                    if isinstance(event, ControlsAccepted):
                        passed.accepted.append(event)
                if recorded.head.seq in marked:
                    passed.marked[recorded.head.seq] = recorded.head
                passed.head = recorded.head
    return passed
