"""Knows when all that was put into the outbox has reached the server: a message to ourselves that stands behind it comes back."""

import asyncio
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from apps.journal.publisher import Publisher
from domain.ports import Unavailable

SENT_TIMEOUT_S: Final = 5


class FlushMarker:
    def __init__(self, publisher: Publisher, subject: str) -> None:
        self._publisher = publisher
        self._subject = subject
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._tokens = 0

    @classmethod
    async def open(cls, client: Client, publisher: Publisher) -> "FlushMarker":
        sent = cls(publisher, client.new_inbox())
        await client.subscribe(sent._subject, cb=sent._on_message)
        return sent

    async def all(self) -> None:
        """Until the server has had everything put into the outbox so far. Unavailable."""
        self._tokens += 1
        token = str(self._tokens)
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        self._publisher.put(self._subject, token.encode())
        try:
            await asyncio.wait_for(waiting, SENT_TIMEOUT_S)
        except TimeoutError as error:
            raise Unavailable("NATS does not take what we send") from error
        finally:
            del self._waiting[token]

    async def _on_message(self, message: Msg) -> None:
        waiting = self._waiting.get(message.data.decode(errors="replace"))
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
