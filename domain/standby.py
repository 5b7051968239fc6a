"""Standby: which of two processes of a service works. Pure: the replies received, and their age, decide.

This is a hint, not a fence: it keeps two processes from working at the same time under normal conditions. What must never happen twice is
fenced where it is written: the journal, the venues and the stores refuse the older process.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

LEASE_NS: Final = 3_000_000_000
"""How long a process that was seen working must have been silent before another takes its place."""
TRUST_NS: Final = LEASE_NS - 500_000_000
"""How long a process may work after the last round in which it saw no other: it stops before another may begin."""
SAME_AGE_NS: Final = 1_000_000_000
"""Two processes that have worked for about as long are ordered by name."""


class ProcessSeen(msgspec.Struct, frozen=True):
    """A process's own status: it works (`holds`, for `held_ns`), or it is about to."""

    sender: str
    holds: bool
    held_ns: int = 0


class Act(StrEnum):
    WAIT = "wait"
    CLAIM = "claim"
    HOLD = "hold"
    YIELD = "yield"


def standing_by(others: Iterable[ProcessSeen], *, known_ns: int | None) -> Act:
    """Decide for a process that stands by.

    `known_ns`: how long ago another process was last seen, by a server that carried every request since; None: never.
    """
    if any(True for _ in others) or (known_ns is not None and known_ns < LEASE_NS):
        return Act.WAIT
    return Act.CLAIM


def claiming(sender: str, others: Iterable[ProcessSeen]) -> Act:
    """Decide for a process that subscribed and asked. Of two that claim at once the lower name asks again until the other gives way."""
    others = list(others)
    if any(other.holds or other.sender < sender for other in others):
        return Act.WAIT
    return Act.CLAIM if others else Act.HOLD


def holding(mine: ProcessSeen, others: Iterable[ProcessSeen]) -> Act:
    """Decide for a process that works. If two work, after a suspend or a network split, the longer-running one was replaced and ends."""
    for other in others:
        longer = mine.held_ns - other.held_ns
        if other.holds and (longer >= SAME_AGE_NS or (abs(longer) < SAME_AGE_NS and other.sender < mine.sender)):
            return Act.YIELD
    return Act.HOLD
