"""A rate limit for log lines that could come with every message: one per interval, with the number of suppressed lines."""

import time
from typing import Final

EVERY_NS: Final = 1_000_000_000


class LogLimit:
    """A limit of one line per `every_ns`, and a count of those held back."""

    def __init__(self, every_ns: int = EVERY_NS) -> None:
        self._every_ns = every_ns
        self._last: int | None = None
        self.held_back = 0

    def now(self) -> int | None:
        """Return how many were held back since the last line that passed; None if this one is held back too."""
        moment = time.monotonic_ns()
        if self._last is not None and moment - self._last < self._every_ns:
            self.held_back += 1
            return None
        self._last = moment
        held, self.held_back = self.held_back, 0
        return held
