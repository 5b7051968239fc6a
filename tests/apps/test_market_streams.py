"""The market's streams on a real nats-server: bounded by dropping the oldest, each message once, and made again when they are gone."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from nats.aio.client import Client

from adapters import bus
from adapters.jetstream import stream_state
from adapters.marketstreams import StreamWriter, ensure_market_stream, last_message
from domain.ports import Unavailable
from tests.live import LiveServer

STREAM, SUBJECT = "MARKET_STREAMS_TEST", "market-streams-test.raw.V"
MAX_BYTES = 64 * 1024


@pytest.fixture
async def client(nats_server: LiveServer) -> AsyncIterator[Client]:
    found = await bus.connect(nats_server.url, "test", closed=lambda: None)
    yield found
    await found.jetstream().delete_stream(STREAM)
    await found.close()


async def test_a_writer_knows_what_is_stored_and_makes_a_stream_that_is_gone_again(client: Client) -> None:
    ensure = partial(ensure_market_stream, client, STREAM, ["market-streams-test.raw.*"], max_bytes=MAX_BYTES)
    writer = await StreamWriter.open(client, ensure)
    assert await last_message(client, STREAM, SUBJECT) is None

    await writer.write(SUBJECT, b"one", "V-7-1")
    await writer.write(SUBJECT, b"one", "V-7-1")  # repeated: it is stored once
    await writer.write(SUBJECT, b"two", "V-7-2")
    state = await stream_state(client, STREAM)
    assert state is not None
    assert (state.messages, state.max_bytes) == (2, MAX_BYTES)
    assert await last_message(client, STREAM, SUBJECT) == b"two"

    for number in range(3, 103):  # MARKETDATA 4: disk full: market streams discard the oldest
        await writer.write(SUBJECT, b"x" * 2048, f"V-7-{number}")
    state = await stream_state(client, STREAM)
    assert state is not None
    assert 0 < state.messages < 100
    assert state.bytes <= MAX_BYTES

    await client.jetstream().delete_stream(STREAM)
    with pytest.raises(Unavailable, match="no stream took"):
        await writer.write(SUBJECT, b"three", "V-8-1")
    await writer.write(SUBJECT, b"three", "V-8-1")
    assert await last_message(client, STREAM, SUBJECT) == b"three"
