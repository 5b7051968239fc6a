"""A venue's trading hours: sessions by day of the week, on the clock of the venue's own time zone, including its clock changes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

import msgspec

SECOND_NS: Final = 1_000_000_000
DAY_S: Final = 86_400
DAY_NS: Final = DAY_S * SECOND_NS
EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""
DAYS_AHEAD_MAX: Final = 400
"""How many days ahead a session is searched: a calendar without any is refused when it is read."""
INSTANTS_KEPT: Final = 4096
CLOSE_LEAD_S: Final = 30


class Calendar(msgspec.Struct, frozen=True):
    """Trading hours: seconds of the zone's clock from a day's midnight. `closes_s` is beyond DAY_S if a session ends the next day.

    `holidays` are days (counted from 1970-01-01) on which no session begins; `half_days` are such days with a `closes_s` of their own.
    The default never closes; its days end at midnight UTC. `close_lead_s`: orders for the close are routed so long before a session's end.
    """

    opens_s: int = 0
    closes_s: int = DAY_S
    weekdays: frozenset[int] = frozenset(range(7))
    holidays: frozenset[int] = frozenset()
    half_days: Mapping[int, int] = {}
    zone: tzinfo = UTC
    close_lead_s: int = CLOSE_LEAD_S

    def is_open(self, at_ns: int) -> bool:
        return any(begin <= at_ns < end for begin, end in self._sessions(at_ns, days=1))

    def session_end(self, at_ns: int) -> int:
        """Return the end of the current session, or else of the next one: nanoseconds UTC."""
        return next(end for begin, end in self._sessions(at_ns, days=DAYS_AHEAD_MAX) if at_ns < end)

    def next_open(self, at_ns: int) -> int:
        """Return the begin of the next session: nanoseconds UTC."""
        return next(begin for begin, _ in self._sessions(at_ns, days=DAYS_AHEAD_MAX) if at_ns < begin)

    def opening(self, at_ns: int) -> int | None:
        """Return when it next opens after it was closed: nanoseconds UTC; None if it does not within DAYS_AHEAD_MAX sessions.

        A session that begins at the end of another is no opening.
        """
        begin = at_ns
        for _ in range(0 if self.never_closes else DAYS_AHEAD_MAX):
            begin = self.next_open(begin)
            if not self.is_open(begin - 1):
                return begin
        return None

    def closing(self, at_ns: int) -> int | None:
        """Return when it closes, and another session does not begin at once: nanoseconds UTC; None as for `opening`."""
        end = at_ns
        for _ in range(0 if self.never_closes else DAYS_AHEAD_MAX):
            end = self.session_end(end)
            if not self.is_open(end):
                return end
        return None

    @property
    def never_closes(self) -> bool:
        """Whether each session begins at the end of another, on all days."""
        whole = self.closes_s - self.opens_s == DAY_S and len(self.weekdays) == len(ALWAYS.weekdays)
        return whole and not self.holidays and not self.half_days

    def _sessions(self, at_ns: int, days: int) -> list[tuple[int, int]]:
        """Return the sessions from the day before up to `days` after it, until one is found that begins later."""
        found: list[tuple[int, int]] = []
        away = 0 if self.zone is UTC else 1  # a zone's day may be the one before or after that of UTC
        today = at_ns // DAY_NS
        for day in range(today - 1 - away, today + days + away):
            if (day + EPOCH_WEEKDAY) % 7 in self.weekdays and day not in self.holidays:
                found.append((self._instant(day, self.opens_s), self._instant(day, self.half_days.get(day, self.closes_s))))
                if found[-1][0] > at_ns:
                    break
        return found

    def _instant(self, day: int, clock_s: int) -> int:
        return day * DAY_NS + clock_s * SECOND_NS if self.zone is UTC else _local_instant(self.zone, day, clock_s)


@lru_cache(maxsize=INSTANTS_KEPT)
def _local_instant(zone: tzinfo, day: int, clock_s: int) -> int:
    """Return when the zone's clock shows this time.

    A time that occurs twice is the first; a skipped time is later by the length of the gap.
    """
    moment = datetime(1970, 1, 1, tzinfo=zone) + timedelta(days=day, seconds=clock_s)  # on the clock: the offset is resolved by timestamp()
    return int(moment.timestamp()) * SECOND_NS


ALWAYS: Final = Calendar()
