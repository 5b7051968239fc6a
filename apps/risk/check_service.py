"""Entry point of every check: while risk is not ready, or when a check fails, the order is denied. Every decision is timed."""

import time
from collections.abc import Callable, Sequence

import structlog

from apps.risk.metrics import RiskMetrics
from apps.risk.readiness import Readiness
from apps.runtime.log_limit import LogLimit
from domain.execution.order_rules import OrderRules
from domain.instruments import Denial, terms_denial
from domain.order.commands import RiskDecision, Terms
from domain.order.trail import trail_denial
from domain.ports import Clock
from domain.risk.checks import ExplainedCheck
from domain.risk.engine import Risk
from domain.values import IDENTIFIER

log = structlog.get_logger()

ERROR_LOG_EVERY_NS = 100_000_000


class CheckService:
    """Fails closed: an order that cannot be decided is denied with `risk_error`; `found` holds the reason."""

    def __init__(self, risk: Risk, gate: Readiness, measures: RiskMetrics, rules: OrderRules, clock: Clock) -> None:
        """`rules`: those of a submit, for checks that do not come from oms."""
        self._rules = rules
        self._clock = clock
        self._risk = risk
        self._gate = gate
        self._measures = measures
        self._seldom = LogLimit(ERROR_LOG_EVERY_NS)

    def decide(self, terms: Terms) -> RiskDecision:
        """Decide an order; with an order id the check reserves, without one it is dry."""
        began = time.perf_counter_ns()
        decision = self._decided(terms, self._risk.decide if terms.order_id else self._risk.dry)
        self._measures.decided(decision, "check", time.perf_counter_ns() - began, dry=not terms.order_id)
        return decision

    def dry(self, terms: Terms) -> RiskDecision:
        """Decide an order without an order id as a submit would now, by all of its rules: oms has applied them to its own orders."""
        began = time.perf_counter_ns()
        decision = self._decided(terms, self._risk.dry, self._unsubmittable)
        self._measures.decided(decision, "check", time.perf_counter_ns() - began, dry=True)
        return decision

    def decide_list(self, legs: Sequence[Terms]) -> list[RiskDecision]:
        """Decide the orders of a list together, with reservations for all or none."""
        began = time.perf_counter_ns()
        decisions = self._decided_list(legs)
        for decision in decisions:
            self._measures.decided(decision, "check", (time.perf_counter_ns() - began) // len(decisions))
        return decisions

    def explain(self, terms: Terms, entry: Terms | None = None) -> tuple[RiskDecision, Sequence[ExplainedCheck]]:
        """Decide an order without an order id, and return what every enabled check says; of an order that cannot be decided, none.

        `entry`: an order of the same symbol that counts as traded.
        """
        found: list[ExplainedCheck] = []

        def explained(terms: Terms, now_ns: int) -> RiskDecision:
            decision, checks = self._risk.explain(terms, now_ns, entry)
            found.extend(checks)
            return decision

        began = time.perf_counter_ns()
        decision = self._decided(terms, explained)
        self._measures.decided(decision, "check", time.perf_counter_ns() - began, dry=True)
        return decision, found

    def refuse(self, order_id: str, why: str) -> RiskDecision:
        """Return a denial for a request that is not an order. It is counted like any other decision."""
        decision = self._error(order_id, why)
        self._measures.decided(decision, "check", 0)
        return decision

    def _decided(
        self, terms: Terms, decide: Callable[[Terms, int], RiskDecision], untradable: Callable[[Terms], str | None] | None = None
    ) -> RiskDecision:
        if self._gate.shut is not None:
            return self._error(terms.order_id, "not_ready")
        try:
            if why := (untradable or self._untradable)(terms):
                return self._error(terms.order_id, why)
            return decide(terms, time.monotonic_ns())
        except Exception as error:  # noqa: BLE001 - fail closed: no error of any kind may approve an order
            held_back = self._seldom.now()
            if held_back is not None:
                log.error("risk check failed", order_id=terms.order_id, error=repr(error)[:500], not_logged=held_back)
            return self._error(terms.order_id, type(error).__name__)

    def _decided_list(self, legs: Sequence[Terms]) -> list[RiskDecision]:
        why = "not_ready" if self._gate.shut is not None else None
        try:
            why = why or next((found for terms in legs if (found := self._untradable(terms))), None)
            if why is None:
                return self._risk.decide_list(legs, time.monotonic_ns())
        except Exception as error:  # noqa: BLE001 - fail closed, as for a single order
            log.error("risk check of a list failed", order_id=legs[0].order_id, error=repr(error)[:500])
            why = type(error).__name__
        self._risk.release_list(legs)
        return [self._error(terms.order_id, why) for terms in legs]

    def _untradable(self, terms: Terms) -> str | None:
        """Return the stable code of an error in the order's form, or None. oms has checked its orders already; other callers have not."""
        instrument = self._risk.instruments.get(terms.symbol)
        if instrument is None:
            return "unknown_symbol"
        if not IDENTIFIER.fullmatch(terms.account) or (terms.order_id and not IDENTIFIER.fullmatch(terms.order_id)):
            return "malformed"
        denial = terms_denial(instrument, terms.order_type, terms.quantity, terms.price, terms.stop_price, reduce_only=terms.reduce_only)
        denial = denial or trail_denial(instrument, terms.order_type, terms.trail)
        if denial is None or (terms.replaces and denial.code == "notional_too_small"):
            return None  # a replace checks only the remaining quantity, which may be small
        return denial.code

    def _unsubmittable(self, terms: Terms) -> str | None:
        """Return the stable code with which a submit would refuse the order now, or None."""
        if why := self._untradable(terms):
            return why
        denial = self._rules.denial(self._rules.as_submitted(terms), self._clock.now_ns())
        return denial.code if denial else None

    def _error(self, order_id: str, why: str) -> RiskDecision:
        return RiskDecision(order_id, self._risk.limits.version, denial=Denial("risk_error", found=why))
