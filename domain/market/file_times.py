"""Times and dates in files: ISO forms, with or without a zone, and counts of seconds to nanoseconds since 1970."""

import contextlib
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNT: Final = re.compile(r"\d{9,19}(\.\d{1,12})?|\d(\.\d{1,18})?[eE]\+?\d{1,2}", re.ASCII)
_STAMP: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
# Nine digits of seconds are in 1973, eleven in 5138, so between them the units cannot be confused.
UNITS: Final = ((10**8, 10**11, SECOND_NS), (10**11, 10**14, 10**6), (10**14, 10**17, 10**3), (10**17, 10**20, 1))
"""From, to, and the length in nanoseconds of: seconds, milliseconds, microseconds, nanoseconds since 1970."""


def instant_of(text: str) -> int:
    """Parse nanoseconds since the epoch; a time without a zone is UTC. Raises ValueError if it is not a time."""
    counted = _counted(text)
    if counted is not None:
        return counted
    found = _STAMP.fullmatch(text)
    if not found:
        raise ValueError("not a time")
    year, month, day, hours, minutes, seconds = (int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6))
    moment = datetime(year, month, day, hours, minutes, seconds, tzinfo=_zone(found.group(8)))
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND_NS + int((found.group(7) or "0").ljust(9, "0"))


def day_of(text: str) -> int:
    """Parse days since 1970-01-01.

    The day is the written one, in whatever zone; a count must be midnight UTC. ValueError gives the reason.
    """
    if len(text) == 10 and text[4] == text[7] == "-":
        with contextlib.suppress(ValueError):  # the usual form, in one step
            return date.fromisoformat(text).toordinal() - EPOCH_DAY
    counted = _counted(text)
    if counted is not None:
        if counted % DAY_NS:
            raise ValueError("is a count since 1970 that is not midnight UTC, so its day depends on a zone: write the date")
        return counted // DAY_NS
    found = _STAMP.fullmatch(text)
    if not found:
        raise ValueError("is not a date like 2014-12-31")
    if any(int(part or 0) for part in found.group(4, 5, 6, 7)):
        raise ValueError("has a time of day: a close has a date, or midnight")
    try:
        return date(*map(int, found.group(1, 2, 3))).toordinal() - EPOCH_DAY
    except ValueError:
        raise ValueError("is not a date like 2014-12-31") from None


def _counted(text: str) -> int | None:
    """Return nanoseconds of a count since 1970, whose unit follows from its size. None if it is not a number, or too small for a count."""
    if not _COUNT.fullmatch(text):
        return None
    number = Decimal(text)
    for least, end, worth in UNITS:
        if least <= number < end:
            return int(number * Decimal(worth) // 1)
    return None


def _zone(text: str | None) -> timezone:
    if text in (None, "Z", "UTC"):
        return UTC
    assert text is not None, "_STAMP matches only these"
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
