"""The bus, for one command."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nats.aio.client import Client

from adapters import bus
from apps.cli import logs


@asynccontextmanager
async def connected(url: str, name: str, closed: Callable[[], None] = lambda: None) -> AsyncIterator[Client]:
    """A NATS connection that ends in silence: the client takes its own closing for a loss, and says so. Unavailable."""
    client = await bus.connect(url, name, closed=closed)
    try:
        yield client
    finally:
        logs.only(logging.CRITICAL)
        await client.close()
