"""`make bench`: submit at a fixed rate and saturated, on a running stack; what it cost by process, and what was verified at the end."""

import argparse
import asyncio
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import uvloop

from apps.up import stack
from tests.bench.load import ACCOUNTS, Load, seed_body

SETTLE_MAX_S = 120.0


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


class Stack:
    """A running stack, as `trade up` wrote it down."""

    def __init__(self, data_dir: Path) -> None:
        found = stack.read(data_dir)
        if found is None:
            raise SystemExit(f"no stack runs on {data_dir}: start one with `trade up --data-dir {data_dir}`")
        self.urls = found.urls
        self.pids = {process.name: process.pid for process in found.processes if process.pid}
        self.oms_port = urllib.parse.urlsplit(self.urls["oms"]).port or 0

    def cpu_s(self) -> dict[str, float]:
        spent = {"generator": psutil.Process().cpu_times()}
        spent |= {name: psutil.Process(pid).cpu_times() for name, pid in self.pids.items()}
        return {name: times.user + times.system for name, times in spent.items()}

    def rss_mb(self) -> dict[str, int]:
        return {name: psutil.Process(pid).memory_info().rss // 2**20 for name, pid in self.pids.items()}

    def filled(self) -> int:
        return int(get(self.urls["oms"] + "/stats")["orders"].get("filled", 0))

    def projected(self) -> int:
        """Rows of the fills table."""
        query = urllib.parse.quote("SELECT count(DISTINCT order_id) FROM fills")
        return int(get(f"{self.urls['questdb']}/exec?query={query}")["dataset"][0][0])

    def seqs(self) -> tuple[int, int, int]:
        oms, projector = get(self.urls["oms"] + "/stats"), get(self.urls["projector"] + "/stats")
        return oms["seq"], projector["positions"]["seq"], projector["fills"]["seq"]


async def settle(running: Stack, filled: int) -> tuple[float, dict[str, int]]:
    """Until all is filled and projected; how long that took after the last answer, and the counts as they then stood."""
    started = time.perf_counter()
    while True:
        counts = {"filled": running.filled(), "fills_rows": running.projected()}
        oms, positions, fills = running.seqs()
        done = counts["filled"] >= filled and counts["fills_rows"] >= filled and oms == positions == fills
        if done or time.perf_counter() - started > SETTLE_MAX_S:
            return time.perf_counter() - started, counts
        await asyncio.sleep(0.1)


async def measure(running: Stack, name: str, connections: int, rate: float | None, amount: float) -> dict[str, Any]:
    """One load on the running stack; `amount` is seconds at a rate, or orders saturated."""
    run = f"{name}-{time.time_ns() % 10**12}"
    load = Load(running.oms_port, connections)
    await load.open()
    before = running.filled()
    cpu = running.cpu_s()
    took = await (load.at_rate(run, rate, amount) if rate else load.saturate(run, int(amount)))
    submitted = load.tally.outcomes["submitted"]
    settled_s, counts = await settle(running, before + submitted)
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
    print("  CPU us an order: " + ", ".join(f"{name} {us}" for name, us in result["cpu_us_per_order"].items()))
    print("  memory MB: " + ", ".join(f"{name} {mb}" for name, mb in result["rss_mb"].items()), flush=True)


async def main(arguments: argparse.Namespace) -> None:
    running = Stack(arguments.data_dir)
    seeding = Load(running.oms_port, 1)
    await seeding.open()
    for account in range(ACCOUNTS):
        await seeding.send(seeding._idle[0], seed_body(f"s{time.time_ns() % 10**9}", account), time.perf_counter())
    await asyncio.sleep(3)
    results = []
    for load in arguments.loads:
        name, _, rest = load.partition(":")
        connections, amount = (int(part) for part in rest.split(","))
        results.append(await measure(running, name, connections, float(name) if name.isdecimal() else None, amount))
        show(results[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path(".trade"))
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "loads", nargs="*", default=["1000:64,20", "saturated:64,30000"], help="RATE:CONNECTIONS,SECONDS or saturated:CONNECTIONS,ORDERS"
    )
    uvloop.run(main(parser.parse_args()))
