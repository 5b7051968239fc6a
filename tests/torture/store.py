"""A store of the order journal with a history, to be damaged: made once, copied for each damage, and started on."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import ensure_stream
from adapters.orderstore import SqliteOrderStore
from adapters.subjects import ORDER_STREAM, order_subject
from adapters.watermark import FileWatermark
from apps.connections.stores import ORDERS_FILE
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.journal.watermark import Mark
from apps.runtime.chassis import cancelled
from apps.stack import servers
from apps.stack.ports import ServerPorts
from apps.stack.program import socket_answers
from apps.stack.trouble import NotReady
from domain.order.commands import SubmitOrder
from domain.ports import Head
from domain.values import order_id_of
from tests.faults.scene import connected, order_journal
from tests.given import approved, terms
from tests.live import LiveServer
from tests.ports import free

ENDINGS: Final = ("stop", "kill")
"""After a clean stop the server believes its index; after a kill it reads every block again."""
COMMITS: Final = 40
ORDERS_A_COMMIT: Final = 4
STREAM_BYTES_MAX: Final = 125_000
"""So small that the server makes blocks of 32 kB."""
STARTS_WITHIN_S: Final = 15.0
SERVES_WITHIN_S: Final = 5.0
STORE: Final = Path("nats") / "jetstream" / "$G" / "streams" / ORDER_STREAM


class Stuck(Exception):
    """nats-server itself never comes up on this store: nothing starts behind it."""


@dataclass(frozen=True)
class Kept:
    """As it lies on the disk after the end; the mark and oms's own orders beside it.

    A start from those orders replays next to nothing: what it goes past must be verified all the same.
    """

    home: Path
    head: Head


async def kept(home: Path, ending: str) -> Kept:
    """Make one, and end its server so."""
    server = server_at(home).start()
    async with connected(server.url) as client:
        await ensure_stream(client, ORDER_STREAM, ["oms.journal.*"], STREAM_BYTES_MAX)
        mark, store = mark_at(home), SqliteOrderStore(home / ORDERS_FILE)
        host = ShardHost(await order_journal(client), SystemClock(), store=store, mark=mark, pace=Pace(wait_s=0))
        running = [asyncio.create_task(host.run()), asyncio.create_task(mark.run())]
        await _ready(host)
        for n in range(COMMITS):
            await asyncio.gather(*(_submit(host, f"o-{n}-{k}") for k in range(ORDERS_A_COMMIT)))
        head = host.head
        async with asyncio.timeout(STARTS_WITHIN_S):
            while (saved := store.load()) is None or saved.checkpoint < head.seq:
                await asyncio.sleep(0.05)
        for task in running:
            await cancelled(task)
        store.close()
    getattr(server, ending)()
    assert mark_at(home).highest() == head
    assert len(list((home / STORE).rglob("*.blk"))) > 1, "one block alone is too easy"
    return Kept(home, head)


async def _submit(host: ShardHost, name: str) -> None:
    order_id = order_id_of("alice", name)
    asked = replace(terms(), order_id=order_id, client_order_id=name)
    await host.perform(SubmitOrder(order_id=order_id, terms=asked, decision=approved(order_id)))


async def _ready(host: ShardHost) -> None:
    async with asyncio.timeout(STARTS_WITHIN_S):
        while not host.ready:
            await asyncio.sleep(0.005)


def server_at(home: Path) -> LiveServer:
    ports = free(ServerPorts)
    return LiveServer(servers.nats(home, ports), home, servers.Servers.at(ports))


def mark_at(home: Path) -> Mark:
    return Mark(FileWatermark(home / "watermarks", order_subject(0)), order_subject(0), ORDER_COMMITS)


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[LiveServer]:
    """nats-server on this store. One that cannot load a stream never calls itself healthy, but it serves. Stuck."""
    server = server_at(home)
    server.begin()
    try:
        deadline = asyncio.get_running_loop().time() + SERVES_WITHIN_S
        while not _serves(server):
            if asyncio.get_running_loop().time() > deadline:
                raise Stuck(server.said())
            await asyncio.sleep(0.02)
        yield server
    finally:
        server.kill()


def _serves(server: LiveServer) -> bool:
    try:
        socket_answers(server.program.ports["nats"], say=b'CONNECT {"verbose":false}\r\nPING\r\n', hear=b"PONG")
    except NotReady:
        return False
    return True


def damage(store: Path, chance: random.Random) -> tuple[str, str]:
    """One byte of any file flipped, the newest block cut, or a block gone. What was done, and to what kind of file."""
    files = sorted(f for f in store.rglob("*") if f.is_file() and f.stat().st_size)
    blocks = [f for f in files if f.suffix == ".blk"]
    what = chance.choice(["flip", "flip", "flip", "cut", "delete", "flip beside"])
    if what == "delete":
        chance.choice(blocks).unlink()
        return what, ".blk"
    if what == "cut":
        newest = max(blocks, key=lambda f: int(f.stem))
        os.truncate(newest, chance.randrange(newest.stat().st_size))
        return what, ".blk"
    file = chance.choice(blocks if what == "flip" else [f for f in files if f not in blocks])
    at = chance.randrange(file.stat().st_size)
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return "flip", file.suffix
