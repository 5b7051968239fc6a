"""Whether a program that does not answer yet is coming up: a busy machine takes as long as it takes, a program that hangs is given up."""

import time
from typing import Final

import psutil

from apps.stack.trouble import NotReady

CPU_STEP_S: Final = 0.1
"""Processor time that counts as progress before it answers: a program that hangs takes none, one among hundreds gets this much."""

CPU_STEP_ANSWERING_S: Final = 1.0
"""The same of one that answers that it is not ready: answering takes time too, less than this within SILENCE_MAX_S."""

CPU_ALONE_MAX_S: Final = 600.0
"""How long processor time alone keeps the hope up: an endless loop takes it too."""

REASONS_MAX: Final = 10_000
"""Different reasons that are remembered: one that comes back is no progress."""


class Progress:
    """Signs of life of one start. Output, a new reason (as `at 5 of 10`) and processor time put off the giving up."""

    def __init__(self, silence_max_s: float, *, began_s: float) -> None:
        self._silence_max_s = silence_max_s
        self._moved_s = self._spoke_s = began_s
        self._output = 0
        self._cpu_s = 0.0
        self._reasons: set[str] = set()

    def is_over(self, now_s: float, *, output: int, reason: str, answered: bool, cpu_s: float) -> bool:
        """Is it to be given up? `output` is how much it has written, `reason` why it is not ready, `cpu_s` what it has taken so far."""
        step_s = CPU_STEP_ANSWERING_S if answered else CPU_STEP_S
        new_reason = reason not in self._reasons and len(self._reasons) < REASONS_MAX
        if output != self._output or new_reason:
            self._reasons.add(reason)
            self._output, self._cpu_s = output, cpu_s
            self._moved_s = self._spoke_s = now_s
        elif cpu_s - self._cpu_s >= step_s and now_s - self._spoke_s < CPU_ALONE_MAX_S:
            self._cpu_s, self._moved_s = cpu_s, now_s
        return now_s - self._moved_s > self._silence_max_s


class Watched:
    """The progress of a process, as of now."""

    def __init__(self, pid: int, silence_max_s: float) -> None:
        self._pid = pid
        self._progress = Progress(silence_max_s, began_s=time.monotonic())

    def is_over(self, reason: NotReady, *, output: int) -> bool:
        """Is it to be given up, now that it is not ready for this `reason`, and has written so much?"""
        now_s, taken_s = time.monotonic(), cpu_s(self._pid)
        return self._progress.is_over(now_s, output=output, reason=str(reason), answered=reason.answered, cpu_s=taken_s)


def cpu_s(pid: int) -> float:
    """Processor time that it and its ended children took; 0 when it has ended."""
    try:
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    except psutil.Error:
        return 0.0
