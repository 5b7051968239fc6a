"""What is measured: a running stack as `trade up` wrote it down, and what it says of itself."""

import asyncio
import json
import re
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psutil

from apps.stack import stack
from apps.stack.ports import METRICS_OFFSET
from apps.stack.topology import UNIT
from tests.stack import CHECKOUT, LiveStack

SETTLE_MAX_S: Final = 120.0
SHIPPED: Final = CHECKOUT / "config/backend"


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer, parse_float=Decimal)


FOLLOWED: Final = (("decision_to_wire_ms", "exeq", "exeq"), ("decision_to_position_ms", "projector", "positions"))


class Hops:
    """Cumulative counts by bound in seconds, for each thing that is followed."""

    def __init__(self, counts: dict[str, dict[float, float]]) -> None:
        self._counts = counts

    def since(self, before: "Hops") -> dict[str, dict[str, float]]:
        """P50 and P99 of what came after, in milliseconds."""
        found = {}
        for what, counts in self._counts.items():
            new = {bound: count - before._counts[what].get(bound, 0) for bound, count in sorted(counts.items())}
            found[what] = {name: round(_percentile(new, share) * 1000, 1) for name, share in (("p50", 0.5), ("p99", 0.99))}
        return found


def _percentile(counts: dict[float, float], share: float) -> float:
    """As Prometheus does it: evenly spread within a bucket, and no more than the last bound."""
    wanted, low, below = share * max(counts.values(), default=0), 0.0, 0.0
    for bound, count in counts.items():
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


class Stand:
    """A running stack: its processes, their CPU and memory, and what it counted."""

    def __init__(self, data_dir: Path) -> None:
        found = stack.read(data_dir)
        if found is None:
            raise SystemExit(f"no stack runs on {data_dir}: start one with `trade up --data-dir {data_dir}`")
        self.data_dir = data_dir
        self.urls = found.urls
        processes = [process for process in found.processes if not process.within]
        self.pids = {process.name: process.pid for process in processes if process.pid}
        self.services = {process.name: process.services for process in processes if process.services}
        """By process: a unit has several."""
        self.oms_port = self.port("oms")

    def port(self, service: str) -> int:
        return urllib.parse.urlsplit(self.urls[service]).port or 0

    def process_of(self, service: str) -> str:
        """The name of the process in which it runs."""
        return next(process for process, services in self.services.items() if service in services)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by process so far, the load generator among them."""
        spent = {"generator": psutil.Process().cpu_times()}
        spent |= {name: psutil.Process(pid).cpu_times() for name, pid in self.pids.items()}
        return {name: times.user + times.system for name, times in spent.items()}

    def rss_mb(self) -> dict[str, int]:
        return {name: psutil.Process(pid).memory_info().rss // 2**20 for name, pid in self.pids.items()}

    def descriptors(self) -> dict[str, int]:
        return {name: psutil.Process(pid).num_fds() for name, pid in self.pids.items()}

    def starts(self) -> dict[str, int]:
        """How often each process was started: 1 is never restarted."""
        found = stack.read(self.data_dir)
        return {process.name: process.starts for process in found.processes if not process.within} if found else {}

    def stats(self, service: str) -> Any:
        return get(f"{self.urls[service]}/stats")

    def hops(self) -> "Hops":
        """How long it has taken so far from a decision in oms to its request on the wire, and to the position that others can read."""
        return Hops({what: self._followed(service, reader) for what, service, reader in FOLLOWED})

    def _followed(self, service: str, reader: str) -> dict[float, float]:
        port = self.port(service) + METRICS_OFFSET
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        found = re.findall(rf'^journal_follow_seconds_bucket{{le="(.*?)",reader="{reader}"}} (\S+)$', page, re.M)
        return {float(bound): float(count) for bound, count in found}

    def shards(self, service: str) -> list[Any]:
        """The figures of each shard."""
        found = self.stats(service)
        return found.get("shards") or [found]

    def filled(self) -> int:
        return sum(int(shard["orders"].get("filled", 0)) for shard in self.shards("oms"))

    def rows(self, query: str) -> list[list[Any]]:
        """What QuestDB answers."""
        found: list[list[Any]] = get(f"{self.urls['questdb']}/exec?query={urllib.parse.quote(query)}")["dataset"]
        return found

    def filled_orders_in_table(self) -> int:
        return int(self.rows("SELECT count(DISTINCT order_id) FROM fills")[0][0])

    def positions(self, account: str) -> dict[str, Decimal]:
        """Quantities by symbol, as oms shows them out of Valkey."""
        return {symbol: Decimal(line["quantity"]) for symbol, line in get(f"{self.urls['oms']}/positions/{account}").items()}

    def seqs(self) -> tuple[list[int], list[int], list[int]]:
        """The end of each shard's journal, and how far its positions and fills have come."""
        oms, projector = self.shards("oms"), self.shards("projector")
        return [each["seq"] for each in oms], [each["positions"]["seq"] for each in projector], [each["fills"]["seq"] for each in projector]

    async def settled(self, filled: int) -> tuple[float, dict[str, int]]:
        """Until `filled` orders are filled and projected: how long that took, and the counts as they then stood."""
        started = time.perf_counter()
        while True:
            counts = {"filled": self.filled(), "fills_rows": self.filled_orders_in_table()}
            oms, positions, fills = self.seqs()
            done = counts["filled"] >= filled and counts["fills_rows"] >= filled and oms == positions == fills
            if done or time.perf_counter() - started > SETTLE_MAX_S:
                return time.perf_counter() - started, counts
            await asyncio.sleep(0.1)


@contextmanager
def stand(data_dir: Path | None, *arguments: str, config: Path = SHIPPED, topology: str = UNIT) -> Iterator[Stand]:
    """The stack that runs on `data_dir`; without one, a fresh stack with the shipped configuration for as long as it is needed."""
    if data_dir is not None:
        yield Stand(data_dir)
        return
    with tempfile.TemporaryDirectory(prefix="trade-bench-") as directory:
        live = LiveStack(Path(directory) / "data", "--config-dir", str(config), *arguments)
        live.topology = topology
        live.start()
        try:
            yield Stand(live.data_dir)
        finally:
            live.close()
