"""A stream of the market as a source, on a real server: what was discarded, what was forgotten by a power cut, what cannot be read."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from nats.aio.client import Client

from adapters import bus
from adapters.clock import SystemClock
from adapters.codec import encode
from adapters.feed import API
from adapters.market_source import DISCARDED, WENT_BACK, MarketSource
from adapters.marketstreams import ensure_market_stream
from adapters.memory_places import MemoryDeadLetters, MemoryPlace, MemoryShelf
from apps.sink.pipeline import FlushBounds, Pipeline
from domain.archive.checkpoint import Checkpoint, Hint, Message
from domain.archive.market_rows import FACTS, TRADES, record_rows
from domain.archive.ports import Loss, UnreadableMessage
from domain.ports import Unavailable
from tests.contracts import ticks
from tests.contracts.places import never
from tests.live import LiveServer

DEADLINE_S = 60.0
_names = itertools.count(1)


class Stream:
    """A stream of its own on the shared server. Its subjects are `market.<kind>.<venue>`, so only one exists at a time."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.name = f"MARKET_TEST_{next(_names)}"

    async def make(self, max_bytes: int = 2**20) -> None:
        await ensure_market_stream(self.client, self.name, ["market.trades.*", "market.facts.*"], max_bytes=max_bytes)

    async def delete(self) -> None:
        await bus.request(self.client, f"{API}.STREAM.DELETE.{self.name}", b"", 10)

    async def put(self, *messages: Message[Any]) -> None:
        for message in messages:
            await self.put_raw(f"market.{message.part}", encode(message.body))

    async def put_raw(self, subject: str, payload: bytes) -> None:
        assert "seq" in json.loads(await bus.request(self.client, subject, payload, 10))

    def source(self, kind: type[MarketSource] = MarketSource) -> MarketSource:
        return kind(self.client, self.name, SystemClock(), poll_s=0.01)

    async def read(self, after: Checkpoint, count: int, source: MarketSource | None = None) -> list[Message[Any]]:
        """The first `count` messages behind a checkpoint."""
        found: list[Message[Any]] = []
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing((source or self.source()).messages(after)) as batches:
            async for batch in batches:
                found += batch
                if len(found) >= count:
                    return found
        raise AssertionError("the source ended")


@pytest.fixture
async def stream(nats_server: LiveServer) -> AsyncIterator[Stream]:
    client = await bus.connect(nats_server.url, "market source", closed=lambda: None)
    made = Stream(client)
    await made.make()
    yield made
    with contextlib.suppress(Unavailable):
        await made.delete()
    await client.close()


def trades(*numbers: int, epoch: int = 1, venue: str = "ALPHA") -> list[Message[Any]]:
    return [ticks.told("trades", venue, epoch, number, ticks.trade(venue, number)) for number in numbers]


def told(messages: Sequence[Message[Any]]) -> list[tuple[str, int, int]]:
    return [(message.part, message.epoch, message.n) for message in messages]


async def stored(stream: Stream, shelf: MemoryShelf, kind: type[MarketSource], *expected: tuple[str, int, int]) -> None:
    """Run a sink until its place holds these messages."""
    source, place = stream.source(kind), MemoryPlace(shelf, never)
    pipeline = Pipeline("memory", source, record_rows, place, MemoryDeadLetters(), SystemClock(), bounds=FlushBounds(rows=10, wait_s=0.01))
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(DEADLINE_S):
        while not all(shelf.checkpoint.holds(*each) for each in expected):
            assert not running.done(), running.exception()
            await asyncio.sleep(0.005)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_records_are_the_bodies_and_the_checkpoint_is_theirs(stream: Stream) -> None:
    log = [*trades(3, 7), ticks.told("facts", "ALPHA", 1, 7, ticks.fact("ALPHA", 7)), *trades(1, epoch=2)]
    await stream.put(*log)
    source = stream.source()
    found = await stream.read(Checkpoint(), 4, source)
    assert [list(message.body.records) for message in found] == [list(message.body.records) for message in log]
    assert told(found) == [("trades.ALPHA", 1, 3), ("trades.ALPHA", 1, 7), ("facts.ALPHA", 1, 7), ("trades.ALPHA", 2, 1)]
    assert [message.seq for message in found] == [1, 2, 3, 4]
    assert source.behind == 0


async def test_a_message_that_cannot_be_read_goes_aside_and_the_next_is_read(stream: Stream) -> None:
    await stream.put_raw("market.trades.ALPHA", b'{"v":1,"venue":"ALPHA"')
    await stream.put(*trades(1))
    broken, good = await stream.read(Checkpoint(), 2)
    assert isinstance(broken.body, UnreadableMessage)
    assert broken.body.payload == b'{"v":1,"venue":"ALPHA"'
    assert told([good]) == [("trades.ALPHA", 1, 1)]


