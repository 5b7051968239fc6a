"""`python -m tests.bench.check`: risk's /check as the user's script loads it, at a rate, saturated, and over NATS; with all six checks on.

It starts a stack of its own, unless --data-dir names one that runs.
"""

import argparse
import asyncio
import json
import socket
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop

from adapters import bus
from adapters.codec import encode
from apps.stack import stack
from domain.order.commands import Terms
from domain.values import OrderType, Side
from tests.bench.load import Connection, Tally
from tests.stack import LiveStack

AT_ONCE: Final = 10_000
IN_A_ROW: Final = 10_000
CONNECTIONS: Final = 64
RATE: Final = 1000.0
RATE_S: Final = 10.0
THREADS: Final = 16
SATURATED: Final = 30_000
BATCHES: Final = (1, 16, 64, 256)
NATS_CHECKS: Final = 20_000
NATS_AT_ONCE: Final = 4
ACCOUNTS: Final = 100
SHARES: Final = (0.5, 0.99)


class CheckConnection(Connection):
    async def post(self, body: bytes) -> tuple[int, bytes]:
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"POST /check HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return await self._answer


def body(number: int) -> bytes:
    """The user's own example, of many accounts and both sides of a limit order's life."""
    return (
        f'{{"account":"bench-{number % ACCOUNTS}","symbol":"BTCUSDT","side":"buy",'
        f'"quantity":0.{number % 9 + 1},"price":{44000 + number % 900}}}'
    ).encode()


