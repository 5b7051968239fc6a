"""Clocks: wall time for timestamps, steady time for durations. Order follows from sequences, never from time."""

import time


class SystemClock:
    """Port: domain.ports.Clock. `now_ns` never goes back in a process: after a jump back by an hour it is constant for an hour."""

    def __init__(self) -> None:
        self._last = 0

    def now_ns(self) -> int:
        self._last = max(self._last, time.time_ns())
        return self._last

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
