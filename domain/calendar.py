"""When a venue trades: sessions by day of the week, in UTC, where no clock is ever put forward or back."""

from typing import Final

import msgspec

SECOND_NS: Final = 1_000_000_000
DAY_S: Final = 86_400
DAY_NS: Final = DAY_S * SECOND_NS
EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""
DAYS_AHEAD_MAX: Final = 400
"""How far a next session is looked for: a calendar without any is refused where it is read."""


class Calendar(msgspec.Struct, frozen=True):
    """Trading hours: seconds from a day's midnight, `closes_s` beyond DAY_S for a session that ends the next day.

    `holidays` are numbers of days since 1970-01-01. The default never closes; its days end at midnight.
    """

    opens_s: int = 0
    closes_s: int = DAY_S
    weekdays: frozenset[int] = frozenset(range(7))
    holidays: frozenset[int] = frozenset()

    def is_open(self, at_ns: int) -> bool:
        return any(begin <= at_ns < end for begin, end in self._sessions(at_ns, days=1))

    def session_end(self, at_ns: int) -> int:
        """The end of the session that is on, or of the next one: nanoseconds UTC."""
        return next(end for begin, end in self._sessions(at_ns, days=DAYS_AHEAD_MAX) if at_ns < end)

    def _sessions(self, at_ns: int, days: int) -> list[tuple[int, int]]:
        """Those that begin from the day before to so many days after it, until one is found that ends later."""
        found: list[tuple[int, int]] = []
        today = at_ns // DAY_NS
        for day in range(today - 1, today + days):
            if (day + EPOCH_WEEKDAY) % 7 in self.weekdays and day not in self.holidays:
                found.append((day * DAY_NS + self.opens_s * SECOND_NS, day * DAY_NS + self.closes_s * SECOND_NS))
                if found[-1][0] > at_ns:
                    break
        return found


ALWAYS: Final = Calendar()
