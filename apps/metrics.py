"""What Prometheus reads: one registry for each process, and how late the loop is."""

import asyncio
import time
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.types import Send

LAG_EVERY_S: Final = 0.25


def registry() -> CollectorRegistry:
    """A registry of this process's own, with its memory, descriptors, CPU seconds and collections in it."""
    fresh = CollectorRegistry()
    ProcessCollector(registry=fresh)
    GCCollector(registry=fresh)
    return fresh


async def measure_loop_lag(into: CollectorRegistry) -> None:
    """For ever: how much later than asked the loop woke up."""
    lag = Gauge("event_loop_lag_seconds", "How late the event loop last woke up", registry=into)
    while True:
        asked = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lag.set(max(0.0, time.perf_counter() - asked))


async def serve_metrics(of: CollectorRegistry, send: Send) -> None:
    """Answer a request for /metrics."""
    page = generate_latest(of)
    headers = [(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode()), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page})
