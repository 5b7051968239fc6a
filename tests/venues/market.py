"""The simulated book of one symbol, in whole ticks and lots, from a seed: never crossed unless a fault says so, never empty."""

import random
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

LEVELS: Final = 40
"""Levels of each side that the book is filled up to."""
REACH: Final = 15
"""Changes happen among this many of the best levels."""
TRADE_SHARE: Final = 0.3
REMOVE_SHARE: Final = 0.2
LOTS_MAX: Final = 2_000_000
SPREAD_TICKS: Final = 2
PAST_MAX: Final = 20_000
OLD_STEPS: Final = 50
"""An old snapshot is this many steps old."""

Level = tuple[Decimal, Decimal]


class Truth(NamedTuple):
    """A whole book: bids from the highest price, asks from the lowest."""

    bids: list[Level]
    asks: list[Level]


class Print(NamedTuple):
    """A trade. `taker_buys`: the taker's side. `at`: the venue's time, nanoseconds UTC."""

    number: int
    tick: int
    lots: int
    taker_buys: bool
    at: int = 0


class PastPrint(NamedTuple):
    """A trade that is over, with its price and size as texts."""

    price: str
    size: str
    print: Print


class Change(NamedTuple):
    """A level that changed; `lots` 0: it is gone."""

    is_bid: bool
    tick: int
    lots: int


class Move(NamedTuple):
    """One step: the levels that changed, and at most one trade. The numbers of its updates are `first` to `last`."""

    changes: list[Change]
    trade: Print | None
    first: int
    last: int


class SimulatedBook:
    """One symbol. `places`: decimals of its price and its size as the venue writes them."""

    def __init__(self, name: str, seed: int, *, start: int = 5_000_000, price_places: int = 2, size_places: int = 5) -> None:
        self.name = name
        self.price_places = price_places
        self.size_places = size_places
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        """Asks and bids: lots by tick. `sides[True]` are the bids."""
        self.update_number = 1000
        self.trades = 0
        self.past: deque[PastPrint] = deque(maxlen=PAST_MAX)
        """The last trades, the oldest first."""
        self._random = random.Random(f"{seed} {name}")
        for place in range(LEVELS):
            self.sides[True][start - 1 - place] = self._lots()
            self.sides[False][start + SPREAD_TICKS - 1 + place] = self._lots()
        self._past: deque[tuple[int, dict[int, int], dict[int, int]]] = deque(maxlen=OLD_STEPS)

    def price(self, tick: int) -> str:
        """A price as the venue writes it."""
        return _fixed(tick, self.price_places)

    def size(self, lots: int) -> str:
        return _fixed(lots, self.size_places)

    def best(self, *, bid: bool) -> int:
        return max(self.sides[True]) if bid else min(self.sides[False])

    def top(self, *, bids: bool, depth: int) -> list[tuple[int, int]]:
        """The best levels of one side, the best one first."""
        side = self.sides[bids]
        return [(tick, side[tick]) for tick in sorted(side, reverse=bids)[:depth]]

    def truth(self, depth: int = 10_000) -> Truth:
        return self._truth(self.sides[True], self.sides[False], depth)

    def old(self) -> tuple[int, Truth]:
        """The number and the book of a snapshot that is some steps old."""
        if not self._past:
            return self.update_number, self.truth()
        number, bids, asks = self._past[0]
        return number, self._truth(bids, asks, len(bids) + len(asks))

    def remember(self) -> None:
        """Keep the book as it is, for `old`."""
        self._past.append((self.update_number, dict(self.sides[True]), dict(self.sides[False])))

    def _truth(self, bids: Mapping[int, int], asks: Mapping[int, int], depth: int) -> Truth:
        def levels(side: Mapping[int, int], *, falling: bool) -> list[Level]:
            ticks = sorted(side, reverse=falling)[:depth]
            return [(Decimal(self.price(tick)), Decimal(self.size(side[tick]))) for tick in ticks]

        return Truth(levels(bids, falling=True), levels(asks, falling=False))

    def step(self) -> Move:
        """Change a few levels, in one of three steps with a trade at the touch."""
        chance = self._random
        trade, changes = None, list[Change]()
        if chance.random() < TRADE_SHARE:
            trade = self._trade(changes)
        else:
            self._revise(changes, bid=chance.random() < 0.5)
        for bid in (True, False):
            self._fill_up(changes, bid=bid)
        return self._moved(changes, trade)

    def cross(self) -> Move:
        """Put a bid above the best ask, as a venue must not."""
        tick, lots = self.best(bid=False) + 1, self._lots()
        self.sides[True][tick] = lots
        return self._moved([Change(True, tick, lots)], None)

    def uncross(self) -> Move:
        """Remove the bids that `cross` put above the asks."""
        limit = self.best(bid=False)
        gone = [tick for tick in self.sides[True] if tick >= limit]
        for tick in gone:
            del self.sides[True][tick]
        return self._moved([Change(True, tick, 0) for tick in gone], None)

    def _moved(self, changes: list[Change], trade: Print | None) -> Move:
        first = self.update_number + 1
        self.update_number += max(len(changes), 1)
        return Move(changes, trade, first, self.update_number)

    def _lots(self) -> int:
        return self._random.randint(1, LOTS_MAX)

    def _trade(self, changes: list[Change]) -> Print:
        """Take from the best level; if it is used up, the other side may follow with a better price."""
        taker_buys = self._random.random() < 0.5
        tick = self.best(bid=not taker_buys)
        side = self.sides[not taker_buys]
        lots = self._random.choice((side[tick], self._random.randint(1, side[tick])))
        self._put(changes, bid=not taker_buys, tick=tick, lots=side[tick] - lots)
        if tick not in side and self._random.random() < 0.5:
            self._put(changes, bid=taker_buys, tick=tick, lots=self._lots())
        self.trades += 1
        return Print(self.trades, tick, lots, taker_buys)

    def _revise(self, changes: list[Change], *, bid: bool) -> None:
        """Add, change or remove one of the best levels."""
        away = self._random.randrange(-SPREAD_TICKS, REACH)
        tick = self.best(bid=bid) - away if bid else self.best(bid=bid) + away
        limit = self.best(bid=not bid)
        tick = min(tick, limit - 1) if bid else max(tick, limit + 1)
        present = tick in self.sides[bid]
        gone = present and len(self.sides[bid]) > 1 and self._random.random() < REMOVE_SHARE
        self._put(changes, bid=bid, tick=tick, lots=0 if gone else self._lots())

    def _fill_up(self, changes: list[Change], *, bid: bool) -> None:
        side = self.sides[bid]
        while len(side) < LEVELS:
            worst = min(side) - 1 if bid else max(side, default=self.best(bid=True) + SPREAD_TICKS) + 1
            self._put(changes, bid=bid, tick=worst, lots=self._lots())
        while len(side) > LEVELS + REACH:
            self._put(changes, bid=bid, tick=min(side) if bid else max(side), lots=0)

    def _put(self, changes: list[Change], *, bid: bool, tick: int, lots: int) -> None:
        if lots:
            self.sides[bid][tick] = lots
        else:
            self.sides[bid].pop(tick, None)
        changes[:] = [change for change in changes if (change.is_bid, change.tick) != (bid, tick)]
        changes.append(Change(bid, tick, lots))


def _fixed(number: int, places: int) -> str:
    if not places:
        return str(number)
    digits = str(number).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"
