"""A journal of very many orders in a real nats-server, written commit by commit, for measurements that read it back."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from adapters.codec import ORDER_COMMITS
from adapters.jetstream import ensure_stream
from adapters.subjects import ORDER_STREAM
from apps.stack import servers
from apps.stack.ports import ServerPorts
from domain.order.events import OrderEvent
from domain.ports import Head
from tests.faults.scene import connected, order_journal
from tests.live import LiveServer
from tests.ports import free

JOURNAL_MAX: Final = 16 * 2**30


@asynccontextmanager
async def nats_at(home: Path) -> AsyncIterator[LiveServer]:
    ports = free(ServerPorts)
    home.mkdir(parents=True, exist_ok=True)
    server = LiveServer(servers.nats(home, ports), home, servers.Servers.at(ports)).start()
    try:
        yield server
    finally:
        server.stop()


async def write(nats: LiveServer, commits: Iterable[tuple[OrderEvent, ...]]) -> tuple[Head, int]:
    """Append them all; the head, and how many events they were."""
    head, events = Head(), 0
    async with connected(nats.url) as client:
        await ensure_stream(client, ORDER_STREAM, ["oms.journal.*"], JOURNAL_MAX)
        journal = await order_journal(client)
        for commit in commits:
            head = await journal.append(ORDER_COMMITS.encode(0, head.n + 1, commit), head)
            events += len(commit)
            await asyncio.sleep(0)
    return head, events
