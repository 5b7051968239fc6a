"""`python -m tests.bench.growth`: the same load again as the journal, the accounts and the symbols grow. Flat is what is hoped for.

History: a fixed load at a rate, then saturated orders until the journal holds the next number, and the same again. Accounts and symbols:
each number on a fresh stack, every account seeded first (with some of each symbol).
"""

import argparse
import json
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
import yaml

from tests.bench.lives import measure, seed, show
from tests.bench.load import ACCOUNTS, Load, OrderBody, balanced, body_of, seed_body
from tests.bench.stand import SHIPPED, Stand, stand
from tests.stack import CHECKOUT

RATE = 500
SECONDS = 10
CONNECTIONS = 32
SEED_QUANTITY = "0.01"
"""Ten thousand times that is shown within seconds."""
QUOTES_PER_S = 100
"""Of all symbols together: it is orders whose cost is looked at, not quotes."""


async def looked_at(running: Stand, name: str, body: OrderBody) -> dict[str, Any]:
    found = await measure(running, name, CONNECTIONS, RATE, SECONDS, body)
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
        results.append(await looked_at(running, f"{size} orders", partial(body_of, accounts=ACCOUNTS)))
    return results


async def seeded(running: Stand, seeds: int, body: OrderBody) -> None:
    """All of them filled: the venues show so much at a time and no more."""
    seeding = Load(running.oms_port, CONNECTIONS, body)
    await seeding.open()
    await seeding.saturate(f"s{time.time_ns()}", seeds)
    await running.settled(seeding.tally.outcomes["submitted"])


async def with_accounts(running: Stand, accounts: int) -> dict[str, Any]:
    await seeded(running, accounts, partial(seed_body, quantity=SEED_QUANTITY))
    return await looked_at(running, f"{accounts} accounts", partial(body_of, accounts=accounts))


def market_of(symbols: int, directory: Path) -> Path:
    """A configuration directory in which this many symbols are quoted, each around 100."""
    shutil.copytree(SHIPPED, directory, dirs_exist_ok=True)
    names = [f"S{number}" for number in range(symbols)]
    group = {"symbols": names, "tick": 0.01, "lot": 0.001, "quantity_max": 1_000_000, "notional_min": 5, "currency": "USD"}
    (directory / "instruments.yaml").write_text(yaml.safe_dump({"currencies": {"USD": 1}, "groups": [group]}))
    venues = yaml.safe_load((CHECKOUT / "config/venues.yaml").read_text())
    venues["simulated_quotes"] = {name: {"start": 100, "swing_pct": 0.05, "spread_ticks": 2, "size": 1000} for name in names}
    (directory / "venues.yaml").write_text(yaml.safe_dump(venues))
    gateway = directory / "live-gateway" / "config.yaml"
    settings = yaml.safe_load(gateway.read_text())
    settings["quotes"]["interval_ms"] = max(250, symbols * 1000 // QUOTES_PER_S)
    gateway.write_text(yaml.safe_dump(settings))
    return directory


def symbol_body(run: str, number: int, symbols: int) -> bytes:
    """Each account buys and then sells one symbol after the other, at prices that always trade."""
    account, side = balanced(number)
    symbol = number // (2 * ACCOUNTS) % symbols
    return _body(run, number, account, symbol, side, "0.1", 101 if side == "buy" else 99)


def symbol_seed(run: str, number: int) -> bytes:
    return _body(run, number, number % ACCOUNTS, number // ACCOUNTS, "buy", "1", 101)


def _body(run: str, number: int, account: int, symbol: int, side: str, quantity: str, price: int) -> bytes:
    return (
        f'{{"account":"load-{account}","client_order_id":"{run}-{number}","symbol":"S{symbol}","side":"{side}",'
        f'"type":"limit","quantity":{quantity},"price":{price}}}'
    ).encode()


async def with_symbols(running: Stand, symbols: int) -> dict[str, Any]:
    await seeded(running, symbols * ACCOUNTS, symbol_seed)
    return await looked_at(running, f"{symbols} symbols", partial(symbol_body, symbols=symbols))


def main(arguments: argparse.Namespace) -> None:
    results = []
    with stand(None) as running:
        results += uvloop.run(over_history(running, arguments.orders))
    for accounts in arguments.accounts:
        with stand(None) as running:
            results.append(uvloop.run(with_accounts(running, accounts)))
    for symbols in arguments.symbols:
        with tempfile.TemporaryDirectory() as directory, stand(None, config=market_of(symbols, Path(directory))) as running:
            results.append(uvloop.run(with_symbols(running, symbols)))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--accounts", type=int, nargs="*", default=[10, 1_000, 10_000])
    parser.add_argument("--symbols", type=int, nargs="*", default=[2, 500])
    parser.add_argument("--json", type=Path)
    main(parser.parse_args())
