"""`python -m tests.bench.algos`: what exeq's looks at running parents cost, without a stack: 1 000 twaps with a slice a second each.

Looks follow each other every 50 ms of a clock that the benchmark moves; each child trades at once, so that the next slice is due again.
"""

import argparse
import statistics
import time
from decimal import Decimal
from typing import Final

import msgspec

from apps.exeq.algos import LOOK_EVERY_S, Algos
from domain.execution.projection import Executions
from domain.groups.parent import decide
from domain.groups.schedule import SECOND
from domain.instruments import Instrument
from domain.market.quotes import Market, Quote
from domain.order.algo_commands import SpawnChild
from domain.order.commands import SubmitOrder, Terms
from domain.order.decider import decide as decide_order
from domain.order.events import OrderFilled
from domain.order.lifecycle import State
from domain.values import ZERO, Liquidity, use_exact_arithmetic
from tests import given
from tests.domain.groups.parents import START, submitted

PARENTS: Final = 1_000
INTERVAL_S: Final = 1
SECONDS: Final = 5
LOOK_NS: Final = int(LOOK_EVERY_S * SECOND)
BTC: Final = Instrument(
    symbol=given.SYMBOL, tick=Decimal("0.5"), lot=Decimal("0.1"), quantity_max=Decimal(10**6), notional_min=Decimal(5), currency="USD"
)


class MovedClock:
    """A clock that the benchmark moves. Port: domain.ports.Clock."""

    now = START

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now


class Running:
    """exeq and its parents, in phase or spread over the interval. It stands for the executor too, which has asked oms for nothing."""

    def __init__(self, count: int, *, spread: bool) -> None:
        self.executions, self.market, self.clock = Executions(), Market(), MovedClock()
        self.algos = Algos(self, self.executions, self.market, {BTC.symbol: BTC}, self.clock, 3600 * SECOND, lambda *_: None)  # type: ignore[arg-type]
        quote = Quote(
            symbol=BTC.symbol, venue="PAPER_A", bid=Decimal(100), bid_size=Decimal(50), ask=Decimal(101), ask_size=Decimal(50), at=0
        )
        self.market.update(quote, START)
        for number in range(count):
            event = submitted(3600, 3600, interval_sec=Decimal(INTERVAL_S), variance_pct=Decimal(20), seed=number)
            starts = START + number * INTERVAL_S * SECOND // count if spread else START
            algo_id = f"{event.order_id}-{number}"
            terms = msgspec.structs.replace(event.terms, algo_id=algo_id, start_at=starts)
            self.executions.apply(msgspec.structs.replace(event, order_id=algo_id, terms=terms))

    def asks(self, order_id: str) -> bool:
        return False

    def look(self, now_ns: int) -> tuple[float, int]:
        """Return the CPU time of one look in milliseconds, and the slices that it asked for, which are then recorded and traded."""
        self.clock.now = now_ns
        began = time.process_time_ns()
        commands = self.algos.look(now_ns)
        took = (time.process_time_ns() - began) / 1e6
        for command in commands:
            assert isinstance(command, SpawnChild), command
            self._trade(command, now_ns)
        return took, len(commands)

    def _trade(self, command: SpawnChild, now_ns: int) -> None:
        """Record the slice. Its child trades in full at once."""
        parent = self.executions.parents.by_id[command.order_id]
        decided = decide(parent, msgspec.structs.replace(command, decision=given.approved()), now_ns, slices_max=10**6)
        for event in decided.events:
            self.executions.apply(event)
        for order in decided.orders:
            assert isinstance(order, SubmitOrder)
            for child in decide_order(None, order, now_ns):
                self.executions.apply(child)
            self.executions.apply(_filled(order.terms, now_ns))


def _filled(terms: Terms, now_ns: int) -> OrderFilled:
    return OrderFilled(
        order_id=terms.order_id,
        at=now_ns,
        status=State.FILLED,
        account=terms.account,
        client_order_id=terms.client_order_id,
        symbol=terms.symbol,
        side=terms.side,
        quantity=terms.quantity,
        price=Decimal(100),
        fee=ZERO,
        liquidity=Liquidity.MAKER,
        exec_id=terms.order_id,
        venue="PAPER_A",
        route_id=terms.order_id,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parents", type=int, default=PARENTS)
    asked = parser.parse_args()
    use_exact_arithmetic()
    for spread in (True, False):
        running = Running(asked.parents, spread=spread)
        looks = [running.look(START + n * LOOK_NS) for n in range(1, SECONDS * SECOND // LOOK_NS + 1)]
        times, slices = [took for took, _ in looks], sum(count for _, count in looks)
        how = "spread over the interval" if spread else "all due at once"
        print(
            f"{asked.parents} parents, {how}: {slices} slices in {SECONDS} s; a look takes {statistics.median(times):.2f} ms,"
            f" at most {max(times):.2f} ms; {sum(times) / (SECONDS * 10):.1f} % of a core"
        )


if __name__ == "__main__":
    main()
