"""`trade market record` of a real nats-server's stream: all of it, or a day with what is needed to read it."""

import io
from collections.abc import AsyncIterator
from functools import partial

import pytest
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import encode
from adapters.marketstreams import StreamWriter, ensure_market_stream
from apps.cli import market
from domain.market.file_times import DAY_NS
from domain.market.frame_file import read_frames, recorded_market
from domain.market.quotes import Quote
from domain.market.venues.feed import Frame, FrameKind, RawFrames
from tests.domain.market.plain_venue import VENUE, PlainDecoder, S, opening
from tests.live import LiveServer

DAY = 20_000
NOON, MIDNIGHT = DAY * DAY_NS + DAY_NS // 2, (DAY + 1) * DAY_NS


@pytest.fixture
async def writer(fresh_nats: LiveServer) -> AsyncIterator[StreamWriter]:
    client: Client = await bus.connect(fresh_nats.url, "test", closed=lambda: None)
    ensure = partial(ensure_market_stream, client, subjects.MARKET_RAW_STREAM, [subjects.MARKET_RAW], max_bytes=2**20)
    yield await StreamWriter.open(client, ensure)
    await client.close()


def connection(epoch: int, *texts: tuple[int, str]) -> list[RawFrames]:
    """Each frame in a message of its own: the opening, and texts by the time of their receipt."""
    frames = [Frame(texts[0][0], FrameKind.OPEN, opening()), *(Frame(at, FrameKind.FRAME, text) for at, text in texts)]
    return [RawFrames(venue=VENUE, epoch=epoch, n=n, frames=[frame]) for n, frame in enumerate(frames, 1)]


async def test_a_day_is_recorded_with_the_earlier_frames_of_its_connections(fresh_nats: LiveServer, writer: StreamWriter) -> None:
    ended = connection(1, (NOON - 9 * S, "snapshot btc 1 90 1 91 1"))
    open_at_midnight = connection(
        2, (NOON, "snapshot btc 7 100 1 101 1"), (NOON + S, "update btc 8 100 3 101 1"), (MIDNIGHT + S, "update btc 9 100 2 101 1")
    )
    later = connection(3, (MIDNIGHT + DAY_NS, "snapshot btc 1 70 1 71 1"))
    for each in (*ended, *open_at_midnight, *later):
        await writer.write(subjects.market("raw", VENUE), encode(each), f"{each.epoch}-{each.n}")

    whole, one_day, nothing = io.BytesIO(), io.BytesIO(), io.BytesIO()
    assert await market._record(fresh_nats.url, whole, None) == {VENUE: 8}
    assert list(read_frames(whole.getvalue().splitlines())) == [*ended, *open_at_midnight, *later]
    assert await market._record(fresh_nats.url, one_day, DAY + 1) == {VENUE: 4}
    assert not await market._record(fresh_nats.url, nothing, DAY + 9)

    quotes = list(recorded_market(read_frames(one_day.getvalue().splitlines()), PlainDecoder, VENUE, DAY + 1))
    assert [(quote.at, str(quote.bid_size)) for quote in quotes if isinstance(quote, Quote)] == [(MIDNIGHT + S, "2")]
