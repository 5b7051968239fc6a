"""Timestamps of one journal: wall time, but never earlier than the latest event in the journal.

A wall clock may be set back, also between two runs of a process. Until it has caught up, the timestamp does not advance; the order of
events is their sequence.
"""

from collections.abc import Iterable
from typing import Final

import structlog

from domain.ports import Clock

log = structlog.get_logger()

AHEAD_NS: Final = 1_000_000_000
"""If the journal is this far ahead of the wall clock, a warning is logged, once until the clock has caught up."""


class EventClock:
    """The clock of the journal's only writer. `latest` is the highest timestamp so far, in nanoseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._warned = False
        self.latest = 0

    def now(self, not_before: int = 0) -> int:
        """Return the timestamp of a decision made now; `not_before` is the last timestamp of its order."""
        wall = self._clock.now_ns()
        self.latest = max(wall, self.latest, not_before)
        if self.latest - wall < AHEAD_NS:
            self._warned = False
        elif not self._warned:
            self._warned = True
            log.warning("the wall clock is behind the journal: timestamps do not advance until it has caught up", seconds=self.ahead_s)
        return self.latest

    def heard(self, stamps: Iterable[int]) -> None:
        """Note timestamps that are in the journal."""
        self.latest = max(self.latest, max(stamps, default=0))

    @property
    def ahead_s(self) -> float:
        """How far the last timestamp is ahead of the wall clock, in seconds."""
        return max(0, self.latest - self._clock.now_ns()) / 1e9
