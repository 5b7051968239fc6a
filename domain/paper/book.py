"""The orders that rest at a paper venue: one book a symbol, ordered so that a quote that reaches nothing costs nothing."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Container, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from domain.market.depth import Depth
from domain.market.quotes import STALE, Quote
from domain.order.commands import VenueRequest
from domain.values import ZERO, Liquidity, OrderType, Side, TimeInForce, opposite

STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


class PaperState(StrEnum):
    TAKEN = "taken"
    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class PaperTrade(msgspec.Struct, frozen=True, gc=False):
    exec_id: str
    quantity: Decimal
    price: Decimal
    liquidity: Liquidity


class PaperOrder(msgspec.Struct, kw_only=True, gc=False):
    """One order as the venue keeps it. `request` has its current terms; `leaves` is what was not filled, also once it is closed.

    `sends` counts how often its request arrived, `reports` are the report_seqs of its reports. `behind`: see QueueJoined.
    `shown`: what is left of the part that an iceberg shows; see PartShown.
    """

    number: int
    request: VenueRequest
    venue_order_id: str
    leaves: Decimal
    state: PaperState = PaperState.TAKEN
    triggered: bool = False
    sends: int = 0
    reports: tuple[int, ...] = ()
    trades: tuple[PaperTrade, ...] = ()
    day_ends_at: int | None = None
    replace_id: str = ""
    behind: Decimal = ZERO
    shown: Decimal = ZERO

    @property
    def visible(self) -> Decimal:
        """What others see of a resting order and can trade with: all of it, or the part that an iceberg shows."""
        return self.leaves if self.request.display_quantity is None else min(self.shown, self.leaves)

    @property
    def next_part(self) -> Decimal:
        """How much an iceberg shows when it comes to rest, or when what it showed has traded."""
        display = self.request.display_quantity
        return self.leaves if display is None else min(display, self.leaves)

    @property
    def cum_quantity(self) -> Decimal:
        return self.request.quantity - self.leaves

    @property
    def waits_for_stop(self) -> bool:
        return not self.triggered and self.request.type in STOPS

    @property
    def expire_at(self) -> int | None:
        force = self.request.time_in_force
        return self.request.expire_at if force is TimeInForce.GTD else self.day_ends_at if force is TimeInForce.DAY else None

    def due(self, now_ns: int) -> bool:
        expire_at = self.expire_at
        return expire_at is not None and expire_at <= now_ns


Level = tuple[Decimal, Decimal]
"""A price and the size left there."""

UNSEEN: Final = Decimal(10) ** 20
"""The size ahead of an order whose price is not among those that are known. Every size is smaller: the first one seen replaces it."""


class Display(msgspec.Struct, gc=False):
    """The quote in force and the size left at its levels, touch first, by the side that takes them: buyers take the asks.

    `shown` are the levels of a market's book before anything was taken; it is empty for levels that the venue made itself.
    """

    quote: Quote
    left: dict[Side, tuple[Level, ...]]
    shown: dict[Side, tuple[Level, ...]] = {}

    @classmethod
    def of(cls, quote: Quote, tick: Decimal = ZERO, levels: int = 1, *, negative_prices: bool = False) -> "Display":
        """Build `levels` on each side, `tick` apart, each of the touch's size; bids no lower than a price can be."""
        asks = tuple((quote.ask + n * tick, quote.ask_size) for n in range(levels))
        prices = (quote.bid - n * tick for n in range(levels))
        bids = tuple((price, quote.bid_size) for price in prices if negative_prices or price > ZERO or price == quote.bid)
        return cls(quote, {Side.BUY: asks, Side.SELL: bids})

    @classmethod
    def of_book(cls, quote: Quote, depth: Depth, before: "Display | None") -> "Display":
        """Show the levels of a book. A level that is the same as before has what is left of it: the market has brought nothing new."""
        shown = {side: depth.levels(side) for side in Side}
        if before is None or not before.shown:
            return cls(quote, dict(shown), shown)
        left = {side: dict(zip(before.shown[side], before.left[side], strict=True)) for side in Side}
        return cls(quote, {side: tuple(left[side].get(level, level) for level in levels) for side, levels in shown.items()}, shown)

    def copy(self) -> "Display":
        return Display(self.quote, dict(self.left), self.shown)

    def size(self, side: Side, limit: Decimal | None) -> Decimal:
        """Return the size that this side may take at its limit or better."""
        return sum((size for price, size in self.left[side] if limit is None or reaches(side, limit, price)), ZERO)

    def shown_at(self, side: Side, price: Decimal) -> Decimal:
        """Return the size shown at a price among the orders of this side."""
        return next((size for at, size in self.left[opposite(side)] if at == price), ZERO)

    def size_ahead(self, side: Side, price: Decimal) -> Decimal | None:
        """Return the size of others at a price among the orders of this side; None where it is not known.

        A market's book is known as far as its levels go, without a book only its touch is. At a price between its levels no size is ahead.
        Nothing is known of a quote that has ended; in a recorded market that is one without any size.
        """
        levels = self.left[opposite(side)]
        ended = STALE in self.quote.flags or not (self.quote.bid_size or self.quote.ask_size)
        for at, size in () if ended else levels if self.shown else levels[:1]:
            if reaches(side, price, at):
                return size if price == at else ZERO
        return None

    def take(self, side: Side, quantity: Decimal) -> list[Level]:
        """Take up to `quantity`, from the touch on; return what was taken at which price."""
        had: list[Level] = []
        left: list[Level] = []
        for price, size in self.left[side]:
            taken = min(size, quantity)
            quantity -= taken
            left.append((price, size - taken))
            if taken:
                had.append((price, taken))
        self.left[side] = tuple(left)
        return had


