"""`python -m tests.bench.gate_market --ticks 5000`: the order gate's balanced load without and with the market plane beside it, in one run.

Each half has a stack of its own. In the second one two simulated venues send the ticks, and their CPU, like that of the load generator,
is spent on the same machine.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop
import yaml

from tests.bench.gate import under
from tests.bench.lives import seed
from tests.bench.load import OrderBody, body_of, order_body
from tests.bench.stand import Stand, get, stand
from tests.children import started
from tests.ports import free_ports

VENUES: Final = {"BINANCE": ("binance_spot", ["BTCUSDT", "ETHUSDT"]), "COINBASE": ("coinbase", ["BTCUSD", "ETHUSD"])}
VENUE_NICENESS: Final = 15
"""Real venues take nothing of this machine."""
BOOKS_WITHIN_S: Final = 60.0
VENUE_PRICES: Final = (50_300, 49_700)
"""Of a buy and of a sell, which always trade where the simulated venues are."""


@contextmanager
def venues(ticks: float, home: Path) -> Iterator[Path]:
    """Simulated venues that together send this many ticks a second, and the configuration that names them."""
    listed, processes = dict[str, Any](), list[subprocess.Popen[bytes]]()
    symbols_in_all = sum(len(symbols) for _, symbols in VENUES.values())
    for (name, (kind, symbols)), port in zip(VENUES.items(), free_ports(len(VENUES)), strict=True):
        rate = str(ticks / symbols_in_all)
        venue = ["-m", "tests.venues", "--kind", kind, "--port", str(port), "--rate", rate]
        command = ["nice", "-n", str(VENUE_NICENESS), sys.executable, *venue]
        processes.append(started(command, stdout=subprocess.DEVNULL, start_new_session=True))
        with contextlib.suppress(OSError):  # where the scheduler groups sessions, a niceness counts only within its group
            Path(f"/proc/{processes[-1].pid}/autogroup").write_text(str(VENUE_NICENESS))
        address = f"127.0.0.1:{port}"
        listed[name] = {"kind": kind, "ws_url": f"ws://{address}", "rest_url": f"http://{address}", "symbols": symbols}
    (home / "gateway").mkdir(parents=True)
    (home / "gateway" / "config.yaml").write_text(yaml.safe_dump({"venues": listed}))
    try:
        yield home
    finally:
        for process in processes:
            process.kill()
            process.wait()


def frames(running: Stand) -> int:
    return sum(int(each["frames"]) for each in get(f"{running.urls['gateway']}/venues").values())


def until_quoted(running: Stand) -> None:
    """Until an order for BTCUSDT could fill."""
    deadline = time.monotonic() + BOOKS_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.HTTPError):  # 404 while there is no quote
            get(f"{running.urls['live-gateway']}/quotes/BTCUSDT")
            return
        time.sleep(0.5)
    raise SystemExit("the market did not come")


def measured(running: Stand, body: OrderBody, seconds: float) -> dict[str, Any]:
    uvloop.run(seed(running))
    return uvloop.run(under(running, "balanced", body, seconds))


def show(name: str, result: dict[str, Any]) -> None:
    print(f"{name}: P50 {result['p50_ms']} P90 {result['p90_ms']} P99 {result['p99_ms']} ms, {result['cpu_cores_all']} cores", flush=True)
    print(f"  {result['outcomes']}, filled {result['filled']}\n  {result['cpu_cores']}", flush=True)


def main(arguments: argparse.Namespace) -> None:
    with stand(None) as running:
        without = measured(running, order_body, arguments.seconds)
    show("without the market plane", without)
    with (
        tempfile.TemporaryDirectory(prefix="trade-bench-market-") as home,
        venues(arguments.ticks, Path(home) / "config") as config,
        stand(None, "--market", "config", config=config) as running,
    ):
        until_quoted(running)
        before, began = frames(running), time.monotonic()
        beside = measured(running, partial(body_of, prices=VENUE_PRICES), arguments.seconds)
        rate = (frames(running) - before) / (time.monotonic() - began)
        sunk = running.rows("SELECT count() FROM trades")[0][0], running.rows("SELECT count() FROM quotes")[0][0]
    show(f"beside {rate:.0f} frames a second", beside)
    print(f"  rows of trades and quotes: {sunk[0]}, {sunk[1]}")
    for share in ("p50_ms", "p99_ms"):
        print(f"{share}: {beside[share] / without[share] - 1:+.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    main(parser.parse_args())
