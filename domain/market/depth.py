"""The top levels of a venue's book, for those who trade more than its touch. Beside the quote, not instead of it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Protocol

import msgspec

from domain.market.quotes import AT_END, CROSSED, NUMBER, PRICE, SIZE, TIME, Quote, in_bounds
from domain.market.records import Level
from domain.values import ZERO, Side

DEPTH_LEVELS_MAX: Final = 25
"""Levels of one side."""
LEVELS: Final = "levels"
"""Why a depth is not used: too many levels, or not in the order of their prices."""


class Depth(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Bids from the highest price and asks from the lowest, the touch among them. `seq`, `at` and `received` are those of the book."""

    symbol: str
    venue: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at: int
    received: int = 0
    seq: int = 0
    flags: tuple[str, ...] = ()

    def levels(self, side: Side) -> tuple[Level, ...]:
        """Return the levels that an aggressive order of this side meets, touch first."""
        return self.asks if side is Side.BUY else self.bids

    def belongs_to(self, quote: Quote, side: Side) -> bool:
        """Return whether this is the book of the quote: not older than it, and with its touch on this side."""
        levels = self.levels(side)
        return self.seq >= quote.seq and bool(levels) and levels[0][0] == quote.touch(side)


class KnownDepths(Protocol):
    """The last book of each symbol at each venue."""

    def of(self, quote: Quote, since_ns: int) -> Depth | None:
        """Return the last book of the quote's symbol and venue; None without a sound one that arrived since then."""
        ...

    def end(self, quote: Quote) -> None:
        """Forget the book of a quote that ended."""
        ...


def unsound_depth(depth: Depth, *, negative_prices: bool = False) -> str | None:
    """Return why the numbers of a depth are not usable; None if they are. Its numbers have the bounds of a quote's (`unsound`)."""
    for side in (depth.bids, depth.asks):
        if not all(in_bounds(price) and in_bounds(size) for price, size in side):
            return NUMBER
        if not negative_prices and any(price <= ZERO for price, _ in side):
            return PRICE
        if any(size < ZERO for _, size in side):
            return SIZE
    if not (_descends(depth.bids) and _descends(depth.asks[::-1]) and max(len(depth.bids), len(depth.asks)) <= DEPTH_LEVELS_MAX):
        return LEVELS
    if depth.bids and depth.asks and depth.bids[0][0] > depth.asks[0][0]:
        return CROSSED
    return None if 0 <= depth.at < AT_END else TIME


def _descends(levels: Sequence[Level]) -> bool:
    return all(one[0] > other[0] for one, other in pairwise(levels))
