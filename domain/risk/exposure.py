"""What each account has at stake, in USD: positions at their mark, open orders and reservations at the worst case, as running sums.

Every number of a check is read off these sums, so a check costs the same with one open order or a thousand. All arithmetic is exact:
what is added when an order opens is what is taken away when it closes, to the last digit.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from domain.order.commands import Terms
from domain.risk.decision_record import RiskDecision
from domain.risk.marks import Marks
from domain.risk.var import MICRO, UNMEASURED, Losses, Scenarios, Var, micros
from domain.values import ZERO, Side, divide

T = TypeVar("T")


def reach(held: Decimal, value: Decimal, mark: Decimal, quantity: Decimal, notional: Decimal) -> Decimal:
    """What a position is worth when all open orders of one side fill. `held` and `value` are signed as that side sees them, and so is this.

    What a unit is worth is the size of its price: -40 and 40 are as much at stake, so `value` is held x |mark|, and `mark` is |mark|.
    Orders in the position's own direction add to it. Against it they close first, at the mark, and only what goes beyond counts, at their
    average price.
    """
    if held >= ZERO:
        return value + notional
    beyond = held + quantity
    return divide(notional * beyond, quantity) if beyond > ZERO else beyond * mark


class Holding(msgspec.Struct, gc=False):
    """One account in one symbol. `quantity` is signed; notionals, value and reaches are USD.

    `value` is quantity x mark, which a negative mark turns around; `stake` is quantity x |mark|, and notionals are quantity x |price|.
    `long` is what the stake comes to when all open buys fill; `short`, as the other side sees it, when all open sells do; `worst` is the
    larger of both, never less than the size of the stake; `micros` are both in whole micro-USD, for value at risk. Where `unit` is set,
    the USD that a move of the price by one is worth, value at risk counts quantities: `micros` are then what is held and open, times it.
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
    stake: Decimal = ZERO
    long: Decimal = ZERO
    short: Decimal = ZERO
    worst: Decimal = ZERO
    micros: tuple[int, int] = (0, 0)
    unit: Decimal | None = None


