"""What rests at a paper venue: one book a symbol, ordered so that a quote that reaches nothing costs nothing."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.commands import VenueRequest
from domain.quotes import Quote
from domain.values import ZERO, OrderType, Side, TimeInForce

STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


class PaperState(StrEnum):
    TAKEN = "taken"
    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class PaperOrder(msgspec.Struct, kw_only=True, gc=False):
    """One order as the venue keeps it. `leaves` is what was not filled, also when closed.

    `sends` counts how often its request came, `reports` are the report_seqs that told of it.
    """

    number: int
    request: VenueRequest
    venue_order_id: str
    leaves: Decimal
    state: PaperState = PaperState.TAKEN
    triggered: bool = False
    sends: int = 0
    reports: tuple[int, ...] = ()

    @property
    def cum_quantity(self) -> Decimal:
        return self.request.quantity - self.leaves

    @property
    def waits_for_stop(self) -> bool:
        return not self.triggered and self.request.type in STOPS

    @property
    def expire_at(self) -> int | None:
        return self.request.expire_at if self.request.time_in_force is TimeInForce.GTD else None

    def due(self, now_ns: int) -> bool:
        expire_at = self.expire_at
        return expire_at is not None and expire_at <= now_ns


class Display(msgspec.Struct, gc=False):
    """The quote in force and what is left of its two sizes, by the side that takes them: buyers take the ask, sellers the bid."""

    quote: Quote
    left: dict[Side, Decimal]

    @classmethod
    def of(cls, quote: Quote) -> "Display":
        return cls(quote, {Side.BUY: quote.ask_size, Side.SELL: quote.bid_size})

    def copy(self) -> "Display":
        return Display(self.quote, dict(self.left))


class Ladder:
    """Orders by price, the best price first; at one price in the order in which they came."""

    def __init__(self, *, highest_first: bool) -> None:
        self._highest_first = highest_first
        self._keys: list[Decimal] = []  # ascending, best last: the best price is looked at and removed in O(1)
        self._levels: dict[Decimal, OrderedDict[int, PaperOrder]] = {}

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
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]

    def reached(self, price: Decimal) -> Iterator[PaperOrder]:
        """Every order at this price or a better one, best first."""
        bound = self._key(price)
        for key in reversed(self._keys):
            if key < bound:
                return
            yield from self._levels[key].values()

    def __iter__(self) -> Iterator[PaperOrder]:
        for key in reversed(self._keys):
            yield from self._levels[key].values()


class Book:
    """One symbol: market orders that wait for size, limits that rest, stops that sleep."""

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

    def _place(self, order: PaperOrder) -> tuple[Ladder, Decimal]:
        request = order.request
        if order.waits_for_stop:
            assert request.stop_price is not None, "a stop without its price is rejected at the door"
            return self.stops[request.side], request.stop_price
        if request.price is not None:
            return self.limits[request.side], request.price
        return self.markets[request.side], ZERO