async def check_a_loss_is_a_fact(stream: Stream, kind: type[MarketSource]) -> None:
    shelf = MemoryShelf()
    await stream.put(*trades(1, 2))
    await stored(stream, shelf, kind, ("trades.ALPHA", 1, 2))
    await stream.put(*trades(3, 4, 5, 6))
    answer = await bus.request(stream.client, f"{API}.STREAM.PURGE.{stream.name}", json.dumps({"seq": 6}).encode(), 10)
    assert json.loads(answer)["purged"] == 5
    await stored(stream, shelf, kind, ("trades.ALPHA", 1, 6))
    facts = [row.value for row in shelf.rows.values() if row.table == FACTS]
    assert [(fact.fact, fact.from_, fact.to, fact.venue) for fact in facts] == [("lost", 3, 5, "*")], "a loss without its fact"
    assert DISCARDED in facts[0].detail
    assert sorted(row.value.trade_id for row in shelf.rows.values() if row.table == TRADES) == ["1", "2", "6"]


async def test_what_the_stream_discarded_unread_is_a_fact_with_from_and_to(stream: Stream) -> None:
    """MARKETDATA 4: if the bound wins, the loss is a fact with from and to."""
    await check_a_loss_is_a_fact(stream, MarketSource)


async def test_a_gap_that_is_ignored_is_found(stream: Stream) -> None:
    class Ignores(MarketSource):
        """Planted bug: it passes over discarded messages."""

        async def messages(self, after: Checkpoint) -> AsyncGenerator[Sequence[Message[Any]]]:
            async with contextlib.aclosing(super().messages(after)) as batches:
                async for batch in batches:
                    yield [message for message in batch if not isinstance(message.body, Loss)]

    with pytest.raises(AssertionError, match="a loss without its fact"):
        await check_a_loss_is_a_fact(stream, Ignores)


async def test_after_a_power_cut_nothing_is_skipped_because_a_number_came_again(stream: Stream) -> None:
    """MARKETDATA 4: the market server forgets its last seconds while a place already holds them."""
    shelf = MemoryShelf()
    await stream.put(*trades(1, 2, 3, 4))
    await stored(stream, shelf, MarketSource, ("trades.ALPHA", 1, 4))
    await stream.delete()
    await stream.make()
    await stream.put(*trades(1, 2), *trades(1, 2, 3, epoch=2))
    await stored(stream, shelf, MarketSource, ("trades.ALPHA", 2, 3))
    found = [row for row in shelf.rows.values() if row.table == TRADES]
    assert sorted((row.epoch, row.n) for row in found) == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3)]
    assert any(row.table == FACTS and WENT_BACK in row.value.detail for row in shelf.rows.values())


async def test_how_full_the_stream_is_with_unread_messages_is_measured(stream: Stream) -> None:
    """MARKETDATA 4: alarm before the stream's bound is reached."""
    await stream.delete()
    await stream.make(max_bytes=40_000)
    await stream.put(*trades(*range(1, 201)))
    source = stream.source()
    await source.look(Checkpoint())
    assert source.unread_percent >= 90
    assert 0 < source.behind <= 200
    await source.look(Checkpoint(hint=Hint(200, "trades.ALPHA", 1, 200)))
    assert (source.unread_percent, source.behind) == (0, 0)


async def test_a_sink_continues_after_the_market_server_was_away(fresh_nats: LiveServer) -> None:
    """MARKETDATA 4: NATS away. The sink waits and catches up without loss or doubles."""
    client = await bus.connect(fresh_nats.url, "market source", closed=lambda: None)
    stream, shelf = Stream(client), MemoryShelf()
    await stream.make()
    await stream.put(*trades(1, 2, 3))
    pipeline = Pipeline(
        "memory",
        stream.source(),
        record_rows,
        MemoryPlace(shelf, never),
        MemoryDeadLetters(),
        SystemClock(),
        bounds=FlushBounds(rows=10, wait_s=0.01),
    )
    running = asyncio.create_task(pipeline.run())
    await until(lambda: shelf.checkpoint.holds("trades.ALPHA", 1, 3), running)
    fresh_nats.kill()
    await until(lambda: bool(pipeline.trouble), running)
    await asyncio.to_thread(fresh_nats.start)
    await until(lambda: client.is_connected, running)
    await stream.put(*trades(4, 5))
    await until(lambda: shelf.checkpoint.holds("trades.ALPHA", 1, 5), running)
    assert sorted(row.value.trade_id for row in shelf.rows.values()) == ["1", "2", "3", "4", "5"]
    assert not pipeline.trouble
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await client.close()


async def until(true: Callable[[], bool], running: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            assert not running.done(), running.exception()
            await asyncio.sleep(0.005)
