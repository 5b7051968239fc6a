"""The journal's store is damaged, cut, or replaced by an older copy: the writer refuses to start and names the sequence, every time."""

import asyncio
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import JetStreamJournal, ensure_stream, stream_state
from adapters.orderstore import SqliteOrderStore
from adapters.watermark import FileWatermark
from apps.chassis import cancelled
from apps.commits import Pace
from apps.host import Host
from apps.up import servers
from apps.up.ports import ServerPorts
from apps.up.program import socket_answers
from apps.up.trouble import NotReady
from apps.watermark import Mark, may_begin
from apps.wiring import ORDER_STREAM, ORDERS_FILE, order_subject
from domain.commands import SubmitOrder
from domain.ports import Corrupt, Head
from domain.values import order_id_of, use_exact_arithmetic
from tests.faults.scene import ROUNDS, connected, order_journal
from tests.given import approved, terms
from tests.live import LiveServer

DAMAGES: Final = 100 * ROUNDS
COMMITS: Final = 40
ORDERS_A_COMMIT: Final = 4
STREAM_BYTES_MAX: Final = 125_000
"""So small that the server makes blocks of 32 kB."""
STARTS_WITHIN_S: Final = 15.0
SERVES_WITHIN_S: Final = 5.0
STORE: Final = Path("nats") / "jetstream" / "$G" / "streams" / ORDER_STREAM


@dataclass(frozen=True)
class Kept:
    """A store with a history, as it lies on the disk after a clean stop or a kill; the mark and oms's own orders beside it.

    A start from those orders replays next to nothing: what it goes past must be verified all the same.
    """

    home: Path
    head: Head


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kept]:
    """After a clean stop the server believes its index; after a kill it reads every block again."""
    return {ending: asyncio.run(_history(tmp_path_factory.mktemp(ending), ending)) for ending in ("stop", "kill")}


async def _history(home: Path, ending: str) -> Kept:
    use_exact_arithmetic()
    server = _server(home).start()
    async with connected(server.url) as client:
        await ensure_stream(client, ORDER_STREAM, ["oms.journal.*"], STREAM_BYTES_MAX)
        mark, store = _mark(home), SqliteOrderStore(home / ORDERS_FILE)
        host = Host(await order_journal(client), SystemClock(), store=store, mark=mark, pace=Pace(wait_s=0))
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
    assert _mark(home).highest() == head
    return Kept(home, head)


async def _submit(host: Host, name: str) -> None:
    order_id = order_id_of("alice", name)
    asked = replace(terms(), order_id=order_id, client_order_id=name)
    await host.perform(SubmitOrder(order_id=order_id, terms=asked, decision=approved(order_id)))


def _server(home: Path) -> LiveServer:
    ports = ServerPorts.free()
    return LiveServer(servers.nats(home, ports), home, servers.Servers.at(ports))


def _mark(home: Path) -> Mark:
    return Mark(FileWatermark(home / "watermarks", order_subject(0)), order_subject(0), ORDER_COMMITS)


async def _ready(host: Host) -> None:
    async with asyncio.timeout(STARTS_WITHIN_S):
        while not host.ready:
            await asyncio.sleep(0.005)


async def start_on(home: Path) -> Head:
    """What a start of oms comes to on this store: the head it goes on from. Corrupt."""
    server, store = _server(home), SqliteOrderStore(home / ORDERS_FILE)
    server.begin()
    try:
        await _serves(server)
        async with connected(server.url) as client:
            mark = _mark(home)
            if await stream_state(client, ORDER_STREAM) is None:
                may_begin(ORDER_STREAM, [mark])
            journal = await JetStreamJournal.open(client, stream=ORDER_STREAM, subject=order_subject(0))
            host = Host(journal, SystemClock(), store=store, mark=mark, pace=Pace(wait_s=0))
            running = asyncio.create_task(host.run())
            try:
                async with asyncio.timeout(STARTS_WITHIN_S):
                    while not (host.ready or running.done()):
                        await asyncio.sleep(0.005)
            finally:
                await cancelled(running)
            if not running.cancelled():
                running.result()
            return host.head
    finally:
        store.close()
        server.kill()


class Stuck(Exception):
    """nats-server itself never comes up on this store: nothing starts behind it."""


async def _serves(server: LiveServer) -> None:
    """A server that cannot load a stream never calls itself healthy, but it serves. Stuck."""
    deadline = asyncio.get_running_loop().time() + SERVES_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        try:
            return socket_answers(server.program.ports["nats"], say=b'CONNECT {"verbose":false}\r\nPING\r\n', hear=b"PONG")
        except NotReady:
            await asyncio.sleep(0.02)
    raise Stuck(server.said())


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


@pytest.mark.timeout(60 + DAMAGES)
async def test_any_damage_to_the_store_is_detected_with_its_sequence(kept: dict[str, Kept], tmp_path: Path) -> None:
    # FAILURES 12
    seed = int(os.environ.get("DAMAGE_SEED", "2026"))
    chance, came = random.Random(seed), Counter[str]()
    assert len(list((kept["stop"].home / STORE).rglob("*.blk"))) > 1, "one block alone is too easy"
    for number in range(DAMAGES):
        before = kept[chance.choice(["stop", "kill"])]
        home = tmp_path / str(number)
        shutil.copytree(before.home, home)
        what, where = damage(home / STORE, chance)
        try:
            head = await start_on(home)
        except Corrupt as trouble:
            assert "sequence " in str(trouble)  # noqa: PT017 - what else it may be is told apart below
            came[f"{what} {where}: refused"] += 1
        except Stuck:
            came["nats-server does not come up"] += 1
        else:
            # Only what JetStream keeps twice may be damaged without harm: then every commit is there and verified.
            assert (head, where == ".blk") == (before.head, False), f"seed {seed}, round {number}: {what} {where} went unnoticed"
            came[f"{what} {where}: harmless"] += 1
        shutil.rmtree(home)
    print(dict(came))
    assert came["nats-server does not come up"] <= DAMAGES // 20, came
    assert all(came[f"{what} .blk: refused"] for what in ("flip", "cut", "delete")), came


async def test_an_undamaged_store_starts(kept: dict[str, Kept], tmp_path: Path) -> None:
    for ending, before in kept.items():
        shutil.copytree(before.home, tmp_path / ending)
        assert await start_on(tmp_path / ending) == before.head
