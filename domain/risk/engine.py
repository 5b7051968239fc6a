"""One question, one answer: check and reservation are a single synchronous step, so concurrent orders cannot pass one limit together."""

from collections.abc import Mapping
from decimal import Decimal

from domain.commands import Decision, Terms
from domain.controls import Controls
from domain.instruments import Denial, Instrument
from domain.risk.checks import NO_PRICE_HISTORY, Case, judge, switched_on
from domain.risk.exposure import Account, Exposure, Holding, Open, Reservation, reach
from domain.risk.fold import RiskFold
from domain.risk.history import History
from domain.risk.limits import VAR_LIMIT, Limits
from domain.risk.marks import Marks
from domain.risk.overrides import Overrides
from domain.risk.record import written
from domain.risk.var import Moves, Var
from domain.values import ZERO, OrderType, Side


class Risk:
    """Limits, prices, controls and exposure of all accounts. `now_ns` is any steady clock: only differences are told by it."""

    def __init__(
        self, limits: Limits, instruments: Mapping[str, Instrument], currencies: Mapping[str, Decimal], controls: Controls
    ) -> None:
        self.limits = limits
        self.instruments = instruments
        self.controls = controls
        self.marks = Marks({s: currencies[i.currency] for s, i in instruments.items()}, limits.quote_age_max_ns)
        self.exposure = Exposure(self.marks, limits.buying_power_initial)
        self.fold = RiskFold(self.exposure)
        self.limits_of = Overrides(limits, controls).of
        self._checks = switched_on(limits)
        self._measures = VAR_LIMIT in limits.enabled

    def learn(self, history: History) -> None:
        """Measure value at risk by these closes from now on. Each account is counted anew when it is next looked at."""
        if self._measures and history != self.exposure.var.history:
            self.exposure.var = Var(history, self.limits.var_method)

    def decide(self, terms: Terms, now_ns: int) -> Decision:
        """The decision, with a reservation when it is an approval. Asked again while that stands, it says the same and reserves nothing."""
        held = self.exposure.reservations.get(terms.order_id)
        if held is not None and held.terms == terms:
            self.exposure.renew(terms.order_id, now_ns)
            return held.decision
        if terms.replaces:
            return self._decide_replace(terms, now_ns)
        if held is not None or terms.order_id in self.exposure.orders:
            version = self.limits_of(terms.account, terms.symbol).version
            return Decision(terms.order_id, version, denial=Denial("duplicate_order"))
        decision = self.dry(terms, now_ns)
        if decision.denial is None:
            assert decision.reference is not None
            price = decision.reference * self.marks.rates[terms.symbol]
            open_ = Open(terms.account, terms.symbol, terms.side, terms.quantity, price)
            self.exposure.reserve(terms.order_id, Reservation(open_, terms, decision, now_ns))
        return decision

    def _decide_replace(self, terms: Terms, now_ns: int) -> Decision:
        """New terms of an open order: checked as though it did not count, and reserved up to the worse of both."""
        self.exposure.release(terms.order_id)
        old = self.exposure.orders.get(terms.replaces)
        if old is None:
            version = self.limits_of(terms.account, terms.symbol).version
            return Decision(terms.order_id, version, denial=Denial("risk_error", found="order_not_seen"))
        decision = self.exposure.without(old, lambda: self.dry(terms, now_ns))
        if decision.denial is None:
            assert decision.reference is not None
            price = max(old.price, decision.reference * self.marks.rates[terms.symbol])
            worse = Open(terms.account, terms.symbol, terms.side, max(old.quantity, terms.quantity), price)
            self.exposure.reserve(terms.order_id, Reservation(worse, terms, decision, now_ns, instead=old))
        return decision

    def dry(self, terms: Terms, now_ns: int) -> Decision:
        """The decision alone."""
        price = self.valued_at(terms, now_ns)
        limits = self.limits_of(terms.account, terms.symbol)
        denial, results = judge(self._case(terms, price, limits), self._checks)
        if denial is not None and denial.code == NO_PRICE_HISTORY:
            denial = Denial(NO_PRICE_HISTORY, found=self._without_history(terms))
        return Decision(terms.order_id, limits.version, denial=denial, checks=written(results), reference=price)

    def _without_history(self, terms: Terms) -> str:
        """Which symbol cannot be measured, and why: the order's own, else the first one that the account has at stake."""
        var, account = self.exposure.var, self.exposure.look(terms.account)
        symbols = (terms.symbol, *(h.symbol for h in account.holdings.values() if h.worst))
        symbol = next(symbol for symbol in symbols if symbol not in var.moves)
        return f"{symbol} {var.history.unusable.get(symbol, 'missing')}"

    def valued_at(self, terms: Terms, now_ns: int) -> Decimal | None:
        """The price an order is counted at, in its currency: its limit, or the worse of far touch and stop plus the buffer."""
        if terms.order_type is OrderType.LIMIT or terms.order_type is OrderType.STOP_LIMIT:
            return terms.price
        touch = self.marks.touch(terms.symbol, terms.side, now_ns)
        if touch is None:
            return None
        return max(touch, terms.stop_price or ZERO) * (1 + self.limits.market_buffer)

    def _case(self, terms: Terms, price: Decimal | None, limits: Limits) -> Case:
        symbol, quantity = terms.symbol, terms.quantity
        account: Account = self.exposure.look(terms.account)
        holding = account.holdings.get(symbol) or Holding(symbol)
        notional = ZERO if price is None else price * quantity * self.marks.rates[symbol]
        sells = terms.side is Side.SELL
        if sells:
            held, value, open_quantity, open_notional = -holding.quantity, -holding.value, holding.sell_quantity, holding.sell_notional
        else:
            held, value, open_quantity, open_notional = holding.quantity, holding.value, holding.buy_quantity, holding.buy_notional
        side = reach(held, value, holding.mark, open_quantity + quantity, open_notional + notional)
        worst_side = max(side, ZERO)
        worst_added = max(side - holding.worst, ZERO)
        reduces = open_quantity + quantity <= -held
        moves = self.exposure.var.moves.get(symbol)
        measured = moves is not None and not account.unmeasured
        return Case(
            limits=limits,
            killed=self.controls.killed(terms.account, symbol),
            blocked=self.controls.blocked(symbol),
            priced=price is not None,
            sells=sells,
            reduce_only=terms.reduce_only,
            may_short=self.instruments[symbol].shortable or terms.account in limits.short_accounts,
            reduces=reduces,
            quantity=quantity,
            notional=notional,
            held=holding.quantity,
            open_quantity=open_quantity,
            worst_side=worst_side,
            worst_added=worst_added,
            worst_total=account.worst,
            equity=account.equity,
            measured=measured,
            var=self._var(account, holding, moves, (holding.long, side) if sells else (side, holding.short), account.worst + worst_added)
            if moves is not None and measured and self._measures and not reduces
            else ZERO,
        )

    def _var(self, account: Account, holding: Holding, moves: Moves, after: tuple[Decimal, Decimal], worst: Decimal) -> Decimal:
        """Value at risk of the account with the order in it."""
        var = account.var
        if worst > var.notional_max:
            raise OverflowError(f"value at risk is not measured beyond {var.notional_max} USD")
        return var.measure(account.losses + var.shift(moves, (holding.long, holding.short), after))
