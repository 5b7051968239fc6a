"""The opening or closing that an order waits for: over nights, weekends, holidays, half days and changes of the clock."""

from zoneinfo import ZoneInfo

import pytest

from domain.execution.auctions import auction_of
from domain.instruments import Denial
from domain.market.trading_hours import ALWAYS, DAY_NS, DAY_S, Calendar
from domain.order.auction import Auction
from domain.values import TimeInForce, from_rfc3339, rfc3339

H = 3600
NYSE = Calendar(
    opens_s=9 * H + 1800,
    closes_s=16 * H,
    weekdays=frozenset(range(5)),
    holidays=frozenset({from_rfc3339("2026-11-26T00:00:00Z") // DAY_NS}),
    half_days={from_rfc3339("2026-11-27T00:00:00Z") // DAY_NS: 13 * H},
    zone=ZoneInfo("America/New_York"),
)
LONDON = Calendar(opens_s=8 * H, closes_s=16 * H + 1800, weekdays=frozenset(range(5)), zone=ZoneInfo("Europe/London"), close_lead_s=300)
FUTURES = Calendar(opens_s=18 * H, closes_s=(24 + 17) * H, weekdays=frozenset({6, 0, 1, 2, 3}), zone=ZoneInfo("America/New_York"))
CURRENCIES = Calendar(weekdays=frozenset(range(5)))
"""Open day and night from Monday to Friday: five sessions without a break."""
SHORT = Calendar(opens_s=12 * H, closes_s=12 * H + 10)
ONCE_CLOSED = Calendar(holidays=frozenset({from_rfc3339("2020-01-01T00:00:00Z") // DAY_NS}))
ROUND_THE_CLOCK = Calendar(opens_s=17 * H, closes_s=17 * H + DAY_S, zone=ZoneInfo("America/New_York"))


def shown(found: Auction | Denial) -> str:
    if isinstance(found, Denial):
        return found.code
    return f"{found.venue} {rfc3339(found.at)[:19]} {rfc3339(found.ends_at)[:19]}"


@pytest.mark.parametrize(
    ("calendar", "submitted", "expected"),
    [
        # before, at and within a session
        (NYSE, "2026-06-01T13:29:59Z", "V 2026-06-01T13:30:00 2026-06-01T20:00:00"),
        (NYSE, "2026-06-01T13:30:00Z", "V 2026-06-02T13:30:00 2026-06-02T20:00:00"),
        (NYSE, "2026-06-01T17:00:00Z", "V 2026-06-02T13:30:00 2026-06-02T20:00:00"),
        # over a weekend in which the clock is changed, to summer time and back
        (NYSE, "2026-03-06T21:00:00Z", "V 2026-03-09T13:30:00 2026-03-09T20:00:00"),
        (NYSE, "2026-10-30T20:00:00Z", "V 2026-11-02T14:30:00 2026-11-02T21:00:00"),
        # Thanksgiving, and the day after it, which ends early
        (NYSE, "2026-11-25T21:30:00Z", "V 2026-11-27T14:30:00 2026-11-27T18:00:00"),
        # a session over midnight and over the night in which the clock is changed
        (FUTURES, "2026-03-08T12:00:00Z", "V 2026-03-08T22:00:00 2026-03-09T21:00:00"),
        # the begin of a day without a break before it is no opening
        (CURRENCIES, "2026-06-03T12:00:00Z", "V 2026-06-08T00:00:00 2026-06-13T00:00:00"),
        (SHORT, "2026-06-03T12:00:05Z", "V 2026-06-04T12:00:00 2026-06-04T12:00:10"),
        (ALWAYS, "2026-06-03T12:00:00Z", "no_session"),
        (ROUND_THE_CLOCK, "2026-06-03T12:00:00Z", "no_session"),
        (ONCE_CLOSED, "2026-06-03T12:00:00Z", "no_session"),
    ],
)
def test_an_order_for_the_opening_waits_for_the_next_one(calendar: Calendar, submitted: str, expected: str) -> None:
    assert shown(auction_of(TimeInForce.OPG, {"V": calendar}, from_rfc3339(submitted))) == expected


@pytest.mark.parametrize(
    ("calendar", "submitted", "expected"),
    [
        (NYSE, "2026-06-01T17:00:00Z", "V 2026-06-01T19:59:30 2026-06-01T20:00:00"),
        (NYSE, "2026-06-01T19:59:29Z", "V 2026-06-01T19:59:30 2026-06-01T20:00:00"),
        # too late until the session has ended; then the next one counts
        (NYSE, "2026-06-01T19:59:30Z", "too_late_for_close"),
        (NYSE, "2026-06-01T19:59:59.999999Z", "too_late_for_close"),
        (NYSE, "2026-06-01T20:00:00Z", "V 2026-06-02T19:59:30 2026-06-02T20:00:00"),
        (NYSE, "2026-03-06T21:00:00Z", "V 2026-03-09T19:59:30 2026-03-09T20:00:00"),
        (NYSE, "2026-10-30T20:00:00Z", "V 2026-11-02T20:59:30 2026-11-02T21:00:00"),
        # a holiday, then a half day
        (NYSE, "2026-11-26T15:00:00Z", "V 2026-11-27T17:59:30 2026-11-27T18:00:00"),
        (NYSE, "2026-11-27T17:59:30Z", "too_late_for_close"),
        (LONDON, "2026-06-01T15:24:59Z", "V 2026-06-01T15:25:00 2026-06-01T15:30:00"),
        (LONDON, "2026-06-01T15:25:00Z", "too_late_for_close"),
        (FUTURES, "2026-03-08T23:00:00Z", "V 2026-03-09T20:59:30 2026-03-09T21:00:00"),
        (CURRENCIES, "2026-06-03T12:00:00Z", "V 2026-06-05T23:59:30 2026-06-06T00:00:00"),
        # a session that is shorter than the lead: not before it opens
        (SHORT, "2026-06-03T11:00:00Z", "V 2026-06-03T12:00:00 2026-06-03T12:00:10"),
        (SHORT, "2026-06-03T12:00:01Z", "too_late_for_close"),
        (ALWAYS, "2026-06-03T12:00:00Z", "no_session"),
        (ROUND_THE_CLOCK, "2026-06-03T12:00:00Z", "no_session"),
        (ONCE_CLOSED, "2026-06-03T12:00:00Z", "no_session"),
    ],
)
def test_an_order_for_the_closing_is_routed_before_the_end_of_the_session(calendar: Calendar, submitted: str, expected: str) -> None:
    assert shown(auction_of(TimeInForce.CLS, {"V": calendar}, from_rfc3339(submitted))) == expected


def test_of_several_venues_the_first_to_open_or_close_counts_and_one_that_never_closes_does_not() -> None:
    venues = {"NYSE": NYSE, "LONDON": LONDON, "PAPER": ALWAYS}
    morning, evening = from_rfc3339("2026-06-01T06:00:00Z"), from_rfc3339("2026-06-01T16:00:00Z")
    assert shown(auction_of(TimeInForce.OPG, venues, morning)) == "LONDON 2026-06-01T07:00:00 2026-06-01T15:30:00"
    assert shown(auction_of(TimeInForce.CLS, venues, evening)) == "NYSE 2026-06-01T19:59:30 2026-06-01T20:00:00"
    assert shown(auction_of(TimeInForce.OPG, {"B": NYSE, "A": NYSE}, morning)).startswith("A ")
    assert shown(auction_of(TimeInForce.OPG, {}, morning)) == "no_session"


def test_a_refusal_says_when_it_was_too_late() -> None:
    found = auction_of(TimeInForce.CLS, {"V": NYSE}, from_rfc3339("2026-06-01T19:59:45Z"))
    assert found == Denial("too_late_for_close", "2026-06-01T19:59:45.000000Z", "2026-06-01T19:59:30.000000Z")
