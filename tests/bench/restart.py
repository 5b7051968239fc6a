"""`python -m tests.bench.restart --orders 1000000`: how long oms takes to start with very many open orders, and what each costs in memory.

A journal is written into nats-server, oms starts on it with nothing (it reads all of it and fills its store), stops, and starts again from
its store, which is what a restart is. Seconds are from the start of the process to 200 on /ready; memory is beyond an oms with no orders.
With `--home` the directory is kept, and a later run only starts oms on it: from what it finds there.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psutil

from adapters.jetstream import stream_state
from adapters.orderstore import SqliteOrderStore
from adapters.subjects import ORDER_STREAM
from apps.connections.stores import ORDERS_FILE
from apps.runtime import program_logs
from domain.values import use_exact_arithmetic
from tests.bench.crowd import crowd
from tests.bench.served import nats_at, write
from tests.faults.scene import PATIENT, connected, order_journal, risk_that_says_yes
from tests.live import LiveServer
from tests.process import LiveService

READY_WITHIN_S: Final = 900.0
SAVED_WITHIN_S: Final = 120.0
SETTLE_S: Final = 1.0


class Oms:
    """The service in a directory of its own, with time to start."""

    def __init__(self, nats: LiveServer, home: Path) -> None:
        self._service = LiveService("oms", nats, home, changes=PATIENT)
        self._service.program = replace(self._service.program, silence_max_s=READY_WITHIN_S)
        self.store = SqliteOrderStore(home / ORDERS_FILE)

    def start(self) -> tuple[float, int]:
        """Seconds until it was ready, and the bytes that it then held."""
        began = time.perf_counter()
        self._service.start()
        took = time.perf_counter() - began
        time.sleep(SETTLE_S)
        assert self._service._child is not None
        return took, psutil.Process(self._service._child.pid).memory_info().rss

    def open_orders(self) -> int:
        ended = ("filled", "cancelled", "rejected", "expired")
        counts: dict[str, int] = httpx.get(f"{self._service.url}/stats", timeout=30).json()["orders"]
        return sum(count for status, count in counts.items() if status not in ended)

    def stands(self) -> int:
        """How far its store goes; 0 when there is none."""
        with self.store.picture() as picture:
            return picture.checkpoint if picture else 0

    def saved(self, seq: int) -> float:
        """Seconds until its store has come to `seq`."""
        began = time.perf_counter()
        while time.perf_counter() - began < SAVED_WITHIN_S:
            if self.stands() >= seq:
                return time.perf_counter() - began
            time.sleep(0.2)
        raise SystemExit(f"the store did not come to sequence {seq} within {SAVED_WITHIN_S} s")

    def stop(self) -> None:
        self._service.stop()


async def main(orders: int, home: Path) -> None:
    nothing = await _of_an_empty_journal(home / "nothing")
    async with nats_at(home / "nats") as nats, risk_that_says_yes(nats.url):
        seq = await _written(nats, home, orders)
        oms = Oms(nats, home / "oms")
        for _ in range(2):
            how = "from its store" if oms.stands() else "from the journal alone"
            took, held = oms.start()
            count = oms.open_orders()
            each = (held - nothing) / count
            print(f"{how}: ready after {took:.1f} s, {count} open orders, {held / 1e6:.0f} MB, {each:.0f} bytes an open order", flush=True)
            print(f"  the store was at the journal's end {oms.saved(seq):.1f} s later", flush=True)
            oms.stop()


async def _written(nats: LiveServer, home: Path, orders: int) -> int:
    """The journal's last sequence; it is written when it is empty."""
    async with connected(nats.url) as client:
        if await stream_state(client, ORDER_STREAM) is not None:
            return (await (await order_journal(client)).head()).seq
    began = time.perf_counter()
    head, events = await write(nats, crowd(orders))
    print(f"{orders} orders, {events} events in {head.n} commits written in {time.perf_counter() - began:.0f} s", flush=True)
    return head.seq


async def _of_an_empty_journal(home: Path) -> int:
    async with nats_at(home) as nats, risk_that_says_yes(nats.url):
        oms = Oms(nats, home / "oms")
        took, held = oms.start()
        oms.stop()
    print(f"no orders: ready after {took:.1f} s, {held / 1e6:.0f} MB", flush=True)
    return held


if __name__ == "__main__":
    use_exact_arithmetic()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.restart", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    program_logs.only()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(asked.orders, asked.home or Path(directory)))
