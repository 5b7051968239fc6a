"""A simulated market from a seed: whole ticks that return to their start. Also the shape of a market at each venue."""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from domain.instruments import Instrument
from domain.market.depth import Depth
from domain.market.prints import Print
from domain.market.quotes import Quote
from domain.market.records import Level
from domain.values import Side

PULL: Final = 3
"""Each step reverts one part in PULL of the distance from the start, so that the start is crossed often."""

SWING_PARTS: Final = 3
"""The largest single step is one part in SWING_PARTS of the swing; with PULL, excursions of a quarter of the swing are usual."""


class SimulatedMarket:
    """One simulated symbol.

    The mid stays within `start` and plus or minus `swing_pct` percent of it (of its size, if it is negative; one tick at least), and begins
    a third of the swing below `start`.
    """

    def __init__(self, instrument: Instrument, start: Decimal, swing_pct: Decimal, size: Decimal, spread_ticks: int, seed: int) -> None:
        self._instrument = instrument
        self._spread_ticks = spread_ticks
        self._seed = seed
        self._random = random.Random(f"{seed}:{instrument.symbol}")
        self._start_ticks = int(start // instrument.tick)
        self._swing_ticks = max(int(abs(start) * swing_pct.scaleb(-2) // instrument.tick), 1)
        self._size_lots = max(int(size // instrument.lot), 1)
        self._away_ticks = -(self._swing_ticks // SWING_PARTS)

    def quotes(self) -> Iterator[Quote]:
        """Yield quotes without end: bid and ask `spread_ticks` apart around the mid, without a venue or a time."""
        while True:
            yield self._quote()
            self._step()

    def close(self, day: int) -> Decimal:
        """Return the closing mid of a day (counted from 1970-01-01), within the swing around `start`; equal for equal seed and day."""
        chance = random.Random(f"{self._seed}:{self._instrument.symbol}:{day}")
        away = chance.randint(-self._swing_ticks, self._swing_ticks)
        return self._possible(self._start_ticks + away) * self._instrument.tick

    def _possible(self, ticks: int) -> int:
        return ticks if self._instrument.negative_prices else max(ticks, 1)

    def _step(self) -> None:
        swing, away = self._swing_ticks, self._away_ticks
        step_max = max(swing // SWING_PARTS, 1)
        pull = abs(away) // PULL
        away += self._random.randint(-step_max, step_max) + (pull if away < 0 else -pull)
        self._away_ticks = min(max(away, -swing), swing)

    def _quote(self) -> Quote:
        tick = self._instrument.tick
        bid_ticks = self._possible(self._start_ticks + self._away_ticks - self._spread_ticks // 2)
        return Quote(
            symbol=self._instrument.symbol,
            venue="",
            bid=bid_ticks * tick,
            bid_size=self._size(),
            ask=(bid_ticks + self._spread_ticks) * tick,
            ask_size=self._size(),
            at=0,
        )

    def _size(self) -> Decimal:
        """Return half to one and a half times the usual size, in whole lots."""
        half = self._size_lots // 2
        return max(self._size_lots - half + self._random.randint(0, 2 * half), 1) * self._instrument.lot


def shaped(quote: Quote, venue: str, instrument: Instrument, spread_ticks: int, depth_scale: Decimal, at: int) -> Quote:
    """Return the quote as one venue shows it.

    It is `spread_ticks` worse on each side (no lower than a price can be), with sizes scaled and cut to lots.
    """
    worse = spread_ticks * instrument.tick
    return Quote(
        symbol=quote.symbol,
        venue=venue,
        bid=quote.bid - worse if instrument.negative_prices else max(quote.bid - worse, instrument.tick),
        bid_size=whole_lots(quote.bid_size * depth_scale, instrument),
        ask=quote.ask + worse,
        ask_size=whole_lots(quote.ask_size * depth_scale, instrument),
        at=at,
        received=quote.received,
        seq=quote.seq,
        flags=quote.flags,
    )


def shaped_depth(depth: Depth, venue: str, instrument: Instrument, spread_ticks: int, depth_scale: Decimal) -> Depth:
    """Return the book as one venue shows it: each level in the shape of `shaped`, without bids that would be lower than a price can be."""
    worse = spread_ticks * instrument.tick
    bids = list[Level]()
    for price, size in depth.bids:
        shown = price - worse if instrument.negative_prices else max(price - worse, instrument.tick)
        if not bids or shown < bids[-1][0]:
            bids.append((shown, whole_lots(size * depth_scale, instrument)))
    asks = tuple((price + worse, whole_lots(size * depth_scale, instrument)) for price, size in depth.asks)
    return msgspec.structs.replace(depth, venue=venue, bids=tuple(bids), asks=asks)


def shaped_print(printed: Print, instrument: Instrument, spread_ticks: int, depth_scale: Decimal) -> Print:
    """Return a trade of the market as it meets the levels that one venue shows: at the price of its level, with the quantity scaled."""
    worse = spread_ticks * instrument.tick
    if printed.side is Side.BUY:
        price = printed.price + worse
    else:
        price = printed.price - worse if instrument.negative_prices else max(printed.price - worse, instrument.tick)
    return Print(price, printed.quantity * depth_scale, printed.side)


def whole_lots(size: Decimal, instrument: Instrument) -> Decimal:
    return size // instrument.lot * instrument.lot
