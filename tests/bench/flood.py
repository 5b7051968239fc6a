"""`python -m tests.bench.flood`: what a flood of checks at risk's port costs the orders, in a unit or with services apart.

200 orders a second for a while, alone and then beside as many checks as 64 connections can have answered. The flood comes from a process
of its own.
"""

import argparse
import asyncio
import multiprocessing
import time
from multiprocessing.synchronize import Event
from typing import Final

import uvloop

from apps.stack.topology import TOPOLOGIES, UNIT
from tests.bench.check import CONNECTIONS, Checks
from tests.bench.lives import seed
from tests.bench.load import Load
from tests.bench.stand import Stand, stand

RATE: Final = 200
ORDERS_CONNECTIONS: Final = 16
A_PIECE: Final = 2_000


def flood(port: int, over: Event, answered: "multiprocessing.Queue[tuple[int, float]]") -> None:
    async def run() -> None:
        checks = await Checks(port, CONNECTIONS).open()
        began = time.perf_counter()
        while not over.is_set():
            await checks.closed(A_PIECE)
        answered.put((sum(checks.tally.outcomes.values()), time.perf_counter() - began))

    uvloop.run(run())


async def orders(running: Stand, name: str, seconds: float) -> str:
    load = Load(running.oms_port, ORDERS_CONNECTIONS)
    await load.open()
    await load.at_rate(name, RATE, seconds)
    tally = load.tally
    return f"P50 {tally.percentile_ms(0.5):.1f}  P99 {tally.percentile_ms(0.99):.1f} ms  {dict(tally.outcomes)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--topology", choices=TOPOLOGIES, default=UNIT)
    asked = parser.parse_args()
    with stand(None, topology=asked.topology) as running:
        uvloop.run(seed(running))
        print(f"{asked.topology}: {RATE} orders a second alone: {asyncio.run(orders(running, 'alone', asked.seconds))}", flush=True)
        over = multiprocessing.Event()
        answered: multiprocessing.Queue[tuple[int, float]] = multiprocessing.Queue()
        flooding = multiprocessing.Process(target=flood, args=(running.port("risk"), over, answered))
        flooding.start()
        time.sleep(1.0)
        beside = asyncio.run(orders(running, "flooded", asked.seconds))
        over.set()
        count, took = answered.get()
        flooding.join()
        print(f"{asked.topology}: beside {count / took:.0f} checks a second: {beside}")


if __name__ == "__main__":
    main()
