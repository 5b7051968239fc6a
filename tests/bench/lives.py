"""Submit at fixed rates and saturated, each life to its projected fill; what it cost by process, and what was verified at the end."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.load import ACCOUNTS, Load, OrderBody, order_body, seed_body
from tests.bench.stand import Stand, stand


async def measure(
    running: Stand, name: str, connections: int, rate: float | None, amount: float, body: OrderBody = order_body
) -> dict[str, Any]:
    """One load on the running stack; `amount` is seconds at a rate, or orders saturated."""
    run = f"{name.replace(' ', '-')}-{time.time_ns() % 10**12}"
    load = Load(running.oms_port, connections, body)
    await load.open()
    before, hops = running.filled(), running.hops()
    cpu = running.cpu_s()
    took = await (load.at_rate(run, rate, amount) if rate else load.saturate(run, int(amount)))
    submitted = load.tally.outcomes["submitted"]
    settled_s, counts = await running.settled(before + submitted)
    orders = sum(load.tally.outcomes.values())
    spent = {process: (after - cpu[process]) * 1e6 / orders for process, after in running.cpu_s().items()}
    return {
        "load": name,
        "connections": connections,
        "orders": orders,
        "outcomes": dict(load.tally.outcomes),
        "answers_per_s": round(orders / took),
        "lives_per_s": round(submitted / (took + settled_s)),
        "p50_ms": round(load.tally.percentile_ms(0.50), 2),
        "p90_ms": round(load.tally.percentile_ms(0.90), 2),
        "p99_ms": round(load.tally.percentile_ms(0.99), 2),
        "max_ms": round(load.tally.percentile_ms(1.0), 2),
        **running.hops().since(hops),
        "settled_after_s": round(settled_s, 2),
        "all_filled_and_projected": counts["filled"] - before == submitted and counts["fills_rows"] >= counts["filled"],
        "cpu_us_per_order": {process: round(us) for process, us in sorted(spent.items(), key=lambda item: -item[1])}
        | {"all": round(sum(spent.values()))},
        "rss_mb": running.rss_mb(),
    }


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['load']:<12} {result['connections']:>4} conn {result['orders']:>7} orders  {result['answers_per_s']:>6}/s answered"
        f"  {result['lives_per_s']:>6} lives/s  P50 {result['p50_ms']:>7.2f}  P90 {result['p90_ms']:>7.2f}  P99 {result['p99_ms']:>7.2f}"
        f"  max {result['max_ms']:>7.2f} ms  settled +{result['settled_after_s']:.2f} s"
    )
    print(f"  outcomes {result['outcomes']}  all filled and projected: {result['all_filled_and_projected']}")
    for told, what in (("wire", "decision_to_wire_ms"), ("position", "decision_to_position_ms")):
        print(f"  from the decision to the {told}: P50 {result[what]['p50']} ms, P99 {result[what]['p99']} ms")
    print("  CPU us an order: " + ", ".join(f"{name} {us}" for name, us in result["cpu_us_per_order"].items()))
    print("  memory MB: " + ", ".join(f"{name} {mb}" for name, mb in result["rss_mb"].items()), flush=True)


SEED_TRIES = 20
"""A machine that was just started may let risk's budget pass a few times."""


async def seed(running: Stand) -> None:
    """Each account buys first what it will sell."""
    seeding = Load(running.oms_port, 1)
    await seeding.open()
    for account in range(ACCOUNTS):
        for _ in range(SEED_TRIES):
            before = seeding.tally.outcomes["submitted"]
            await seeding.once(seed_body(f"s{time.time_ns()}", account))
            if seeding.tally.outcomes["submitted"] > before:
                break
    if seeding.tally.outcomes["submitted"] != ACCOUNTS:
        raise SystemExit(f"the accounts could not be seeded: {dict(seeding.tally.outcomes)}")
    await running.settled(running.filled())


async def measured(running: Stand, loads: list[str]) -> list[dict[str, Any]]:
    await seed(running)
    results = []
    for load in loads:
        name, _, rest = load.partition(":")
        connections, amount = (int(part) for part in rest.split(","))
        results.append(await measure(running, name, connections, float(name) if name.isdecimal() else None, amount))
        show(results[-1])
    return results


def main(arguments: argparse.Namespace) -> None:
    with stand(arguments.data_dir) as running:
        results = uvloop.run(measured(running, arguments.loads))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


LOADS = [
    "200:16,10",
    "500:32,10",
    "1000:64,20",
    "1500:64,10",
    "saturated:1,2000",
    "saturated:16,10000",
    "saturated:64,30000",
    "saturated:128,30000",
]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="the stack that runs there; without it one is started for the measurement")
    parser.add_argument("--json", type=Path)
    parser.add_argument("loads", nargs="*", default=LOADS, help="RATE:CONNECTIONS,SECONDS or saturated:CONNECTIONS,ORDERS")
    main(parser.parse_args())
