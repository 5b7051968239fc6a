"""The risk engine: check and reservation are a single synchronous step, so concurrent orders cannot pass one limit together."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

import msgspec

from domain.instruments import Denial, Instrument, negative_prices
from domain.market.listings import currency_of
from domain.market.price_history import History
from domain.order.algo import CHILD, PARENT
from domain.order.commands import RiskDecision, Terms
from domain.order.group import UNCOUNTED_ROLES, Role
from domain.order.trail import Trail, behind, distance
from domain.risk.checks import (
    NO_PRICE_HISTORY,
    OF_CHILDREN,
    RATE_LIMIT,
    REPEATED_ORDER,
    Case,
    ExplainedCheck,
    explained,
    judge,
    switched_on,
)
from domain.risk.controls import Controls
from domain.risk.decision_record import record_line
from domain.risk.exposure import Account, Exposure, Holding, Open, Reservation, reach
from domain.risk.limits import VAR_LIMIT, Limits
from domain.risk.marks import Marks
from domain.risk.order_rate import NO_ORDERS_COUNTED, OrderRate
from domain.risk.overrides import Overrides
from domain.risk.projection import RiskFold
from domain.risk.var import Scenarios, Var
from domain.values import ZERO, OrderType, Side, opposite, signed

MILLISECOND: Final = 1_000_000
Prices = tuple[tuple[str, Decimal, int], ...]
"""Name, USD, and age in milliseconds."""
ORDER_RATES_KEPT_MAX: Final = 100_000
"""How many accounts have their order rate remembered, if a limit needs it."""


COLLAR_TICKS_MIN: Final = 100
"""The minimum width of the collar if prices may be negative: a share of a price near zero would leave no room.

