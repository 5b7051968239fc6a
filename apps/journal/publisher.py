"""Publish notifications in order from a bounded queue. They are dropped and counted if NATS is down; the events are in the journal."""

import asyncio
from collections import deque
from typing import Final

import structlog
from nats.aio.client import Client

from adapters import bus
from apps.runtime.failpoint import failpoint
from domain.ports import Unavailable

log = structlog.get_logger()

MESSAGES_MAX: Final = 100_000
YIELD_EVERY: Final = 50
LOOK_EVERY_S: Final = 0.002


class Publisher:
    """A queue of core NATS messages to send soon, for code that must not wait."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._messages: deque[tuple[str, bytes]] = deque()
        self._filled = asyncio.Event()
        self.dropped = 0

    def put(self, subject: str, payload: bytes) -> None:
        if len(self._messages) >= MESSAGES_MAX:
            self.dropped += 1
            return
        self._messages.append((subject, payload))
        self._filled.set()

    async def left(self, within_s: float) -> bool:
        """Wait until every queued message is with the server, or dropped without one. False if some may still be sent later."""
        try:
            async with asyncio.timeout(within_s):
                while self._messages:  # noqa: ASYNC110 - polling keeps the send path free of notifications
                    await asyncio.sleep(LOOK_EVERY_S)
                if self._client.is_connected:
                    await bus.flush(self._client)
        except (TimeoutError, *bus.WireError):
            return not self._client.is_connected
        return True

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            await self._send_all()

    async def _send_all(self) -> None:
        sent = 0
        while self._messages:
            subject, payload = self._messages.popleft()
            failpoint("before_publish")
            try:
                await bus.publish(self._client, subject, payload)
            except Unavailable as trouble:
                self.dropped += 1 + len(self._messages)
                self._messages.clear()
                log.warning("notifications dropped", dropped=self.dropped, reason=str(trouble))
                return
            failpoint("after_publish")
            sent += 1
            if sent % YIELD_EVERY == 0:
                await asyncio.sleep(0)
