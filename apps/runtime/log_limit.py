"""For log lines that could come with every message: one in a while, with the number of those that were left out."""

import time
from typing import Final

EVERY_NS: Final = 1_000_000_000


class LogLimit:
    """Lets one through in a while, and counts those it held back."""

    def __init__(self, every_ns: int = EVERY_NS) -> None:
        self._every_ns = every_ns
        self._last: int | None = None
        self.held_back = 0

    def now(self) -> int | None:
        """How many were held back since the last one that passed; None when this one is held back too."""
        moment = time.monotonic_ns()
        if self._last is not None and moment - self._last < self._every_ns:
            self.held_back += 1
            return None
        self._last = moment
        held, self.held_back = self.held_back, 0
        return held
