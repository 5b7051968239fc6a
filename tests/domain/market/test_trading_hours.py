"""Sessions of venues: ends of days, of weeks, over holidays, half days, leap days and the nights in which clocks are changed."""

from zoneinfo import ZoneInfo

import pytest

from domain.market.trading_hours import ALWAYS, DAY_NS, Calendar
from domain.values import from_rfc3339, rfc3339

HOURS = Calendar(
    opens_s=13 * 3600 + 1800,
    closes_s=20 * 3600,
    weekdays=frozenset(range(5)),
    holidays=frozenset({from_rfc3339("2024-12-25T00:00:00Z") // DAY_NS}),
)
OVERNIGHT = Calendar(opens_s=22 * 3600, closes_s=(24 + 21) * 3600, weekdays=frozenset({6, 0, 1, 2, 3}))


NEW_YORK = Calendar(
    opens_s=9 * 3600 + 1800,
    closes_s=16 * 3600,
    weekdays=frozenset(range(5)),
    holidays=frozenset({from_rfc3339("2026-11-26T00:00:00Z") // DAY_NS}),
    half_days={from_rfc3339("2026-11-27T00:00:00Z") // DAY_NS: 13 * 3600},
    zone=ZoneInfo("America/New_York"),
)
FUTURES = Calendar(opens_s=18 * 3600, closes_s=(24 + 17) * 3600, weekdays=frozenset({6, 0, 1, 2, 3}), zone=ZoneInfo("America/New_York"))
TOKYO = Calendar(opens_s=9 * 3600, closes_s=15 * 3600, weekdays=frozenset(range(5)), zone=ZoneInfo("Asia/Tokyo"))
KIRITIMATI = Calendar(opens_s=0, closes_s=3600, weekdays=frozenset({0}), zone=ZoneInfo("Pacific/Kiritimati"))
SKIPPED = Calendar(opens_s=2 * 3600 + 1800, closes_s=4 * 3600, zone=ZoneInfo("America/New_York"))
TWICE = Calendar(opens_s=3600 + 1800, closes_s=4 * 3600, zone=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("calendar", "at", "is_open", "ends"),
    [
        # FAILURES 44
        (ALWAYS, "2024-02-28T23:59:59Z", True, "2024-02-29T00:00:00"),
        (ALWAYS, "2024-02-29T00:00:00Z", True, "2024-03-01T00:00:00"),
        (ALWAYS, "2023-02-28T12:00:00Z", True, "2023-03-01T00:00:00"),
        (ALWAYS, "2024-12-31T23:59:59.999999Z", True, "2025-01-01T00:00:00"),
        # clocks go forward and back in Europe and America: UTC does not
        (HOURS, "2024-03-29T19:59:59Z", True, "2024-03-29T20:00:00"),
        (HOURS, "2024-04-01T13:30:00Z", True, "2024-04-01T20:00:00"),
        (HOURS, "2024-10-27T15:00:00Z", False, "2024-10-28T20:00:00"),
        (HOURS, "2024-11-04T13:29:59Z", False, "2024-11-04T20:00:00"),
        # the end is outside
        (HOURS, "2024-03-29T20:00:00Z", False, "2024-04-01T20:00:00"),
        # a holiday in the week
        (HOURS, "2024-12-25T15:00:00Z", False, "2024-12-26T20:00:00"),
        (HOURS, "2024-12-24T20:00:00Z", False, "2024-12-26T20:00:00"),
        # a session that ends the next day belongs to the day on which it began
        (OVERNIGHT, "2024-06-02T22:00:00Z", True, "2024-06-03T21:00:00"),
        (OVERNIGHT, "2024-06-03T20:59:59Z", True, "2024-06-03T21:00:00"),
        (OVERNIGHT, "2024-06-03T21:30:00Z", False, "2024-06-04T21:00:00"),
        (OVERNIGHT, "2024-06-07T21:00:00Z", False, "2024-06-10T21:00:00"),
        # New York goes to summer time on 2026-03-08 and back on 2026-11-01
        (NEW_YORK, "2026-03-06T14:29:59Z", False, "2026-03-06T21:00:00"),
        (NEW_YORK, "2026-03-06T14:30:00Z", True, "2026-03-06T21:00:00"),
        (NEW_YORK, "2026-03-06T21:00:00Z", False, "2026-03-09T20:00:00"),
        (NEW_YORK, "2026-03-09T13:30:00Z", True, "2026-03-09T20:00:00"),
        (NEW_YORK, "2026-03-09T20:00:00Z", False, "2026-03-10T20:00:00"),
        (NEW_YORK, "2026-10-30T13:30:00Z", True, "2026-10-30T20:00:00"),
        (NEW_YORK, "2026-10-30T20:30:00Z", False, "2026-11-02T21:00:00"),
        (NEW_YORK, "2026-11-02T14:29:59Z", False, "2026-11-02T21:00:00"),
        (NEW_YORK, "2026-11-02T20:59:59Z", True, "2026-11-02T21:00:00"),
        # Thanksgiving and the half day after it
        (NEW_YORK, "2026-11-26T15:00:00Z", False, "2026-11-27T18:00:00"),
        (NEW_YORK, "2026-11-27T17:59:59Z", True, "2026-11-27T18:00:00"),
        (NEW_YORK, "2026-11-27T18:00:00Z", False, "2026-11-30T21:00:00"),
        # a session over the night in which the clock is changed is an hour shorter or longer
        (FUTURES, "2026-03-08T21:59:59Z", False, "2026-03-09T21:00:00"),
        (FUTURES, "2026-03-08T22:00:00Z", True, "2026-03-09T21:00:00"),
        (FUTURES, "2026-11-01T22:59:59Z", False, "2026-11-02T22:00:00"),
        (FUTURES, "2026-11-01T23:00:00Z", True, "2026-11-02T22:00:00"),
        # where it is another day than in UTC
        (TOKYO, "2026-01-05T00:00:00Z", True, "2026-01-05T06:00:00"),
        (TOKYO, "2026-01-04T23:59:59Z", False, "2026-01-05T06:00:00"),
        (KIRITIMATI, "2026-01-04T10:00:00Z", True, "2026-01-04T11:00:00"),
        (KIRITIMATI, "2026-01-04T11:00:00Z", False, "2026-01-11T11:00:00"),
        # 02:30 is skipped on 2026-03-08, 01:30 is there twice on 2026-11-01
        (SKIPPED, "2026-03-08T07:29:59Z", False, "2026-03-08T08:00:00"),
        (SKIPPED, "2026-03-08T07:30:00Z", True, "2026-03-08T08:00:00"),
        (TWICE, "2026-11-01T05:29:59Z", False, "2026-11-01T09:00:00"),
        (TWICE, "2026-11-01T05:30:00Z", True, "2026-11-01T09:00:00"),
    ],
)
def test_a_session_is_open_or_not_and_has_one_end(calendar: Calendar, at: str, is_open: bool, ends: str) -> None:
    at_ns = from_rfc3339(at)
    assert calendar.is_open(at_ns) is is_open
    assert rfc3339(calendar.session_end(at_ns)) == ends + ".000000Z"
