"""Detects when all queued messages have reached the NATS server: a marker message queued behind them comes back."""

import asyncio
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from apps.journal.publisher import Publisher
from domain.ports import Unavailable

SENT_TIMEOUT_S: Final = 5


class FlushMarker:
    """Sends markers to an inbox of its own and waits for them."""

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
        """Wait until the server has received everything queued so far. Raises Unavailable after SENT_TIMEOUT_S."""
        self._tokens += 1
        token = str(self._tokens)
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        self._publisher.put(self._subject, token.encode())
        try:
            await asyncio.wait_for(waiting, SENT_TIMEOUT_S)
        except TimeoutError as error:
            raise Unavailable("NATS does not accept published messages") from error
        finally:
            del self._waiting[token]

    async def _on_message(self, message: Msg) -> None:
        waiting = self._waiting.get(message.data.decode(errors="replace"))
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
