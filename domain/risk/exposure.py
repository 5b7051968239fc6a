"""What each account has at stake, in USD: positions at their mark, open orders and reservations at the worst case, as running sums.

Every number of a check is read from these sums, so a check costs the same with one open order or a thousand. All arithmetic is exact:
closing an order subtracts exactly what opening it added, to the last digit.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from domain.order.commands import RiskDecision, Terms
from domain.risk.marks import Marks
from domain.risk.open_orders import Open as Open
from domain.risk.open_orders import Pool
from domain.risk.var import MICRO, UNMEASURED, Losses, Scenarios, Var, micros
from domain.values import ZERO, Side, divide

T = TypeVar("T")


def reach(held: Decimal, value: Decimal, mark: Decimal, quantity: Decimal, notional: Decimal) -> Decimal:
    """Return the worth of a position if all open orders of one side fill.

    `held`, `value` and the result are signed from the view of that side.

    The worth of a unit is the absolute value of its price: -40 and 40 are as much at stake, so `value` is held x |mark|, and `mark` is
    |mark|. Orders in the position's own direction add to it. Opposite orders close it first, at the mark; only what exceeds it counts, at
    their average price.
    """
    if held >= ZERO:
        return value + notional
    beyond = held + quantity
    return divide(notional * beyond, quantity) if beyond > ZERO else beyond * mark


class Holding(msgspec.Struct, gc=False):
    """One account in one symbol. `quantity` is signed; notionals, value and reaches are USD.

    `value` is quantity x mark, whose sign a negative mark reverses; `stake` is quantity x |mark|, and notionals are quantity x |price|.
    `long` is the stake if all open buys fill; `short`, from the view of the other side, if all open sells do; `worst` is the larger of
    both, never less than the size of the stake; `micros` are both in whole micro-USD, for value at risk. If `unit` is set (the USD worth of
    a price move by one), value at risk counts quantities: `micros` are then the held and open quantity, times `unit`.
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

    `losses` sums what the holdings would lose in each scenario of `var`, by groups that lose anything; `apart` is the last measured value
    at risk of each group; `unmeasured` counts the holdings at stake without a price history; `orders` counts those that may still trade,
    reserved or open. `units`: see Marks.
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
        """Return the largest move of the holdings that are measured by differences, in USD."""
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
        """Recount the losses, in the scenarios of another price history."""
        self.var, self.losses, self.apart, self.unmeasured = var, {}, {}, 0
        for holding in self.holdings.values():
            self._count_losses(holding.symbol, (0, 0), holding.micros)

    def value_at_risk(self) -> Decimal:
        """Return value at risk in USD, of what can be measured: the sum over groups of symbols with the same days."""
        return self._sum(self.losses)

    def value_at_risk_with(self, group: Scenarios, more: int) -> Decimal:
        """Return value at risk if one group lost `more` in its scenarios."""
        losses = self.losses
        lost = losses.get(group)
        if lost is not None and len(losses) == 1:
            return group.measure(lost + more)
        return self._sum(losses | {group: (lost or 0) + more})

    def _sum(self, losses: Losses) -> Decimal:
        """Sum over groups. A group's loss does not change with the orders of another, so it is measured once."""
        share = sum(1 for lost in losses.values() if lost)
        total = ZERO
        for group, lost in losses.items():
            known = self.apart.get(group)
            if known is None or known[0] != lost or known[1] != share:
                known = self.apart[group] = (lost, share, group.measure(lost, share) if lost else ZERO)
            total += known[2]
        return total

    def open(self, symbol: str, side: Side, quantity: Decimal, notional: Decimal) -> None:
        """Add to (negative: subtract from) what is open on one side.

        Sums come first, then changes: an exception leaves nothing half done.
        """
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
        """Book a trade of a signed quantity. A bust is the opposite trade with its fee returned.

        `paid` is its cost with its fee, in USD of that time; `price` is the worth of one unit at its price by today's rate.
        """
        holding = self.holding(symbol)
        cash = self.cash - paid
        self.value_at(holding, holding.quantity + quantity, marks.mids.get(symbol, price))
        self.cash, holding.last_price = cash, price

    def value_at(self, holding: Holding, quantity: Decimal, mark: Decimal) -> None:
        """Set the holding to this quantity at this mark."""
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
        """Set the holding's reaches (`after` are both in micros) and update the sums."""
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


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """An approved order that is not in the journal yet. The decision is kept so that a repeated request gets the same reply.

    `instead` is the open order that `open` would replace: only the difference of both is reserved.
    """

    open: Open
    terms: Terms
    decision: RiskDecision
    at_ns: int
    instead: Open | None = None


