"""`python -m tests.bench.replay --orders 200000`: positions from the journal alone, events a second, in process and by `trade replay`.

In process the journal is a file: decoding, chain and fold are measured, not the server. By the command it is nats-server and Valkey.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from apps.stack import servers
from apps.tools.rebuild import Rebuilt
from domain.values import use_exact_arithmetic
from tests.bench.crowd import crowd
from tests.bench.recovery import FileJournal, write_journal
from tests.bench.served import nats_at, write
from tests.live import LiveServer, live

CLI_TIMEOUT_S = 600


async def in_process(file: Path) -> str:
    journal = FileJournal(file)
    end = (await journal.head()).seq
    rebuilt, began = Rebuilt(journal), time.perf_counter()
    await rebuilt.advance(end)
    took = time.perf_counter() - began
    return f"{rebuilt.events} events, {len(rebuilt.book.positions)} positions in {took:.2f} s: {rebuilt.events / took:,.0f} events/s"


def by_command(nats: LiveServer, valkey: LiveServer, *arguments: str) -> float:
    """Seconds from the start of the command to its end."""
    environment = {"TRADE_NATS_URL": nats.url, "TRADE_VALKEY_URL": valkey.url}
    command = [str(Path(sys.executable).parent / "trade"), "replay", "positions", *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CLI_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - began


async def main(orders: int, home: Path) -> None:
    write_journal(home / "journal", orders)
    print("in process:", await in_process(home / "journal"), flush=True)
    valkey = live(servers.valkey, home)
    try:
        async with nats_at(home / "nats-server") as nats:
            began = time.perf_counter()
            _, events = await write(nats, crowd(orders))
            print(f"{events} events written to nats-server in {time.perf_counter() - began:.0f} s", flush=True)
            by_command(nats, valkey, "--write")
            took = by_command(nats, valkey)
            print(f"trade replay positions, compared with Valkey: {took:.2f} s: {events / took:,.0f} events/s")
    finally:
        valkey.stop()


if __name__ == "__main__":
    use_exact_arithmetic()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replay", description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.home) as directory:
        asyncio.run(main(asked.orders, Path(directory)))
