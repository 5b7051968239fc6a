"""`python -m tests.bench.lists`: what lists cost. Brackets at a rate on a running stack, of which one in three comes to its stop.

`--held 10000`: without a stack, the memory of held legs in oms, risk and exeq, and a look of exeq at the market with as many stops asleep.
"""

import argparse
import gc
import statistics
import time
import tracemalloc
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import uvloop

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryOrderStore
from apps.exeq.stop_orders import StopOrders
from apps.exeq.trailing_stops import TrailingStops
from apps.journal.order_repository import OrderRepository
from domain.execution.projection import Executions
from domain.market.listings import Listings
from domain.market.quotes import Market, Quote
from domain.order.events import OrderEvent
from domain.order.group import LIST_EVENTS
from domain.risk.exposure import Exposure
from domain.risk.marks import Marks
from domain.risk.projection import RiskFold
from domain.values import Side, derived_id, use_exact_arithmetic
from tests import given
from tests.bench.load import Load
from tests.bench.stand import Stand, stand
from tests.domain.groups.scene import ListScene, check, terms

ACCOUNTS: Final = 100
TRIGGERED: Final = 3
"""One bracket in this many has a stop that the market has reached when its entry fills."""
LOOKS: Final = 50


def bracket_body(run: str, number: int) -> bytes:
    """An entry that trades at once, a take profit that does not, and a stop."""
    stop = 49_000 if number % TRIGGERED == 0 else 41_000
    return (
        f'{{"account":"list-{number % ACCOUNTS}","client_list_id":"{run}-{number}","type":"bracket","orders":['
        f'{{"symbol":"BTCUSDT","side":"buy","quantity":0.001,"price":46000}},'
        f'{{"role":"take_profit","price":50000}},{{"role":"stop_loss","stop_price":{stop}}}]}}'
    ).encode()


async def at_rate(running: Stand, rate: float, seconds: float, connections: int) -> None:
    """Submit, wait until all entries and all reached stops are filled, and print what it took."""
    load = Load(running.oms_port, connections, bracket_body, path="/order-lists")
    await load.open()
    before, cpu = running.filled(), running.cpu_s()
    took = await load.at_rate(f"l{time.time_ns() % 10**12}", rate, seconds)
    lists = load.tally.outcomes["submitted"]
    wanted = lists + sum(number % TRIGGERED == 0 for number in load.tally.accepted)
    settled_s, counts = await running.settled(before + wanted)
    spent = {process: (after - cpu[process]) * 1e6 / max(lists, 1) for process, after in running.cpu_s().items()}
    p50, p99 = load.tally.percentile_ms(0.5), load.tally.percentile_ms(0.99)
    print(f"{lists} brackets, {lists / took:.0f}/s answered: P50 {p50:.2f} ms, P99 {p99:.2f} ms; {dict(load.tally.outcomes)}")
    print(f"  {counts['filled'] - before} of {wanted} filled, {settled_s:.1f} s after the last answer")
    print(f"  CPU us a bracket: all {sum(spent.values()):.0f}, " + ", ".join(f"{name} {us:.0f}" for name, us in spent.items()))


def commits(count: int, lines: str, *, lone_entry: bool = False) -> Iterator[list[OrderEvent]]:
    """Yield the commits of `count` brackets after these lines, or of their entries as plain orders, decoded as a service decodes them."""
    made = [terms("entry", Decimal(10), Side.BUY, "50"), terms("take_profit", Decimal(10), Side.SELL, "60")]
    made.append(terms("stop_loss", Decimal(10), Side.SELL, stop="40", strict=True))
    scene = check(ListScene("bracket", made, strict=True), lines)
    chosen = [
        [event for event in events if not lone_entry or (event.order_id == made[0].order_id and not isinstance(event, LIST_EVENTS))]
        for events in scene.commits
    ]
    texts = [ORDER_COMMITS.encode(0, 1, tuple(events)).decode() for events in chosen]
    for number in range(count):
        for text in texts:
            for leg in made:
                text = text.replace(leg.order_id, derived_id(leg.order_id, str(number)))
                text = text.replace(f'"client_order_id":"{leg.role}"', f'"client_order_id":"{leg.role}-{number}"')
            text = text.replace('"group_id":"L"', f'"group_id":"{"" if lone_entry else derived_id("list", str(number))}"')
            yield list(ORDER_COMMITS.decode(text.encode()).events)


