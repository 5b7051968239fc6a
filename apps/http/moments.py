"""The reader of moments in requests: RFC 3339 in bodies, and in queries also the forms that spreadsheets, logs and programs print."""

import re
from typing import Final

from domain.values import from_rfc3339

SECOND_NS: Final = 1_000_000_000

_OFFSET: Final = r"(?:[01]\d|2[0-3]):[0-5]\d"
_STRICT: Final = re.compile(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{{1,9}})?(Z|[+-]{_OFFSET})", re.ASCII)
_TIME: Final = re.compile(rf"(\d{{4}}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{{1,9}}))?([Zz]|[ +-]{_OFFSET})?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH: Final = re.compile(r"(\d+)(?:\.(\d{1,9}))?", re.ASCII)
EPOCH_UNITS_NS: Final = {10: SECOND_NS, 13: 1_000_000, 16: 1_000, 19: 1}
"""By the number of digits: seconds, milliseconds, microseconds, nanoseconds of the years 2001 to 2286. Other counts are refused."""

EXAMPLE: Final = "2026-01-31T12:00:00Z"


def body_moment(text: str) -> int:
    """Return the nanoseconds of an RFC 3339 time, to the microsecond. ValueError."""
    if not _STRICT.fullmatch(text):
        raise ValueError("not RFC 3339")
    return from_rfc3339(text)


def asked_moment(text: str, *, utc: bool = False) -> int:
    """Return the nanoseconds of a time, a date (its midnight UTC) or an epoch number. ValueError with the reason.

    `utc`: a time without a zone is UTC. A plus sign that was not escaped arrives as a space, and is read as a plus.
    """
    if found := _TIME.fullmatch(text):
        day, clock, fraction, zone = found.groups()
        if zone is None and not utc:
            raise ValueError(f"the zone is missing, as in {EXAMPLE}")
        zone = (zone or "Z").upper().replace(" ", "+")
        return from_rfc3339(f"{day}T{clock}{zone}") + int((fraction or "0").ljust(9, "0"))
    if _DATE.fullmatch(text):
        return from_rfc3339(f"{text}T00:00:00Z")
    if found := _EPOCH.fullmatch(text):
        return _epoch(*found.groups())
    raise ValueError(f"write it as {EXAMPLE}, as 2026-01-31, or as an epoch number")


def _epoch(digits: str, fraction: str | None) -> int:
    unit = EPOCH_UNITS_NS.get(len(digits))
    if unit is None or (fraction and unit != SECOND_NS):
        raise ValueError("an epoch number has 10 digits in seconds (optionally with a fraction), 13 in ms, 16 in us, 19 in ns")
    return int(digits) * unit + int((fraction or "0").ljust(9, "0"))
