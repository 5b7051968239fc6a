"""Stamps of one journal: wall time, but never before the stamp of an event that is already there.

A wall clock may be set back, also between two runs of a process. Then stamps stand still until it has caught up; order is told by sequence.
"""

from collections.abc import Iterable
from typing import Final

import structlog

from domain.ports import Clock

log = structlog.get_logger()

AHEAD_NS: Final = 1_000_000_000
"""A journal that is so far ahead of the wall clock is worth a line in the log, once until the clock has caught up."""


class EventClock:
    """In the hands of the journal's one writer. `latest` is the highest stamp there is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said = False
        self.latest = 0

    def now(self, not_before: int = 0) -> int:
        """A stamp for what is decided now; `not_before` is the last one of the order that it is about."""
        wall = self._clock.now_ns()
        self.latest = max(wall, self.latest, not_before)
        if self.latest - wall < AHEAD_NS:
            self._said = False
        elif not self._said:
            self._said = True
            log.warning("the wall clock is behind the journal: stamps stand still until it has caught up", seconds=self.ahead_s)
        return self.latest

    def heard(self, stamps: Iterable[int]) -> None:
        """These are in the journal."""
        self.latest = max(self.latest, max(stamps, default=0))

    @property
    def ahead_s(self) -> float:
        """How far the last stamp is ahead of the wall clock."""
        return max(0, self.latest - self._clock.now_ns()) / 1e9
