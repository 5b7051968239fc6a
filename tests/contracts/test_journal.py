"""What every journal promises: fenced, chained, contiguous, durable when it answers. Run by memory and by a real nats-server."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from adapters import bus
from adapters.codec import Commit, Decoded
from adapters.jetstream import JetStreamJournal, ensure_stream
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal.commit_feed import CommitFeed, FedJournal
from domain.order.events import Foreign
from domain.ports import Corrupt, Fenced, Head, Journal, Unavailable
from tests.live import LiveServer

MakeJournal = Callable[[], Awaitable[Journal]]


class Place(NamedTuple):
    """Where one journal is: makes writers that contend for it, and puts a message there that no writer made."""

    writer: MakeJournal
    put_foreign: Callable[[bytes], Awaitable[None]]


class Beside(FedJournal):
    """A journal for readers in the process of its writer. What is appended goes into the feed, as oms puts it there."""

    async def append(self, payload: bytes, after: Head) -> Head:
        self._feed.begin(after)
        head = await super().append(payload, after)
        self._feed.put(Decoded(head, payload, Commit(1, 0, head.n, ())))
        return head


@pytest.fixture(params=["memory", "jetstream", "beside its writer"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param != "jetstream":
        shared = MemoryLog()

        async def in_memory() -> Journal:
            return MemoryJournal(shared) if request.param == "memory" else Beside(MemoryJournal(shared), CommitFeed())

        async def into_memory(payload: bytes) -> None:
            shared.put_foreign(payload)

        yield Place(in_memory, into_memory)
        return
    server: LiveServer = request.getfixturevalue("nats_server")
    client = await bus.connect(server.url, "contract", closed=lambda: None)
    name = "J_" + secrets.token_hex(4)
    await ensure_stream(client, name, [f"{name}.>"], 64 * 1024 * 1024)

    async def on_the_server() -> Journal:
        return await JetStreamJournal.open(client, stream=name, subject=f"{name}.0")

    async def onto_the_server(payload: bytes) -> None:
        await client.request(f"{name}.0", payload, timeout=5)

    yield Place(on_the_server, onto_the_server)
    await client.close()


@pytest.fixture
async def writer(place: Place) -> MakeJournal:
    return place.writer


async def read_all(journal: Journal, until: int, after: Head | None = None) -> list[bytes]:
    return [r.payload async for batch in journal.follow(after or Head(), until=until) for r in batch]


async def test_an_empty_journal_begins_at_zero(writer: MakeJournal) -> None:
    assert await (await writer()).head() == Head()


async def test_what_was_appended_is_read_back_in_order(writer: MakeJournal) -> None:
    journal = await writer()
    head = Head()
    for n in range(30):
        head = await journal.append(b"commit %d" % n, head)
    assert (head.seq, head.n) == (30, 30)
    assert await journal.head() == head
    assert await read_all(journal, until=30) == [b"commit %d" % n for n in range(30)]


async def test_a_reader_continues_behind_any_commit(writer: MakeJournal) -> None:
    journal = await writer()
    head = Head()
    for n in range(10):
        head = await journal.append(b"%d" % n, head)
    fourth = await journal.read(4)
    assert fourth is not None
    assert fourth.payload == b"3"
    assert await read_all(journal, until=10, after=fourth.head) == [b"%d" % n for n in range(4, 10)]
    assert await journal.read(11) is None
    assert await journal.read(0) is None


async def test_a_reader_sees_what_is_appended_while_it_reads(writer: MakeJournal) -> None:
    journal, reader = await writer(), await writer()
    reading = asyncio.create_task(read_all(reader, until=3))
    head = Head()
    for n in range(3):
        await asyncio.sleep(0.01)
        head = await journal.append(b"%d" % n, head)
    assert await asyncio.wait_for(reading, 120) == [b"0", b"1", b"2"]


async def test_the_second_writer_is_fenced_and_stores_nothing(writer: MakeJournal) -> None:
    # FAILURES 14
    first, second = await writer(), await writer()
    head = await first.append(b"mine", Head())
    with pytest.raises(Fenced):
        await second.append(b"yours", Head())
    assert await first.head() == head
    assert await read_all(first, until=1) == [b"mine"]


async def test_many_writers_contend_and_each_place_has_one_winner(writer: MakeJournal) -> None:
    # FAILURES 14
    writers = [await writer() for _ in range(4)]
    won: list[bytes] = []

    async def contend(name: int, journal: Journal) -> None:
        for attempt in range(20):
            try:
                await journal.append(b"%d-%d" % (name, attempt), await journal.head())
            except Fenced:
                continue
            won.append(b"%d-%d" % (name, attempt))

    await asyncio.gather(*(contend(name, journal) for name, journal in enumerate(writers)))
    assert sorted(await read_all(writers[0], until=len(won))) == sorted(won)
    assert (await writers[0].head()).seq == len(won)


def foreign(seq: int, payload: bytes) -> Foreign:
    return Foreign(seq, hashlib.sha256(payload).hexdigest())


async def test_a_foreign_message_at_the_end_is_no_commit_and_fences_the_writer(place: Place) -> None:
    journal = await place.writer()
    head = await journal.append(b"one", Head())
    head = await journal.append(b"two", head)
    assert await journal.foreign(head) == []
    await place.put_foreign(b"an answer of nats-server")
    await place.put_foreign(b"")
    assert await journal.head() == head, "the last commit"
    assert await journal.foreign(head) == [foreign(3, b"an answer of nats-server"), foreign(4, b"")]
    assert await journal.read(3) is None
    assert await read_all(journal, until=head.seq) == [b"one", b"two"]
    with pytest.raises(Fenced):
        await journal.append(b"three", head)
    assert await (await place.writer()).head() == head, "also without an earlier read"


async def test_the_chain_leads_across_a_foreign_message(place: Place) -> None:
    journal = await place.writer()
    one = await journal.append(b"one", Head())
    await place.put_foreign(b"x")
    two = await journal.append(b"two", Head(2, one.n, one.chain))
    await place.put_foreign(b"y")
    await place.put_foreign(b"z")
    three = await journal.append(b"three", Head(5, two.n, two.chain))
    assert [(head.seq, head.n) for head in (one, two, three)] == [(1, 1), (3, 2), (6, 3)]
    assert await journal.head() == three
    for reader, after in ((await place.writer(), Head()), (await place.writer(), one), (await place.writer(), two)):
        assert await read_all(reader, until=6, after=after) == [b"one", b"two", b"three"][after.n :]
        passed = [foreign(2, b"x"), foreign(4, b"y"), foreign(5, b"z")]
        assert reader.passed == passed[{0: 0, 1: 0, 2: 1}[after.n] :]
    assert await journal.foreign(one) == [foreign(2, b"x")], "up to the next commit"
    assert await read_all(journal, until=4) == [b"one", b"two"], "a reading may end at a foreign message"
    assert (await journal.append(b"four", three)).n == 4


async def test_a_foreign_message_in_the_place_of_a_commit_is_a_hole(place: Place) -> None:
    journal = await place.writer()
    one = await journal.append(b"one", Head())
    await place.put_foreign(b"in the place of two")
    await journal.append(b"three", Head(2, 2, one.chain))
    with pytest.raises(Corrupt, match=r"^sequence 2: no commit, and the chain does not continue across it"):
        await read_all(journal, until=3)


async def test_a_foreign_message_before_the_first_commit(place: Place) -> None:
    journal = await place.writer()
    await place.put_foreign(b"x")
    assert await journal.head() == Head()
    assert await journal.foreign(Head()) == [foreign(1, b"x")]
    assert await journal.append(b"one", Head(1)) == await journal.head()
    assert await read_all(journal, until=2) == [b"one"]


async def test_an_append_without_a_server_is_unavailable_and_leaves_no_ghost(fresh_nats: LiveServer) -> None:
    # FAILURES 6
    client = await bus.connect(fresh_nats.url, "outage", closed=lambda: None)
    await ensure_stream(client, "J", ["j.>"], 64 * 1024 * 1024)
    journal = await JetStreamJournal.open(client, stream="J", subject="j.0", append_timeout_s=0.2, append_deadline_s=0.6)
    head = await journal.append(b"before", Head())
    fresh_nats.kill()
    await asyncio.sleep(0.2)
    with pytest.raises(Unavailable):
        await journal.append(b"ghost", head)
    fresh_nats.start()
    for _ in range(40):
        await asyncio.sleep(0.1)
        if client.is_connected:
            break
    await asyncio.sleep(0.5)
    assert await journal.head() == head
    assert (await journal.append(b"after", head)).n == 2
    await client.close()


async def test_a_reader_comes_back_after_the_server_did(fresh_nats: LiveServer) -> None:
    # FAILURES 8
    client = await bus.connect(fresh_nats.url, "reader", closed=lambda: None)
    await ensure_stream(client, "J", ["j.>"], 64 * 1024 * 1024)
    journal = await JetStreamJournal.open(client, stream="J", subject="j.0")
    head = await journal.append(b"one", Head())
    seen: list[bytes] = []

    async def read() -> None:
        async for batch in journal.follow(Head()):
            seen.extend(r.payload for r in batch)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.3)
    fresh_nats.restart()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(reading, 120)
    assert seen == [b"one"]
    await journal.append(b"two", head)
    assert await read_all(journal, until=2) == [b"one", b"two"]
    await client.close()
