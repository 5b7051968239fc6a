"""A stack is archived while it trades, destroyed, and comes back from its archive alone: orders, positions, keys and the kill switch."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters import bus, subjects
from adapters.clock import SystemClock
from adapters.memory_places import MemoryDeadLetters
from adapters.objects import Objects
from apps.connections.journals import order_journal
from apps.runtime.exit_codes import Exit
from apps.sink.archive import archive_pipelines
from apps.sink.pipeline import Pipeline
from apps.tools.verify.fold import JournalFold
from config.archive_section import ArchiveSection
from domain.audit.state_hash import orders_state, positions_state, state_hash
from tests.flows.test_backup import body, everything
from tests.stack import HANGS_S, LiveStack

ORDERS = 12


@contextlib.asynccontextmanager
async def archived(stack: LiveStack, url: str) -> AsyncIterator[list[Pipeline]]:
    """The pipelines of sink-alt's archive, with the user who may read every journal."""
    client = await bus.connect(stack.url("nats"), "sink-alt", closed=lambda: None, timeout_s=5.0)
    section = ArchiveSection(url=url, wait_ms=200, range=10)
    pipelines = archive_pipelines(client, Objects.at(url), section, MemoryDeadLetters(), SystemClock())
    running = [asyncio.create_task(pipeline.run()) for pipeline in pipelines]
    try:
        yield pipelines
        assert not any(task.done() for task in running), [task for task in running if task.done()]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await client.close()


async def all_archived(stack: LiveStack, pipelines: list[Pipeline]) -> None:
    """Until the archive has what the streams have now."""
    client = await bus.connect(stack.url("nats"), "test", closed=lambda: None, timeout_s=5.0)
    info = client.jetstream(prefix="journals")
    ends = {pipeline.name.partition(".")[2]: pipeline for pipeline in pipelines}
    deadline = time.monotonic() + HANGS_S
    for stream, pipeline in ends.items():
        last = (await info.stream_info(stream)).state.last_seq
        while not pipeline.checkpoint.holds(stream, 0, last):
            assert time.monotonic() < deadline, f"{pipeline.name}: {pipeline.trouble}"
            await asyncio.sleep(0.05)
    await client.close()


async def hash_of(stack: LiveStack) -> tuple[int, str, str]:
    """The state that the journal leads to: its last sequence, and the hashes of orders and positions."""
    client = await bus.connect(stack.url("nats"), "test", closed=lambda: None, timeout_s=5.0)
    fold = JournalFold(await order_journal(client), None, lambda _: None)
    try:
        await fold.catch_up()
        orders = [line.order for _, line in fold.lines.items_in_order()]
        return fold.head.seq, state_hash(orders_state(orders)), state_hash(positions_state(fold.audit.book.positions.values()))
    finally:
        fold.close()
        await client.close()


def trade(stack: LiveStack) -> None:
    with stack.client() as oms:
        last = max(oms.post("/orders", json=body(number)).json()["seq"] for number in range(ORDERS))
        assert oms.get("/positions/main", params={"min_seq": last + 2}).status_code in (200, 503)


def killed(stack: LiveStack) -> list[Any]:
    with stack.client("risk") as risk:
        found: list[Any] = risk.get("/risk/controls").json()["killed"]
        return found


@pytest.mark.timeout(900)
async def test_a_destroyed_stack_comes_back_from_its_archive_alone(tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'archive'}"
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite")
    await asyncio.to_thread(stack.start)
    try:
        async with archived(stack, url) as pipelines:
            await asyncio.to_thread(trade, stack)
            stopped = await asyncio.to_thread(stack.trade, "kill", "account:other", "--reason", "for the archive")
            assert stopped.returncode == Exit.DONE, stopped.stderr
            made = await asyncio.to_thread(stack.trade, "key", "create", "--account", "main", "--scopes", "read")
            assert made.returncode == Exit.DONE, made.stderr
            before, state = await asyncio.to_thread(everything, stack), await hash_of(stack)
            await all_archived(stack, pipelines)
        verified = await asyncio.to_thread(stack.trade, "verify", "--archive", url)
        assert verified.returncode == Exit.DONE, verified.stdout + verified.stderr
        kills = await asyncio.to_thread(killed, stack)
        await asyncio.to_thread(stack.stop)
        shutil.rmtree(stack.data_dir)

        report = json.loads((await asyncio.to_thread(stack.trade, "verify", "--archive", url, "--json")).stdout)
        assert (report["ok"], report["complete"]) == (True, True)
        empty = LiveStack(stack.data_dir, "--fills", "sqlite", "--only-servers")
        await asyncio.to_thread(empty.start)
        try:
            back = await asyncio.to_thread(empty.trade, "restore", "--from-archive", url, "--keep-keys")
            assert back.returncode == Exit.DONE, back.stderr
            again = await asyncio.to_thread(empty.trade, "restore", "--from-archive", url)
            assert (again.returncode, again.stdout) == (Exit.REFUSED, "")
            assert f"Nothing was written: the stream {subjects.ORDER_STREAM} holds" in again.stderr
        finally:
            empty.close()

        await asyncio.to_thread(stack.start)
        assert (await hash_of(stack))[1:] == state[1:]
        assert await asyncio.to_thread(everything, stack) == before
        assert await asyncio.to_thread(killed, stack) == kills
        assert made.stdout.partition(".")[0] in (await asyncio.to_thread(stack.trade, "key", "list")).stdout
        assert (await asyncio.to_thread(stack.trade, "verify")).returncode == Exit.DONE
        async with archived(stack, url) as pipelines:
            await all_archived(stack, pipelines)  # the restored journals continue those that were archived
        assert (await asyncio.to_thread(stack.trade, "verify", "--archive", url)).returncode == Exit.DONE
    finally:
        await asyncio.to_thread(stack.close)
