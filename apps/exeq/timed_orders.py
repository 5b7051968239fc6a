"""Orders for the opening or closing of a session, held in exeq: released once, when it has come, then routed by the quotes of that time."""

import asyncio
from collections.abc import Iterator
from typing import Final

from apps.exeq.executor import Executor
from domain.execution.projection import Executions
from domain.market.quotes import Market
from domain.order.commands import ReleaseHeld
from domain.order.events import OrderSubmitted
from domain.ports import Clock
from domain.values import TimeInForce

LOOK_EVERY_S: Final = 0.05
AT_ONCE_MAX: Final = 1000
"""Orders released in one check; the others follow in the next."""


class TimedOrders:
    """Checks the clock every LOOK_EVERY_S. An order for the opening also needs a fresh quote that arrived after it."""

    def __init__(self, executor: Executor, executions: Executions, market: Market, clock: Clock, quote_age_max_ns: int) -> None:
        self._executor = executor
        self._executions = executions
        self._market = market
        self._clock = clock
        self._quote_age_max_ns = quote_age_max_ns

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._executions.held.timed and self._executor.caught_up():
                self._executor.ask_soon([command for command, _ in zip(self._due(), range(AT_ONCE_MAX), strict=False)])

    def _due(self) -> Iterator[ReleaseHeld]:
        now = self._clock.now_ns()
        for (at, symbol, time_in_force), orders in self._executions.held.timed.items():
            if at <= now and (time_in_force is TimeInForce.CLS or self._is_quoted(symbol, now - at)):
                yield from (ReleaseHeld(order_id=terms.order_id) for terms in orders.values() if self._may_go(terms, now))

    def _is_quoted(self, symbol: str, since_then_ns: int) -> bool:
        """Return whether a fresh quote arrived after the moment. Arrivals are on the steady clock, moments on the wall clock."""
        since = self._clock.monotonic_ns() - min(self._quote_age_max_ns, since_then_ns)
        return bool(self._market.quotes(symbol, since))

    def _may_go(self, terms: OrderSubmitted, now: int) -> bool:
        in_session = terms.auction is not None and terms.auction.is_on(now)
        return in_session and not self._executor.asks(terms.order_id)
