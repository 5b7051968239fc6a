"""Scenes of risk in text: prices, orders and what becomes of them; docs/risk.md says the language and is written in it.

ask ...                 asks and reserves, and does not journal
recorded ...            journals without asking
enable ACCOUNT          orders that were repeated too often may pass again
closes SYMBOL 100 90    daily closes, oldest first, as many for each symbol
ACCOUNT ID buy ...      asks, and journals what was approved
late ID Q @P            a fill after the order was closed
give back               releases reservations that are older than two seconds
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from apps.risk.views import portfolio_view
from domain.instruments import Instrument, negative_prices
from domain.market.price_history import DailyClose, history_of
from domain.market.quotes import Quote
from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import State
from domain.risk.controls import AccountResumed, AccountSuspended, Controls, SymbolBlocked, SymbolUnblocked
from domain.risk.decision_record import CheckResult, read
from domain.risk.engine import Risk
from domain.risk.limits import SWITCHES, VAR_LIMIT, Limits
from domain.risk.var import Method
from domain.values import Liquidity, OrderType, Side, plain

SECOND = 1_000_000_000
TTL_NS = 2 * SECOND


def instrument(symbol: str, currency: str = "USD", *, shortable: bool = False, negative_prices: bool = False) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick=Decimal("0.01"),
        lot=Decimal("0.00001"),
        quantity_max=Decimal(1_000_000),
        notional_min=Decimal(0),
        currency=currency,
        shortable=shortable,
        negative_prices=negative_prices,
    )


GOLDEN = {
    "BTCUSDT": instrument("BTCUSDT", "USDT"),
    "PENNY": instrument("PENNY"),
    "EURO": instrument("EURO", "EUR"),
    "LENDABLE": instrument("LENDABLE", shortable=True),
}
"""Of the golden journals: one more would change what they recorded."""
INSTRUMENTS = GOLDEN | {"CRUDE": instrument("CRUDE", "EUR", shortable=True, negative_prices=True)}
WITHOUT_VAR = frozenset(SWITCHES) - {VAR_LIMIT}
CURRENCIES = {"USD": Decimal(1), "USDT": Decimal(1), "EUR": Decimal("1.25")}


def new_risk(instruments: Mapping[str, Instrument] = INSTRUMENTS, **limits: Any) -> Risk:
    """All checks but value at risk, which needs a history, and no price collar: scenes that want them say so."""
    said: dict[str, Any] = {"enabled": WITHOUT_VAR, "price_collar": None, "short_accounts": frozenset({"hedger"}), **limits}
    return Risk(Limits(**said), instruments, CURRENCIES, Controls())


def order(account: str, order_id: str, side: str, quantity: str, symbol: str, *price: str) -> c.Terms:
    """`@100`, `market`, `stop 90` or `stop 90 @91`; `reduce` behind it: may only reduce."""
    limit = next((Decimal(word[1:]) for word in price if word.startswith("@")), None)
    stop = Decimal(price[1]) if price[0] == "stop" else None
    kind = {(False, False): "market", (True, False): "limit", (False, True): "stop", (True, True): "stop_limit"}
    return c.Terms(
        order_id=order_id,
        account=account,
        client_order_id="",
        symbol=symbol,
        side=Side(side),
        order_type=OrderType(kind[limit is not None, stop is not None]),
        quantity=Decimal(quantity),
        price=limit,
        stop_price=stop,
        reduce_only="reduce" in price,
    )


def submitted(terms: c.Terms) -> e.OrderSubmitted:
    fields = msgspec.structs.asdict(terms)
    del fields["replaces"]
    return e.OrderSubmitted(at=0, status=State.NEW, **fields)


def checked(terms: c.Terms, reference: Decimal | None) -> e.OrderRiskChecked:
    return e.OrderRiskChecked(order_id=terms.order_id, at=0, status=State.RISK_CHECKED, limits_version=1, reference=reference)


class Scene:
    def __init__(self, **limits: Any) -> None:
        self.risk = new_risk(**limits)
        self.now = SECOND
        self.seq = 0
        self.orders: dict[str, tuple[c.Terms, Decimal]] = {}
        self.decision: c.RiskDecision | None = None
        self.checks_left: list[CheckResult] = []
        self.closes_told: list[DailyClose] = []

    def run(self, text: str) -> None:
        for number, line in enumerate(text.strip("\n").splitlines(), 1):
            if not line.strip():
                continue
            try:
                self._line(line)
            except AssertionError as wrong:
                raise AssertionError(f"line {number}: {line.strip()}\n{wrong}") from wrong

    def _line(self, line: str) -> None:
        words = line.split()
        if line.startswith(">"):
            self._answered(words[1:])
        elif line.startswith("  "):
            self._recorded_check(*words)
        elif line.startswith("="):
            self._account(line[1:])
        elif words[0] in self.VERBS:
            self.VERBS[words[0]](self, *words[1:])
        else:
            self.ask(*words)
            assert self.decision is not None
            if self.decision.approved:
                self.record(*words)

    def apply(self, event: e.OrderEvent) -> None:
        self.seq += 1
        self.risk.fold.apply(event, self.seq)

    def limits(self, *pairs: str) -> None:
        changes: dict[str, Any] = {}
        for key, _, value in (pair.partition("=") for pair in pairs):
            match key:
                case "enabled":
                    changes[key] = frozenset(value.split(","))
                case "open_orders_max" | "order_rate_max" | "repeated_orders_max" | "duplicate_window_ns" | "repeated_window_ns":
                    changes[key] = int(value)
                case "var_quantile":
                    changes["var_method"] = Method(Decimal("0.99"), Decimal(value))
                case _:
                    changes[key] = Decimal(value)
        self.risk = new_risk(**changes)

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        one = Decimal(1)
        quote = Quote(symbol=symbol, venue="PAPER_A", bid=Decimal(bid), bid_size=one, ask=Decimal(ask), ask_size=one, at=0)
        self.risk.marks.update(quote, self.now)

    def closes(self, symbol: str, *prices: str) -> None:
        self.closes_told += [DailyClose(day, symbol, Decimal(price), "scene") for day, price in enumerate(prices)]
        differences, returns = negative_prices(INSTRUMENTS.values()), len(prices) - 1
        history = history_of(self.closes_told, INSTRUMENTS, len(prices), returns=returns, age_max_days=1, by_difference=differences)
        self.risk.learn(history)

    def block(self, symbol: str) -> None:
        self.risk.controls.apply(SymbolBlocked(version=1, at=0, who="test", reason="scene", symbol=symbol))

    def unblock(self, symbol: str) -> None:
        self.risk.controls.apply(SymbolUnblocked(version=2, at=0, who="test", reason="scene", symbol=symbol))

    def suspend(self, account: str) -> None:
        self.risk.controls.apply(AccountSuspended(version=3, at=0, who="test", reason="scene", account=account))

    def resume(self, account: str) -> None:
        self.risk.controls.apply(AccountResumed(version=4, at=0, who="test", reason="scene", account=account))

    def wait(self, seconds: str) -> None:
        self.now += int(seconds) * SECOND

    def enable(self, account: str) -> None:
        self.risk.enable(account)

    def give(self, back: str) -> None:
        assert back == "back"
        self.risk.exposure.release_before(self.now - TTL_NS)

    def ask(self, *words: str) -> None:
        self.decision = self.risk.decide(order(*words), self.now)
        self.checks_left = list(read(self.decision.checks).checks)

    def record(self, *words: str) -> None:
        terms = order(*words)
        reference = self.risk.valued_at(terms, self.now)
        assert reference is not None
        self.orders[terms.order_id] = terms, terms.quantity
        self.apply(submitted(terms))
        self.apply(checked(terms, reference))

    def fill(self, order_id: str, quantity: str, price: str, fee: str = "fee=0", *, late: bool = False) -> None:
        terms, leaves = self.orders[order_id]
        leaves = max(leaves - Decimal(quantity), Decimal(0))
        self.orders[order_id] = terms, leaves
        self.apply(filled(terms, quantity, price[1:], fee[4:], State.FILLED if not leaves else State.PARTIALLY_FILLED, late=late))

    def late(self, order_id: str, quantity: str, price: str) -> None:
        self.fill(order_id, quantity, price, late=True)

    def bust(self, order_id: str, quantity: str, price: str, fee: str = "fee=0") -> None:
        terms, leaves = self.orders[order_id]
        self.orders[order_id] = terms, leaves + Decimal(quantity)
        self.apply(busted(terms, quantity, price[1:], fee[4:], State.ROUTED))

    def cancel(self, order_id: str) -> None:
        self.apply(e.OrderCancelled(order_id=order_id, at=0, status=State.CANCELLED, source="client", reason="requested"))

    VERBS: dict[str, Callable[..., None]] = {
        verb.__name__: verb
        for verb in (limits, quote, closes, block, unblock, suspend, resume, wait, enable, give, ask, fill, late, bust, cancel)
    } | {"recorded": record}

    def _answered(self, words: list[str]) -> None:
        decision = self.decision
        assert decision is not None
        denial = decision.denial
        told = ["approved"] if denial is None else [str(part) for part in (denial.code, denial.found, denial.limit, denial.unit) if part]
        if words[-1].startswith("reference="):
            assert decision.reference is not None
            told.append(f"reference={plain(decision.reference)}")
        assert " ".join(told) == " ".join(words), f"it said: {' '.join(told)}"

    def _recorded_check(self, name: str, found: str, limit: str) -> None:
        result = self.checks_left.pop(0)
        assert (result.name, plain(result.found), plain(result.limit)) == (name, found, limit), f"recorded: {result}"

    def _account(self, line: str) -> None:
        account, _, rest = line.strip().partition(" ")
        exposure = self.risk.exposure
        view = portfolio_view(self.risk, exposure.look(account))
        view["open_reservations"] = Decimal(len(exposure.reservations))
        for name, value in (pair.split() for pair in rest.split(",")):
            assert view[name] == Decimal(value), f"{name} is {plain(view[name])}"


def filled(terms: c.Terms, quantity: str, price: str, fee: str, status: State, *, late: bool = False) -> e.OrderFilled:
    return e.OrderFilled(
        order_id=terms.order_id,
        at=0,
        status=status,
        account=terms.account,
        client_order_id=terms.client_order_id,
        symbol=terms.symbol,
        side=terms.side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        liquidity=Liquidity.TAKER,
        exec_id="x",
        venue="PAPER_A",
        route_id="R1",
        report_seq=1,
        late=late,
    )


def busted(terms: c.Terms, quantity: str, price: str, fee: str, status: State) -> e.TradeBusted:
    return e.TradeBusted(
        order_id=terms.order_id,
        at=0,
        status=status,
        account=terms.account,
        symbol=terms.symbol,
        side=terms.side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        exec_id="x",
        venue="PAPER_A",
        report_seq=2,
    )


def check(text: str, **limits: object) -> None:
    Scene(**limits).run(text)