SERVICES: Final = ("oms", "risk", "exeq")


def folded(services: Collection[str], count: int, *, lone_entry: bool) -> object:
    """Return the folds of these services over the same events: a unit decodes each commit of its own once for all of them."""
    book = OrderRepository(MemoryOrderStore())
    risk = RiskFold(Exposure(Marks({given.SYMBOL: Decimal(1)}, 10**10), Decimal(10**12)), Listings(), {})
    executions = Executions()
    for seq, events in enumerate(commits(count, "", lone_entry=lone_entry), 1):
        for order_id in dict.fromkeys(event.order_id for event in events if "oms" in services):
            book.apply(None, [event for event in events if event.order_id == order_id])
        for event in events:
            if "risk" in services:
                risk.apply(event, seq)
            if "exeq" in services:
                executions.apply(event)
    return book, risk, executions


def bytes_a_leg(services: Collection[str], count: int) -> float:
    """What the two held legs of a bracket, and the list, add to the memory of its entry."""
    taken = []
    for lone_entry in (True, False):
        gc.collect()
        tracemalloc.start()
        kept = folded(services, count, lone_entry=lone_entry)
        gc.collect()
        taken.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del kept
    return (taken[1] - taken[0]) / (2 * count)


class AsksNothing:
    """An executor that has asked oms for nothing."""

    def asks(self, order_id: str) -> bool:
        return False


def look_ms(count: int) -> tuple[float, float]:
    """CPU time of the median and the longest look at the market with `count` stops asleep, none of them reached."""
    executions, market, clock = Executions(), Market(), SystemClock()
    for events in commits(count, "rest entry\nfill entry 10"):
        for event in events:
            executions.apply(event)
    assert len(executions.held.sleeping[given.SYMBOL]) == count
    trailing = TrailingStops(AsksNothing(), executions, {}, lambda account, symbol: None, 1)  # type: ignore[arg-type]
    stops = StopOrders(AsksNothing(), executions, market, clock, 10**18, trailing)  # type: ignore[arg-type]
    one = {"symbol": given.SYMBOL, "bid_size": Decimal(9), "ask_size": Decimal(9), "at": 0}
    market.update(Quote(venue="PAPER_A", bid=Decimal(49), ask=Decimal(50), **one), clock.monotonic_ns())  # type: ignore[arg-type]
    took = []
    for _ in range(LOOKS):
        began = time.thread_time()
        assert not list(stops._woken())
        took.append((time.thread_time() - began) * 1e3)
    return statistics.median(took), max(took)


def held(count: int) -> None:
    sizes = {name: bytes_a_leg((name,), count) for name in SERVICES} | {"a unit": bytes_a_leg(SERVICES, count)}
    print(f"{count} lists, bytes a held leg: " + ", ".join(f"{name} {size:.0f}" for name, size in sizes.items()))
    median, longest = look_ms(count)
    print(f"{count} stops asleep, a look at the market: CPU median {median:.2f} ms, longest {longest:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lists", description=__doc__)
    parser.add_argument("--held", type=int, default=0, help="measure this many lists in memory, without a stack")
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--data-dir", type=Path, help="a running stack")
    asked = parser.parse_args()
    if asked.held:
        held(asked.held)
        return
    with stand(asked.data_dir) as running:
        uvloop.run(at_rate(running, asked.rate, asked.seconds, asked.connections))


if __name__ == "__main__":
    use_exact_arithmetic()
    main()