class Checks:
    """Asks over a fixed set of connections."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._count = connections
        self._open: list[CheckConnection] = []
        self.tally = Tally()

    async def open(self) -> "Checks":
        for _ in range(self._count):
            _, connection = await asyncio.get_running_loop().create_connection(CheckConnection, "127.0.0.1", self._port)
            self._open.append(connection)
        return self

    async def ask(self, connection: CheckConnection, number: int, meant_at: float) -> None:
        status, answer = await connection.post(body(number))
        self.tally.latencies_s.append(time.perf_counter() - meant_at)
        said = json.loads(answer)
        self.tally.outcomes["approved" if said.get("approved") else str(said.get("reason") or f"{status} {said.get('code')}")] += 1

    async def closed(self, checks: int, *, meant_at: float | None = None) -> None:
        """Each connection asks again when it has its answer; with `meant_at` all were meant to be asked then."""
        numbers = iter(range(checks))

        async def work(connection: CheckConnection) -> None:
            for number in numbers:
                await self.ask(connection, number, meant_at or time.perf_counter())

        await asyncio.gather(*(work(connection) for connection in self._open))


class Steady:
    """Open loop: latency counts from the moment a check was meant to be asked. Threads, because an event loop wakes by the millisecond."""

    def __init__(self, port: int, threads: int) -> None:
        self._port = port
        self._threads = threads
        self.tally = Tally()

    def at_rate(self, rate: float, seconds: float) -> None:
        started = time.perf_counter() + 0.1
        total = int(rate * seconds)

        def work(first: int) -> None:
            with socket.create_connection(("127.0.0.1", self._port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for number in range(first, total, self._threads):
                    meant_at = started + number / rate
                    time.sleep(max(0.0, meant_at - time.perf_counter()))
                    text = body(number)
                    connection.sendall(b"POST /check HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
                    answer = connection.recv(4096)
                    while not answer.endswith(b"}"):  # head and body may come apart
                        answer += connection.recv(4096)
                    self.tally.latencies_s.append(time.perf_counter() - meant_at)
                    self.tally.outcomes["approved" if b'"approved":true' in answer else "refused" if b"200 OK" in answer else "error"] += 1

        threads = [threading.Thread(target=work, args=(first,)) for first in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Meter:
    """What a load took, and what it cost risk."""

    def __init__(self, pid: int) -> None:
        self._risk = psutil.Process(pid)

    def _cpu_s(self) -> float:
        times = self._risk.cpu_times()
        return times.user + times.system

    @contextmanager
    def measured(self, name: str, rows: list[dict[str, Any]], tally: Tally, checks: int) -> Iterator[None]:
        cpu, began = self._cpu_s(), time.perf_counter()
        yield
        took, spent = time.perf_counter() - began, self._cpu_s() - cpu
        p50, p99 = (tally.percentile_ms(share) for share in SHARES)
        row = {
            "load": name,
            "checks/s": round(checks / took),
            "p50 ms": round(p50, 3),
            "p99 ms": round(p99, 3),
            "risk cpu us/check": round(spent / checks * 1e6, 1),
            "outcomes": dict(tally.outcomes),
        }
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def terms(number: int) -> Terms:
    """The same over NATS; without an order id, so that nothing is reserved."""
    price, quantity = Decimal(44000 + number % 900), Decimal(number % 9 + 1) / 10
    return Terms(
        order_id="",
        account=f"bench-{number % ACCOUNTS}",
        client_order_id="",
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=quantity,
        price=price,
    )


async def over_nats(url: str, meter: Meter, rows: list[dict[str, Any]]) -> None:
    client = await bus.connect(url, "bench", closed=lambda: None)
    for size in BATCHES:
        requests = [encode([terms(n + place) for place in range(size)]) for n in range(0, NATS_CHECKS // (1 if size > 1 else 4), size)]
        tally, numbers = Tally(), iter(requests)

        async def work(tally: Tally = tally, numbers: Iterator[bytes] = numbers) -> None:
            for request in numbers:
                asked = time.perf_counter()
                await bus.request(client, "risk.check.order", request, 5.0)
                tally.latencies_s.append(time.perf_counter() - asked)

        with meter.measured(f"NATS, {size} a request, {NATS_AT_ONCE} at once", rows, tally, len(requests) * size):
            await asyncio.gather(*(work() for _ in range(NATS_AT_ONCE)))
    await client.close()


async def run(urls: dict[str, str], pid: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    port, meter = urllib.parse.urlsplit(urls["risk"]).port or 0, Meter(pid)
    await (await Checks(port, CONNECTIONS).open()).closed(2_000)
    for connections in (CONNECTIONS, 500):
        at_once = await Checks(port, connections).open()
        with meter.measured(f"{AT_ONCE} at once over {connections} connections", rows, at_once.tally, AT_ONCE):
            await at_once.closed(AT_ONCE)
    whole = await Checks(port, CONNECTIONS).open()
    with meter.measured(f"{AT_ONCE} at once, from the first moment on", rows, whole.tally, AT_ONCE):
        await whole.closed(AT_ONCE, meant_at=time.perf_counter())
    in_a_row = await Checks(port, 1).open()
    with meter.measured(f"{IN_A_ROW} in a row", rows, in_a_row.tally, IN_A_ROW):
        await in_a_row.closed(IN_A_ROW)
    steady = Steady(port, THREADS)
    with meter.measured(f"open loop {RATE:g}/s for {RATE_S:g} s", rows, steady.tally, int(RATE * RATE_S)):
        await asyncio.to_thread(steady.at_rate, RATE, RATE_S)
    saturated = await Checks(port, CONNECTIONS).open()
    with meter.measured(f"saturated, {CONNECTIONS} connections", rows, saturated.tally, SATURATED):
        await saturated.closed(SATURATED)
    await over_nats(urls["nats"], meter, rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.check", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="a stack that runs; by default one is started")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        started = None if asked.data_dir else LiveStack(Path(home) / "data", "--fills", "sqlite").start()
        try:
            found = stack.read(asked.data_dir or Path(home) / "data")
            assert found is not None, f"no stack runs from {asked.data_dir}"
            process = found.find("risk")
            assert process is not None
            pid = process.pid
            rows = uvloop.run(run(found.urls, pid))
        finally:
            if started:
                started.close()
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
