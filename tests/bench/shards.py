"""`python -m tests.bench.shards`: full lives a second with one shard and with several, all in one unit, in turns on fresh stacks."""

import argparse
import statistics
from typing import Final

import uvloop

from tests.bench.lives import seed
from tests.bench.peers.run import Result, measured
from tests.bench.stand import stand

WARM_UP: Final = 2_000


def lives(shards: int, connections: int, orders: int) -> Result:
    with stand(None, "--shards", str(shards)) as running:
        uvloop.run(seed(running))
        pids = list(running.pids.values())

        def projected() -> int:
            return min(running.filled(), running.filled_orders_in_table())

        uvloop.run(measured("warm up", running.oms_port, connections, WARM_UP, pids, projected))
        return uvloop.run(measured(f"shards {shards}: full lives", running.oms_port, connections, orders, pids, projected))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shards", description=__doc__)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--orders", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    one, several = [], []
    for _ in range(asked.rounds):
        one.append(lives(1, asked.connections, asked.orders).lives_per_s)
        several.append(lives(asked.shards, asked.connections, asked.orders).lives_per_s)
    print(f"{asked.shards} shards against one: {statistics.mean(several) / statistics.mean(one):.2f} of its lives/s")


if __name__ == "__main__":
    main()
