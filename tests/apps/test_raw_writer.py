"""Frames on their way to the stream: in order, numbered without holes, bounded in memory, and each once whatever acks are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.clock import SystemClock
from apps.gateway import raw_writer
from apps.gateway.epochs import Epochs, epoch_of
from apps.gateway.raw_writer import FRAME_OVERHEAD, LATE_FRAMES_MAX, LATENCY_BUCKETS_S, MESSAGE_BYTES_MAX, RawWriter
from apps.runtime.chassis import cancelled
from apps.runtime.metrics import Observations
from domain.market.venues.feed import FRAMES_MAX, FrameKind
from tests.apps.memory_stream import MemoryStream

WAIT_S = 60.0
MIB = 1024 * 1024


@asynccontextmanager
async def writing(stream: MemoryStream, bytes_max: int = 64 * MIB) -> AsyncIterator[RawWriter]:
    latency = Observations(LATENCY_BUCKETS_S)
    writer = RawWriter("KRAKEN", "market.raw.KRAKEN", stream, SystemClock(), latency, wait_s=0.005, bytes_max=bytes_max)
    writer.begin(7)
    task = asyncio.create_task(writer.run())
    yield writer
    await cancelled(task)


def put(writer: RawWriter, *texts: str) -> None:
    for place, text in enumerate(texts):
        writer.put(FrameKind.FRAME, text, 1000 + place)


async def test_frames_that_gathered_leave_in_messages_of_bounded_size_in_order() -> None:
    stream, count = MemoryStream(), 2 * LATE_FRAMES_MAX + 50
    async with writing(stream) as writer:
        put(writer, *(str(number) for number in range(count)))
        assert await writer.drained(WAIT_S)
    assert [(message.venue, message.epoch, message.n, len(message.frames)) for message in stream.messages] == [
        ("KRAKEN", 7, 1, LATE_FRAMES_MAX),
        ("KRAKEN", 7, LATE_FRAMES_MAX + 1, LATE_FRAMES_MAX),
        ("KRAKEN", 7, 2 * LATE_FRAMES_MAX + 1, 50),
    ]
    assert stream.texts() == [str(number) for number in range(count)]
    assert [frame.received for _, frame in stream.numbered()] == list(range(1000, 1000 + count))
    assert (writer.written, writer.bytes, writer.dropped) == (count, 0, 0)


async def test_a_frame_alone_leaves_by_itself_after_the_wait() -> None:
    stream = MemoryStream()
    async with writing(stream) as writer, asyncio.timeout(WAIT_S):
        for number in range(3):
            put(writer, str(number))
            while len(stream.messages) <= number:
                await asyncio.sleep(0.001)
    assert stream.numbers() == [1, 2, 3]


async def test_a_message_whose_ack_is_lost_is_repeated_under_its_id_and_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_writer, "REPEAT_AFTER_S", 0.001)
    stream, count = MemoryStream(), LATE_FRAMES_MAX + 1
    stream.lost_acks = 2
    async with writing(stream) as writer:
        put(writer, *map(str, range(count)))
        assert await writer.drained(WAIT_S)
    assert stream.attempts == ["KRAKEN-7-1", "KRAKEN-7-1", "KRAKEN-7-1", f"KRAKEN-7-{count}"]
    assert stream.numbers() == list(range(1, count + 1))
    assert writer.repeated == 2


@pytest.mark.parametrize("refused", range(4))
async def test_frames_behind_a_refused_message_wait_for_it(monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
    """A reader takes a frame that comes late for a hole: the books of its connection are invalid, and its trades are gone."""
    monkeypatch.setattr(raw_writer, "REPEAT_AFTER_S", 0.001)
    stream, count = MemoryStream(), 4 * LATE_FRAMES_MAX
    stream.refuses = {f"KRAKEN-7-{1 + refused * LATE_FRAMES_MAX}"}
    async with writing(stream) as writer:
        put(writer, *map(str, range(count)))
        assert await writer.drained(WAIT_S)
    assert stream.numbers() == list(range(1, count + 1)), "in the order of the stream"
    assert (stream.refuses, writer.repeated) == (set(), 1)


async def test_while_the_stream_is_away_memory_is_bounded_and_afterwards_the_hole_is_in_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MARKETDATA 4: slow reader, burst of ten times; gateway's memory has a named bound, beyond it oldest frames are dropped."""
    monkeypatch.setattr(raw_writer, "REPEAT_AFTER_S", 0.001)
    stream, text = MemoryStream(), "x" * 1000
    stream.away = True
    async with writing(stream, bytes_max=MIB) as writer, asyncio.timeout(WAIT_S):
        put(writer, *[text] * FRAMES_MAX)
        while not stream.attempts:
            await asyncio.sleep(0.001)
        put(writer, *[text] * 10_000)
        assert writer.bytes <= MIB
        assert writer.oldest_ns() > 0
        stream.away = False
        assert await writer.drained(WAIT_S)
    kept = MIB // (1000 + 49 + FRAME_OVERHEAD)  # a text of Python has 49 bytes besides its letters
    first = stream.numbers()
    assert first[:FRAMES_MAX] == list(range(1, 101)), "the message in flight is kept"
    assert first[FRAMES_MAX:] == list(range(10_100 - (kept - FRAMES_MAX) + 1, 10_101)), "the newest are kept, without a hole among them"
    assert writer.dropped == 10_100 - kept
    assert writer.oldest_ns() == 0


