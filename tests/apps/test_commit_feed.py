"""Folds in the writer's process: they get its durable commits from it, and miss no commit of another writer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, Decoded
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal import commit_feed
from apps.journal.commit_feed import CommitFeed, FedJournal
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from domain.order import events as e
from domain.ports import Head, JournalEntry, Unavailable
from tests import given
from tests.apps.held_journal import until


class Reader:
    """A fold: the commits it was given, by their place in the journal, and whether each came from the writer itself."""

    def __init__(self, log: MemoryLog, feed: CommitFeed, after: Head = Head()) -> None:  # noqa: B008 - frozen
        self.given: list[tuple[int, tuple[e.OrderEvent, ...]]] = []
        self.fed: list[bool] = []
        self._journal = FedJournal(MemoryJournal(log), feed)
        self.task = asyncio.create_task(self._read(after))

    async def _read(self, head: Head) -> None:
        while True:
            try:
                async with aclosing(self._journal.follow(head)) as batches:
                    async for batch in batches:
                        self._take(batch)
                        head = batch[-1].head
            except Unavailable:
                await asyncio.sleep(0.01)

    def _take(self, batch: Sequence[JournalEntry]) -> None:
        for recorded in batch:
            self.given.append((recorded.head.seq, ORDER_COMMITS.read(recorded).events))
            self.fed.append(isinstance(recorded, Decoded))


class Writer:
    """oms, with a feed beside it."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.feed = CommitFeed()
        self.host = ShardHost(MemoryJournal(log), SystemClock(), pace=Pace(wait_s=0), feed=self.feed)
        self.task = asyncio.create_task(self.host.run())

    async def submits(self, *names: str) -> None:
        for name in names:
            await self.host.perform(given.submit(replace(given.terms(), order_id=name, client_order_id=name)))


@pytest.fixture
async def writer() -> AsyncIterator[Writer]:
    made = Writer(MemoryLog())
    await until(lambda: made.host.ready)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


def stored(log: MemoryLog) -> list[tuple[int, tuple[e.OrderEvent, ...]]]:
    """What a reader of the journal itself finds."""
    return [(head.seq, ORDER_COMMITS.decode(payload).events) for head, payload in log.commits]


async def ended(*readers: Reader) -> None:
    for reader in readers:
        reader.task.cancel()
    await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)


async def test_a_reader_beside_the_writer_is_given_what_the_journal_has_and_decodes_none_of_it(writer: Writer) -> None:
    reader = Reader(writer.log, writer.feed)
    await writer.submits("a", "b", "c")
    await until(lambda: len(reader.given) == 3)
    assert reader.given == stored(writer.log)
    assert reader.fed[1:] == [True, True]
    await ended(reader)


async def test_one_that_begins_late_reads_the_journal_until_it_has_come_near(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_feed, "KEPT_MAX", 2)
    await writer.submits(*"abcdef")
    reader = Reader(writer.log, writer.feed)
    await until(lambda: len(reader.given) == 6)
    await writer.submits("g")
    await until(lambda: len(reader.given) == 7)
    assert reader.given == stored(writer.log)
    assert reader.fed[-1]
    await ended(reader)


async def test_what_another_writer_wrote_is_read_from_the_journal_and_then_ours_again(writer: Writer) -> None:
    reader = Reader(writer.log, writer.feed)
    await writer.submits("a")
    other = Writer(writer.log)
    await until(lambda: other.host.ready)
    await other.submits("b", "c")
    await until(lambda: writer.host.recoveries > 0 and writer.host.ready)
    other.task.cancel()
    await writer.submits("d", "e")
    await until(lambda: len(reader.given) == 5)
    assert reader.given == stored(writer.log)
    await asyncio.gather(other.task, return_exceptions=True)
    await ended(reader)


def commit(n: int, payload: bytes = b"x") -> Decoded[e.OrderEvent]:
    return Decoded(Head(n, n, f"chain {n}"), payload, ORDER_COMMITS.commit(0, n, ()))


def test_it_keeps_a_bounded_number_of_commits_and_bytes_and_says_when_it_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = CommitFeed()
    assert feed.behind(Head()) is None, "no writer"
    feed.begin(Head())
    for n in range(1, commit_feed.KEPT_MAX + 3):
        feed.put(commit(n))
    last = commit_feed.KEPT_MAX + 2
    assert feed.behind(commit(last).head) == []
    assert [each.head.n for each in feed.behind(commit(2).head) or ()] == list(range(3, last + 1))
    assert feed.behind(commit(1).head) is None, "too far behind"
    assert feed.behind(Head(last, last, "another chain")) is None
    assert feed.behind(commit(last + 1).head) is None, "ahead of it"
    feed.put(commit(last + 1, b"x" * commit_feed.KEPT_BYTES_MAX))
    assert feed.behind(commit(last).head) == [commit(last + 1, b"x" * commit_feed.KEPT_BYTES_MAX)]
    assert feed.behind(commit(last - 1).head) is None, "one large commit takes the room of all others"
    feed.end()
    assert feed.behind(commit(last + 1).head) is None
