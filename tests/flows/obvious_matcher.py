"""The paper venues again, slow and obvious, from docs/paper-venues.md alone: what quotes must have done to a list of orders."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

ZERO: Final = Decimal(0)
PLACES: Final = 12

Rank = tuple[Decimal, int]
"""What comes first is less: a price as it counts, and whose turn it is."""


def cut(value: Decimal, step: Decimal) -> Decimal:
    return value // step * step


def quotient(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Half to even, twelve places."""
    return Decimal(round(Fraction(numerator) / Fraction(denominator) * 10**PLACES)).scaleb(-PLACES)


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


class ObviousVenue:
    """One venue: its quotes, what is left of the displayed sizes, and every order that sleeps, rests or waits there."""

    def __init__(self, terms: Terms, steps: Mapping[str, Steps], tell: Callable[[Fill], None]) -> None:
        self.terms = terms
        self.shown: dict[str, Shown] = {}
        self._steps = steps
        self._tell = tell
        self._left: dict[tuple[str, str], Decimal] = {}
        self._open: list[Order] = []
        self._ticket = 0

    def new(self, order: Order) -> None:
        order.venue = self.terms.name
        if order.stop_price is not None and not self._reached(order):
            self._put(order, "sleeps")
        else:
            self._meet(order)

    def cancel(self, order: Order) -> None:
        assert order.is_open
        self._close(order, "requested")

    def quote(self, symbol: str, market: Shown) -> None:
        self.shown[symbol] = shown = self.terms.own(market, self._steps[symbol])
        self._left[symbol, "buy"], self._left[symbol, "sell"] = shown.ask_size, shown.bid_size
        for side in ("buy", "sell"):
            touch = shown.touch(side)
            for order in self._at(symbol, side, "waits", Order.by_turn):
                self._fill(order, touch, "taker")
            for order in self._at(symbol, side, "rests", Order.by_limit):
                if order.limit_met(touch):
                    self._fill(order, order.price or ZERO, "maker")
            for order in self._at(symbol, side, "sleeps", Order.by_stop):
                if order.stop_met(touch):
                    self._meet(order)

    def _at(self, symbol: str, side: str, place: str, rank: Callable[[Order], Rank]) -> list[Order]:
        self._open = [order for order in self._open if order.is_open]
        there = [order for order in self._open if (order.symbol, order.side, order.place) == (symbol, side, place)]
        return sorted(there, key=rank)

    def _reached(self, order: Order) -> bool:
        shown = self.shown.get(order.symbol)
        return shown is not None and order.stop_met(shown.touch(order.side))

    def _meet(self, order: Order) -> None:
        """A new order, or a stop that has just triggered, and the display."""
        order.triggered = order.stop_price is not None
        shown = self.shown.get(order.symbol)
        if shown is not None and order.limit_met(shown.touch(order.side)):
            whole = self._left[order.symbol, order.side] >= order.lacks
            if whole or order.time_in_force != "fok":
                self._fill(order, shown.touch(order.side), "taker")
        if order.lacks and order.time_in_force in ("fok", "ioc"):
            self._close(order, order.time_in_force)
        elif order.lacks:
            self._put(order, "waits" if order.price is None else "rests")

    def _fill(self, order: Order, price: Decimal, liquidity: str) -> None:
        quantity = min(order.lacks, self._left[order.symbol, order.side])
        if not quantity:
            return
        self._left[order.symbol, order.side] -= quantity
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
        if not order.is_open:
            self._open.append(order)
        order.place, order.stands = place, self._ticket

    @staticmethod
    def _close(order: Order, reason: str) -> None:
        order.place, order.reason = "cancelled", reason


@dataclass
class Holding:
    """One account's position in one symbol. `cost` is what was paid (or received) for what is held, never negative."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    last_price: Decimal = ZERO
    turned: int = 0

    @property
    def average_price(self) -> Decimal:
        return quotient(self.cost, abs(self.quantity)) if self.quantity else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        worth = abs(self.quantity) * mark
        return worth - self.cost if self.quantity > 0 else self.cost - worth

    def take(self, fill: Fill) -> None:
        change = fill.quantity if fill.side == "buy" else -fill.quantity
        against = self.quantity * change < 0
        closed = min(abs(self.quantity), fill.quantity) if against else ZERO
        if closed:
            self._release(closed, fill.price)
        self.turned += closed not in (ZERO, fill.quantity)
        self.quantity += change
        self.cost += (fill.quantity - closed) * fill.price
        self.fees += fill.fee
        self.last_price = fill.price

    def _release(self, closed: Decimal, price: Decimal) -> None:
        held = abs(self.quantity)
        released = self.cost if closed == held else quotient(self.cost * closed, held)
        self.cost -= released
        self.realised += closed * price - released if self.quantity > 0 else released - closed * price


@dataclass
class ObviousMarket:
    """All venues, which of them an order goes to, and what the accounts hold."""

    terms: Iterable[Terms]
    steps: Mapping[str, Steps]
    fills: list[Fill] = field(default_factory=list)
    holdings: dict[tuple[str, str], Holding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.venues = {one.name: ObviousVenue(one, self.steps, self._note) for one in self.terms}

    def show(self, symbol: str, market: Shown) -> None:
        for name in sorted(self.venues):
            self.venues[name].quote(symbol, market)

    def submit(self, order: Order) -> None:
        self.chosen(order.symbol, order.side).new(order)

    def cancel(self, order: Order) -> None:
        self.venues[order.venue].cancel(order)

    def compared(self, symbol: str, side: str) -> tuple[Compared, ...]:
        """Every venue that quotes the symbol, by name."""
        quoting = [venue for _, venue in sorted(self.venues.items()) if symbol in venue.shown]
        return tuple(venue.terms.compared(venue.shown[symbol], side) for venue in quoting)

    def chosen(self, symbol: str, side: str) -> ObviousVenue:
        """The lowest cost; then the larger size; then the name. Before the first quote the lowest taker fee."""
        sign = 1 if side == "buy" else -1
        ranked = sorted(self.compared(symbol, side), key=lambda one: (sign * one.cost, -one.size, one.venue))
        if ranked:
            return self.venues[ranked[0].venue]
        return min(self.venues.values(), key=lambda venue: (venue.terms.taker_bps, venue.terms.name))

    def mark(self, symbol: str) -> Decimal:
        """Half-way between the best bid and the best ask."""
        shown = [venue.shown[symbol] for venue in self.venues.values()]
        return (max(one.bid for one in shown) + min(one.ask for one in shown)) / 2

    def _note(self, fill: Fill) -> None:
        self.fills.append(fill)
        self.holdings.setdefault((fill.account, fill.symbol), Holding()).take(fill)
