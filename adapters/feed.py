"""Read a stream without any state on the server: batched direct gets up to its end, then the feed of stored messages.

A consumer would be simpler, but a user who may create one may also choose its delivery subject, and so publish with the server's own
rights. A direct get replies only to its requester, and the feed (the stream's `republish`) only repeats what is stored already.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from domain.ports import Unavailable

API: Final = "journals"
"""The prefix of the journals' JetStream API: their account exports it under this prefix, a server without users maps it."""
STORED: Final = "stored"
"""The prefix of a journal's subject under which the server republishes what it has stored."""

BATCH_MESSAGES: Final = 512
BATCH_BYTES: Final = 8 * 1024 * 1024
HELD_BYTES_MAX: Final = 2 * BATCH_BYTES
"""The bound of what waits for a slow reader. Messages of the feed beyond it are dropped, and fetched when the reader catches up."""
LOOK_UP_S: Final = 0.5
PROBE_AFTER_S: Final = 1.0
"""After this time without a message the stream is queried: a reply proves that the connection works and nothing is missing."""
ANSWER_S: Final = 5.0
"""After this time without a reply the read has failed. A get waits for the fsyncs of pending writes, so a slow disk needs this much."""

SEQUENCE: Final = "Nats-Sequence"
PREVIOUS: Final = "Nats-Last-Sequence"
SUBJECT: Final = "Nats-Subject"
STATUS: Final = "Status"
END_OF_BATCH: Final = "204"
NOTHING_THERE: Final = "404"

Message = tuple[int, Msg]


class Feed:
    """Messages of one subject (wildcards allowed) behind sequence `after`, each once and in order, in batches as they arrive."""

    def __init__(self, client: Client, stream: str, subject: str, after: int, *, whole: bool = True) -> None:
        """`whole`: a gap in the feed is fetched. False: the subjects keep only their last message, so that gaps are usual."""
        self._whole = whole
        self._client = client
        self._stream = stream
        self._subject = subject
        self._last = after
        self._arrived: list[Message] = []
        self._early: list[Msg] = []
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._behind = True
        self._fetching = False
        self._received_at = asyncio.get_running_loop().time()
        self._broken = ""
        self._connection = client.stats["reconnects"]

    async def batches(self) -> AsyncGenerator[Sequence[Message]]:
        """Yield batches without end, an empty one if nothing arrived for LOOK_UP_S.

        Raises Unavailable if the connection is lost, or the server does not reply within ANSWER_S.
        """
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox, cb=self._on_answer)
        stored = await self._client.subscribe(f"{STORED}.{self._subject}", cb=self._on_stored, pending_bytes_limit=HELD_BYTES_MAX)
        try:
            while True:
                if self._behind and not self._fetching:
                    await self._fetch(inbox)
                quiet = await self._wait()
                batch, self._arrived, self._held_bytes = self._arrived, [], 0
                if batch or quiet:
                    yield batch
        finally:
            await _quietly_unsubscribe(stored)
            await _quietly_unsubscribe(answers)

    async def _fetch(self, inbox: str) -> None:
        """Request what is behind the last message.

        Only one request is open at a time: it bounds what the server queues for a slow reader.
        """
        self._behind, self._fetching = False, True
        self._received_at = asyncio.get_running_loop().time()
        body = f'{{"seq":{self._last + 1},"next_by_subj":"{self._subject}","batch":{BATCH_MESSAGES},"max_bytes":{BATCH_BYTES}}}'
        try:
            await self._client.publish(f"{API}.DIRECT.GET.{self._stream}", body.encode(), reply=inbox)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"cannot read stream {self._stream}: {str(error) or type(error).__name__}") from error

    async def _wait(self) -> bool:
        """Wait for a message; return True after LOOK_UP_S without one. What was in transit on a lost connection is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_UP_S):
                await self._wake.wait()
        woken = self._wake.is_set()
        self._wake.clear()
        quiet_s = asyncio.get_running_loop().time() - self._received_at
        if self._broken or self._client.stats["reconnects"] != self._connection or (self._fetching and quiet_s >= ANSWER_S):
            raise Unavailable(f"stream {self._stream} is silent: {self._broken or 'no answer'}")
        if quiet_s >= PROBE_AFTER_S and not self._fetching:
            self._behind = True
        return not woken

    async def _on_stored(self, message: Msg) -> None:
        """Handle a message of the feed. One that arrives during a fetch waits for its end; a gap causes a fetch."""
        if self._held_bytes > HELD_BYTES_MAX:
            self._behind = True
        elif self._fetching:
            self._held_bytes += len(message.data)
            self._early.append(message)
        else:
            self._take(message)
            self._alive()

    def _take(self, message: Msg) -> None:
        """Take one message of the feed. If it is not the next one, or others must be fetched before it, it only causes a fetch."""
        seq, previous = _number(message, SEQUENCE), _number(message, PREVIOUS)
        if 0 <= seq <= self._last:
            return
        if seq < 0 or (previous != self._last if self._whole else self._behind):
            self._behind = True
            return
        self._arrive(seq, message)

    def _arrive(self, seq: int, message: Msg) -> None:
        self._arrived.append((seq, message))
        self._held_bytes += len(message.data)
        self._last = seq

    async def _on_answer(self, message: Msg) -> None:
        """Handle a reply of a direct get: messages, then the end of the batch with the number that is left."""
        status = (message.headers or {}).get(STATUS)
        if self._client.stats["reconnects"] != self._connection:
            self._broken = "connection lost"
        elif status is None:
            self._arrive(_number(message, SEQUENCE), message)
        elif status in (END_OF_BATCH, NOTHING_THERE):
            self._at_end(more=_number(message, "Nats-Num-Pending") > 0)
        else:
            self._broken = f"{status} {(message.headers or {}).get('Description', '')}".strip()
        self._alive()

    def _at_end(self, *, more: bool) -> None:
        self._fetching = False
        self._behind = self._behind or more
        early, self._early = self._early, []
        for message in early:
            self._take(message)

    def _alive(self) -> None:
        """Record that a message was received, and wake the reader if it has work."""
        self._received_at = asyncio.get_running_loop().time()
        if self._arrived or self._behind or self._broken:
            self._wake.set()


def subject_of(message: Msg) -> str:
    """Return the subject under which a message is stored: a direct get replies to an inbox, the feed has a prefix."""
    return str((message.headers or {}).get(SUBJECT, ""))


def _number(message: Msg, header: str) -> int:
    """Return the number in a header; -1 if it is missing or not a number."""
    text = (message.headers or {}).get(header, "")
    return int(text) if text.isdecimal() else -1


async def _quietly_unsubscribe(subscription: Any) -> None:
    try:
        await subscription.unsubscribe()
    except (nats.errors.Error, OSError):
        return
