"""Copy whole streams out of and into JetStream, message by message, each verified against the chain of its subject."""

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import subjects as names
from adapters.chain import GENESIS, ChainReading
from adapters.feed import Feed, subject_of
from adapters.jetstream import CHAIN, COMMIT_ID, JetStreamJournal, StreamState, stream_state
from domain.ports import Corrupt, Head, Journal, Unavailable

STREAMS: Final = {
    names.ORDER_STREAM: names.ORDER_JOURNALS,
    names.VENUE_STREAM: names.VENUE_JOURNALS,
    names.CONTROL_STREAM: names.CONTROL_EVENTS,
    names.ACCESS_STREAM: names.ACCESS_JOURNALS,
}
"""The journals that belong to a copy of a stack, with their subjects. Copied in this order: a venue may be ahead of oms, which requests
missed reports; the other way round reports would be lost."""


def streams(shards: int) -> dict[str, str]:
    """Return the journals of a stack with this many shards, with their subjects, in the order in which they are copied."""
    orders = {names.order_stream(shard, shards): names.order_stream_subject(shard, shards) for shard in range(shards)}
    return orders | {stream: subject for stream, subject in STREAMS.items() if stream != names.ORDER_STREAM}


def shards_in(copied: Iterable[str]) -> int:
    """Return how many shards the order journal has whose streams these are."""
    return sum(name.startswith(f"{names.ORDER_STREAM}_") for name in copied) or 1


AT_ONCE: Final = 100
"""How many messages are sent at once: each waits for its own fsync, not for those of the others."""
ACK_TIMEOUT_S: Final = 30.0


class Copied(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a stream. `data` is its text, byte for byte; `base64` replaces it if the bytes are not text.

    A foreign message is copied too, without its headers, so that the commits behind it keep their sequences.
    """

    seq: int
    subject: str
    id: str
    chain: str
    data: str
    base64: str = ""

    @property
    def payload(self) -> bytes:
        return b64decode(self.base64) if self.base64 else self.data.encode()


class Chains:
    """The last commit of each subject of one stream; the next must follow from it. `seq` is the stream's last message."""

    def __init__(self, heads: Mapping[str, Head] | None = None, seq: int = 0) -> None:
        self._readings = {subject: ChainReading(head) for subject, head in (heads or {}).items()}
        self.seq = seq

    @property
    def heads(self) -> dict[str, Head]:
        return {subject: reading.head for subject, reading in self._readings.items()}

    def take(self, message: Copied) -> None:
        """Take the next message. Raises Corrupt if it is not the next one, or does not match its chain."""
        if message.seq != self.seq + 1:
            raise Corrupt(f"sequence {self.seq + 1} is missing, {message.seq} follows {self.seq}")
        reading = self._readings.setdefault(message.subject, ChainReading(GENESIS))
        reading.take(message.seq, message.id, message.chain, message.payload)
        self.seq = message.seq


async def out_of(client: Client, stream: str, subjects: str) -> AsyncGenerator[Sequence[Copied]]:
    """Yield everything that the stream holds now, in order. Raises Corrupt, Unavailable."""
    state = await stream_state(client, stream)
    if state is None or not state.messages:
        return
    chains = Chains()
    async with contextlib.aclosing(Feed(client, stream, subjects, 0).batches()) as batches:
        async for messages in batches:
            batch = [_copied(seq, message) for seq, message in messages if seq <= state.messages]
            for each in batch:
                if each.seq != chains.seq + 1:
                    raise Unavailable(f"sequence {chains.seq + 1} of {stream} did not arrive: try again; if it repeats, run trade verify")
                chains.take(each)
            if batch:
                yield batch
            if chains.seq >= state.messages:
                return


async def behind(client: Client, stream: str, subjects: str, seq: int) -> AsyncGenerator[Sequence[Copied]]:
    """Yield what the stream holds behind a sequence, then what arrives, without end; an empty batch if nothing arrived for a moment.

    Nothing is verified. Raises Unavailable.
    """
    async with contextlib.aclosing(Feed(client, stream, subjects, seq).batches()) as batches:
        async for messages in batches:
            yield [_copied(seq, message) for seq, message in messages]


async def size_of(client: Client, stream: str) -> StreamState | None:
    """Return how much a stream holds; None if it does not exist. Raises Unavailable."""
    return await stream_state(client, stream)


async def journal_of(client: Client, stream: str, subject: str) -> Journal:
    """Open one journal of a stream, to read. Raises Unavailable."""
    return await JetStreamJournal.open(client, stream=stream, subject=subject)


async def into(client: Client, messages: Sequence[Copied]) -> None:
    """Append messages; each must get the sequence that it had. Raises Unavailable, Corrupt."""
    for start in range(0, len(messages), AT_ONCE):
        await asyncio.gather(*(_put(client, message) for message in messages[start : start + AT_ONCE]))


async def _put(client: Client, message: Copied) -> None:
    headers = {name: value for name, value in ((COMMIT_ID, message.id), (CHAIN, message.chain)) if value} or None
    try:
        reply = await client.request(message.subject, message.payload, timeout=ACK_TIMEOUT_S, headers=headers)
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise Unavailable(f"sequence {message.seq} was not stored: {str(error) or type(error).__name__}", unknown=True) from error
    ack: dict[str, Any] = json.loads(reply.data)
    if "error" in ack:
        raise Unavailable(f"sequence {message.seq} was refused: {ack['error'].get('description')}")
    if ack.get("seq") != message.seq:
        raise Corrupt(f"sequence {message.seq} became {ack.get('seq')}: another program writes, or the stream was not empty")


def _copied(seq: int, message: Msg) -> Copied:
    headers = message.headers or {}
    where = (seq, subject_of(message), headers.get(COMMIT_ID, ""), headers.get(CHAIN, ""))
    try:
        return Copied(*where, message.data.decode())
    except UnicodeDecodeError:
        return Copied(*where, "", b64encode(message.data).decode())
