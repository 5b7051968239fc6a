"""`python -m tests.bench.recovery --orders 100000`: the time and memory that risk and exeq take to start, with and without a snapshot.

Each is measured in a process of its own. The journal is a file of commits, so that reading from nats-server (some 60 000 messages a second)
is not in it: what is measured is what this program does.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from adapters.chain import GENESIS, following, verified
from adapters.codec import ORDER_COMMITS
from adapters.snapshots import NEWEST, FileSnapshots
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import Applied, JournalSubscription
from apps.runtime.fork_snapshot import in_child
from domain.audit.state_hash import state_hash
from domain.execution.projection import STATE_VERSION, Executions, ExecutionsState
from domain.order.events import Foreign, OrderEvent
from domain.ports import Head, JournalEntry, Unavailable
from domain.risk.projection import RiskFold
from domain.risk.snapshot import VERSION, RiskState
from domain.values import use_exact_arithmetic
from tests.bench.crowd import crowd
from tests.domain.risk.scene import new_risk

BATCH: Final = 64
FORKS: Final = 5
MB: Final = 1e6
SETTLE_S: Final = 1.0
"""The reader of the file looks through all of it first; what recovery read is let go."""


def write_journal(file: Path, orders: int) -> None:
    head = GENESIS
    with file.open("w") as out:
        for n, events in enumerate(crowd(orders), 1):
            payload = ORDER_COMMITS.encode(0, n, events)
            head = Head(n, n, following(head, payload))
            out.write(f"{head.chain} {payload.decode()}\n")
    file.with_suffix(".head").write_text(json.dumps([head.seq, head.n, head.chain]))


class FileJournal:
    """A journal to read."""

    passed: Sequence[Foreign] = ()

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = Head(*json.loads(file.with_suffix(".head").read_text()))

    async def head(self) -> Head:
        return self._last

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        return ()

    async def read(self, seq: int) -> JournalEntry | None:
        return JournalEntry(self._last, b"") if seq == self._last.seq else None

    async def append(self, payload: bytes, after: Head) -> Head:
        raise Unavailable("a file is only read")

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry], None]:
        head, batch = after, list[JournalEntry]()
        with self._file.open() as lines:
            for seq, line in enumerate(lines, 1):
                if seq <= after.seq:
                    continue
                chain, _, payload = line.rstrip("\n").partition(" ")
                head = verified(head, seq, seq, chain, payload.encode())
                batch.append(JournalEntry(head, payload.encode()))
                if len(batch) == BATCH or seq in (until, self._last.seq):
                    yield batch
                    batch = []
                if seq == until:
                    return
        await asyncio.Event().wait()


class Subject:
    """One of the two folds, as its service has it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.fold: RiskFold | Executions = new_risk().fold if name == "risk" else Executions()
        kind, version = (RiskState, VERSION) if name == "risk" else (ExecutionsState, STATE_VERSION)
        bounds: dict[str, Any] = {"every_commits": 10**9, "every_s": 1e9}
        self.snapshots: Snapshotter[Any] = Snapshotter(FileSnapshots(directory), name, self.fold, kind, version, **bounds)

    def apply(self, commits: Applied[OrderEvent]) -> None:
        for seq, commit in commits:
            for event in commit.events:
                if isinstance(self.fold, RiskFold):
                    self.fold.apply(event, seq)
                else:
                    self.fold.apply(event)
        if isinstance(self.fold, Executions):
            self.fold.to_send.clear()
            self.fold.to_cancel.clear()


async def measure(name: str, directory: Path, keep: bool) -> dict[str, Any]:
    journal, process = FileJournal(directory / "journal"), psutil.Process()
    gc.collect()
    before, began = process.memory_info().rss, time.perf_counter()
    subject = Subject(name, directory / "snapshots")
    after = await subject.snapshots.recover(journal)
    follower: JournalSubscription[OrderEvent] = JournalSubscription(
        journal, ORDER_COMMITS, subject.snapshots.whole(subject.apply), after=after, wait_s=0
    )
    reading = asyncio.create_task(follower.run())
    await follower.wait_for((await journal.head()).seq)
    found: dict[str, Any] = {"from": after.seq, "seconds": round(time.perf_counter() - began, 2)}
    await asyncio.sleep(SETTLE_S)
    gc.collect()
    found |= {
        "held_mb": round((process.memory_info().rss - before) / MB),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
    }
    found["collection_ms"] = await _collection_ms()
    found["fork_ms"] = await _fork_ms()
    if keep:
        began = time.perf_counter()
        assert await subject.snapshots.take(follower)
        found["snapshot_seconds"] = round(time.perf_counter() - began, 2)
        found["snapshot_mb"] = round((directory / "snapshots" / name / NEWEST).stat().st_size / MB)
    reading.cancel()
    found["hash"] = await in_child(lambda: state_hash(subject.fold.state()), 600)
    return found


async def _collection_ms() -> float:
    """How long the service stands still for a full collection."""
    began = time.perf_counter()
    gc.collect()
    return round((time.perf_counter() - began) * 1000, 1)


async def _fork_ms() -> float:
    """How long it stands still for a fork, the worst of some."""
    pauses = []
    for _ in range(FORKS):
        began = time.perf_counter()
        child = asyncio.ensure_future(in_child(lambda: "", 60))
        await asyncio.sleep(0)
        pauses.append(time.perf_counter() - began)
        await child
    return round(max(pauses) * 1000, 1)


def measured(name: str, directory: Path, *, keep: bool) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "tests.bench.recovery",
        "--measure",
        name,
        "--directory",
        str(directory),
        *(["--keep"] if keep else []),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compare(orders: int, directory: Path) -> None:
    began = time.perf_counter()
    write_journal(directory / "journal", orders)
    head = json.loads((directory / "journal.head").read_text())
    size = (directory / "journal").stat().st_size / MB
    print(
        f"{orders} orders in {head[0]} commits, {size:.0f} MB, made in {time.perf_counter() - began:.0f} s; 39 of 40 stay open", flush=True
    )
    for name in ("risk", "exeq"):
        replay = measured(name, directory, keep=True)
        restored = measured(name, directory, keep=False)
        assert (replay["from"], restored["from"]) == (0, head[0])
        same = "equal" if replay.pop("hash") == restored.pop("hash") else "DIFFERENT"
        for how, found in (("whole journal", replay), ("snapshot", restored)):
            each = round(found["held_mb"] * MB / orders)
            print(f"{name:5} {how:14}", {**found, "bytes_an_order": each}, flush=True)
        print(f"{name:5} states are {same}", flush=True)
        if same != "equal":
            raise SystemExit(1)


def main() -> None:
    use_exact_arithmetic()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recovery", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--measure", choices=["risk", "exeq"], help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(asyncio.run(measure(asked.measure, asked.directory, asked.keep))))
        return
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory:
        compare(asked.orders, Path(directory))


if __name__ == "__main__":
    main()
