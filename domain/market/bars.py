"""Bars from trades, by the venue's time: open and close by time, late trades correct a bar, duplicates change nothing."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.market.records import Flag, MarketTrade

SECOND: Final = 1_000_000_000
INTERVALS: Final[Mapping[str, int]] = {
    "1m": 60 * SECOND,
    "5m": 300 * SECOND,
    "15m": 900 * SECOND,
    "1h": 3_600 * SECOND,
    "1d": 86_400 * SECOND,
}
"""The length of each bar in nanoseconds. Bars begin at whole multiples since 1970, UTC, as the database's views do."""
WATERMARK_NS: Final = 2 * SECOND
"""A bar is closed this long after its end. A trade that comes later still corrects it."""
TRADE_IDS_KEPT: Final = 2_000
"""The trades of one symbol of a venue that are recognised when they come again."""


class Bar(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One bar of a symbol at a venue. `at` is its begin, nanoseconds UTC; `count` is the number of trades.

    `partial`: it began before the reading did, so trades may be missing.
    """

    symbol: str
    venue: str
    interval: str
    at: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    count: int
    closed: bool
    partial: bool = False


class _Sums(msgspec.Struct, gc=False):
    """A bar that is being built. Of trades at the same time the first one that arrived opens, and the last one closes."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    opened_at: int
    closed_at: int
    count: int = 1

    def add(self, price: Decimal, quantity: Decimal, at: int) -> None:
        if at >= self.closed_at:
            self.close, self.closed_at = price, at
        elif at < self.opened_at:
            self.open, self.opened_at = price, at
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.volume += quantity
        self.count += 1


class KnownTrades:
    """The last trades of one symbol at one venue, by time and id: a venue may send a trade again."""

    def __init__(self) -> None:
        self.forgotten_to = 0
        """The latest time of a trade that is not recognised any more."""
        self._known: set[tuple[int, str]] = set()
        self._order: deque[tuple[int, str]] = deque()

    def has(self, key: tuple[int, str]) -> bool:
        """Return whether a trade with this time and id was there, and remember it."""
        if key in self._known:
            return True
        self._known.add(key)
        self._order.append(key)
        if len(self._order) > TRADE_IDS_KEPT:
            forgotten = self._order.popleft()
            self._known.remove(forgotten)
            self.forgotten_to = max(self.forgotten_to, forgotten[0])
        return False


class _Series:
    """The bars of one symbol at one venue. `changed`: since they were last returned. `open`: not yet returned as closed.

    `now`: the bars of the last trade, one of each interval, which hold every trade from `begin` until before `end`.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.bars: dict[str, dict[int, _Sums]] = {interval: {} for interval in INTERVALS}
        self.changed: set[tuple[str, int]] = set()
        self.open: set[tuple[str, int]] = set()
        self.now: list[_Sums] = []
        self.keys: list[tuple[str, int]] = []
        self.begin = self.end = 0
        self.trades = KnownTrades()


class Bars:
    """The bars of all symbols and venues, `kept` of each interval. Trades before the oldest kept bar are counted in `too_late`."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._series: dict[tuple[str, str], _Series] = {}
        self.too_late = 0
        self.duplicates = 0

    def add(self, trade: MarketTrade, since: int) -> bool:
        """Add a trade; return whether it is new. `since`: from when on all trades of its venue are known here, nanoseconds UTC.

        A backfilled trade as old as those that are forgotten may be in its bar already: it is left to the database's views.
        """
        key = trade.venue, trade.symbol
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(since)
        at = trade.at
        if at <= series.trades.forgotten_to and Flag.BACKFILLED in trade.flags:
            self.too_late += 1
            return False
        if series.trades.has((at, trade.trade_id)):
            self.duplicates += 1
            return False
        if series.begin <= at < series.end:
            for sums in series.now:
                sums.add(trade.price, trade.quantity, at)
            series.changed.update(series.keys)
        else:
            self._place(series, at, trade.price, trade.quantity)
        return True

    def _place(self, series: _Series, at: int, price: Decimal, quantity: Decimal) -> None:
        """Find or begin the bar of each interval, and add the trade to it."""
        series.now, series.keys = [], []
        for interval, length in INTERVALS.items():
            start, bars = at - at % length, series.bars[interval]
            found = bars.get(start)
            if found is not None:
                found.add(price, quantity, at)
            elif len(bars) < self._kept or start > min(bars):
                found = bars[start] = _Sums(price, price, price, price, quantity, at, at)
                self._keep(series, interval)
            else:
                self.too_late += interval == "1m"
                continue
            series.now.append(found)
            series.keys.append((interval, start))
        series.changed.update(series.keys)
        series.begin = at - at % INTERVALS["1m"]
        series.end = series.begin + INTERVALS["1m"] if len(series.now) == len(INTERVALS) else series.begin

    def _keep(self, series: _Series, interval: str) -> None:
        bars = series.bars[interval]
        if len(bars) > self._kept:
            oldest = min(bars)
            del bars[oldest]
            series.changed.discard((interval, oldest))
            series.open.discard((interval, oldest))

    def changes(self, now: int) -> Iterator[Bar]:
        """Yield each bar that changed or closed since the last call. `now`: nanoseconds UTC."""
        for (venue, symbol), series in self._series.items():
            for interval, start in sorted(series.changed | series.open):
                is_changed = (interval, start) in series.changed
                if not is_changed and now < start + INTERVALS[interval] + WATERMARK_NS:
                    continue
                bar = self._bar(venue, symbol, interval, start, series, now)
                if bar.closed:
                    series.open.discard((interval, start))
                else:
                    series.open.add((interval, start))
                yield bar
            series.changed.clear()

    def last(self, venue: str, symbol: str, interval: str, limit: int, now: int) -> Sequence[Bar] | None:
        """Return the last bars, the oldest first; None for a symbol without a trade."""
        series = self._series.get((venue, symbol))
        if series is None:
            return None
        return [self._bar(venue, symbol, interval, start, series, now) for start in sorted(series.bars[interval])[-limit:]]

    @staticmethod
    def _bar(venue: str, symbol: str, interval: str, start: int, series: _Series, now: int) -> Bar:
        sums = series.bars[interval][start]
        return Bar(
            symbol=symbol,
            venue=venue,
            interval=interval,
            at=start,
            open=sums.open,
            high=sums.high,
            low=sums.low,
            close=sums.close,
            volume=sums.volume,
            count=sums.count,
            closed=now >= start + INTERVALS[interval] + WATERMARK_NS,
            partial=start < series.since,
        )
