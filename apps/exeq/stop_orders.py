"""Stop orders held in exeq, not at a venue: triggered once, when the market reaches their price, then routed by the quotes of that time.

Trailing stops are looked at in the same step: see trailing_stops.py.
"""

import asyncio
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from apps.exeq.executor import Command, Executor
from apps.exeq.trailing_stops import Seen, TrailingStops
from domain.execution.projection import Executions
from domain.market.last_trades import TradedPrice
from domain.market.quotes import Market, Quote
from domain.order.commands import TriggerOrder
from domain.order.events import OrderSubmitted
from domain.ports import Clock
from domain.values import ZERO, Side

LOOK_EVERY_S: Final = 0.05
AT_ONCE_MAX: Final = 1000
"""Stops triggered in one check; the others follow in the next."""


class StopOrders:
    """Checks the market every LOOK_EVERY_S, not on each tick: a price that came and went between two checks triggers and moves no stop."""

    def __init__(
        self, executor: Executor, executions: Executions, market: Market, clock: Clock, quote_age_max_ns: int, trailing: TrailingStops
    ) -> None:
        self._executor = executor
        self._executions = executions
        self._market = market
        self._clock = clock
        self._quote_age_max_ns = quote_age_max_ns
        self._trailing = trailing

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if (self._executions.held.sleeping or self._executions.held.trailing) and self._executor.caught_up():
                self._executor.ask_soon([command for command, _ in zip(self._woken(), range(AT_ONCE_MAX), strict=False)])
                self._executor.ask_soon(self._trailing.look(self._seen, self._traded, self._clock.monotonic_ns()))

    def _seen(self, symbol: str) -> Seen:
        quotes = self._market.quotes(symbol, self._clock.monotonic_ns() - self._quote_age_max_ns)
        return {side: _best(quotes, side) for side in Side}

    def _traded(self, symbol: str) -> TradedPrice | None:
        return self._market.trades.of(symbol, self._clock.monotonic_ns() - self._quote_age_max_ns)

    def _woken(self) -> Iterator[Command]:
        for symbol, stops in self._executions.held.sleeping.items():
            for side, best in self._seen(symbol).items():
                if best is not None:
                    reached = _reached(stops.values(), side, best.touch(side))
                    yield from (_trigger(terms, best) for terms in reached if not self._executor.asks(terms.order_id))


def _reached(stops: Iterable[OrderSubmitted], side: Side, touch: Decimal) -> list[OrderSubmitted]:
    """Return the stops of this side that a touch reaches. With 10 000 stops asleep it is the whole cost of a look at the market."""
    if side is Side.BUY:
        return [terms for terms in stops if terms.side is Side.BUY and terms.stop_price is not None and touch >= terms.stop_price]
    return [terms for terms in stops if terms.side is Side.SELL and terms.stop_price is not None and touch <= terms.stop_price]


def _best(quotes: list[Quote], side: Side) -> Quote | None:
    """Return the quote that this side would trade with, or None. All other quotes are equal or worse: they reach a stop when it does."""
    shown = [quote for quote in quotes if quote.size(side) > ZERO]
    if not shown:
        return None
    return min(shown, key=lambda quote: (quote.ask if side is Side.BUY else -quote.bid, quote.venue))


def _trigger(terms: OrderSubmitted, best: Quote) -> TriggerOrder:
    return TriggerOrder(order_id=terms.order_id, venue=best.venue, price=best.touch(terms.side))
