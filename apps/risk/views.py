"""Views of portfolios, limits and decisions in responses. Exact numbers; an unknown value is null, with its reason in another field."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from adapters.codec import encode
from apps.http.decision_view import record_view
from apps.risk.limits_body import FIELD_OF
from domain.four_eyes import SECOND_STEP_MAX_NS, in_time
from domain.order.commands import RiskDecision
from domain.risk.checks import NO_PRICE_HISTORY, ExplainedCheck
from domain.risk.controls import ControlEvent, Controls, LimitsChanged, LimitSet, LimitsProposed
from domain.risk.engine import Risk
from domain.risk.exposure import Account, Holding
from domain.risk.var import Var
from domain.values import ZERO, divide, plain, rfc3339

View = dict[str, Any]

PERCENT: Final = Decimal(100)
LIMITS_CURRENCY: Final = "USD"
"""Currency of limits and of all sums over an account; other currencies are converted at the catalogue's rate."""
PERCENT_PLACES: Final = 4


def decision_view(decision: RiskDecision, explain: bool) -> View:
    """Build the view of an approval or a denial; `explain` adds every check that measured something."""
    denial = decision.denial
    view: View = {"approved": denial is None}
    if denial is not None:
        detail = {name: value for name in ("found", "limit", "unit") if (value := getattr(denial, name)) is not None}
        view |= {"reason": denial.code, **({"detail": detail} if detail else {})}
    if explain:
        view["reference"] = decision.reference
        view["limits_version"] = decision.limits_version
        view |= record_view(decision.checks)
    return view


def check_view(check: ExplainedCheck) -> View:
    """Build one check of an explained order. Numbers are null where there is nothing to compare."""
    headroom = None if check.found is None or check.limit is None else check.limit - check.found
    numbers = {"found": check.found, "limit": check.limit, "headroom": headroom}
    return {"name": check.code, **numbers, "unit": check.unit, "outcome": check.outcome}


def portfolio_view(risk: Risk, account: Account) -> View:
    """Build one account as the checks see it. Money is in `currency`, converted at `rates`.

    Margin, reservations and buying power are in margin, not in notional.
    """
    symbols = holdings_view(account, account.holdings.values())
    rates = {currency: risk.marks.rates[symbol] for symbol in symbols if (currency := risk.currency(symbol))}
    return _sums_view(risk, account) | {"rates": rates, "symbols": symbols}


def holdings_view(account: Account, holdings: Iterable[Holding]) -> View:
    """Build the holdings with a position or open orders, by symbol."""
    found = sorted((h for h in holdings if h.worst or h.quantity or h.buy_quantity or h.sell_quantity), key=lambda holding: holding.symbol)
    return {holding.symbol: _holding_view(holding, account) for holding in found}


def _sums_view(risk: Risk, account: Account) -> View:
    rate = risk.limits.margin_rate
    short = sum((holding.value for holding in account.holdings.values() if holding.quantity < ZERO), ZERO)
    return {
        "account": account.name,
        "as_of_seq": risk.fold.seq,
        "currency": LIMITS_CURRENCY,
        "equity": account.equity,
        "cash": account.cash,
        "long_value": account.value - short,
        "short_value": short,
        "initial_buying_power": risk.limits.buying_power_initial,
        "gross_exposure": account.gross,
        "worst_case_exposure": account.worst,
        "margin_in_use": account.gross * rate,
        "reservations": (account.worst - account.gross) * rate,
        "buying_power": account.equity - account.worst * rate,
        "open_orders": account.orders,
        "concentration": _largest(account),
        "var": None if account.unmeasured else account.value_at_risk(),
        "var_reason": NO_PRICE_HISTORY if account.unmeasured else None,
    }


def snapshot_fields(risk: Risk, account: Account, symbols: View, now_ns: int) -> Mapping[str, str]:
    """Build the same numbers as text for a hash, the symbols as JSON. The fields are always the same; an unknown value is empty."""
    view = _sums_view(risk, account)
    numbers = {name: plain(value) for name, value in view.items() if isinstance(value, Decimal)}
    return {
        **numbers,
        "concentration_pct": _text(view["concentration"]["pct"]),
        "var": _text(view["var"]),
        "var_reason": view["var_reason"] or "",
        "currency": view["currency"],
        "open_orders": str(account.orders),
        "symbols": encode(symbols).decode(),
        "as_of_seq": str(risk.fold.seq),
        "updated_at": rfc3339(now_ns),
    }


