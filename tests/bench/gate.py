"""`make gate`: the validation gate on a stack of its own. 1000 orders a second, ten accounts, all hops running, then everything is counted.

Two loads, both open loop (latency counts from the moment an order was meant to be sent): a balanced one, in which every order must be
accepted, filled and projected; and the user's own script's, which runs into its limits and is told so.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import uvloop

from apps.stack.topology import TOPOLOGIES, UNIT
from tests.bench.lives import seed
from tests.bench.load import ACCOUNTS, QUANTITY, SEED_QUANTITY, Load, balanced, order_body, script_body
from tests.bench.stand import SHIPPED, Stand, stand

RATE: Final = 1000
CONNECTIONS: Final = 64
LOOK_EVERY_S: Final = 5.0
SCRIPT_SHARE: Final = 0.2
"""The user's script runs for this share of the balanced load's time: it says less."""
GROWTH_MAX_MB: Final = 64
"""How much more a service may hold at the end than after the first fifth, and still be called flat: caches and one batch in flight."""
SERVICES: Final = ("oms", "risk", "exeq", "live-gateway", "projector")


WAYS: Final = {"nats": "a batch, over NATS", "check": "one check, a call"}


class Watch:
    """Looks at memory, descriptors and CPU while a load runs, and says how far it is."""

    def __init__(self, running: Stand, load: Load, seconds: float) -> None:
        self._running = running
        self._load = load
        self._seconds = seconds
        self.rss: list[dict[str, int]] = []
        self.descriptors: list[dict[str, int]] = []

    async def run(self) -> None:
        started = time.perf_counter()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.rss.append(self._running.rss_mb())
            self.descriptors.append(self._running.descriptors())
            tally, elapsed = self._load.tally, time.perf_counter() - started
            recent = tally.since_last_look()
            print(
                f"  {elapsed:5.0f} s of {self._seconds:.0f}  {sum(tally.outcomes.values()):>7} answered"
                f"  P50 {recent.percentile_ms(0.5):6.2f} ms  P99 {recent.percentile_ms(0.99):7.2f} ms"
                f"  oms {self.rss[-1][self._running.process_of('oms')]} MB",
                flush=True,
            )


async def under(running: Stand, name: str, body: Callable[[str, int], bytes], seconds: float) -> dict[str, Any]:
    """One load, and what there was to see while it ran."""
    print(f"{name}: {RATE} orders a second for {seconds:.0f} s over {ACCOUNTS} accounts", flush=True)
    load = Load(running.oms_port, CONNECTIONS, body)
    await load.open()
    watch = Watch(running, load, seconds)
    watching = asyncio.create_task(watch.run())
    before, cpu = running.filled(), running.cpu_s()
    took = await load.at_rate(f"{name}-{time.time_ns() % 10**9}", RATE, seconds)
    busy = {process: (after - cpu[process]) / took for process, after in running.cpu_s().items()}
    watching.cancel()
    submitted = load.tally.outcomes["submitted"]
    settled_s, _ = await running.settled(before + submitted) if name == "balanced" else (0.0, {})
    tally = load.tally
    return {
        "load": name,
        "orders": sum(tally.outcomes.values()),
        "outcomes": dict(tally.outcomes.most_common()),
        "rate_reached": round(sum(tally.outcomes.values()) / took),
        **{f"p{share:g}_ms": round(tally.percentile_ms(share / 100), 2) for share in (50, 90, 99, 99.9, 100)},
        "cpu_cores": {process: round(share, 3) for process, share in sorted(busy.items(), key=lambda item: -item[1])},
        "cpu_cores_all": round(sum(busy.values()), 2),
        "settled_after_s": round(settled_s, 2),
        "rss_mb_first_and_last": _first_and_last(watch.rss),
        "descriptors_first_and_last": _first_and_last(watch.descriptors),
        "submitted": submitted,
        "accepted": tally.accepted,
        "filled": running.filled() - before,
    }


def _first_and_last(looks: list[dict[str, int]]) -> dict[str, tuple[int, int]]:
    """After the first fifth, when everything is warm, and at the end."""
    if not looks:
        return {}
    first, last = looks[len(looks) // 5], looks[-1]
    return {name: (first[name], last[name]) for name in last if name in first}


class Verdict:
    """The conditions, said one by one."""

    def __init__(self) -> None:
        self.lines: list[tuple[bool, str, str]] = []

    def hold(self, what: str, holds: bool, found: object) -> None:
        self.lines.append((holds, what, str(found)))
        print(f"  {'holds ' if holds else 'MISSED'}  {what:<58} {found}", flush=True)

    @property
    def passed(self) -> bool:
        return all(holds for holds, _, _ in self.lines)


def judge(running: Stand, result: dict[str, Any]) -> Verdict:
    """All of the gate's conditions, together."""
    verdict, oms = Verdict(), running.stats("oms")
    orders, submitted = result["orders"], result["submitted"]
    verdict.hold("accepted at least 99 % of the balanced load", submitted >= orders * 0.99, f"{submitted / orders:.3%}")
    verdict.hold("submit P50 at most 10 ms", result["p50_ms"] <= 10, f"{result['p50_ms']} ms")
    verdict.hold("submit P99 at most 50 ms", result["p99_ms"] <= 50, f"{result['p99_ms']} ms")
    way = "check" if running.process_of("risk") == running.process_of("oms") else "nats"
    risk = running.stats("risk")["latency_us"][way]
    verdict.hold(f"risk P50 at most 1.5 ms ({WAYS[way]})", risk["p50"] <= 1500, f"{float(risk['p50']):.0f} us")
    verdict.hold("every accepted order filled", result["filled"] == submitted, result["filled"])
    counted = Counter(dict(oms["orders"]))
    journaled = running.rows("SELECT count(DISTINCT order_id) FROM order_events WHERE type = 'OrderSubmitted'")[0][0]
    verdict.hold(
        "orders answered = orders in the journal's table", journaled == sum(counted.values()), f"{journaled} = {sum(counted.values())}"
    )
    in_table = running.filled_orders_in_table()
    verdict.hold("filled orders = orders in the fills table", in_table == counted["filled"], f"{in_table} = {counted['filled']}")
    _positions(verdict, running, result["accepted"])
    verdict.hold("no process was restarted", set(running.starts().values()) == {1}, running.starts())
    verdict.hold("all services healthy", *_health(running))
    errors = _errors(running.data_dir / "logs")
    verdict.hold("no error line in the logs", not errors, errors[:3] or 0)
    grown = {name: last - first for name, (first, last) in result["rss_mb_first_and_last"].items() if name in running.services}
    verdict.hold(f"memory flat (at most {GROWTH_MAX_MB} MB more)", all(mb <= GROWTH_MAX_MB for mb in grown.values()), grown)
    leaks = {
        name: last - first
        for name, (first, last) in result["descriptors_first_and_last"].items()
        if name in running.services and last > first + 8
    }
    verdict.hold("file descriptors flat", not leaks, leaks or "all")
    rss = running.rss_mb()
    of_risk, of_oms = rss[running.process_of("risk")], rss[running.process_of("oms")]
    verdict.hold("risk below 1 GB, oms below 2 GB", of_risk < 1024 and of_oms < 2048, f"{of_risk}, {of_oms} MB")
    busiest = max((result["cpu_cores"][name], name) for name in running.services)
    verdict.hold(
        "each process of services below 80 % of a core",
        busiest[0] < 0.8,
        f"{busiest[1]} {busiest[0]:.0%}, all {result['cpu_cores_all']} cores",
    )
    verify = subprocess.run(
        [sys.executable, "-m", "apps.cli", "verify", "--data-dir", str(running.data_dir), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    verdict.hold("trade verify is clean", verify.returncode == 0, (verify.stdout + verify.stderr)[-300:] if verify.returncode else "clean")
    return verdict


def _positions(verdict: Verdict, running: Stand, accepted: list[int]) -> None:
    """Each account holds its seed and what its accepted orders bought and sold."""
    expected = dict.fromkeys(range(ACCOUNTS), Decimal(SEED_QUANTITY))
    for number in accepted:
        account, side = balanced(number)
        expected[account] += Decimal(QUANTITY) if side == "buy" else -Decimal(QUANTITY)
    found = {account: running.positions(f"load-{account}").get("BTCUSDT", Decimal(0)) for account in range(ACCOUNTS)}
    off = {account: f"{found[account]}, not {quantity}" for account, quantity in expected.items() if found[account] != quantity}
    verdict.hold("positions exact, account by account", not off, off or "all")


def _health(running: Stand) -> tuple[bool, str]:
    sick = []
    for service in SERVICES:
        try:
            with urllib.request.urlopen(f"{running.urls[service]}/health", timeout=5) as answer:
                if json.load(answer).get("status") != "healthy":
                    sick.append(service)
        except (urllib.error.URLError, TimeoutError):
            sick.append(service)
    return not sick, ", ".join(sick) or "all"


def _errors(logs: Path) -> list[str]:
    bad = ('"level": "error"', '"level": "critical"')
    lines = (line for log in sorted(logs.glob("*.jsonl")) for line in log.read_text().splitlines())
    return [line[:200] for line in lines if any(level in line for level in bad)]


@contextmanager
def beside(share: float) -> Iterator[None]:
    """Other work on the machine while it runs, in cores."""
    burner = subprocess.Popen([sys.executable, "-m", "tests.bench.burner", str(share)]) if share else None
    try:
        yield
    finally:
        if burner:
            burner.kill()
            burner.wait()


def main(arguments: argparse.Namespace) -> int:
    with beside(arguments.beside), stand(None, config=arguments.config_dir, topology=arguments.topology) as running:
        uvloop.run(seed(running))
        first = uvloop.run(under(running, "balanced", order_body, arguments.seconds))
        _say(first)
        script = uvloop.run(under(running, "script", script_body, max(5.0, arguments.seconds * SCRIPT_SHARE)))
        _say(script)
        uvloop.run(running.settled(0))
        verdict = judge(running, first)
    if arguments.json:
        for result in (first, script):
            del result["accepted"]
        arguments.json.write_text(json.dumps({"balanced": first, "script": script, "verdict": verdict.lines}, indent=1, default=str))
    print("the gate holds" if verdict.passed else "THE GATE DOES NOT HOLD")
    return 0 if verdict.passed else 1


def _say(result: dict[str, Any]) -> None:
    print(
        f"{result['load']}: {result['orders']} orders at {result['rate_reached']}/s"
        f"  P50 {result['p50_ms']}  P90 {result['p90_ms']}  P99 {result['p99_ms']} ms"
        f"  P99.9 {result['p99.9_ms']}  max {result['p100_ms']} ms  CPU {result['cpu_cores_all']} cores"
    )
    print(f"  outcomes {result['outcomes']}")
    print(f"  cores by process {result['cpu_cores']}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--topology", choices=TOPOLOGIES, default=UNIT)
    parser.add_argument("--beside", type=float, default=0.0, help="other work on the machine, as a share of one core")
    parser.add_argument("--config-dir", type=Path, default=SHIPPED)
    parser.add_argument("--json", type=Path)
    sys.exit(main(parser.parse_args()))
