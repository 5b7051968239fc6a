"""The streams of the order journal: how many shards it was created with, as the server tells."""

from typing import Final

from nats.aio.client import Client

from adapters import subjects
from adapters.jetstream import stream_metadata, stream_state
from domain.shards import SHARDS_MAX

SHARDS: Final = "shards"
"""The key of the number of shards in the metadata of a stream, where there are several."""


async def created_with(client: Client) -> int | None:
    """Return how many shards the order journal was created with; None if it does not exist yet. Unavailable."""
    if await stream_state(client, subjects.ORDER_STREAM) is not None:
        return 1
    created = await stream_metadata(client, subjects.order_stream(0, SHARDS_MAX))
    return None if created is None else int(created.get(SHARDS, "1"))


async def shards_of(client: Client) -> int:
    """Return how many shards the order journal has. One that does not exist yet counts as one shard. Unavailable."""
    return await created_with(client) or 1