async def test_an_open_frame_is_kept_when_those_after_it_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_writer, "REPEAT_AFTER_S", 0.001)
    stream = MemoryStream()
    stream.away = True
    async with writing(stream, bytes_max=MIB) as writer, asyncio.timeout(WAIT_S):
        put(writer, *["x" * 1000] * FRAMES_MAX)
        while not stream.attempts:
            await asyncio.sleep(0.001)
        for epoch in (8, 9):
            writer.begin(epoch)
            writer.put(FrameKind.OPEN, "{}", 0)
            put(writer, *["x" * 1000] * 2000)
        assert writer.bytes <= MIB
        stream.away = False
        assert await writer.drained(WAIT_S)
    assert stream.texts(FrameKind.OPEN) == ["{}", "{}"]
    assert (stream.epochs, stream.numbers(8)) == ([7, 8, 9], [1])
    numbers = stream.numbers(9)
    assert (numbers[0], numbers[1:]) == (1, list(range(numbers[1], 2002)))
    assert numbers[1] > 2


async def test_frames_of_two_connections_never_share_a_message() -> None:
    stream = MemoryStream()
    async with writing(stream) as writer:
        put(writer, "a", "b")
        writer.begin(8)
        put(writer, "c")
        assert await writer.drained(WAIT_S)
    assert [(message.epoch, message.n, len(message.frames)) for message in stream.messages] == [(7, 1, 2), (8, 1, 1)]


async def test_large_frames_have_messages_of_their_own_and_one_too_large_for_the_server_is_a_hole() -> None:
    stream = MemoryStream()
    stream.payload_max = 2 * MESSAGE_BYTES_MAX
    large = "y" * (MESSAGE_BYTES_MAX - 100)
    async with writing(stream) as writer:
        put(writer, "a", large, "b", "z" * stream.payload_max, "c")
        assert await writer.drained(WAIT_S)
    assert [message.n for message in stream.messages] == [1, 2, 3, 5]
    assert (stream.texts(), writer.dropped, writer.bytes) == (["a", large, "b", "c"], 1, 0)


def test_an_epoch_is_the_time_and_always_greater_than_the_last_one() -> None:
    clock = SystemClock()
    before = clock.now_ns()
    epochs = Epochs(clock, 0)
    first = epochs.next()
    assert before <= first <= clock.now_ns() < epochs.next()
    ahead = 2 * clock.now_ns()
    assert [Epochs(clock, ahead).next(), Epochs(clock, ahead + 1).next()] == [ahead + 1, ahead + 2], "our clock stepped back"


def test_the_last_epoch_is_read_from_the_newest_message() -> None:
    assert epoch_of(b'{"v":1,"venue":"KRAKEN","epoch":12,"n":3,"frames":[]}') == 12
    assert [epoch_of(None), epoch_of(b"{}"), epoch_of(b"no message")] == [0, 0, 0]