class Account(msgspec.Struct):
    """Sums over the holdings of one account. `cash` starts as the initial buying power; trades and fees move it: no average cost needed.

    `losses` adds up what the holdings would lose in each scenario of `var`, in groups that lose anything; `apart` is the value at risk of
    groups that was measured last; `unmeasured` counts the holdings at stake without a price history; `orders` are those that may still
    trade, reserved or open. `units`: see Marks.
    """

    name: str
    cash: Decimal
    var: Var
    value: Decimal = ZERO
    gross: Decimal = ZERO
    worst: Decimal = ZERO
    losses: dict[Scenarios, int] = {}
    apart: dict[Scenarios, tuple[int, int, Decimal]] = {}
    unmeasured: int = 0
    orders: int = 0
    marked: int = -1
    holdings: dict[str, Holding] = {}
    units: Mapping[str, Decimal] = {}

    @property
    def equity(self) -> Decimal:
        """Initial buying power + realised + unrealised - fees."""
        return self.cash + self.value

    def holding(self, symbol: str) -> Holding:
        found = self.holdings.get(symbol)
        if found is None:
            found = self.holdings[symbol] = Holding(symbol, unit=self.units.get(symbol))
        return found

    def swing(self) -> Decimal:
        """What the holdings that are measured by differences move by at most, in USD."""
        held = (holding for holding in self.holdings.values() if holding.unit is not None)
        return sum((max(map(abs, holding.micros)) * MICRO * self.var.widest(holding.symbol) for holding in held), ZERO)

    def mark(self, marks: Marks) -> None:
        """Value all positions at the latest mids."""
        for holding in self.holdings.values():
            price = marks.mids.get(holding.symbol, holding.last_price)
            if price != holding.mark:
                self.value_at(holding, holding.quantity, price)
        self.marked = marks.version

    def measure(self, var: Var) -> None:
        """Count the losses anew, in the scenarios of another price history."""
        self.var, self.losses, self.apart, self.unmeasured = var, {}, {}, 0
        for holding in self.holdings.values():
            self._count_losses(holding.symbol, (0, 0), holding.micros)

    def value_at_risk(self) -> Decimal:
        """In USD, of what can be measured: the sum over groups of symbols with the same days."""
        return self._sum(self.losses)

    def value_at_risk_with(self, group: Scenarios, more: int) -> Decimal:
        """The same, if one group lost so much more in its scenarios."""
        losses = self.losses
        lost = losses.get(group)
        if lost is not None and len(losses) == 1:
            return group.measure(lost + more)
        return self._sum(losses | {group: (lost or 0) + more})

    def _sum(self, losses: Losses) -> Decimal:
        """What one group lost does not change with the orders of another, so it is measured once."""
        share = sum(1 for lost in losses.values() if lost)
        total = ZERO
        for group, lost in losses.items():
            known = self.apart.get(group)
            if known is None or known[0] != lost or known[1] != share:
                known = self.apart[group] = (lost, share, group.measure(lost, share) if lost else ZERO)
            total += known[2]
        return total

    def open(self, symbol: str, side: Side, quantity: Decimal, notional: Decimal) -> None:
        """Add to (negative: take from) what is open on one side. Sums first, then changes: a trap leaves nothing half done."""
        holding = self.holding(symbol)
        unit, size = holding.unit, abs(holding.mark)
        if side is Side.BUY:
            shares, usd = holding.buy_quantity + quantity, holding.buy_notional + notional
            long, short = reach(holding.quantity, holding.stake, size, shares, usd), holding.short
            after = micros(long if unit is None else (holding.quantity + shares) * unit), holding.micros[1]
        else:
            shares, usd = holding.sell_quantity + quantity, holding.sell_notional + notional
            long, short = holding.long, reach(-holding.quantity, -holding.stake, size, shares, usd)
            after = holding.micros[0], micros(short if unit is None else (shares - holding.quantity) * unit)
        self._reaches(holding, long, short, after)
        if side is Side.BUY:
            holding.buy_quantity, holding.buy_notional = shares, usd
        else:
            holding.sell_quantity, holding.sell_notional = shares, usd

    def trade(self, symbol: str, quantity: Decimal, paid: Decimal, price: Decimal, marks: Marks) -> None:
        """A signed quantity changed hands. A bust is the opposite trade with its fee given back.

        `paid` is what it cost with its fee, in USD of that time; `price` what one is worth at it by today's rate.
        """
        holding = self.holding(symbol)
        cash = self.cash - paid
        self.value_at(holding, holding.quantity + quantity, marks.mids.get(symbol, price))
        self.cash, holding.last_price = cash, price

    def value_at(self, holding: Holding, quantity: Decimal, mark: Decimal) -> None:
        """A position of this quantity at this mark, in place of what the holding had."""
        value = quantity * mark
        stake, size, unit = (value, mark, holding.unit) if mark >= ZERO else (-value, -mark, holding.unit)
        total = self.value + value - holding.value
        gross = self.gross + abs(value) - abs(holding.value)
        long = reach(quantity, stake, size, holding.buy_quantity, holding.buy_notional)
        short = reach(-quantity, -stake, size, holding.sell_quantity, holding.sell_notional)
        if unit is None:
            after = micros(long), micros(short)
        else:
            after = micros((quantity + holding.buy_quantity) * unit), micros((holding.sell_quantity - quantity) * unit)
        self._reaches(holding, long, short, after)
        holding.quantity, holding.mark, holding.value, holding.stake = quantity, mark, value, stake
        self.value, self.gross = total, gross

    def _reaches(self, holding: Holding, long: Decimal, short: Decimal, after: tuple[int, int]) -> None:
        """Other reaches in place of those the holding had, `after` of them in micros; the sums follow."""
        worst = long if long >= short else short
        total = self.worst + worst - holding.worst
        self._count_losses(holding.symbol, holding.micros, after)
        holding.long, holding.short, holding.worst, holding.micros, self.worst = long, short, worst, after, total

    def _count_losses(self, symbol: str, before: tuple[int, int], after: tuple[int, int]) -> None:
        group = self.var.group_of.get(symbol)
        if group is not None:
            lost = self.losses.get(group, 0) + group.shift(group.moves[symbol], before, after)
            if lost:
                self.losses[group] = lost
            else:
                self.losses.pop(group, None)
        else:
            self.unmeasured += (max(after) > 0) - (max(before) > 0)


class Open(msgspec.Struct, frozen=True, gc=False):
    """What an order may still trade, and the size of the price in USD that it is counted at."""

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
    decision: RiskDecision
    at_ns: int
    instead: Open | None = None


class Exposure:
    """All accounts, the open orders behind their sums, and the reservations in the order in which they were made.

    `changed` are the accounts that moved since a reader last took them off the set.
    """

    def __init__(self, marks: Marks, buying_power_initial: Decimal, var: Var = UNMEASURED) -> None:
        self.marks = marks
        self.var = var
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
            return Account(account, self.initial, self.var, units=self.marks.units)
        if found.marked != self.marks.version:
            found.mark(self.marks)
        if found.var is not self.var:
            found.measure(self.var)
        return found

    def account(self, name: str) -> Account:
        """The account, to be changed: readers will be told."""
        self.changed.add(name)
        found = self.accounts.get(name)
        if found is None:
            found = self.accounts[name] = Account(name, self.initial, self.var, units=self.marks.units)
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
        account = self.account(open_.account)
        account.open(open_.symbol, open_.side, open_.quantity, open_.quantity * open_.price)
        account.orders += 1

    def _discount(self, open_: Open) -> None:
        account = self.account(open_.account)
        account.open(open_.symbol, open_.side, -open_.quantity, -open_.quantity * open_.price)
        account.orders -= 1
