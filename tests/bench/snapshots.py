"""`python -m tests.bench.snapshots --every 5`: submit at a fixed rate while risk and exeq keep snapshots, and while they do not.

Each turn is two whole stacks, one after the other, with so many resting orders in risk's and exeq's memory. The shipped pace is 300 s.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from shutil import copytree
from statistics import median
from typing import Any, Final

import httpx
import uvloop
import yaml

from tests.bench.load import ACCOUNTS, Load, seed_body
from tests.stack import CHECKOUT, PATIENT, LiveStack

KEEPERS: Final = ("risk", "exeq")
NEVER_S: Final = 86_400
COMMITS_NEVER: Final = 1_000_000_000
CONNECTIONS: Final = 64
EACH_ACCOUNT: Final = 1_000
"""Open orders that an account may have."""
SETTLE_S: Final = 3.0


def configured(home: Path, every_s: float) -> Path:
    """The shipped configuration, an oms that waits for risk, and this pace of snapshots."""
    directory = home / "config"
    copytree(CHECKOUT / "config" / "backend", directory)
    copytree(PATIENT, directory, dirs_exist_ok=True)
    for name in KEEPERS:
        file = directory / name / "config.yaml"
        settings: dict[str, Any] = yaml.safe_load(file.read_text())
        settings["following"] |= {"snapshot_every_commits": COMMITS_NEVER, "snapshot_every_sec": every_s}
        file.write_text(yaml.safe_dump(settings))
    return directory


class Resting(Load):
    """Orders that nobody trades with, spread over accounts of their own."""

    async def fill(self, count: int) -> None:
        numbers = iter(range(count))

        async def work(connection: Any) -> None:
            for n in numbers:
                terms = f'"account":"rest-{n // EACH_ACCOUNT}","client_order_id":"r-{n}","symbol":"BTCUSDT","side":"buy","type":"limit"'
                await self.send(connection, f'{{{terms},"quantity":0.001,"price":30000}}'.encode(), 0.0)

        await asyncio.gather(*(work(connection) for connection in self._idle))


async def turn(home: Path, every_s: float, resting: int, rate: float, seconds: float) -> dict[str, Any]:
    stack = LiveStack(home / "data", "--fills", "sqlite", "--config-dir", str(configured(home, every_s)))
    await asyncio.to_thread(stack.start)
    try:
        port = httpx.URL(stack.url("oms")).port or 0
        quiet = Resting(port, CONNECTIONS)
        await quiet.open()
        await quiet.fill(resting)
        load = Load(port, CONNECTIONS)
        await load.open()
        for account in range(ACCOUNTS):
            await load.send(load._idle[0], seed_body("s", account), 0.0)
        await asyncio.sleep(SETTLE_S)
        load.tally.latencies_s.clear()
        before = _kept(stack)
        await load.at_rate("measured", rate, seconds)
        after = _kept(stack)
        return {
            "every_s": every_s,
            "p50_ms": round(load.tally.percentile_ms(0.5), 2),
            "p99_ms": round(load.tally.percentile_ms(0.99), 2),
            "snapshots": {name: after[name]["taken"] - before[name]["taken"] for name in KEEPERS},
            "stood_still_ms": {name: after[name]["stood_still_ms"] for name in KEEPERS},
            "resting": dict(quiet.tally.outcomes),
            "outcomes": dict(load.tally.outcomes),
        }
    finally:
        await asyncio.to_thread(stack.close)


def _kept(stack: LiveStack) -> dict[str, dict[str, float]]:
    return {name: httpx.get(f"{stack.url(name)}/stats", timeout=10).json()["snapshots"] for name in KEEPERS}


async def main(asked: argparse.Namespace) -> None:
    found: dict[float, list[float]] = {NEVER_S: [], asked.every: []}
    with tempfile.TemporaryDirectory(dir=asked.home) as directory:
        for number in range(asked.turns):
            for every_s in (NEVER_S, asked.every) if number % 2 == 0 else (asked.every, NEVER_S):
                came = await turn(Path(directory) / f"{number}-{every_s}", every_s, asked.open, asked.rate, asked.seconds)
                found[every_s].append(came["p99_ms"])
                print(json.dumps(came), flush=True)
    without, kept = median(found[NEVER_S]), median(found[asked.every])
    print(f"submit P99 without snapshots {without:.2f} ms, with one every {asked.every:g} s {kept:.2f} ms: {kept / without - 1:+.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.snapshots", description=__doc__)
    parser.add_argument("--open", type=int, default=20_000, help="resting orders")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two snapshots")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--home", type=Path)
    uvloop.run(main(parser.parse_args()))
