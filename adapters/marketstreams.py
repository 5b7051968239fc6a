"""The market's streams on NATS: made if missing, oldest messages dropped beyond the bound; and a writer that waits for each ack.

Unlike a journal, such a stream may be deleted from, and its server does not fsync each message: readers count (venue, epoch, n).
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.feed import API, STATUS, Feed
from adapters.jetstream import COMMIT_ID, NO_MESSAGE, NO_STREAM, READABLE, stream_state
from domain.ports import Unavailable

API_TIMEOUT_S: Final = 2.0
DUPLICATE_WINDOW_S: Final = 30
ACK_TIMEOUT_S: Final = 2.0

Ensure = Callable[[], Awaitable[None]]
"""Raises Unavailable."""


async def ensure_market_stream(client: Client, name: str, subjects: Sequence[str], *, max_bytes: int, replicas: int = 1) -> None:
    """Create the stream if it is missing: on disk, readable as a journal is, the oldest messages dropped. One that exists is not changed.

    Raises Unavailable.
    """
    answer = await _api(client, f"STREAM.INFO.{name}", {})
    if "error" not in answer:
        return
    if answer["error"].get("err_code") == NO_STREAM:
        answer = await _api(client, f"STREAM.CREATE.{name}", _stream(name, subjects, max_bytes, replicas))
    if "error" in answer:
        raise Unavailable(f"stream {name}: {answer['error'].get('description')}")


def _stream(name: str, subjects: Sequence[str], max_bytes: int, replicas: int) -> dict[str, object]:
    return {
        "name": name,
        "subjects": list(subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        "duplicate_window": DUPLICATE_WINDOW_S * 1_000_000_000,
        **READABLE,
    }


async def last_message(client: Client, stream: str, subject: str) -> bytes | None:
    """Return the newest message of a subject; None if there is none. Raises Unavailable."""
    answer = await _api(client, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    if "error" not in answer:
        return base64.b64decode(answer["message"].get("data", ""))
    if answer["error"].get("err_code") == NO_MESSAGE:
        return None
    raise Unavailable(f"stream {stream}: {answer['error'].get('description')}")


async def stored(client: Client, stream: str, subject: str) -> AsyncGenerator[bytes]:
    """Yield the messages of a subject that the stream holds at the beginning of the read, in order. None without the stream.

    Raises Unavailable.
    """
    state = await stream_state(client, stream)
    if state is None or not state.messages:
        return
    async for batch in Feed(client, stream, subject, after=0).batches():
        for seq, message in batch:
            if seq > state.last_seq:
                return
            yield message.data
            if seq == state.last_seq:
                return


async def _api(client: Client, what: str, body: dict[str, object]) -> dict[str, Any]:
    reply = await bus.request(client, f"{API}.{what}", json.dumps(body).encode(), API_TIMEOUT_S)
    answer: dict[str, Any] = json.loads(reply)
    return answer


class StreamWriter:
    """Writes messages to a stream, each until its ack. A message that is repeated under its id within 30 s is stored once."""

    def __init__(self, client: Client, ensure: Ensure | None) -> None:
        self._client = client
        self._ensure = ensure
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._tokens = count()

    @classmethod
    async def open(cls, client: Client, ensure: Ensure | None = None) -> "StreamWriter":
        """`ensure` makes the streams if they are missing; it is called again whenever the server says that no stream takes a message."""
        if ensure is not None:
            await ensure()
        writer = cls(client, ensure)
        await client.subscribe(f"{writer._inbox}.*", cb=writer._on_ack)
        return writer

    @property
    def payload_max(self) -> int:
        """Bytes of the largest message that the server takes."""
        return self._client.max_payload

    async def write(self, subject: str, payload: bytes, message_id: str) -> None:
        """Publish, and wait for the ack. Raises Unavailable: the message may be stored nevertheless, so repeat it under its id."""
        token = str(next(self._tokens))
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            await self._client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers={COMMIT_ID: message_id})
            async with asyncio.timeout(ACK_TIMEOUT_S):
                answer = await waiting
        except (TimeoutError, *bus.WireError) as error:
            raise Unavailable(f"no ack on {subject}: {str(error) or type(error).__name__}", unknown=True) from error
        finally:
            del self._waiting[token]
        if (answer.headers or {}).get(STATUS) is not None:
            if self._ensure is not None:
                await self._ensure()
            raise Unavailable(f"no stream took {subject}")
        if trouble := _refusal(answer):
            raise Unavailable(f"{subject} was not stored: {trouble}")

    async def _on_ack(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None:
            with contextlib.suppress(asyncio.InvalidStateError):  # it was given up in this moment
                waiting.set_result(message)


def _refusal(answer: Msg) -> str:
    """Return why a message was not stored; empty if it was."""
    try:
        error = json.loads(answer.data).get("error")
    except ValueError:
        return "the ack is unreadable"
    return str(error.get("description")) if error else ""
