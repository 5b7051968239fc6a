"""Every question comes through here: shut means refused, and so does any error inside a check. Nothing passes unmeasured."""

import time

from apps.risk.metrics import RiskMetrics
from apps.risk.readiness import Readiness
from apps.runtime.log_limit import LogLimit
from apps.runtime.logs import get_logger
from domain.instruments import Denial, terms_denial
from domain.order.commands import Terms
from domain.risk.decision_record import RiskDecision
from domain.risk.engine import Risk
from domain.values import IDENTIFIER

log = get_logger()

ERROR_LOG_EVERY_NS = 100_000_000


class CheckService:
    """Fail closed: what cannot be decided is denied as `risk_error`, and `found` says why."""

    def __init__(self, risk: Risk, gate: Readiness, measures: RiskMetrics) -> None:
        self._risk = risk
        self._gate = gate
        self._measures = measures
        self._seldom = LogLimit(ERROR_LOG_EVERY_NS)

    def decide(self, terms: Terms, *, every: bool = False) -> RiskDecision:
        """The decision; with an order id it reserves, without one it is dry. `every`: a dry one shows the checks behind a refusal too."""
        began = time.perf_counter_ns()
        decision = self._decided(terms, every)
        self._measures.decided(decision, "check", time.perf_counter_ns() - began, dry=not terms.order_id)
        return decision

    def refuse(self, order_id: str, why: str) -> RiskDecision:
        """A decision for something that never became an order. Counted like any other."""
        decision = self._error(order_id, why)
        self._measures.decided(decision, "check", 0)
        return decision

    def _decided(self, terms: Terms, every: bool) -> RiskDecision:
        if self._gate.shut is not None:
            return self._error(terms.order_id, "not_ready")
        try:
            if why := self._untradable(terms):
                return self._error(terms.order_id, why)
            now_ns = time.monotonic_ns()
            return self._risk.decide(terms, now_ns) if terms.order_id else self._risk.dry(terms, now_ns, every=every)
        except Exception as error:  # noqa: BLE001 - the edge of the process: no error, of whatever kind, may let an order pass
            held_back = self._seldom.now()
            if held_back is not None:
                log.error("risk check failed", order_id=terms.order_id, error=repr(error)[:500], not_logged=held_back)
            return self._error(terms.order_id, type(error).__name__)

    def _untradable(self, terms: Terms) -> str | None:
        """The stable code of what is wrong with the form of the order. oms has looked already; others may ask too."""
        instrument = self._risk.instruments.get(terms.symbol)
        if instrument is None:
            return "unknown_symbol"
        if not IDENTIFIER.fullmatch(terms.account) or (terms.order_id and not IDENTIFIER.fullmatch(terms.order_id)):
            return "malformed"
        denial = terms_denial(instrument, terms.order_type, terms.quantity, terms.price, terms.stop_price, reduce_only=terms.reduce_only)
        if denial is None or (terms.replaces and denial.code == "notional_too_small"):
            return None  # of a replaced order only the rest is asked about, which may be small
        return denial.code

    def _error(self, order_id: str, why: str) -> RiskDecision:
        return RiskDecision(order_id, self._risk.limits.version, denial=Denial("risk_error", found=why))
