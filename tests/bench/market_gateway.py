"""`python -m tests.bench.market_gateway`: frames a second from a venue through gateway to MARKET_RAW; latency, CPU and memory of gateway.

The venue is a process of its own that sends the simulator's messages at a rate, or as fast as they are taken. The market's nats-server has
its default fsync, as in a stack. Figures only: nothing is asserted.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from apps.stack import servers
from apps.stack.ports import ServerPorts
from apps.stack.program import Program
from tests.apps.market_house import MarketGateway, until
from tests.children import started
from tests.live import LiveServer, live
from tests.ports import free_ports
from tests.venues import VenueSimulator

KIND: Final = "kraken"
SYMBOLS: Final = {"BTC/USD": "BTCUSD", "ETH/USD": "ETHUSD"}
TEXTS: Final = 2_000
SEND_EVERY_S: Final = 0.002
LOOK_EVERY_S: Final = 0.5
RATES: Final = (1_000, 5_000, 20_000, 0)
SECONDS: Final = 10.0
FULL_FRAMES: Final = 300_000
SHARES: Final = (0.5, 0.99)
MIB: Final = 1024 * 1024


async def recorded() -> list[str]:
    """Messages of the simulator, as it would send them."""
    async with VenueSimulator(KIND, seed=31, symbols=list(SYMBOLS)) as venue:
        gateway = await _subscribed(venue)
        venue.step(TEXTS)
        await gateway.close()
        return venue.connections[0].sent[:TEXTS]


async def _subscribed(venue: VenueSimulator) -> ClientConnection:
    client = await connect(venue.ws_url, proxy=None, max_queue=None)
    for channel in ("book", "trade"):
        await client.send(json.dumps({"method": "subscribe", "params": {"channel": channel, "symbol": list(SYMBOLS), "depth": 10}}))
    await until(lambda: venue.open and len(venue.open[0].received) == 2)
    return client


async def blast(port: int, rate: float, total: int, texts: list[str]) -> None:
    """Serve one venue that sends `total` messages at `rate`, 0 as fast as they are taken, after the first message of the client."""
    done = asyncio.Event()

    async def sending(socket: ServerConnection) -> None:
        await socket.recv()
        began, sent = time.monotonic(), 0
        while sent < total:
            due = total if not rate else min(int((time.monotonic() - began) * rate), total)
            for number in range(sent, min(due, sent + 500)):
                await socket.send(texts[number % len(texts)])
            sent = min(due, sent + 500)
            await asyncio.sleep(SEND_EVERY_S if rate else 0)
        await done.wait()

    async with serve(sending, "127.0.0.1", port, compression=None, ping_interval=None):
        await done.wait()


def market_server(home: Path, ports: ServerPorts) -> Program:
    """nats-server with its default fsync, as the market's is."""
    program = servers.nats(home, ports)
    for file in home.rglob("*.conf"):
        file.write_text(file.read_text().replace("sync_interval: always", "sync_interval: 2m"))
    return program


async def latencies(url: str) -> tuple[float, float]:
    """P50 and P99 of the oldest frame of a message, in milliseconds: upper bounds of the histogram's buckets, interpolated."""
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(url)).text
    rows = [line for line in page.splitlines() if line.startswith("market_raw_latency_seconds_bucket")]
    buckets = [(float(row.split('le="')[1].split('"')[0]), float(row.split()[1])) for row in rows]
    found = []
    for share in SHARES:
        wanted, low, before = share * buckets[-1][1], 0.0, 0.0
        for bound, count in buckets:
            if count >= wanted:
                found.append(
                    1000 * (low + (bound - low) * (wanted - before) / max(count - before, 1)) if bound != float("inf") else low * 1000
                )
                break
            low, before = bound, count
    return found[0], found[1]


async def one(home: Path, server: LiveServer, rate: float, texts: list[str]) -> None:
    total = int(rate * SECONDS) or FULL_FRAMES
    (port,) = free_ports(1)
    file = home / "texts.json"
    file.write_text(json.dumps(texts))
    command = [sys.executable, "-m", "tests.bench.market_gateway", "--venue", str(port), str(rate), str(total), str(file)]
    venue = started(command, stdout=subprocess.DEVNULL)
    name = f"RATE_{int(rate)}"
    section = {"kind": KIND, "ws_url": f"ws://127.0.0.1:{port}", "symbols": list(SYMBOLS.values())}
    gateway = MarketGateway(home / name, server.url, server.url, {name: section}).launch()
    try:
        assert gateway.process
        process = psutil.Process(gateway.process.pid)
        await gateway.until("/stats", lambda answer: answer.status_code == 200 and answer.json().get("frames", 0) > 0)
        began, cpu = time.monotonic(), _cpu_s(process)
        # frames besides the venue's: open, and two that were sent
        stats: dict[str, Any] = {"frames_written": 0, "frames_dropped": 0}
        while stats["frames_written"] + stats["frames_dropped"] < total + 3:
            await asyncio.sleep(LOOK_EVERY_S)
            answer = await gateway.get("/stats")
            assert answer
            stats = answer.json()
        took, spent = time.monotonic() - began, _cpu_s(process) - cpu
        p50, p99 = await latencies(gateway.metrics_url)
        print(
            f"rate {int(rate) or 'full'}: {total / took:,.0f} frames/s written, dropped {stats['frames_dropped']}, "
            f"{total / max(stats['messages'], 1):.0f} frames a message; receipt to ack P50 {p50:.1f} ms, P99 {p99:.1f} ms; "
            f"gateway {spent / total * 1e6:.1f} us CPU a frame, {100 * spent / took:.0f} % of a core, "
            f"RSS {process.memory_info().rss / MIB:.0f} MB",
            flush=True,
        )
    finally:
        gateway.end()
        venue.kill()
        venue.wait()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def run(rates: list[float]) -> None:
    texts = await recorded()
    print(f"{len(texts)} messages of {KIND}, {sum(map(len, texts)) / len(texts):.0f} characters each on average", flush=True)
    with tempfile.TemporaryDirectory() as home:
        server = live(market_server, Path(home) / "nats")
        try:
            for rate in rates:
                await one(Path(home), server, rate, texts)
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", nargs="*", type=float, default=RATES, help="frames a second; 0 is as fast as they are taken")
    parser.add_argument("--venue", nargs=4, metavar=("PORT", "RATE", "TOTAL", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.venue:
        at, at_rate, count, path = given.venue
        asyncio.run(blast(int(at), float(at_rate), int(count), json.loads(Path(path).read_text())))
    else:
        asyncio.run(run(list(given.rates)))