class Exposure:
    """All accounts, the open orders behind their sums, and the reservations in the order in which they were made.

    `changed` are the accounts that changed since a reader last cleared the set.
    """

    def __init__(self, marks: Marks, buying_power_initial: Decimal, var: Var = UNMEASURED) -> None:
        self.marks = marks
        self.var = var
        self.accounts: dict[str, Account] = {}
        self.orders: dict[str, Open] = {}
        self.claims: dict[str, Open] = {}
        """By owner: see `claimed`."""
        self.pools: dict[str, Pool] = {}
        self.reservations: dict[str, Reservation] = {}
        self.changed: set[str] = set()
        self.initial = buying_power_initial

    @property
    def oldest_reservation_ns(self) -> int | None:
        return next((r.at_ns for r in self.reservations.values()), None)

    def look(self, account: str) -> Account:
        """Return the account, marked to the market. For one that never traded, return a temporary one that is not stored."""
        found = self.accounts.get(account)
        if found is None:
            return Account(account, self.initial, self.var, units=self.marks.units)
        if found.marked != self.marks.version:
            found.mark(self.marks)
        if found.var is not self.var:
            found.measure(self.var)
        return found

    def account(self, name: str) -> Account:
        """Return the account for a change: it is published to readers."""
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
        """Restart the reservation's time, because the request was repeated."""
        self.reservations[order_id] = msgspec.structs.replace(self.reservations.pop(order_id), at_ns=at_ns)

    def release(self, order_id: str) -> None:
        """Release the reservation if there is one, so that it is released exactly once, whichever event comes first."""
        reservation = self.reservations.pop(order_id, None)
        if reservation is not None:
            self._discount(reservation.open)
            if reservation.instead is not None:
                self._count(reservation.instead)

    def without(self, open_: Open, look: Callable[[], T]) -> T:
        """Return the result of `look` while the open order does not count."""
        self._discount(open_)
        try:
            return look()
        finally:
            self._count(open_)

    def release_before(self, at_ns: int) -> list[str]:
        """Release reservations made before `at_ns`, which were approved and never journaled; return their order ids."""
        leaked: list[str] = []
        for order_id, reservation in self.reservations.items():
            if reservation.at_ns >= at_ns:
                break
            leaked.append(order_id)
        for order_id in leaked:
            self.release(order_id)
        return leaked

    def opened(self, order_id: str, open_: Open) -> None:
        """Open the order because the journal has it: its reservation becomes the journaled terms. One that is open is set to these."""
        self.release(order_id)
        self._put(order_id, self.orders.get(order_id), open_)

    def doubted(self, order_id: str, *, doubtful: bool) -> None:
        """Note whether an order of a pool is in doubt."""
        open_ = self.orders.get(order_id)
        if open_ is not None and open_.pool and doubtful != (order_id in self.pools[open_.pool].doubtful):
            self._repool(open_.pool, order_id, open_, doubtful=doubtful)

    def resized(self, order_id: str, quantity: Decimal) -> None:
        """Set how much the order may still trade."""
        open_ = self.orders[order_id]
        self._put(order_id, open_, msgspec.structs.replace(open_, quantity=quantity))

    def restated(self, order_id: str, quantity: Decimal, price: Decimal | None, *, worst: bool = False) -> None:
        """Set the order's quantity and price; `worst`: while a replace is pending, the worse of the new and the old terms."""
        open_ = self.orders.get(order_id)
        if open_ is None:
            return
        price = open_.price if price is None else price
        if worst:
            quantity, price = max(quantity, open_.quantity), max(price, open_.price)
        self._put(order_id, open_, msgspec.structs.replace(open_, quantity=quantity, price=price))

    def closed(self, order_id: str) -> None:
        self.release(order_id)
        open_ = self.orders.pop(order_id, None)
        if open_ is not None and open_.pool:
            self._repool(open_.pool, order_id, None, doubtful=False)
        elif open_ is not None:
            self._discount(open_)

    def claimed(self, owner: str, claim: Open | None) -> None:
        """Set what is kept for orders that may come without a check of their own, so that no other order uses the room. None: nothing.

        A claim counts as an open order of its account, side, quantity and price in every sum, but not in the number of open orders: its
        `orders` is 0. Each owner has one. Claims are in no snapshot: the fold that made them makes them again from its own rows.
        """
        before = self.claims.pop(owner, None)
        if before is not None:
            self._discount(before)
        if claim is not None:
            self._count(claim)
            self.claims[owner] = claim

    def _put(self, order_id: str, before: Open | None, after: Open) -> None:
        self.orders[order_id] = after
        if after.pool:
            self._repool(after.pool, order_id, after, doubtful=order_id in self.pools[after.pool].doubtful if before else False)
            return
        if before is not None:
            self._discount(before)
        self._count(after)

    def _repool(self, name: str, order_id: str, open_: Open | None, *, doubtful: bool) -> None:
        """Change one order of a pool (None: it has ended), and count the pool again."""
        pool = self.pools.setdefault(name, Pool({}, set()))
        for counted in pool.counted():
            self._discount(counted)
        pool.doubtful.discard(order_id)
        if open_ is None:
            pool.orders.pop(order_id, None)
        else:
            pool.orders[order_id] = open_
            if doubtful:
                pool.doubtful.add(order_id)
        for counted in pool.counted():
            self._count(counted)
        if not pool.orders:
            del self.pools[name]

    def _count(self, open_: Open) -> None:
        account = self.account(open_.account)
        account.open(open_.symbol, open_.side, open_.quantity, open_.quantity * open_.price)
        account.orders += open_.orders

    def _discount(self, open_: Open) -> None:
        account = self.account(open_.account)
        account.open(open_.symbol, open_.side, -open_.quantity, -open_.quantity * open_.price)
        account.orders -= open_.orders
