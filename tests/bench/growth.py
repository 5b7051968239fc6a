"""`python -m tests.bench.growth`: the same load again as the journal and the number of accounts grow. Flat is what is hoped for.

History: a fixed load at a rate, then saturated orders until the journal holds the next number, and the same again. Accounts: each number
on a fresh stack, every account seeded first.
"""

import argparse
import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.lives import measure, seed, show
from tests.bench.load import Load, body_of, seed_body
from tests.bench.stand import Stand, stand

RATE = 500
SECONDS = 10
CONNECTIONS = 32


async def looked_at(running: Stand, name: str, accounts: int) -> dict[str, Any]:
    found = await measure(running, name, CONNECTIONS, RATE, SECONDS, partial(body_of, accounts=accounts))
    show(found)
    return found


async def over_history(running: Stand, sizes: list[int]) -> list[dict[str, Any]]:
    await seed(running)
    results = []
    for size in sizes:
        have = sum(running.stats("oms")["orders"].values())
        if size > have:
            filling = Load(running.oms_port, 64)
            await filling.open()
            print(f"filling the journal to {size} orders", flush=True)
            await filling.saturate(f"fill-{time.time_ns()}", size - have)
            await running.settled(running.filled())
        results.append(await looked_at(running, f"{size} orders", 10))
    return results


async def with_accounts(running: Stand, accounts: int) -> dict[str, Any]:
    seeding = Load(running.oms_port, 64, seed_body)
    await seeding.open()
    await seeding.saturate(f"s{time.time_ns()}", accounts)
    await asyncio.sleep(2)
    return await looked_at(running, f"{accounts} accounts", accounts)


def main(arguments: argparse.Namespace) -> None:
    results = []
    with stand(None) as running:
        results += uvloop.run(over_history(running, arguments.orders))
    for accounts in arguments.accounts:
        with stand(None) as running:
            results.append(uvloop.run(with_accounts(running, accounts)))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--accounts", type=int, nargs="*", default=[10, 1_000, 10_000])
    parser.add_argument("--json", type=Path)
    main(parser.parse_args())
