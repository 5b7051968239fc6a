"""What each account has at stake, in USD: positions at their mark, open orders and reservations at the worst case, as running sums.

Every number of a check is read off these sums, so a check costs the same with one open order or a thousand. All arithmetic is exact:
what is added when an order opens is what is taken away when it closes, to the last digit.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import msgspec

from domain.commands import Decision, Terms
from domain.risk.marks import Marks
from domain.values import ZERO, Side, divide

T = TypeVar("T")


def side_worst(held: Decimal, value: Decimal, quantity: Decimal, notional: Decimal) -> Decimal:
    """What a position comes to when all open orders of one side fill. `held` and `value` are signed as that side sees them.

    Orders in the position's own direction add to it. Against it they close first, and only what goes beyond counts, at their average price.
    """
    if held >= ZERO:
        return value + notional
    beyond = held + quantity
    return divide(notional * beyond, quantity) if beyond > ZERO else ZERO


class Holding(msgspec.Struct, gc=False):
    """One account in one symbol. `quantity` is signed; notionals, value and worst case are USD.

    `worst` is the larger of what the position comes to when all open buys fill, and when all open sells do.
    """

    symbol: str
    quantity: Decimal = ZERO
    mark: Decimal = ZERO
    last_price: Decimal = ZERO
    buy_quantity: Decimal = ZERO
    buy_notional: Decimal = ZERO
    sell_quantity: Decimal = ZERO
    sell_notional: Decimal = ZERO
    value: Decimal = ZERO
    worst: Decimal = ZERO


class Account(msgspec.Struct):
    """Sums over the holdings of one account. `cash` starts as the initial buying power; trades and fees move it: no average cost needed."""

    name: str
    cash: Decimal
    value: Decimal = ZERO
    gross: Decimal = ZERO
    worst: Decimal = ZERO
    marked: int = -1
    holdings: dict[str, Holding] = {}

    @property
    def equity(self) -> Decimal:
        """Initial buying power + realised + unrealised - fees."""
        return self.cash + self.value

    def holding(self, symbol: str) -> Holding:
        found = self.holdings.get(symbol)
        if found is None:
            found = self.holdings[symbol] = Holding(symbol)
        return found

    def mark(self, marks: Marks) -> None:
        """Value all positions at the latest mids; nothing to do when no mid has moved since the last time."""
        if self.marked == marks.version:
            return
        for holding in self.holdings.values():
            price = marks.mids.get(holding.symbol, holding.last_price)
            if price != holding.mark:
                self.value_at(holding, holding.quantity, price)
        self.marked = marks.version

    def open(self, symbol: str, side: Side, quantity: Decimal, notional: Decimal) -> None:
        """Add to (negative: take from) what is open on one side. Sums first, then changes: a trap leaves nothing half done."""
        holding = self.holding(symbol)
        buying = side is Side.BUY
        buys = holding.buy_notional + notional if buying else holding.buy_notional
        sells = holding.sell_notional if buying else holding.sell_notional + notional
        shares = (holding.buy_quantity if buying else holding.sell_quantity) + quantity
        held, value = holding.quantity, holding.value
        worst = max(
            side_worst(held, value, shares if buying else holding.buy_quantity, buys),
            side_worst(-held, -value, holding.sell_quantity if buying else shares, sells),
        )
        total = self.worst + worst - holding.worst
        if buying:
            holding.buy_quantity, holding.buy_notional = shares, buys
        else:
            holding.sell_quantity, holding.sell_notional = shares, sells
        holding.worst, self.worst = worst, total

    def trade(self, symbol: str, quantity: Decimal, price: Decimal, fee: Decimal, marks: Marks) -> None:
        """A signed quantity changed hands at a price in USD. A bust is the opposite trade with its fee given back."""
        holding = self.holding(symbol)
        cash = self.cash - quantity * price - fee
        self.value_at(holding, holding.quantity + quantity, marks.mids.get(symbol, price))
        self.cash, holding.last_price = cash, price

    def value_at(self, holding: Holding, quantity: Decimal, mark: Decimal) -> None:
        """A position of this quantity at this mark, in place of what the holding had."""
        value = quantity * mark
        worst = max(
            side_worst(quantity, value, holding.buy_quantity, holding.buy_notional),
            side_worst(-quantity, -value, holding.sell_quantity, holding.sell_notional),
        )
        total = self.value + value - holding.value
        gross = self.gross + abs(value) - abs(holding.value)
        worst_total = self.worst + worst - holding.worst
        holding.quantity, holding.mark, holding.value, holding.worst = quantity, mark, value, worst
        self.value, self.gross, self.worst = total, gross, worst_total


class Open(msgspec.Struct, frozen=True, gc=False):
    """What an order may still trade, and the price in USD that it is counted at."""

    account: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """Approved, not yet seen in the journal. The decision is kept so that a repeated question gets the same answer.

    `instead` is the open order whose place `open` would take: only the difference of both is reserved.
    """

    open: Open
    terms: Terms
    decision: Decision
    at_ns: int
    instead: Open | None = None


class Exposure:
    """All accounts, the open orders behind their sums, and the reservations in the order in which they were made.

    `changed` are the accounts that moved since a reader last took them off the set.
    """

    def __init__(self, marks: Marks, buying_power_initial: Decimal) -> None:
        self.marks = marks
        self.accounts: dict[str, Account] = {}
        self.orders: dict[str, Open] = {}
        self.reservations: dict[str, Reservation] = {}
        self.changed: set[str] = set()
        self.initial = buying_power_initial

    @property
    def oldest_reservation_ns(self) -> int | None:
        return next((r.at_ns for r in self.reservations.values()), None)

    def look(self, account: str) -> Account:
        """The account, marked to the market. One that never traded is made up for the moment and not remembered."""
        found = self.accounts.get(account)
        if found is None:
            return Account(account, self.initial)
        found.mark(self.marks)
        return found

    def account(self, name: str) -> Account:
        """The account, to be changed: readers will be told."""
        self.changed.add(name)
        found = self.accounts.get(name)
        if found is None:
            found = self.accounts[name] = Account(name, self.initial)
        return found

    def reserve(self, order_id: str, reservation: Reservation) -> None:
        self._count(reservation.open)
        if reservation.instead is not None:
            self._discount(reservation.instead)
        self.reservations[order_id] = reservation

    def renew(self, order_id: str, at_ns: int) -> None:
        """Asked again: it is held from now on."""
        self.reservations[order_id] = msgspec.structs.replace(self.reservations.pop(order_id), at_ns=at_ns)

    def release(self, order_id: str) -> None:
        """Take the reservation away, if there is one; so it is released exactly once, whoever comes first."""
        reservation = self.reservations.pop(order_id, None)
        if reservation is not None:
            self._discount(reservation.open)
            if reservation.instead is not None:
                self._count(reservation.instead)

    def without(self, open_: Open, look: Callable[[], T]) -> T:
        """What `look` finds when the open order does not count."""
        self._discount(open_)
        try:
            return look()
        finally:
            self._count(open_)

    def release_before(self, at_ns: int) -> list[str]:
        """The order ids of reservations made before `at_ns`, released: they were approved and never journaled."""
        leaked: list[str] = []
        for order_id, reservation in self.reservations.items():
            if reservation.at_ns >= at_ns:
                break
            leaked.append(order_id)
        for order_id in leaked:
            self.release(order_id)
        return leaked

    def opened(self, order_id: str, open_: Open) -> None:
        """The journal has the order: what was reserved for it becomes what the journal says."""
        self.release(order_id)
        self._count(open_)
        self.orders[order_id] = open_

    def resized(self, order_id: str, quantity: Decimal) -> None:
        """The order may still trade this much."""
        open_ = self.orders[order_id]
        self._discount(open_)
        self.orders[order_id] = changed = msgspec.structs.replace(open_, quantity=quantity)
        self._count(changed)

    def restated(self, order_id: str, quantity: Decimal, price: Decimal | None, *, worst: bool = False) -> None:
        """The order may trade this much at this price, or, while that is not settled, what is worse of it and what it was."""
        open_ = self.orders.get(order_id)
        if open_ is None:
            return
        price = open_.price if price is None else price
        if worst:
            quantity, price = max(quantity, open_.quantity), max(price, open_.price)
        self._discount(open_)
        self.orders[order_id] = changed = msgspec.structs.replace(open_, quantity=quantity, price=price)
        self._count(changed)

    def closed(self, order_id: str) -> None:
        self.release(order_id)
        open_ = self.orders.pop(order_id, None)
        if open_ is not None:
            self._discount(open_)

    def _count(self, open_: Open) -> None:
        self.account(open_.account).open(open_.symbol, open_.side, open_.quantity, open_.quantity * open_.price)

    def _discount(self, open_: Open) -> None:
        self.account(open_.account).open(open_.symbol, open_.side, -open_.quantity, -open_.quantity * open_.price)
