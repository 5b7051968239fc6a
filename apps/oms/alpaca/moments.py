"""Times of the facade: RFC 3339 in UTC with nine digits, so that a list can be continued from the last order's time."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from apps.http.moments import asked_moment

SECOND_NS: Final = 1_000_000_000
SECONDS_KEPT: Final = 1024


def shown_moment(at_ns: int) -> str:
    """Return a moment as RFC 3339 in UTC, to the nanosecond."""
    seconds, rest = divmod(at_ns, SECOND_NS)
    return f"{_second(seconds)}.{rest:09d}Z"


def shown_or_none(at_ns: int | None) -> str | None:
    return None if at_ns is None else shown_moment(at_ns)


def read_moment(text: str) -> int:
    """Return the nanoseconds of a moment in a query; a date is midnight UTC, a time without a zone is UTC. ValueError."""
    return asked_moment(text, utc=True)


@lru_cache(maxsize=SECONDS_KEPT)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
