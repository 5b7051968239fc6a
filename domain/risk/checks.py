"""The risk checks, in order of precedence: one shape each, the first refusal wins. docs/risk.md defines them with worked examples."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, Literal, NamedTuple

import msgspec

from domain.instruments import Denial
from domain.risk import limits as names
from domain.risk.limits import Limits
from domain.risk.order_rate import OrderRateCount
from domain.values import ZERO, plain

ONE: Final = Decimal(1)
NO_PRICE_HISTORY: Final = "no_price_history"
REPEATED_ORDER: Final = "repeated_order"
RATE_LIMIT: Final = "rate_limit"


class Case(msgspec.Struct, frozen=True, gc=False):
    """One order before the checks, with its account's exposure without it. Money is USD.

    `open_quantity` and `worst_side` count its side only: what is open there, and what the position becomes if all of that and this
    order fill. `worst_added` is by how much the order raises the larger of both sides. `measured`: everything that the account has at stake
    with this order has a price history; `var` is its value at risk then. `collar` is how far the price may be `away` from the market.
    Counts of orders include this one.
    """

    limits: Limits
    killed: bool
    blocked: bool
    suspended: bool
    priced: bool
    sells: bool
    reduce_only: bool
    may_short: bool
    reduces: bool
    quantity: Decimal
    notional: Decimal
    away: Decimal
    collar: Decimal | None
    held: Decimal
    open_quantity: Decimal
    open_orders: int
    worst_side: Decimal
    worst_added: Decimal
    worst_total: Decimal
    equity: Decimal
    measured: bool
    var: Decimal
    order_rate: OrderRateCount


Measured = tuple[Decimal, Decimal] | None
"""The value found and its limit. None: the check does not apply to this order."""


class Check(NamedTuple):
    """One check. `switch` is the name that enables it in a configuration, or the limit that must not be None; None if it is always on.

    A check without a unit is refused without numbers, because they mean nothing to a reader.
    """

    code: str
    switch: str | None
    unit: str | None
    measure: Callable[[Case], Measured]


def _killed(case: Case) -> Measured:
    return (ONE, ZERO) if case.killed else None


def _symbol_blocked(case: Case) -> Measured:
    return (ONE, ZERO) if case.blocked else None


def _suspended(case: Case) -> Measured:
    return (ONE, ZERO) if case.suspended else None


def _no_reference_price(case: Case) -> Measured:
    return None if case.priced else (ONE, ZERO)


def _rate(case: Case) -> Measured:
    most = case.limits.order_rate_max
    return None if most is None else (Decimal(case.order_rate.in_a_second), Decimal(most))


def _duplicate(case: Case) -> Measured:
    return (ONE, ZERO) if case.order_rate.doubled else None


def _repeated(case: Case) -> Measured:
    most = case.limits.repeated_orders_max
    return None if most is None else (Decimal(case.order_rate.repeats), Decimal(most))


def _open_orders(case: Case) -> Measured:
    most = case.limits.open_orders_max
    return None if most is None else (Decimal(case.open_orders), Decimal(most))


def _collar(case: Case) -> Measured:
    return None if case.collar is None else (case.away, case.collar)


def _reduce_only(case: Case) -> Measured:
    """Measure what may still trade on its side against the position that can be closed."""
    if not case.reduce_only:
        return None
    return case.open_quantity + case.quantity, max(case.held if case.sells else -case.held, ZERO)


def _order_notional(case: Case) -> Measured:
    """Measure the notional. An exit is exempt: `_reduce_only` bounds it, with all others of its side, by the position it closes."""
    return None if case.reduce_only and case.reduces else (case.notional, case.limits.order_notional_max)


def _order_quantity(case: Case) -> Measured:
    return None if case.reduce_only and case.reduces else (case.quantity, case.limits.order_quantity_max)


def _position(case: Case) -> Measured:
    return None if case.reduces else (case.worst_side, case.limits.position_notional_max)


def _short(case: Case) -> Measured:
    if not case.sells or case.may_short:
        return None
    return case.open_quantity + case.quantity, max(case.held, ZERO)


def _concentration(case: Case) -> Measured:
    return None if case.reduces else (case.worst_side, case.limits.concentration_max * case.equity)


def _buying_power(case: Case) -> Measured:
    if case.reduces:
        return None
    rate = case.limits.margin_rate
    return case.worst_added * rate, case.equity - case.worst_total * rate


def _price_history(case: Case) -> Measured:
    """Refuse an order that cannot be measured; it never passes unmeasured."""
    return None if case.reduces or case.measured else (ONE, ZERO)


def _var(case: Case) -> Measured:
    return None if case.reduces else (case.var, case.limits.var_max)


CHECKS: Final = (
    Check("killed", None, None, _killed),
    Check("symbol_blocked", None, None, _symbol_blocked),
    Check("account_suspended", None, None, _suspended),
    Check(RATE_LIMIT, "order_rate_max", "orders a second", _rate),
    Check("duplicate_order", "duplicate_window_ns", None, _duplicate),
    Check(REPEATED_ORDER, "repeated_orders_max", "orders", _repeated),
    Check("max_open_orders", "open_orders_max", "orders", _open_orders),
    Check("no_reference_price", None, None, _no_reference_price),
    Check("reduce_only", None, "shares", _reduce_only),
    Check("price_collar", None, "USD", _collar),
    Check(names.ORDER_SIZE_LIMIT, names.ORDER_SIZE_LIMIT, "USD", _order_notional),
    Check(names.ORDER_SIZE_LIMIT, names.ORDER_SIZE_LIMIT, "shares", _order_quantity),
    Check(names.POSITION_LIMIT, names.POSITION_LIMIT, "USD", _position),
    Check(names.SHORT_RESTRICTION, names.SHORT_RESTRICTION, "shares", _short),
    Check(names.CONCENTRATION_LIMIT, names.CONCENTRATION_LIMIT, "USD", _concentration),
    Check(names.BUYING_POWER, names.BUYING_POWER, "USD", _buying_power),
    Check(NO_PRICE_HISTORY, names.VAR_LIMIT, None, _price_history),
    Check(names.VAR_LIMIT, names.VAR_LIMIT, "USD", _var),
)


OF_CHILDREN: Final = frozenset(
    {"killed", "symbol_blocked", "account_suspended", RATE_LIMIT, "duplicate_order", REPEATED_ORDER, "max_open_orders"}
    | {"no_reference_price", "price_collar", names.ORDER_SIZE_LIMIT}
)
"""The checks of a child of an algo. Its parent passed those of exposure for the full quantity, which is kept for its children."""


def switched_on(limits: Limits) -> tuple[Check, ...]:
    return tuple(check for check in CHECKS if check.switch is None or _is_on(limits, check.switch))


def _is_on(limits: Limits, switch: str) -> bool:
    return switch in limits.enabled or getattr(limits, switch, None) is not None


def judge(case: Case, checks: tuple[Check, ...]) -> tuple[Denial | None, list[tuple[str, Decimal, Decimal]]]:
    """Return the first refusal, if any, and code, found and limit of every check up to it that applies."""
    results: list[tuple[str, Decimal, Decimal]] = []
    for code, _, unit, measure in checks:
        if (measured := measure(case)) is not None:
            found, limit = measured
            results.append((code, found, limit))
            if found > limit:
                return Denial(code, plain(found), plain(limit), unit) if unit else Denial(code), results
    return None, results


Outcome = Literal["passed", "refused", "not_applicable", "not_measured"]


class ExplainedCheck(NamedTuple):
    """What one enabled check says of an order, whatever the others say. Without numbers `found` and `limit` are None.

    `not_applicable`: the check does not concern this order. `not_measured`: what it compares is not known.
    """

    code: str
    unit: str | None
    outcome: Outcome
    found: Decimal | None = None
    limit: Decimal | None = None


def explained(case: Case, checks: tuple[Check, ...]) -> tuple[ExplainedCheck, ...]:
    """Return what every check says, also behind the first refusal, in order of precedence.

    Without a reference price no money is known, and without a price history no value at risk.
    """
    return tuple(_explained(case, check) for check in checks)


def _explained(case: Case, check: Check) -> ExplainedCheck:
    code, _, unit, measure = check
    if (unit == "USD" and not case.priced) or (code == names.VAR_LIMIT and not (case.measured or case.reduces)):
        return ExplainedCheck(code, unit, "not_measured")
    measured = measure(case)
    if measured is not None:
        found, limit = measured
        return ExplainedCheck(code, unit, "refused" if found > limit else "passed", found, limit)
    if unit is None:
        return ExplainedCheck(code, unit, "passed", ZERO, ZERO)  # a yes or no: it is not the case
    return ExplainedCheck(code, unit, "not_applicable")
