"""Progress of a program that does not answer yet: on a busy machine it may take any time, but a program that hangs is given up."""

import time
from typing import Final

import psutil

from apps.stack.trouble import NotReady

CPU_STEP_S: Final = 0.1
"""Processor seconds that count as progress before a program answers: one that hangs uses none, one among hundreds gets this much."""

CPU_STEP_ANSWERING_S: Final = 1.0
"""The same for a program that answers "not ready": its answers use less than this within SILENCE_MAX_S."""

CPU_ALONE_MAX_S: Final = 600.0
"""How long processor time alone counts as progress, because an endless loop uses it too."""

REASONS_MAX: Final = 10_000
"""Distinct reasons that are remembered: a repeated one is not progress."""


class Progress:
    """Signs of progress of one start: output, a new reason (as `at 5 of 10`), and processor time."""

    def __init__(self, silence_max_s: float, *, began_s: float) -> None:
        self._silence_max_s = silence_max_s
        self._moved_s = self._spoke_s = began_s
        self._output = 0
        self._cpu_s = 0.0
        self._reasons: set[str] = set()

    def is_over(self, now_s: float, *, output: int, reason: str, answered: bool, cpu_s: float) -> bool:
        """Return whether to give up. `output`: bytes written; `reason`: why it is not ready; `cpu_s`: processor seconds used so far."""
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
    """The progress of a running process."""

    def __init__(self, pid: int, silence_max_s: float) -> None:
        self._pid = pid
        self._progress = Progress(silence_max_s, began_s=time.monotonic())

    def is_over(self, reason: NotReady, *, output: int) -> bool:
        """Return whether to give up a process that is not ready for this `reason` and has written `output` bytes."""
        now_s, taken_s = time.monotonic(), cpu_s(self._pid)
        return self._progress.is_over(now_s, output=output, reason=str(reason), answered=reason.answered, cpu_s=taken_s)


def cpu_s(pid: int) -> float:
    """Return the processor seconds used by a process and its ended children; 0 if it has ended."""
    try:
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    except psutil.Error:
        return 0.0
