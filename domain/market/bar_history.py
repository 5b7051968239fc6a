"""Bars of a symbol over all venues, in the intervals that programs ask for, from bars of each venue."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from domain.values import ZERO, divide

MINUTE_NS: Final = 60 * 10**9
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
MONDAY_NS: Final = 4 * DAY_NS
"""The first Monday after the epoch. Weeks begin on Mondays, UTC."""
TYPICAL_PARTS: Final = Decimal(3)
"""High, low and close."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WORD: Final = re.compile(r"([1-9]\d?)((?i:Min|Hour|Day|Week|Month)|[THDWM])", re.ASCII)
_KINDS: Final = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
_COUNTS: Final = {"Min": range(1, 60), "Hour": range(1, 24), "Day": (1,), "Week": (1,), "Month": (1, 2, 3, 4, 6, 12)}
_LENGTHS: Final = {"Min": MINUTE_NS, "Hour": HOUR_NS, "Day": DAY_NS, "Week": 7 * DAY_NS}


class VenueBar(msgspec.Struct, frozen=True, gc=False):
    """One bar at one venue. `typical` is the sum of volume x (high + low + close) over the stored bars that it is made of."""

    at: int
    venue: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    count: int
    typical: Decimal


class MarketBar(msgspec.Struct, frozen=True, gc=False):
    """One bar over all venues. `at` is its begin, nanoseconds UTC; `count` is the number of trades.

    Open and close are those of the venue with the largest volume: which venue traded first is not stored. `vwap` is the mean of the typical
    prices, (high + low + close) / 3, weighted by volume.
    """

    at: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    count: int
    vwap: Decimal


class Timeframe(msgspec.Struct, frozen=True):
    """The length of bars: `count` of `kind` (Min, Hour, Day, Week, Month). They begin at whole multiples since the epoch, UTC."""

    count: int
    kind: str

    def begin(self, at_ns: int) -> int:
        """Return the begin of the bar that this moment is in, nanoseconds UTC."""
        if self.kind == "Month":
            return self._month(self._months(at_ns))
        shift, length = (MONDAY_NS if self.kind == "Week" else 0), self._length
        return (at_ns - shift) // length * length + shift

    def after(self, at_ns: int) -> int:
        """Return the end of the bar that this moment is in, which is the begin of the next one."""
        if self.kind == "Month":
            return self._month(self._months(at_ns) + 1)
        return self.begin(at_ns) + self._length

    @property
    def _length(self) -> int:
        return _LENGTHS[self.kind] * self.count

    def _months(self, at_ns: int) -> int:
        """Return the number of the bar since the epoch."""
        day = _EPOCH + timedelta(seconds=at_ns // 10**9)
        return ((day.year - 1970) * 12 + day.month - 1) // self.count

    def _month(self, number: int) -> int:
        year, month = divmod(number * self.count, 12)
        return int(datetime(1970 + year, month + 1, 1, tzinfo=UTC).timestamp()) * 10**9


def timeframe_of(word: str) -> Timeframe | None:
    """Return the timeframe that a word like 5Min, 1H or 3Month names; None for one that there is not.

    Whole words are read in any case, because ccxt writes 5min. Letters are not: m could be a minute or a month.
    """
    found = _WORD.fullmatch(word)
    if found is None:
        return None
    kind = _KINDS.get(found[2], found[2].capitalize())
    count = int(found[1])
    return Timeframe(count, kind) if count in _COUNTS[kind] else None


def over_venues(bars: Iterable[VenueBar]) -> list[MarketBar]:
    """Return one bar for each begin, in the order in which they come; those of one begin follow each other."""
    return [_merged(at, list(each)) for at, each in groupby(bars, key=attrgetter("at"))]


def _merged(at: int, bars: list[VenueBar]) -> MarketBar:
    leading = max(bars, key=lambda bar: (bar.volume, bar.venue))
    volume = sum((bar.volume for bar in bars), ZERO)
    typical = sum((bar.typical for bar in bars), ZERO)
    return MarketBar(
        at,
        leading.open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        leading.close,
        volume,
        sum(bar.count for bar in bars),
        divide(typical, volume * TYPICAL_PARTS) if volume else leading.close,
    )
