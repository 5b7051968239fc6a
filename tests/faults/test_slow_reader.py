"""A reader that is slower than the server has patience: its consumer is gone, and yet each commit is applied once, in order."""

import asyncio
import contextlib
import time
from typing import Any, Final

import pytest

from adapters import bus, pull
from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream
from apps.follower import Applied, Follower
from domain.ports import Head
from tests.faults.scene import connected
from tests.live import LiveServer

TEXTS: Final[CommitCodec[str]] = CommitCodec(str)
COMMITS: Final = 1500
PATIENCE_S: Final = 1
SLOW_S: Final = 2.5
AT_ONCE: Final = 16
PIECE: Final = bytes(20_000)
"""Some of what was asked for is still on its way when the rest is read."""


async def test_a_reader_that_outlives_its_consumer_applies_each_commit_once(
    fresh_nats: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # FAILURES 46: nobody acknowledges, so nothing is sent again; the reader's own place is what counts
    monkeypatch.setattr(pull, "IDLE_CONSUMER_S", PATIENCE_S)
    applied: list[int] = []
    slow = [lambda: asyncio.sleep(SLOW_S), lambda: asyncio.to_thread(time.sleep, SLOW_S)]
    async with connected(fresh_nats.url) as writing, connected(fresh_nats.url) as reading:
        await ensure_stream(writing, "J", ["j.>"], 64 * 1024 * 1024)
        journal = await JetStreamJournal.open(writing, stream="J", subject="j.0")
        head = Head()
        for n in range(1, COMMITS + 1):
            head = await journal.append(TEXTS.encode(0, n, [f"event {n}"]), head)

        async def apply(commits: Applied[str]) -> None:
            applied.extend(seq for seq, _ in commits)
            if slow:
                await slow.pop()()

        there = await JetStreamJournal.open(reading, stream="J", subject="j.0")
        follower = Follower(there, TEXTS, apply, after=Head(), wait_s=0)
        running = asyncio.create_task(follower.run())
        async with asyncio.timeout(30):
            await follower.wait_for(head.seq)
            head = await journal.append(TEXTS.encode(0, head.n + 1, ["and it goes on"]), head)
            await follower.wait_for(head.seq)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not slow, "it was never slow: it proves nothing"
    assert applied == list(range(1, COMMITS + 2))


async def test_a_slow_reader_is_never_owed_more_than_it_asked_for_at_once(fresh_nats: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # FAILURES 46: nats-server lets go of a connection for which too much waits
    monkeypatch.setattr(pull, "PULL_MESSAGES", AT_ONCE)
    asked, read, most = 0, 0, 0
    async with connected(fresh_nats.url) as writing, connected(fresh_nats.url) as reading:
        await ensure_stream(writing, "J", ["j.>"], 64 * 1024 * 1024)
        for _ in range(COMMITS):
            await writing.publish("j.0", PIECE)
            if writing.pending_data_size > 2**20:
                await bus.flush(writing)
        await bus.flush(writing)
        publish = reading.publish

        async def counted(subject: str, *arguments: Any, **more: Any) -> None:
            nonlocal asked
            asked += AT_ONCE * subject.startswith("$JS.API.CONSUMER.MSG.NEXT")
            await publish(subject, *arguments, **more)

        monkeypatch.setattr(reading, "publish", counted)
        async with asyncio.timeout(30), contextlib.aclosing(pull.Pull(reading, "J", "j.0", 1).batches()) as batches:
            async for batch in batches:
                read += len(batch)
                most = max(most, asked - read)
                await asyncio.sleep(0)
                if read == COMMITS:
                    break
    assert 0 < most <= AT_ONCE
