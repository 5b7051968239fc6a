"""The risk engines of all shards: each has the exposure of its own accounts, and all share limits, prices and controls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from apps.risk.check_service import CheckService
from apps.risk.metrics import Figure
from domain.instruments import Instrument
from domain.market.price_history import History
from domain.order.commands import RiskDecision, Terms
from domain.risk.checks import ExplainedCheck
from domain.risk.controls import Controls
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from domain.risk.marks import Marks
from domain.risk.overrides import Overrides
from domain.risk.var import Var
from domain.shards import Shards

SEVERAL_SHARDS: Final = "malformed"
"""Found in the denial of a list whose orders are of accounts in several shards."""


class RiskEngines:
    """An engine for each shard."""

    def __init__(self, engines: Sequence[Risk]) -> None:
        self.all = engines
        self.shards = Shards(len(engines))

    def of(self, account: str) -> Risk:
        return self.all[self.shards.of(account)]

    @property
    def limits(self) -> Limits:
        return self.all[0].limits

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self.all[0].instruments

    @property
    def controls(self) -> Controls:
        return self.all[0].controls

    @property
    def overrides(self) -> Overrides:
        return self.all[0].overrides

    @property
    def marks(self) -> Marks:
        return self.all[0].marks

    @property
    def var(self) -> Var:
        return self.all[0].exposure.var

    def limits_of(self, account: str, symbol: str = "") -> Limits:
        return self.of(account).limits_of(account, symbol)

    def enable(self, account: str) -> int:
        """Let orders of the account that were stopped as repeats pass again; return how many different ones there were."""
        return self.of(account).enable(account)

    def learn(self, history: History) -> None:
        """Measure value at risk by these closes from now on."""
        for engine in self.all:
            engine.learn(history)

    def accounts(self) -> Iterator[str]:
        """Yield the names of all accounts that the engines know."""
        return (name for engine in self.all for name in engine.exposure.accounts)

    def figures(self) -> dict[str, Figure]:
        """Return the gauges of risk. Of several shards the sequence is that of each, because they cannot be compared."""
        first = self.all[0]
        exposures = [engine.exposure for engine in self.all]
        read = {str(shard): engine.fold.seq for shard, engine in enumerate(self.all)}
        return {
            "reservations": sum(len(exposure.reservations) for exposure in exposures),
            "open_orders": sum(len(exposure.orders) for exposure in exposures),
            "accounts": sum(len(exposure.accounts) for exposure in exposures),
            "blocked_symbols": len(first.controls.blocks),
            "measured_symbols": len(first.exposure.var.group_of),
            "killed_scopes": len(first.controls.kills),
            "as_of_seq": first.fold.seq if len(self.all) == 1 else read,
        }


class ShardChecks:
    """The checks of several shards as one: each order is decided by the engine of its account."""

    def __init__(self, checks: Sequence[CheckService]) -> None:
        self._checks = checks
        self._shards = Shards(len(checks))

    def _of(self, terms: Terms) -> CheckService:
        return self._checks[self._shards.of(terms.account)]

    def decide(self, terms: Terms) -> RiskDecision:
        return self._of(terms).decide(terms)

    def decide_list(self, legs: Sequence[Terms]) -> list[RiskDecision]:
        """Decide the orders of a list together. A list of accounts in several shards is denied: no engine knows all of them."""
        if len({self._shards.of(terms.account) for terms in legs}) > 1:
            return [self.refuse(terms.order_id, SEVERAL_SHARDS) for terms in legs]
        return self._of(legs[0]).decide_list(legs)

    def explain(self, terms: Terms, entry: Terms | None = None) -> tuple[RiskDecision, Sequence[ExplainedCheck]]:
        return self._of(terms).explain(terms, entry)

    def dry(self, terms: Terms) -> RiskDecision:
        return self._of(terms).dry(terms)

    def refuse(self, order_id: str, why: str) -> RiskDecision:
        return self._checks[0].refuse(order_id, why)


Checks = CheckService | ShardChecks
"""The checks of the only shard, or of all."""


def checks_of(checks: Sequence[CheckService]) -> Checks:
    return checks[0] if len(checks) == 1 else ShardChecks(checks)
