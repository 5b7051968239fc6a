"""Two processes of one service: which one works and which one stands by. Pure: what was heard, and for how long, decides.

A hint and no fence: it keeps two from working at the same time in good order. What must never happen twice is fenced where it is written:
the journal, the venues and the stores refuse the older one.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

LEASE_NS: Final = 3_000_000_000
"""So long must a process that was seen working have been silent before another takes its place."""
TRUST_NS: Final = LEASE_NS - 500_000_000
"""So long may one work on after the last round in which it saw no other: it stops before another may begin."""
SAME_AGE_NS: Final = 1_000_000_000
"""Two that have worked for about as long are told apart by their names."""


class ProcessSeen(msgspec.Struct, frozen=True):
    """What a process says of itself: it works (`holds`, for so long), or it is about to."""

    sender: str
    holds: bool
    held_ns: int = 0


class Act(StrEnum):
    WAIT = "wait"
    CLAIM = "claim"
    HOLD = "hold"
    YIELD = "yield"


def standing_by(others: Iterable[ProcessSeen], *, known_ns: int | None) -> Act:
    """`known_ns`: how long ago another process was last noticed, by a server that carried every question since; None: never."""
    if any(True for _ in others) or (known_ns is not None and known_ns < LEASE_NS):
        return Act.WAIT
    return Act.CLAIM


def claiming(sender: str, others: Iterable[ProcessSeen]) -> Act:
    """We listen and have asked. Of two that claim at once the lower name asks again until the other has given way."""
    others = list(others)
    if any(other.holds or other.sender < sender for other in others):
        return Act.WAIT
    return Act.CLAIM if others else Act.HOLD


def holding(mine: ProcessSeen, others: Iterable[ProcessSeen]) -> Act:
    """Two work, after a sleep or a cut: the one that has worked for longer was followed, and ends."""
    for other in others:
        longer = mine.held_ns - other.held_ns
        if other.holds and (longer >= SAME_AGE_NS or (abs(longer) < SAME_AGE_NS and other.sender < mine.sender)):
            return Act.YIELD
    return Act.HOLD
