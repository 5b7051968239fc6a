"""The number of shards is written once, with the first stream; another number is refused, naming both."""

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from adapters import bus
from adapters.jetstream import ensure_stream
from adapters.order_streams import SHARDS, shards_of
from adapters.subjects import order_stream, order_stream_subject
from apps.connections.journals import ShardsDiffer, same_shards
from domain.ports import Unavailable
from tests.live import LiveServer

ROOM = 2**24


@pytest.fixture
async def journal_server(fresh_nats: LiveServer) -> AsyncIterator[Client]:
    client = await bus.connect(fresh_nats.url, "contract", closed=lambda: None)
    yield client
    await client.close()


async def made(client: Client, shards: int) -> None:
    """The streams of a journal with this many shards, as oms makes them."""
    for shard in range(shards):
        metadata = {SHARDS: str(shards)} if shards > 1 else {}
        await ensure_stream(client, order_stream(shard, shards), [order_stream_subject(shard, shards)], ROOM, metadata=metadata)


@pytest.mark.parametrize(("born", "wanted"), [(1, 4), (4, 1), (4, 2)])
async def test_a_journal_is_refused_with_another_number_of_shards(journal_server: Client, born: int, wanted: int) -> None:
    await made(journal_server, born)
    assert await shards_of(journal_server) == born
    with pytest.raises(ShardsDiffer, match=f"nats.shards is {wanted}, but the order journal was created with {born}"):
        await same_shards(journal_server, wanted)
    await same_shards(journal_server, born, follows=True)


async def test_a_journal_that_does_not_exist_yet_may_be_created_and_is_not_followed_by_several_shards(journal_server: Client) -> None:
    await same_shards(journal_server, 4)
    await same_shards(journal_server, 1, follows=True)
    with pytest.raises(Unavailable, match="does not exist yet"):
        await same_shards(journal_server, 4, follows=True)