def reaches(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Return whether an order of this side and limit may trade at the price."""
    return price <= limit if side is Side.BUY else price >= limit


class Ladder:
    """Orders by price, the best price first; at one price in order of arrival."""

    def __init__(self, *, highest_first: bool) -> None:
        self._highest_first = highest_first
        self._keys: list[Decimal] = []  # ascending, best last: the best price is read and removed in O(1)
        self._levels: dict[Decimal, OrderedDict[int, PaperOrder]] = {}
        self._gone: dict[Decimal, Decimal] = {}

    def _key(self, price: Decimal) -> Decimal:
        return price if self._highest_first else -price

    def add(self, price: Decimal, order: PaperOrder) -> None:
        key = self._key(price)
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = OrderedDict()
            insort(self._keys, key)
        level[order.number] = order

    def remove(self, price: Decimal, order: PaperOrder) -> None:
        key = self._key(price)
        level = self._levels[key]
        del level[order.number]
        if not level:
            self._gone.pop(key, None)
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]

    def to_end(self, price: Decimal, order: PaperOrder) -> None:
        """Move an order behind all others at its price."""
        self._levels[self._key(price)].move_to_end(order.number)

    def reached(self, price: Decimal) -> Iterator[PaperOrder]:
        """Yield every order at this price or a better one, best first."""
        bound = self._key(price)
        for key in reversed(self._keys):
            if key < bound:
                return
            yield from self._levels[key].values()

    def gone(self, price: Decimal) -> Decimal:
        """Return how much of others' size at this price was traded since an order of this venue came to rest there."""
        return self._gone.get(self._key(price), ZERO)

    def advance(self, price: Decimal, quantity: Decimal) -> None:
        self._gone[self._key(price)] = self.gone(price) + quantity

    def at(self, price: Decimal) -> Iterator[PaperOrder]:
        """Yield the orders at this price, in order of arrival."""
        yield from self._levels.get(self._key(price), OrderedDict[int, PaperOrder]()).values()

    def prices(self) -> Iterator[Decimal]:
        """Yield every price with orders, best first."""
        return (key if self._highest_first else -key for key in reversed(self._keys))

    def last_but(self, price: Decimal, order: PaperOrder, ended: Container[int]) -> PaperOrder | None:
        """Return the order with the last turn at this price, except for `order` and those whose number is in `ended`."""
        level = self._levels.get(self._key(price))
        others = (other for other in reversed(level.values()) if other.number != order.number) if level else ()
        return next((other for other in others if other.number not in ended), None)

    def __iter__(self) -> Iterator[PaperOrder]:
        for key in reversed(self._keys):
            yield from self._levels[key].values()


class PaperBook:
    """One symbol: market orders that wait for size, limits that rest, stops that wait for their price."""

    def __init__(self) -> None:
        self.markets = {side: Ladder(highest_first=True) for side in Side}
        self.limits = {Side.BUY: Ladder(highest_first=True), Side.SELL: Ladder(highest_first=False)}
        # A rising ask reaches the lowest buy stop first, a falling bid the highest sell stop.
        self.stops = {Side.BUY: Ladder(highest_first=False), Side.SELL: Ladder(highest_first=True)}

    def add(self, order: PaperOrder) -> None:
        ladder, price = self._place(order)
        ladder.add(price, order)

    def remove(self, order: PaperOrder) -> None:
        ladder, price = self._place(order)
        ladder.remove(price, order)

    def to_end(self, order: PaperOrder) -> None:
        ladder, price = self._place(order)
        ladder.to_end(price, order)

    def _place(self, order: PaperOrder) -> tuple[Ladder, Decimal]:
        request = order.request
        if order.waits_for_stop:
            assert request.stop_price is not None, "a stop without its price is rejected on arrival"
            return self.stops[request.side], request.stop_price
        if request.price is not None:
            return self.limits[request.side], request.price
        return self.markets[request.side], ZERO
