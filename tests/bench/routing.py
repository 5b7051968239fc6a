"""What one routing decision costs: quotes, health, tokens and the policy, as exeq makes it. `python -m tests.bench.routing`."""

import time
from decimal import Decimal
from typing import Final

from adapters.clock import SystemClock
from apps.exeq.router import Router, RoutingRules
from config.catalogue import load_instruments
from domain.execution.projection import Executions
from domain.execution.routing import POLICIES, RoutedVenue, Routing
from domain.market.quotes import Market, Quote
from domain.values import use_exact_arithmetic
from tests.domain.execution.test_routing import order

DECISIONS: Final = 20_000
ROUNDS: Final = 5
SYMBOL: Final = "BTCUSDT"


def router(policy: str, count: int) -> Router:
    """`count` venues with different prices, fees and sizes; none of them shows enough for the order."""
    clock, market, executions = SystemClock(), Market(), Executions()
    venues = {}
    for number in range(count):
        name, away = f"V{number}", Decimal(number)
        venues[name] = RoutedVenue(name, Decimal(1), Decimal(10) - away, frozenset({SYMBOL}), orders_per_sec=1_000_000, burst=1_000_000)
        bid, ask = Decimal("44999.99") - away, Decimal("45000.01") + away
        quote = Quote(symbol=SYMBOL, venue=name, bid=bid, bid_size=Decimal("0.5"), ask=ask, ask_size=Decimal("0.6"), at=0)
        market.update(quote, clock.monotonic_ns())
        executions.health_of(name).rejected()
    rules = RoutingRules(policy, 10**12, pin="V0")
    return Router(venues, load_instruments().instruments, market, clock, rules, executions, killed=lambda name: False)


def cost_us(policy: str, count: int) -> float:
    """The best of some rounds: what the decision costs when nothing else takes the processor."""
    made, asked, best = router(policy, count), order(quantity="1"), float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(DECISIONS):
            found = made.decide(asked)
        best = min(best, (time.perf_counter() - started) / DECISIONS)
    assert isinstance(found, Routing)
    assert len(found.legs) == (2 if policy == "split" else 1)
    return best * 1e6


if __name__ == "__main__":
    use_exact_arithmetic()
    for policy in POLICIES:
        print(f"{policy:<12} " + "  ".join(f"{count} venues {cost_us(policy, count):5.1f} us" for count in (2, 4)))
