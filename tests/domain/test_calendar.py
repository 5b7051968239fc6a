"""Sessions of venues in UTC: ends of days, of weeks, over holidays, leap days and the nights in which clocks elsewhere are changed."""

import pytest

from domain.calendar import ALWAYS, DAY_NS, Calendar
from domain.values import from_rfc3339, rfc3339

HOURS = Calendar(
    opens_s=13 * 3600 + 1800,
    closes_s=20 * 3600,
    weekdays=frozenset(range(5)),
    holidays=frozenset({from_rfc3339("2024-12-25T00:00:00Z") // DAY_NS}),
)
OVERNIGHT = Calendar(opens_s=22 * 3600, closes_s=(24 + 21) * 3600, weekdays=frozenset({6, 0, 1, 2, 3}))


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
    ],
)
def test_a_session_is_open_or_not_and_has_one_end(calendar: Calendar, at: str, is_open: bool, ends: str) -> None:
    at_ns = from_rfc3339(at)
    assert calendar.is_open(at_ns) is is_open
    assert rfc3339(calendar.session_end(at_ns)) == ends + ".000000Z"