Source: the no-bust range of crude oil on NYMEX, 1.00 USD or 100 ticks (Notice to Members 239 of 2008).
"""


class Risk:
    """Limits, prices, controls and exposure of all accounts. `now_ns` is any steady clock: only its differences are used."""

    def __init__(
        self,
        limits: Limits,
        instruments: Mapping[str, Instrument],
        currencies: Mapping[str, Decimal],
        controls: Controls,
        marks: Marks | None = None,
    ) -> None:
        """`marks`: the prices, if several engines share them."""
        self.limits = limits
        self.instruments = instruments
        self.controls = controls
        rates = {symbol: currencies[instrument.currency] for symbol, instrument in instruments.items()}
        units = {symbol: rates[symbol] for symbol in negative_prices(instruments.values())}
        self.marks = marks or Marks({**controls.listings.rates(), **rates}, limits.quote_age_max_ns, units)
        self.exposure = Exposure(self.marks, limits.buying_power_initial)
        self.fold = RiskFold(self.exposure, controls.listings, instruments)
        self.overrides = Overrides(limits, controls)
        self.limits_of = self.overrides.of
        self._checks = switched_on(limits)
        self._checks_of_children = tuple(check for check in self._checks if check.code in OF_CHILDREN)
        self._fresh_ms = limits.quote_age_max_ns // MILLISECOND
        self._measures = VAR_LIMIT in limits.enabled
        self._watches = any(most is not None for most in (limits.order_rate_max, limits.duplicate_window_ns, limits.repeated_orders_max))
        self._order_rates: dict[str, OrderRate] = {}
        self._collar_ticks = {s: COLLAR_TICKS_MIN * instruments[s].tick * rate for s, rate in units.items()}
        self._collars = {s: limits.price_collar if i.collar_pct is None else i.collar_pct.scaleb(-2) for s, i in instruments.items()}

    def currency(self, symbol: str) -> str | None:
        """Return the currency of an instrument, or of a former one; None for a symbol that was in no catalogue."""
        return currency_of(self.instruments, self.controls.listings, symbol)

    def learn(self, history: History) -> None:
        """Measure value at risk by these closes from now on. Each account is recounted when it is next read."""
        if self._measures and history != self.exposure.var.history:
            self.exposure.var = Var(history, self.limits.var_method)

    def decide(self, terms: Terms, now_ns: int) -> RiskDecision:
        """Decide, and reserve on approval. A repeat while the reservation is held returns the same decision and reserves nothing."""
        held = self.exposure.reservations.get(terms.order_id)
        if held is not None and held.terms == terms:
            self.exposure.renew(terms.order_id, now_ns)
            return held.decision
        if terms.replaces:
            return self._decide_replace(terms, now_ns)
        if held is not None or terms.order_id in self.exposure.orders:
            return self._duplicate(terms)
        if terms.role == CHILD:
            return self._decide_child(terms, now_ns)
        decision = self.dry(terms, now_ns)
        if self._watches:
            self._noted(terms, decision, now_ns)
        if decision.denial is None:
            assert decision.reference is not None
            price = abs(decision.reference) * self.marks.rates[terms.symbol]
            open_ = Open(terms.account, terms.symbol, terms.side, terms.quantity, price, orders=int(terms.role != PARENT))
            self.exposure.reserve(terms.order_id, Reservation(open_, terms, decision, now_ns))
        return decision

    def decide_list(self, legs: Sequence[Terms], now_ns: int) -> list[RiskDecision]:
        """Decide all orders of a list, and reserve all or none.

        Held legs reserve nothing: they are checked as if the entry had traded. Of alternatives only the largest is reserved.
        """
        decisions: list[RiskDecision] = []
        most: Open | None = None
        for terms in legs:
            if terms.role in UNCOUNTED_ROLES:
                decisions.append(self.dry(terms, now_ns, legs[0]))
            elif most is None or terms.role != Role.ALTERNATIVE:
                decisions.append(self.decide(terms, now_ns))
                held = self.exposure.reservations.get(terms.order_id)
                most = held.open if held is not None and terms.role == Role.ALTERNATIVE else most
            elif self._is_taken(terms):
                decisions.append(self._duplicate(terms))
            else:
                self.exposure.release(terms.order_id)  # of an earlier request for the same list
                decisions.append(self.exposure.without(most, partial(self.dry, terms, now_ns)))
                most = self._reserve_more(terms, decisions[-1], most, now_ns)
        if any(decision.denial is not None for decision in decisions):
            self.release_list(legs)
        return decisions

    def _decide_child(self, terms: Terms, now_ns: int) -> RiskDecision:
        """Decide on a child of a parent. It reserves nothing: its parent's reservation or claim has its room until the journal has it."""
        if not self.fold.has_parent(terms.group_id) and terms.group_id not in self.exposure.reservations:
            version = self.limits_of(terms.account, terms.symbol).version
            return RiskDecision(terms.order_id, version, Denial("risk_error", found="algo_not_seen"))
        decision = self.dry(terms, now_ns)
        if self._watches:
            self._noted(terms, decision, now_ns)
        return decision

    def release_list(self, legs: Sequence[Terms]) -> None:
        """Release what is reserved for these orders, and nothing of another order that has the id of one."""
        for terms in legs:
            held = self.exposure.reservations.get(terms.order_id)
            if held is not None and held.terms == terms:
                self.exposure.release(terms.order_id)

    def _is_taken(self, terms: Terms) -> bool:
        """Return whether another order has the id of this one."""
        held = self.exposure.reservations.get(terms.order_id)
        return (held is not None and held.terms != terms) or terms.order_id in self.exposure.orders

    def _duplicate(self, terms: Terms) -> RiskDecision:
        version = self.limits_of(terms.account, terms.symbol).version
        return RiskDecision(terms.order_id, version, Denial("duplicate_order"))

    def _reserve_more(self, terms: Terms, decision: RiskDecision, most: Open, now_ns: int) -> Open:
        """Reserve by how much an alternative is worse than those before it, in quantity and in price; return the worst so far."""
        if decision.reference is None:
            return most
        price = max(abs(decision.reference) * self.marks.rates[terms.symbol], most.price)
        worse = Open(terms.account, terms.symbol, terms.side, max(terms.quantity, most.quantity), price)
        self.exposure.reserve(terms.order_id, Reservation(worse, terms, decision, now_ns, instead=most))
        return worse

    def _decide_replace(self, terms: Terms, now_ns: int) -> RiskDecision:
        """Decide on new terms of an open order: checked as though it did not count, and reserved up to the worse of both.

        A leg that waits is checked as if its entry had traded the rest, and counts no more than its entry has traded. One that may still
        grow does so at its new price, and is checked and reserved with that.
        """
        self.exposure.release(terms.order_id)
        opened = self.exposure.claims if terms.role == PARENT else self.exposure.orders
        old, waits = opened.get(terms.replaces), self.fold.holds_back(terms.replaces)
        if old is None and terms.role == PARENT and self.fold.has_parent(terms.replaces):
            old = Open(terms.account, terms.symbol, terms.side, ZERO, ZERO, orders=0)  # its children have all of it
        if old is None:
            if waits:
                return self.dry(terms, now_ns, msgspec.structs.replace(terms, side=opposite(terms.side)))
            version = self.limits_of(terms.account, terms.symbol).version
            return RiskDecision(terms.order_id, version, Denial("risk_error", found="order_not_seen"))
        whole = terms
        if terms.role != PARENT and (claim := self.exposure.claims.get(terms.replaces)) is not None:
            old = msgspec.structs.replace(old, quantity=old.quantity + claim.quantity)
            whole = msgspec.structs.replace(terms, quantity=max(terms.quantity, old.quantity))
        rest = max(terms.quantity - old.quantity, ZERO)
        entry = msgspec.structs.replace(terms, side=opposite(terms.side), quantity=rest) if waits else None
        decision = self.exposure.without(old, lambda: self.dry(whole, now_ns, entry))
        if decision.denial is None:
            assert decision.reference is not None
            price = max(old.price, abs(decision.reference) * self.marks.rates[terms.symbol])
            quantity = old.quantity if waits else max(old.quantity, whole.quantity)
            worse = Open(terms.account, terms.symbol, terms.side, quantity, price, orders=old.orders)
            self.exposure.reserve(terms.order_id, Reservation(worse, terms, decision, now_ns, instead=old))
        return decision

    def dry(self, terms: Terms, now_ns: int, entry: Terms | None = None) -> RiskDecision:
        """Decide without a reservation. `entry`: an order that counts as traded in full, if it is of the same symbol."""
        limits = self.limits_of(terms.account, terms.symbol) if self.controls.limits else self.limits
        price, prices = self._priced(terms, now_ns)
        if terms.role == PARENT and limits.algo_notional_max is not None:
            limits = msgspec.structs.replace(limits, order_notional_max=limits.algo_notional_max)
        case = self._case(terms, price, limits, now_ns, prices, entry)
        denial, results = judge(case, self._checks_of_children if terms.role == CHILD else self._checks)
        if denial is not None and denial.code == NO_PRICE_HISTORY:
            denial = Denial(NO_PRICE_HISTORY, found=self._without_history(terms))
        record = record_line(results, prices, self.exposure.var.closes_to.get(terms.symbol, ""))
        return RiskDecision(terms.order_id, limits.version, denial, record, price)

    def explain(self, terms: Terms, now_ns: int, entry: Terms | None = None) -> tuple[RiskDecision, tuple[ExplainedCheck, ...]]:
        """Return what `dry` decides, and what every enabled check says, also behind the first refusal.

        The order is looked at twice, so that a decision that is not explained costs nothing more.
        """
        limits = self.limits_of(terms.account, terms.symbol)
        price, prices = self._priced(terms, now_ns)
        case = self._case(terms, price, limits, now_ns, prices, entry)
        return self.dry(terms, now_ns, entry), explained(case, self._checks)

    def enable(self, account: str) -> int:
        """Let orders that were stopped as repeats pass again; return how many different ones there were."""
        order_rate = self._order_rates.get(account)
        return order_rate.enable() if order_rate else 0

    def _noted(self, terms: Terms, decision: RiskDecision, now_ns: int) -> None:
        """Record the order for the rate checks of later orders of the account."""
        limits, denial = self.limits, decision.denial
        order_rate = self._order_rates.get(terms.account)
        if order_rate is None:
            order_rate = self._order_rates[terms.account] = OrderRate()
            if len(self._order_rates) > ORDER_RATES_KEPT_MAX:
                del self._order_rates[next(iter(self._order_rates))]
        if limits.order_rate_max is not None and (denial is None or denial.code != RATE_LIMIT):
            order_rate.asked(limits.order_rate_max, now_ns)
        if denial is None:
            order_rate.passed(terms, limits, now_ns)
        elif denial.code == REPEATED_ORDER:
            order_rate.stop(terms)

    def _without_history(self, terms: Terms) -> str:
        """Return which symbol cannot be measured, and why: the order's own, else the first one that the account has at stake."""
        var, account = self.exposure.var, self.exposure.look(terms.account)
        symbols = (terms.symbol, *(h.symbol for h in account.holdings.values() if max(h.micros) > 0))
        symbol = next(symbol for symbol in symbols if symbol not in var.group_of)
        return f"{symbol} {var.history.unusable.get(symbol, 'missing')}"

    def valued_at(self, terms: Terms, now_ns: int) -> Decimal | None:
        """Return the valuation price, in the order's currency: its limit, or the larger (by size) of far touch and stop plus the buffer."""
        return self._priced(terms, now_ns)[0]

    def _priced(self, terms: Terms, now_ns: int) -> tuple[Decimal | None, Prices]:
        """Return the price that values an order, and the prices used: the mid of its symbol, if any, is last."""
        symbol = terms.symbol
        mid = self.marks.mids.get(symbol)
        prices: Prices = () if mid is None else (("mid", mid, (now_ns - self.marks.mids_at_ns[symbol]) // MILLISECOND),)
        if terms.order_type is OrderType.LIMIT or terms.order_type is OrderType.STOP_LIMIT:
            return terms.price, prices
        touched = self.marks.touch(symbol, terms.side, now_ns)
        if touched is None:
            return None, prices
        touch, at_ns = touched
        stop = terms.stop_price if terms.trail is None else _worst_of_trail(terms.trail, terms.side, terms.stop_price, touch)
        worst = (touch if stop is None or abs(touch) >= abs(stop) else stop) * (1 + self.limits.market_buffer)
        return worst, (("touch", touch * self.marks.rates[symbol], (now_ns - at_ns) // MILLISECOND), *prices)

    def _anchor(self, terms: Terms, prices: Prices) -> Decimal | None:
        """Return the reference of a limit price, in USD: a fresh mid; for a stop-limit the stop price, because it starts to work there.

        Of a trailing stop with a limit it is the far touch: its stop price is known only later, and stays near it.
        """
        if terms.order_type is OrderType.LIMIT:
            return prices[-1][1] if prices and prices[-1][2] <= self._fresh_ms else None
        if terms.trail is not None:
            return prices[0][1] if terms.trail.limit_offset is not None and prices else None
        return terms.stop_price * self.marks.rates[terms.symbol] if terms.price is not None and terms.stop_price is not None else None

    def _offset(self, terms: Terms, trail: Trail) -> Decimal:
        """Return how far the limit of a trailing stop will be from its stop price, in USD."""
        return (trail.limit_offset or ZERO) * self.marks.rates[terms.symbol]

    def _width(self, symbol: str, anchor: Decimal, collar: Decimal) -> Decimal:
        """Return how far from the anchor a price may be, in USD."""
        width, least = abs(anchor) * collar, self._collar_ticks.get(symbol)
        return width if least is None or width > least else least

    def _case(self, terms: Terms, price: Decimal | None, limits: Limits, now_ns: int, prices: Prices, entry: Terms | None = None) -> Case:
        symbol, quantity, sells = terms.symbol, terms.quantity, terms.side is Side.SELL
        account = self.exposure.look(terms.account)
        holding = account.holdings.get(symbol) or Holding(symbol, unit=self.marks.units.get(symbol))
        if entry is not None and entry.symbol == symbol:
            holding = _entered(holding, entry, ZERO if price is None else abs(price) * self.marks.rates[symbol])
        usd = ZERO if price is None else price * self.marks.rates[symbol]
        notional = abs(usd) * quantity
        if sells:
            held, stake, open_quantity, open_notional = -holding.quantity, -holding.stake, holding.sell_quantity, holding.sell_notional
        else:
            held, stake, open_quantity, open_notional = holding.quantity, holding.stake, holding.buy_quantity, holding.buy_notional
        on_side = open_quantity + quantity
        side = reach(held, stake, abs(holding.mark), on_side, open_notional + notional)
        worst = holding.worst
        added = side - worst if side > worst else ZERO
        reduces = on_side <= -held
        collar = self._collars[symbol]
        anchor = None if collar is None else self._anchor(terms, prices)
        group = account.var.group_of.get(symbol)
        has_history = group is not None and not account.unmeasured
        var = ZERO
        if group is not None and has_history and self._measures and not reduces:
            moving = side if holding.unit is None else (held + on_side) * holding.unit
            var = _var(account, group, holding, moving, sells, added)
        order_rate = self._order_rates.get(terms.account) if self._watches else None
        controls = self.controls
        # By position, in the order of the fields: by name takes five times as long.
        return Case(
            limits,
            bool(controls.kills) and controls.killed(terms.account, symbol),
            symbol in controls.blocks,
            terms.account in controls.suspensions,
            price is not None,
            sells,
            terms.reduce_only,
            self.instruments[symbol].shortable or terms.account in limits.short_accounts,
            reduces,
            quantity,
            notional,
            ZERO if anchor is None else abs(usd - anchor) if terms.trail is None else self._offset(terms, terms.trail),
            None if collar is None or anchor is None else self._width(symbol, anchor, collar),
            holding.quantity,
            open_quantity,
            account.orders + 1,
            side if side > ZERO else ZERO,
            added,
            account.worst,
            account.cash + account.value,
            has_history,
            var,
            NO_ORDERS_COUNTED if order_rate is None else order_rate.seen(terms, limits, now_ns),
        )


def _worst_of_trail(trail: Trail, side: Side, stop_price: Decimal | None, touch: Decimal) -> Decimal:
    """Return the price behind the stop at which a trailing stop may still trade, while the market is here."""
    first = behind(side, touch, distance(trail, touch)) if stop_price is None else stop_price
    return first if trail.limit_offset is None else behind(side, first, trail.limit_offset)


def _entered(holding: Holding, entry: Terms, usd: Decimal) -> Holding:
    """Return the holding as if the entry had traded in full. `usd` is the worth of a unit if the holding has no mark yet."""
    moved, mark = signed(entry.side, entry.quantity), holding.mark or usd
    value = (holding.quantity + moved) * mark
    worst = max(holding.worst, abs(value))
    return msgspec.structs.replace(holding, quantity=holding.quantity + moved, mark=mark, value=value, stake=value, worst=worst)


def _var(account: Account, group: Scenarios, holding: Holding, moving: Decimal, sells: bool, added: Decimal) -> Decimal:
    """Return the account's value at risk including the order: its side of the holding then reaches `moving`, in the measured unit."""
    at_stake = account.worst + added
    if account.units:
        at_stake += account.swing() + abs(moving) * group.widest.get(holding.symbol, ZERO)
    if at_stake > group.notional_max:
        raise OverflowError(f"value at risk is not measured beyond {group.notional_max} USD")
    return account.value_at_risk_with(group, group.stretched(holding.symbol, holding.micros, moving, sells))
