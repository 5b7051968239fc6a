"""The paper venues together, slow and obvious: which of them an order goes to, and what the accounts hold after all fills."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from tests.flows.obvious_venue import ZERO, Compared, Fill, ObviousVenue, Order, Shown, Steps, Terms, cut

__all__ = ["ZERO", "Compared", "Fill", "Holding", "ObviousMarket", "Order", "Shown", "Steps", "Terms", "cut", "quotient"]

PLACES: Final = 12


def quotient(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Half to even, twelve places."""
    return Decimal(round(Fraction(numerator) / Fraction(denominator) * 10**PLACES)).scaleb(-PLACES)


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
