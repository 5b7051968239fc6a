"""`python -m tests.bench.snapshots --every 10`: submit at a fixed rate while risk and exeq keep snapshots of many resting orders.

All answers are held against those of the same run that no snapshot was near, so that both saw the same machine. The shipped pace is 300 s.
"""

import argparse
import asyncio
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from shutil import copytree
from typing import Any, Final

import httpx
import uvloop
import yaml

from tests.bench.load import ACCOUNTS, Connection, Load, seed_body
from tests.stack import CHECKOUT, PATIENT, LiveStack

KEEPERS: Final = ("risk", "exeq")
COMMITS_NEVER: Final = 1_000_000_000
CONNECTIONS: Final = 64
EACH_ACCOUNT: Final = 1_000
"""Open orders that an account may have."""
SETTLE_S: Final = 3.0
NEAR_S: Final = 0.25


def configured(home: Path, every_s: float) -> Path:
    """The shipped configuration, an oms that waits for risk, and this pace of snapshots."""
    directory = home / "config"
    copytree(CHECKOUT / "config" / "backend", directory)
    copytree(PATIENT, directory, dirs_exist_ok=True)
    for name in KEEPERS:
        file = directory / name / "config.yaml"
        settings: dict[str, Any] = yaml.safe_load(file.read_text())
        settings["following"] = settings.get("following", {}) | {"snapshot_every_commits": COMMITS_NEVER, "snapshot_every_sec": every_s}
        file.write_text(yaml.safe_dump(settings))
    return directory


class Resting(Load):
    """Orders that never trade, spread over accounts of their own."""

    async def fill(self, count: int) -> None:
        numbers = iter(range(count))

        async def work(connection: Any) -> None:
            for n in numbers:
                terms = f'"account":"rest-{n // EACH_ACCOUNT}","client_order_id":"r-{n}","symbol":"BTCUSDT","side":"buy","type":"limit"'
                await self.send(connection, f'{{{terms},"quantity":0.001,"price":30000}}'.encode(), 0.0)

        await asyncio.gather(*(work(connection) for connection in self._idle))


class Timed(Load):
    """Knows when each answer came."""

    def __init__(self, port: int, connections: int) -> None:
        super().__init__(port, connections)
        self.answers: list[tuple[float, float]] = []

    async def send(self, connection: Connection, body: bytes, meant_at: float, number: int = -1) -> None:
        await super().send(connection, body, meant_at, number)
        self.answers.append((time.time(), self.tally.latencies_s[-1]))


def windows(stack: LiveStack) -> list[tuple[float, float]]:
    """When snapshots were being made, and a moment longer, for what waited then."""
    found: list[tuple[float, float]] = []
    for name in KEEPERS:
        for line in (stack.data_dir / "logs" / f"{name}.jsonl").read_text().splitlines():
            said = json.loads(line)
            if said["event"] == "snapshot":
                end = datetime.fromisoformat(said["at"]).timestamp()
                found.append((end - said["seconds"] - NEAR_S, end + NEAR_S))
    return found


def p99_ms(answers: list[tuple[float, float]]) -> float:
    latencies = sorted(latency for _, latency in answers)
    return latencies[int(len(latencies) * 0.99)] * 1000


async def measured(home: Path, asked: argparse.Namespace) -> None:
    stack = LiveStack(home / "data", "--fills", "sqlite", "--config-dir", str(configured(home, asked.every)))
    await asyncio.to_thread(stack.start)
    try:
        port = httpx.URL(stack.url("oms")).port or 0
        resting = Resting(port, CONNECTIONS)
        await resting.open()
        await resting.fill(asked.open)
        load = Timed(port, CONNECTIONS)
        await load.open()
        for account in range(ACCOUNTS):
            await load.send(load._idle[0], seed_body("s", account), 0.0)
        await asyncio.sleep(SETTLE_S)
        load.answers.clear()
        await load.at_rate("measured", asked.rate, asked.seconds)
    finally:
        await asyncio.to_thread(stack.close)
    _tell(load.answers, windows(stack), resting.tally.outcomes["submitted"], asked)


def _tell(answers: list[tuple[float, float]], snapshots: list[tuple[float, float]], resting: int, asked: argparse.Namespace) -> None:
    far = [(at, latency) for at, latency in answers if not any(begin <= at <= end for begin, end in snapshots)]
    count = sum(answers[0][0] <= end and begin <= answers[-1][0] for begin, end in snapshots)
    every, without = p99_ms(answers), p99_ms(far)
    print(f"{resting} resting orders, {count} snapshots; of {len(answers)} answers {len(answers) - len(far)} came near one")
    print(f"P99 {every:.2f} ms, far from snapshots {without:.2f} ms: {every / without - 1:+.1%} at one every {asked.every:g} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.snapshots", description=__doc__)
    parser.add_argument("--open", type=int, default=20_000, help="resting orders")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two snapshots")
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.home) as directory:
        uvloop.run(measured(Path(directory) / "stack", asked))
