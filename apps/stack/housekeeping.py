"""File work of the supervisor that it can do without: a failure is counted, reported once, and retried."""

from collections import Counter
from collections.abc import Callable

from apps.stack.screen import Screen


class Housekeeping:
    """The supervisor's work on files. A failure never ends the supervisor."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._failures: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._unwritten: set[str] = set()

    @property
    def failing(self) -> frozenset[str]:
        """The work that failed at its last attempt."""
        return frozenset(self._failures)

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do the work; report an OSError and continue."""
        try:
            work()
        except OSError as error:
            self.failed(what, error.strerror or str(error))
        else:
            self.succeeded(what)

    def failed(self, what: str, reason: str) -> None:
        if not self._failures[what]:
            self._screen.alarm(f"{what}: {reason}. All programs keep running without it, and it is retried")
        self._failures[what] += 1

    def succeeded(self, what: str) -> None:
        if failures := self._failures.pop(what, 0):
            self._screen.say(f"{what}: works again, after {failures} failed attempts")

    def missing_lines(self, file: str, dropped: int, trouble: str) -> None:
        """Report that `dropped` lines are missing in `file`: once when `trouble` begins, and once when it is over."""
        if trouble:
            if file not in self._unwritten:
                self._unwritten.add(file)
                self._screen.alarm(f"{file} cannot be written: {trouble}. Its lines are shown here, but dropped from the file and counted")
        elif dropped != self._missing[file]:
            self._unwritten.discard(file)
            self._missing[file] = dropped
            self._screen.alarm(f"{file} can be written again; {dropped} lines are missing in it")
