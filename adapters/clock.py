"""Wall time for stamps. Order is told by sequence, never by this."""

import time


class SystemClock:
    """Nanoseconds UTC, clamped so that it never goes back within a process. Port: domain.ports.Clock."""

    def __init__(self) -> None:
        self._last = 0

    def now_ns(self) -> int:
        self._last = max(self._last, time.time_ns())
        return self._last
