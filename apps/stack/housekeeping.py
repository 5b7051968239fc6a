"""What a supervisor keeps on the disk and can do without: what could not be done is counted, said once, and tried again."""

from collections import Counter
from collections.abc import Callable

from apps.stack.screen import Screen


class Housekeeping:
    """Work on files beside the supervising, none of which may end it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._failures: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._unwritten: set[str] = set()

    @property
    def failing(self) -> frozenset[str]:
        """What could not be done when it was last tried."""
        return frozenset(self._failures)

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do it; an OSError stops nothing."""
        try:
            work()
        except OSError as error:
            self.failed(what, error.strerror or str(error))
        else:
            self.succeeded(what)

    def failed(self, what: str, reason: str) -> None:
        if not self._failures[what]:
            self._screen.alarm(f"{what}: {reason}. Everything runs on without it, and it is tried again")
        self._failures[what] += 1

    def succeeded(self, what: str) -> None:
        if failures := self._failures.pop(what, 0):
            self._screen.say(f"{what}: done again, after {failures} failed attempts")

    def missing_lines(self, file: str, dropped: int, trouble: str) -> None:
        """So many lines are not in `file`, and it cannot be written now because of `trouble`. Said when it begins, and when it is over."""
        if trouble:
            if file not in self._unwritten:
                self._unwritten.add(file)
                self._screen.alarm(f"{file} cannot be written: {trouble}. Its lines are shown here, dropped there and counted")
        elif dropped != self._missing[file]:
            self._unwritten.discard(file)
            self._missing[file] = dropped
            self._screen.alarm(f"{file} is written again; {dropped} lines are missing in it")
