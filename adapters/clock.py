"""Wall time for stamps, steady time for spans. Order is told by sequence, never by either."""

import time


class SystemClock:
    """Port: domain.ports.Clock. `now_ns` never goes back within a process: after a jump back by an hour it stays the same for an hour."""

    def __init__(self) -> None:
        self._last = 0

    def now_ns(self) -> int:
        self._last = max(self._last, time.time_ns())
        return self._last

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