def limits_view(risk: Risk, account: str | None, symbol: str = "") -> View:
    """Build the limits in force by default, for an account, or for one symbol of it; `own` is the override set for exactly this scope."""
    limits = risk.limits if account is None else risk.limits_of(account, symbol)
    view: View = {
        "version": limits.version,
        "set_by": limits.set_by,
        "enabled": sorted(limits.enabled),
        "max_order_size_usd": limits.order_notional_max,
        "max_order_size_shares": limits.order_quantity_max,
        "max_position_size_usd": limits.position_notional_max,
        "max_concentration_pct": limits.concentration_max * PERCENT,
        "max_portfolio_var_usd": limits.var_max,
        "initial_buying_power_usd": limits.buying_power_initial,
        "margin_requirement_pct": limits.margin_rate * PERCENT,
        "market_buffer_pct": limits.market_buffer * PERCENT,
        "price_collar_pct": None if limits.price_collar is None else limits.price_collar * PERCENT,
        "var_confidence_level": limits.var_method.confidence,
        "var_method": "historical" if limits.var_method.quantile is None else "parametric",
        "var_scenarios": risk.exposure.var.scenarios,
        "max_open_orders_per_account": limits.open_orders_max,
        "max_orders_per_sec_per_account": limits.order_rate_max,
        "duplicate_order_window_ms": None if limits.duplicate_window_ns is None else limits.duplicate_window_ns // 10**6,
        "repeated_orders_max": limits.repeated_orders_max,
        "blocked_symbols": blocks_view(risk.controls),
        "killed": kills_view(risk.controls),
    }
    if account is None:
        return view | {"overrides": [change_view(change) for _, change in sorted(risk.controls.limits.items())]}
    change = risk.controls.limits.get((account, symbol))
    view |= {
        "account": account,
        "suspended": account in risk.controls.suspensions,
        "short_allowed": account in limits.short_accounts,
        "own": change_view(change) if change else None,
    }
    return view | {"symbol": symbol} if symbol else view


def blocks_view(controls: Controls) -> list[View]:
    return [control_view(block) for _, block in sorted(controls.blocks.items())]


def kills_view(controls: Controls) -> list[View]:
    return [control_view(kill) for _, kill in sorted(controls.kills.items())]


def controls_view(controls: Controls, now_ns: int) -> View:
    """Build what is in force, and the first steps that another person may still confirm."""
    return {
        "version": controls.version,
        "killed": kills_view(controls),
        "blocked_symbols": blocks_view(controls),
        "suspended": [control_view(each) for _, each in sorted(controls.suspensions.items())],
        "arming": [control_view(asked) for _, asked in sorted(controls.arming.items()) if in_time(asked.at, now_ns)],
        "proposals": [proposal_view(each) for each in controls.pending(now_ns)],
    }


def control_view(event: ControlEvent) -> View:
    """Build one control as it was recorded."""
    if isinstance(event, LimitsProposed | LimitsChanged):
        return change_view(event)
    view: View = {"type": type(event).__name__}
    return view | msgspec.structs.asdict(event) | {"at": rfc3339(event.at)}


def proposal_view(proposal: LimitsProposed) -> View:
    return change_view(proposal) | {"expires_at": rfc3339(proposal.at + SECOND_STEP_MAX_NS)}


def change_view(change: LimitsProposed | LimitsChanged) -> View:
    """Build a change of limits, or a proposal of one: `limits_version` is then the version that the change must name."""
    about = {"account": change.account, **({"symbol": change.symbol} if change.symbol else {})}
    who = {"version": change.version, "who": change.who, "reason": change.reason, "at": rfc3339(change.at)}
    based = {"limits_version": change.limits_version} if isinstance(change, LimitsProposed) else {}
    step = based | ({"token": change.token} if change.token else {})
    return {"type": type(change).__name__, **about, **who, "old": _set_view(change.old), "new": _set_view(change.new), **step}


def _set_view(limits: LimitSet) -> View:
    """Build a limit set under its configuration names; an absent field keeps the default."""
    numbers = {outside: value for outside, inside in FIELD_OF.items() if (value := getattr(limits, inside)) is not None}
    if limits.concentration_max is not None:
        numbers["max_concentration_pct"] = limits.concentration_max * PERCENT
    return numbers | ({} if limits.short_allowed is None else {"short_allowed": limits.short_allowed})


def _holding_view(holding: Holding, account: Account) -> View:
    return {
        "quantity": holding.quantity,
        "mark": holding.mark if holding.quantity else None,
        "value": holding.value + ZERO,  # no minus zero
        "open_buy_quantity": holding.buy_quantity,
        "open_buy_notional": holding.buy_notional,
        "open_sell_quantity": holding.sell_quantity,
        "open_sell_notional": holding.sell_notional,
        "worst_case": holding.worst,
        "concentration_pct": _percent(holding.worst, account.equity),
        "price_history": _history_view(account.var, holding.symbol),
    }


def _history_view(var: Var, symbol: str) -> View:
    """Build the range of days of a symbol's closes, their anomalies, and why they are unusable."""
    group = var.group_of.get(symbol)
    return {
        "from": group.closes_from if group else None,
        "to": group.closes_to if group else None,
        "remarks": list(var.remarks.get(symbol, ())),
        "unusable": None if group else var.history.unusable.get(symbol, "missing"),
    }


def _largest(account: Account) -> View:
    largest = max(account.holdings.values(), key=lambda holding: holding.worst, default=None)
    if largest is None or not largest.worst:
        return {"symbol": None, "worst_case": ZERO, "pct": ZERO}
    return {"symbol": largest.symbol, "worst_case": largest.worst, "pct": _percent(largest.worst, account.equity)}


def _percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """Compute a percentage; None when `whole` is not positive."""
    return divide(part * PERCENT, whole, PERCENT_PLACES) if whole > ZERO else None


def _text(number: Decimal | None) -> str:
    return "" if number is None else plain(number)
