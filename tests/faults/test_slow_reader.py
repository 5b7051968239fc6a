"""A reader that is slower than its stream, stops now and then, or misses what it was sent: each commit is applied once, in order."""

import asyncio
import contextlib
import time
from typing import Any, Final

import pytest

from adapters import feed
from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream
from apps.journal.subscription import Applied, JournalSubscription
from domain.ports import Head
from tests.faults.scene import connected
from tests.live import LiveServer

TEXTS: Final[CommitCodec[str]] = CommitCodec(str)
COMMITS: Final = 1600
SLOW_S: Final = 2.5
AT_ONCE: Final = 16
PIECE: Final = bytes(20_000)
"""Some of what was asked for is still on its way when the rest is read."""


async def test_a_reader_that_stops_for_longer_than_an_answer_may_take_applies_each_commit_once(
    fresh_nats: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # FAILURES 46: nothing is acknowledged, so nothing is sent again; the reader's own place is what counts
    monkeypatch.setattr(feed, "ANSWER_S", SLOW_S / 2)
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
        follower = JournalSubscription(there, TEXTS, apply, after=Head(), wait_s=0)
        running = asyncio.create_task(follower.run())
        async with asyncio.timeout(120):
            await follower.wait_for(head.seq)
            head = await journal.append(TEXTS.encode(0, head.n + 1, ["and it continues"]), head)
            await follower.wait_for(head.seq)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not slow, "it was never slow: it proves nothing"
    assert applied == list(range(1, COMMITS + 2))


async def test_a_slow_reader_is_never_owed_more_than_it_asked_for_at_once(fresh_nats: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # FAILURES 46: nats-server lets go of a connection for which too much waits
    monkeypatch.setattr(feed, "BATCH_MESSAGES", AT_ONCE)
    asked, read, most = 0, 0, 0
    async with connected(fresh_nats.url) as writing, connected(fresh_nats.url) as reading:
        await ensure_stream(writing, "J", ["j.>"], 64 * 1024 * 1024)
        for _ in range(0, COMMITS, AT_ONCE):
            await asyncio.gather(*(writing.request("j.0", PIECE, timeout=30) for _ in range(AT_ONCE)))
        publish = reading.publish

        async def counted(subject: str, *arguments: Any, **more: Any) -> None:
            nonlocal asked
            asked += AT_ONCE * subject.startswith(f"{feed.API}.DIRECT.GET")
            await publish(subject, *arguments, **more)

        monkeypatch.setattr(reading, "publish", counted)
        async with asyncio.timeout(120), contextlib.aclosing(feed.Feed(reading, "J", "j.0", 0).batches()) as batches:
            async for batch in batches:
                read += len(batch)
                most = max(most, asked - read)
                await asyncio.sleep(0)
                if read == COMMITS:
                    break
    assert 0 < most <= AT_ONCE


async def test_what_comes_while_the_reader_is_busy_is_bounded_and_read_afterwards(
    fresh_nats: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # FAILURES 46, 49: the feed does not wait for a reader; what has no room is dropped here and fetched later
    monkeypatch.setattr(feed, "HELD_BYTES_MAX", 4 * len(PIECE))
    async with connected(fresh_nats.url) as writing, connected(fresh_nats.url) as reading:
        await ensure_stream(writing, "J", ["j.>"], 64 * 1024 * 1024)
        there = feed.Feed(reading, "J", "j.0", 0)
        read: list[int] = []
        async with asyncio.timeout(120), contextlib.aclosing(there.batches()) as batches:
            assert await anext(batches) == [], "nothing is there yet"
            for _ in range(10 * AT_ONCE):
                await writing.request("j.0", PIECE, timeout=5)
            assert len(there._arrived) + len(there._early) <= 6, "the reader was busy, and yet all of it is kept in memory"
            async for batch in batches:
                read += [seq for seq, _ in batch]
                if len(read) >= 10 * AT_ONCE:
                    break
    assert read == list(range(1, 10 * AT_ONCE + 1))


async def test_subjects_of_one_stream_are_read_apart(fresh_nats: LiveServer) -> None:
    """Their sequences interleave: a gap between two messages of a subject is no missing message."""
    async with connected(fresh_nats.url) as client:
        await ensure_stream(client, "J", ["j.>"], 64 * 1024 * 1024)
        read: dict[str, list[int]] = {"j.0": [], "j.1": []}

        async def follow(subject: str) -> None:
            async with contextlib.aclosing(feed.Feed(client, "J", subject, 0).batches()) as batches:
                async for batch in batches:
                    read[subject] += [seq for seq, _ in batch]
                    if len(read[subject]) == 50:
                        return

        following = [asyncio.create_task(follow(subject)) for subject in read]
        for n in range(100):
            await client.request(f"j.{n % 2}", b"piece", timeout=5)
        async with asyncio.timeout(120):
            await asyncio.gather(*following)
    assert read == {"j.0": list(range(1, 101, 2)), "j.1": list(range(2, 101, 2))}


async def test_a_message_that_only_looks_like_the_feed_is_not_taken(fresh_nats: LiveServer) -> None:
    """Whatever arrives on the feed's subject without the next sequence is a reason to look, and never a commit."""
    async with connected(fresh_nats.url) as client:
        await ensure_stream(client, "J", ["j.>"], 64 * 1024 * 1024)
        read: list[bytes] = []
        async with asyncio.timeout(120), contextlib.aclosing(feed.Feed(client, "J", "j.0", 0).batches()) as batches:
            assert await anext(batches) == []
            await client.publish("stored.j.0", b"without a header")
            await client.publish("stored.j.0", b"behind a hole", headers={feed.SEQUENCE: "7", feed.PREVIOUS: "6"})
            await client.publish("stored.j.0", b"of the past", headers={feed.SEQUENCE: "0", feed.PREVIOUS: "0"})
            await client.request("j.0", b"true", timeout=5)
            async for batch in batches:
                read += [message.data for _, message in batch]
                if read:
                    break
    assert read == [b"true"]
