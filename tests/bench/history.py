"""`python -m tests.bench.history --orders 300000`: what the orders that oms has behind it cost it in memory.

Orders are posted to a real oms in flocks and cancelled: all of them are closed. Its memory is asked for after each flock's last word.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import psutil
import uvloop

from adapters import bus
from adapters.codec import encode
from apps.journal.order_repository import SAVE_EVERY_S
from domain.order.commands import CancelOrder
from domain.values import order_id_of, use_exact_arithmetic
from tests.bench.load import ACCOUNTS, Load
from tests.bench.served import nats_at
from tests.faults.scene import PATIENT, connected, risk_that_says_yes
from tests.process import LiveService

FLOCK: Final = 5_000
"""Half of what ten accounts may have open."""
CONNECTIONS: Final = 64
COMMANDS: Final = 500
TELL_EVERY: Final = 50_000
CANCEL_TIMEOUT_S: Final = 30.0


def cancels(run: str) -> list[bytes]:
    """Lists of commands that close every order of one flock."""
    ids = [order_id_of(f"load-{number % ACCOUNTS}", f"{run}-{number}") for number in range(FLOCK)]
    lists = (ids[first : first + COMMANDS] for first in range(0, FLOCK, COMMANDS))
    return [encode([CancelOrder(order_id=order_id) for order_id in each]) for each in lists]


async def main(orders: int, home: Path) -> None:
    async with nats_at(home / "nats") as nats, risk_that_says_yes(nats.url), connected(nats.url) as client:
        oms = LiveService("oms", nats, home / "oms", changes=PATIENT).start()
        assert oms._child is not None
        process = psutil.Process(oms._child.pid)
        load = Load(oms.program.ports["http"], CONNECTIONS)
        await load.open()
        began = process.memory_info().rss
        print(f"0 orders: {began / 1e6:.0f} MB", flush=True)
        for first in range(0, orders, FLOCK):
            await load.saturate(f"h{first}", FLOCK)
            for commands in cancels(f"h{first}"):
                answers = msgspec.json.decode(await bus.request(client, "oms.commands.0", commands, CANCEL_TIMEOUT_S))
                assert all(answer["ok"] for answer in answers), answers[:3]
            if (first + FLOCK) % TELL_EVERY == 0 or first + FLOCK >= orders:
                await asyncio.sleep(3 * SAVE_EVERY_S)
                held = process.memory_info().rss
                print(
                    f"{first + FLOCK} orders, all closed: {held / 1e6:.0f} MB, {(held - began) / 1e6:.0f} MB beyond the start", flush=True
                )
        print(f"outcomes {dict(load.tally.outcomes)}")
        oms.stop()


if __name__ == "__main__":
    use_exact_arithmetic()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    parser.add_argument("--orders", type=int, default=300_000)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.home) as directory:
        uvloop.run(main(asked.orders, Path(directory)))
