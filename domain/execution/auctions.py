"""The opening or closing that an order waits for: by the trading hours of the venues that list its instrument."""

from collections.abc import Mapping
from typing import Final

from domain.instruments import Denial
from domain.market.trading_hours import SECOND_NS, Calendar
from domain.order.auction import Auction
from domain.values import TimeInForce, rfc3339

NO_SESSION: Final = "no_session"
TOO_LATE: Final = "too_late_for_close"


def auction_of(time_in_force: TimeInForce, calendars: Mapping[str, Calendar], now_ns: int) -> Auction | Denial:
    """Return the auction of an order that is submitted now, or why there is none. `calendars` are by venue.

    With `opg` it is the next opening of a venue, with `cls` the next closing. Venues that never close do not count. Of several openings or
    closings the first one counts, and of those at the same time the first by name of the venue.
    """
    find = _opening if time_in_force is TimeInForce.OPG else _closing
    found = [auction for venue, calendar in sorted(calendars.items()) if (auction := find(venue, calendar, now_ns)) is not None]
    if not found:
        return Denial(NO_SESSION, "none of its venues closes")
    if time_in_force is TimeInForce.OPG:
        return min(found, key=lambda auction: auction.at)
    first = min(found, key=lambda auction: auction.ends_at)
    return first if now_ns < first.at else Denial(TOO_LATE, rfc3339(now_ns), rfc3339(first.at))


def _opening(venue: str, calendar: Calendar, now_ns: int) -> Auction | None:
    begin = calendar.opening(now_ns)
    end = None if begin is None else calendar.closing(begin)
    return None if begin is None or end is None else Auction(venue, begin, end)


def _closing(venue: str, calendar: Calendar, now_ns: int) -> Auction | None:
    """Return the next closing, also if the time to route orders for it is over. That time is never before the opening."""
    end = calendar.closing(now_ns)
    if end is None:
        return None
    at = end - calendar.close_lead_s * SECOND_NS
    begin = None if calendar.is_open(now_ns) else calendar.opening(now_ns)
    return Auction(venue, at if begin is None else max(at, begin), end)
