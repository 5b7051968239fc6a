"""Reading a stream fast: raw pull requests on an ephemeral consumer, answered into one callback."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from domain.ports import Unavailable

PULL_MESSAGES: Final = 512
PULL_BYTES: Final = 8 * 1024 * 1024
PULL_EXPIRES_S: Final = 5.0
SILENCE_S: Final = PULL_EXPIRES_S + 3.0
LOOK_UP_S: Final = 0.5
REQUEST_OVER: Final = ("404", "408", "409")
"""A pull request ended: nothing there, expired, or its byte limit reached. Anything else (503: no such consumer) breaks the reading."""
IDLE_CONSUMER_S: Final = 30
API_TIMEOUT_S: Final = 2.0

Message = tuple[int, Msg]


class Pull:
    """Messages of one subject from sequence `start` on, in batches of whatever has arrived."""

    def __init__(self, client: Client, stream: str, subject: str, start: int) -> None:
        self._client = client
        self._stream = stream
        self._subject = subject
        self._start = start
        self._arrived: list[Message] = []
        self._wake = asyncio.Event()
        self._owed = 0
        self._asked = False
        self._heard_at = asyncio.get_running_loop().time()
        self._broken = ""
        self._connection = client.stats["reconnects"]

    async def batches(self) -> AsyncGenerator[Sequence[Message]]:
        """Batches for ever, an empty one when nothing came for LOOK_UP_S.

        Unavailable when the server falls silent: not even an expired pull request comes back.
        """
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=self._on_message)
        try:
            consumer = await self._consumer()
            while True:
                await self._ask(consumer, inbox)
                await self._wait()
                batch, self._arrived = self._arrived, []
                yield batch
        finally:
            await _quietly_unsubscribe(subscription)

    async def _wait(self) -> None:
        """Until something comes, or LOOK_UP_S. A lost or renewed connection takes the open request with it."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_UP_S):
                await self._wake.wait()
        if self._wake.is_set():
            self._heard_at = loop.time()
            self._wake.clear()
        if self._broken or self._client.stats["reconnects"] != self._connection or loop.time() - self._heard_at >= SILENCE_S:
            raise Unavailable(f"stream {self._stream} is silent: {self._broken or 'connection lost'}")

    async def _consumer(self) -> str:
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._start,
            "ack_policy": "none",
            "filter_subject": self._subject,
            "inactive_threshold": IDLE_CONSUMER_S * 1_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = json.dumps({"stream_name": self._stream, "config": config}).encode()
        answer: dict[str, Any] = json.loads(await bus.request(self._client, f"$JS.API.CONSUMER.CREATE.{self._stream}", body, API_TIMEOUT_S))
        if "error" in answer:
            raise Unavailable(f"cannot read stream {self._stream}: {answer['error'].get('description')}")
        return str(answer["name"])

    async def _ask(self, consumer: str, inbox: str) -> None:
        """Keep one pull request open, and never two: what the server owes a slow reader must stay far below what it keeps for one."""
        if self._asked and self._owed > 0:
            return
        self._owed = PULL_MESSAGES
        self._asked = True
        body = f'{{"batch":{PULL_MESSAGES},"max_bytes":{PULL_BYTES},"expires":{int(PULL_EXPIRES_S * 1e9)}}}'
        try:
            await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}", body.encode(), reply=inbox)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"cannot read stream {self._stream}: {str(error) or type(error).__name__}") from error

    async def _on_message(self, message: Msg) -> None:
        if self._client.stats["reconnects"] != self._connection:
            self._broken = "connection lost"  # what was under way on the old one is gone: this may stand behind a hole
        elif message.reply:
            self._owed -= 1
            self._arrived.append((_stream_sequence(message.reply), message))
        elif (status := (message.headers or {}).get("Status", "")) in REQUEST_OVER and "Deleted" not in _description(message):
            self._asked = False
        else:
            self._broken = f"{status} {_description(message)}"
        self._wake.set()


def _stream_sequence(reply: str) -> int:
    """From an ack subject of 9 tokens ($JS.ACK.stream.consumer.delivered.seq...) or 12 (with domain and account hash in front)."""
    tokens = reply.split(".")
    return int(tokens[5] if len(tokens) == 9 else tokens[7])


def _description(message: Msg) -> str:
    return (message.headers or {}).get("Description", "")


async def _quietly_unsubscribe(subscription: Any) -> None:
    try:
        await subscription.unsubscribe()
    except (nats.errors.Error, OSError):
        return
