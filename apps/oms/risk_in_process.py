"""Risk check for risk in the same process: a function call in the submit's own turn of the event loop."""

from collections.abc import Sequence
from typing import Final

import structlog

from apps.connections.unit import Unit
from apps.runtime.log_limit import LogLimit
from domain.instruments import Denial
from domain.order.commands import RiskDecision, Terms

log = structlog.get_logger()

NOT_THERE: Final = "risk is not available"


class RiskInProcess:
    """Port: RiskCheck. A reply cannot be late. While risk is not built, or when its check fails, orders are denied with `risk_error`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._seldom = LogLimit()
        self.timeouts = 0
        self.errors = 0

    async def start(self) -> None:
        """Do nothing: no subscription is needed."""

    async def is_open(self, probe: Terms, timeout_s: float) -> bool:
        denial = self._decided(probe).denial
        return denial is None or denial.code != "risk_error"

    async def check(self, terms: Terms) -> RiskDecision:
        decision = self._decided(terms)
        if decision.denial is not None and decision.denial.code == "risk_error":
            self.errors += 1
            held_back = self._seldom.now()
            if held_back is not None:
                log.warning("risk did not answer", code="risk_error", first=terms.order_id, why=decision.denial.found, not_logged=held_back)
        return decision

    async def check_list(self, legs: Sequence[Terms]) -> Sequence[RiskDecision]:
        decide = self._unit.decide_list
        if decide is not None:
            return decide(legs)
        self.errors += 1
        return [RiskDecision(order_id=terms.order_id, limits_version=0, denial=Denial("risk_error", found=NOT_THERE)) for terms in legs]

    def _decided(self, terms: Terms) -> RiskDecision:
        decide = self._unit.decide
        if decide is None:
            return RiskDecision(order_id=terms.order_id, limits_version=0, denial=Denial("risk_error", found=NOT_THERE))
        return decide(terms)
