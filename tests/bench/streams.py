"""`python -m tests.bench.streams`: many clients of desk while orders are placed. It counts gaps, and prints the cost."""

import argparse
import asyncio
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop

from tests.bench.load import Load
from tests.bench.stand import SHIPPED
from tests.stack import LiveStack

SECONDS: Final = 20.0
_ID: Final = re.compile(rb"^id: (\d+)\.", re.M)
_DATA: Final = re.compile(rb'"prev_seq":(\d+),"seq":(\d+)')


class Listener:
    """One client, as cheap as it can be: it only compares sequences."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.seq = -1
        self.gaps = 0
        self.messages = 0
        self.bytes = 0

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(f"GET /stream?account={self.account}&kinds=orders,positions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        rest = b""
        try:
            while chunk := await reader.read(2**16):
                self.bytes += len(chunk)
                *whole, rest = (rest + chunk).split(b"\n\n")
                for message in whole:
                    self._take(message)
        finally:
            writer.close()

    def _take(self, message: bytes) -> None:
        found = _ID.search(message)
        if found is None:
            return
        self.messages += 1
        if (moved := _DATA.search(message)) is not None and int(moved[1]) != self.seq:
            self.gaps += 1
        self.seq = int(found[1])


def body(accounts: int) -> Any:
    def made(prefix: str, number: int) -> bytes:
        side = "buy" if number // accounts % 2 == 0 else "sell"
        order = {"symbol": "BTCUSDT", "side": side, "quantity": 0.001, "type": "market", "account": f"acc{number % accounts}"}
        return json.dumps({**order, "client_order_id": f"{prefix}-{number}"}).encode()

    return made


async def measured(live: LiveStack, oms_port: int, streams: int, rate: int, seconds: float) -> dict[str, Any]:
    desk = psutil.Process(live.pid("desk"))
    port = int(live.url("desk").rpartition(":")[2])
    listeners = [Listener(f"acc{number}") for number in range(streams)]
    running = [asyncio.ensure_future(each.run(port)) for each in listeners]
    while any(each.seq < 0 for each in listeners):
        await asyncio.sleep(0.05)
    load = Load(oms_port, 32, body(max(streams, 10)))
    await load.open()
    before, began = sum(desk.cpu_times()[:2]), time.perf_counter()
    took = await load.at_rate(f"s{time.time_ns() % 10**9}", rate, seconds)
    cpu = (sum(desk.cpu_times()[:2]) - before) / (time.perf_counter() - began)
    end, ended = json.loads(_stats(live))["seq"], time.perf_counter()
    while any(each.seq < end for each in listeners):
        await asyncio.sleep(0.02)
    behind = time.perf_counter() - ended
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    tally = load.tally
    return {
        "streams": streams,
        "orders_a_second": round(sum(tally.outcomes.values()) / took),
        "outcomes": dict(tally.outcomes),
        "submit_p50_ms": round(tally.percentile_ms(0.5), 2),
        "submit_p99_ms": round(tally.percentile_ms(0.99), 2),
        "desk_cores": round(cpu, 3),
        "desk_rss_mb": desk.memory_info().rss // 2**20,
        "messages": sum(each.messages for each in listeners),
        "mb": round(sum(each.bytes for each in listeners) / 2**20, 1),
        "gaps": sum(each.gaps for each in listeners),
        "all_at_the_end_after_s": round(behind, 2),
    }


def _stats(live: LiveStack) -> bytes:
    with live.client("oms") as http:
        return http.get("/stats").content


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="*", default=[0, 100, 1000])
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trade-streams-") as home:
        live = LiveStack(Path(home) / "data", "--config-dir", str(SHIPPED), "--fills", "sqlite", desk=True).start()
        try:
            oms_port = int(live.url("oms").rpartition(":")[2])
            for streams in asked.streams:
                print(json.dumps(await measured(live, oms_port, streams, asked.rate, asked.seconds)), flush=True)
        finally:
            live.close()


if __name__ == "__main__":
    uvloop.run(main())
