"""One paper venue again, slow and obvious, from docs/paper-venues.md alone: what requests, quotes and time must have done to its orders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

ZERO: Final = Decimal(0)

Rank = tuple[Decimal, int]
"""What comes first is less: a price as it counts, and whose turn it is."""


def cut(value: Decimal, step: Decimal) -> Decimal:
    return value // step * step


@dataclass(frozen=True)
class Steps:
    """Of one instrument."""

    tick: Decimal
    lot: Decimal


@dataclass(frozen=True)
class Shown:
    """A quote: of the common market, or of one venue."""

    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal

    def touch(self, side: str) -> Decimal:
        return self.ask if side == "buy" else self.bid

    def size(self, side: str) -> Decimal:
        return self.ask_size if side == "buy" else self.bid_size


@dataclass
class Order:
    """What was asked, and what became of it. `stands` is when it came to wait or rest, or arrived to sleep."""

    client_order_id: str
    account: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str = "gtc"
    venue: str = ""
    place: str = ""
    reason: str | None = None
    stands: int = 0
    filled: Decimal = ZERO
    paid: Decimal = ZERO
    fees: Decimal = ZERO
    triggered: bool = False
    post_only: bool = False
    ends: int | None = None
    arrived: int = 0
    mark: Decimal = ZERO

    @property
    def lacks(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        return self.place in ("sleeps", "rests", "waits")

    def limit_met(self, touch: Decimal) -> bool:
        if self.price is None:
            return True
        return touch <= self.price if self.side == "buy" else touch >= self.price

    def stop_met(self, touch: Decimal) -> bool:
        assert self.stop_price is not None
        return touch >= self.stop_price if self.side == "buy" else touch <= self.stop_price

    def by_turn(self) -> Rank:
        return ZERO, self.stands

    def by_limit(self) -> Rank:
        """The best limit first: of buyers the highest, of sellers the lowest."""
        assert self.price is not None
        return (-self.price if self.side == "buy" else self.price), self.stands

    def by_stop(self) -> Rank:
        """The stop first that the market reaches first: of buyers the lowest, of sellers the highest."""
        assert self.stop_price is not None
        return (self.stop_price if self.side == "buy" else -self.stop_price), self.stands


@dataclass(frozen=True)
class Fill:
    """One trade at a venue."""

    venue: str
    symbol: str
    client_order_id: str
    account: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: str


class Compared(NamedTuple):
    """One venue as an order sees it. `cost` is the touch with the taker fee in it."""

    venue: str
    bid: Decimal
    ask: Decimal
    size: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Terms:
    """How a venue differs from the others."""

    name: str
    maker_bps: Decimal
    taker_bps: Decimal
    spread_ticks: int
    depth_scale: Decimal
    levels: int = 1
    level_ticks: int = 1
    queue: bool = False
    self_trade: str = "allow"

    def own(self, market: Shown, steps: Steps) -> Shown:
        away = self.spread_ticks * steps.tick
        return Shown(
            max(market.bid - away, steps.tick),
            cut(cut(market.bid_size, steps.lot) * self.depth_scale, steps.lot),
            market.ask + away,
            cut(cut(market.ask_size, steps.lot) * self.depth_scale, steps.lot),
        )

    def compared(self, shown: Shown, side: str) -> Compared:
        fee = shown.touch(side) * self.taker_bps / 10000
        cost = shown.touch(side) + (fee if side == "buy" else -fee)
        return Compared(self.name, shown.bid, shown.ask, shown.size(side), cost)


Level = list[Decimal]
"""A price, and what is left there."""


class ObviousVenue:
    """One venue: its quotes, what is left of the displayed sizes, and every order that sleeps, rests or waits there."""

    def __init__(self, terms: Terms, steps: Mapping[str, Steps], tell: Callable[[Fill], None]) -> None:
        self.terms = terms
        self.shown: dict[str, Shown] = {}
        self._steps = steps
        self._tell = tell
        self._left: dict[tuple[str, str], list[Level]] = {}
        self._gone: dict[tuple[str, str, Decimal], Decimal] = {}
        self._open: list[Order] = []
        self._ticket = 0

    # What it receives

    def new(self, order: Order, now: int = 0) -> None:
        order.venue = self.terms.name
        self._ticket += 1
        order.arrived = self._ticket
        if order.post_only and order.stop_price is None and self._touched(order):
            self._close(order, "post_only")
        elif order.ends is not None and order.ends <= now:
            order.place = "expired"
        elif order.stop_price is not None and not self._reached(order):
            self._put(order, "sleeps")
        else:
            self._meet(order)

    def cancel(self, order: Order) -> None:
        assert order.is_open
        self._close(order, "requested")

    def replace(self, order: Order, quantity: Decimal, price: Decimal | None, stop_price: Decimal | None) -> bool:
        """Was it replaced?"""
        assert order.is_open
        moved = (price, stop_price) != (order.price, order.stop_price)
        if quantity <= order.filled:
            order.quantity = order.filled
            order.place = "filled"
            self._tidy()
            return True
        before = order.price
        order.price = price
        asleep = order.stop_price is not None and not order.triggered
        if moved and order.post_only and not asleep and self._touched(order):
            order.price = before
            return False
        more = quantity > order.quantity
        order.quantity, order.stop_price = quantity, stop_price
        if moved or more:
            self._leave(order, before)
            if asleep and not self._reached(order):
                self._put(order, "sleeps")
            else:
                self._meet(order)
        return True

    def pass_time(self, now: int) -> None:
        for order in sorted((o for o in self._open if o.is_open and o.ends is not None), key=lambda o: (o.ends, o.arrived)):
            assert order.ends is not None
            if order.ends <= now:
                order.place, order.reason = "expired", None
        self._tidy()

    def quote(self, symbol: str, market: Shown) -> None:
        self.shown[symbol] = shown = self.terms.own(market, self._steps[symbol])
        step = self.terms.level_ticks * self._steps[symbol].tick
        counts = range(self.terms.levels)
        self._left[symbol, "buy"] = [[shown.ask + n * step, shown.ask_size] for n in counts]
        self._left[symbol, "sell"] = [[shown.bid - n * step, shown.bid_size] for n in counts if n == 0 or shown.bid - n * step > 0]
        for side in ("buy", "sell"):
            touch = shown.touch(side)
            for order in self._at(symbol, side, "waits", Order.by_turn):
                self._take(order)
            self._rested(symbol, side, touch)
            for order in self._at(symbol, side, "sleeps", Order.by_stop):
                if order.is_open and order.stop_met(touch):
                    self._meet(order)
        self._tidy()

    def _rested(self, symbol: str, side: str, touch: Decimal) -> None:
        for order in self._at(symbol, side, "rests", Order.by_limit):
            if not order.is_open or not order.limit_met(touch):
                continue
            assert order.price is not None
            if order.price == touch:
                before = order.mark - self._gone.get((symbol, side, touch), ZERO)
                if before > 0:
                    self._gone[symbol, side, touch] = self._gone.get((symbol, side, touch), ZERO) + sum(
                        taken for _, taken in self._takes(order, before)
                    )
            quantity = sum((taken for _, taken in self._takes(order, order.lacks)), ZERO)
            if quantity:
                self._fill(order, quantity, order.price, "maker")

    # What becomes of an order

    def _at(self, symbol: str, side: str, place: str, rank: Callable[[Order], Rank]) -> list[Order]:
        there = [order for order in self._open if (order.symbol, order.side, order.place) == (symbol, side, place)]
        return sorted(there, key=rank)

    def _reached(self, order: Order) -> bool:
        shown = self.shown.get(order.symbol)
        return shown is not None and order.stop_met(shown.touch(order.side))

    def _touched(self, order: Order) -> bool:
        shown = self.shown.get(order.symbol)
        return shown is not None and order.limit_met(shown.touch(order.side))

    def _meet(self, order: Order) -> None:
        """A new order, a stop that has just triggered, or one that was moved, and the display."""
        if order.stop_price is not None and not order.triggered:
            order.triggered = True
            if order.post_only and self._touched(order):
                self._close(order, "post_only")
                return
        if self._meets_itself(order):
            return
        there = sum((size for price, size in self._left.get((order.symbol, order.side), []) if order.limit_met(price)), ZERO)
        if order.time_in_force != "fok" or there >= order.lacks:
            self._take(order)
        if order.lacks and order.time_in_force in ("fok", "ioc"):
            self._close(order, order.time_in_force)
        elif order.lacks:
            self._put(order, "waits" if order.price is None else "rests")
        self._tidy()

    def _meets_itself(self, order: Order) -> bool:
        if self.terms.self_trade == "allow":
            return False
        shown = self.shown.get(order.symbol)
        bound = order.price if order.price is not None else shown.touch(order.side) if shown else None
        if bound is None:
            return False
        other = "sell" if order.side == "buy" else "buy"
        own = [o for o in self._at(order.symbol, other, "rests", Order.by_limit) if o.account == order.account]
        met = [o for o in own if o.price is not None and (o.price <= bound if order.side == "buy" else o.price >= bound)]
        for ended in met if self.terms.self_trade == "cancel_oldest" else [order] if met else []:
            self._close(ended, "self_trade")
        return bool(met) and self.terms.self_trade == "cancel_newest"

    def _takes(self, order: Order, quantity: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Off the levels that its limit reaches, the touch first."""
        had: list[tuple[Decimal, Decimal]] = []
        for level in self._left.get((order.symbol, order.side), []):
            taken = min(level[1], quantity) if order.limit_met(level[0]) else ZERO
            if taken:
                level[1] -= taken
                quantity -= taken
                had.append((level[0], taken))
        return had

    def _take(self, order: Order) -> None:
        for price, taken in self._takes(order, order.lacks):
            self._fill(order, taken, price, "taker")

    def _fill(self, order: Order, quantity: Decimal, price: Decimal, liquidity: str) -> None:
        fee = quantity * price * (self.terms.maker_bps if liquidity == "maker" else self.terms.taker_bps) / 10000
        order.filled += quantity
        order.paid += quantity * price
        order.fees += fee
        if not order.lacks:
            order.place = "filled"
        who = (order.client_order_id, order.account, order.side)
        self._tell(Fill(self.terms.name, order.symbol, *who, quantity, price, fee, liquidity))

    def _put(self, order: Order, place: str) -> None:
        self._ticket += 1
        if order not in self._open:
            self._open.append(order)
        if place == "rests" and self.terms.queue:
            order.mark = self._mark(order)
        order.place, order.stands = place, self._ticket

    def _mark(self, order: Order) -> Decimal:
        assert order.price is not None
        others = [o.mark for o in self._at(order.symbol, order.side, "rests", Order.by_limit) if o is not order and o.price == order.price]
        gone = self._gone.get((order.symbol, order.side, order.price), ZERO) if others else ZERO
        own_side = self._left.get((order.symbol, "sell" if order.side == "buy" else "buy"), [])
        return max([gone + sum((size for price, size in own_side if price == order.price), ZERO), *others])

    def _leave(self, order: Order, price: Decimal | None) -> None:
        """Its place, to come back to another; what was counted there is dropped when no order stays."""
        order.place = "moving"
        self._tidy(keep=order)

    def _close(self, order: Order, reason: str) -> None:
        order.place, order.reason = "cancelled", reason
        self._tidy()

    def _tidy(self, keep: Order | None = None) -> None:
        self._open = [order for order in self._open if order.is_open or order is keep]
        resting = {(order.symbol, order.side, order.price) for order in self._open if order.place == "rests"}
        self._gone = {key: gone for key, gone in self._gone.items() if key in resting}
