"""A stream of the market's NATS server as a source of a sink: read by sequence, without any state on the server.

Each read is a batched direct get. A stream that discarded unread messages, or went back (a power cut: by default it does not fsync), is
noticed by the numbers, and reported as a `Loss`.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.codec import decoder
from adapters.feed import API, END_OF_BATCH, NOTHING_THERE, SEQUENCE, STATUS, SUBJECT
from domain.archive.checkpoint import Checkpoint, Hint, Message
from domain.archive.ports import Loss, UnreadableMessage
from domain.market.quotes import Quote
from domain.market.records import Book, Fact, MarketTrade, Records
from domain.ports import Clock, Unavailable
from domain.values import from_rfc3339

BATCH_MESSAGES: Final = 512
BATCH_BYTES: Final = 1024 * 1024
"""Of one read: decoded, a record takes about six times its bytes in memory, as long as its batch is not written."""
ANSWER_S: Final = 5.0
POLL_S: Final = 0.2
"""How often the end of the stream is asked for more."""
LOOK_EVERY_S: Final = 2.0
"""How often the stream's bounds are looked up."""
DISCARDED: Final = "the stream discarded them before they were read"
WENT_BACK: Final = "the server forgot its last messages; this place has them"
PAYLOAD_KEPT: Final = 4000

_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    "quotes": decoder(Records[Quote]),
    "trades": decoder(Records[MarketTrade]),
    "books": decoder(Records[Book]),
    "facts": decoder(Records[Fact]),
}


class StreamBounds(msgspec.Struct, frozen=True):
    """A stream's first and last sequence, and how full it is, in percent of its tightest bound."""

    first: int
    last: int
    full_percent: int
    created: int


class MarketSource:
    """Port: domain.archive.ports.Source. Bodies are `Records`; the part is `trades.BINANCE`."""

    def __init__(self, client: Client, stream: str, clock: Clock, *, poll_s: float = POLL_S) -> None:
        self.behind = 0
        self.unread_percent = 0
        self._client = client
        self._stream = stream
        self._clock = clock
        self._poll_s = poll_s

    async def messages(self, after: Checkpoint) -> AsyncGenerator[Sequence[Message[Any]]]:
        loop = asyncio.get_running_loop()
        bounds = await self._bounds()
        next_seq, lost = await self._begin(after.hint, bounds)
        self.behind = max(0, bounds.last - next_seq + 1)
        if lost is not None:
            yield [lost]
        look_at, connection = loop.time() + LOOK_EVERY_S, self._client.stats["reconnects"]
        while True:
            arrived, self.behind = await self._get(next_seq)
            if self._client.stats["reconnects"] != connection:
                raise Unavailable(f"the connection to stream {self._stream} was lost")  # begin again, and compare the hint
            batch = [self._read(seq, message) for seq, message in arrived]
            if arrived and arrived[0][0] > next_seq:
                batch.insert(0, self._loss(next_seq, arrived[0][0] - 1, _stored_ns(arrived[0][1]), DISCARDED))
            if arrived:
                next_seq = arrived[-1][0] + 1
            yield batch
            if loop.time() >= look_at:
                look_at = loop.time() + LOOK_EVERY_S
                self._measure(await self._bounds(), next_seq)
            if not self.behind:
                await asyncio.sleep(self._poll_s)

    async def look(self, after: Checkpoint) -> None:
        bounds = await self._bounds()
        self.behind = max(0, bounds.last - max(after.hint.seq if after.hint else 0, bounds.first - 1))
        with contextlib.suppress(Unavailable):  # a reader notices that the stream went back
            self._measure(bounds, bounds.last - self.behind + 1)

    def _measure(self, bounds: StreamBounds, next_seq: int) -> None:
        there, unread = bounds.last - bounds.first + 1, max(0, bounds.last - max(next_seq, bounds.first) + 1)
        self.unread_percent = bounds.full_percent * unread // there if there > 0 else 0
        if bounds.last < next_seq - 1:
            raise Unavailable(f"stream {self._stream} went back to {bounds.last}, {next_seq - 1} was read")

    async def _begin(self, hint: Hint | None, bounds: StreamBounds) -> tuple[int, Message[Loss] | None]:
        """Return the sequence to read next. If the stream no longer has the message of the hint there, it is read from its first one."""
        if hint is None:
            return max(1, bounds.first), None
        if hint.seq < bounds.first:
            return hint.seq + 1, None
        found, _ = await self._get(hint.seq, 1) if hint.seq <= bounds.last else ([], 0)
        if found and found[0][0] == hint.seq:
            message = self._read(*found[0])
            if (message.part, message.epoch, message.n) == (hint.part, hint.epoch, hint.n):
                return hint.seq + 1, None
        at = bounds.created
        oldest, _ = await self._get(max(1, bounds.first), 1)
        if oldest:
            at = _stored_ns(oldest[0][1])
        return max(1, bounds.first), self._loss(min(bounds.last + 1, hint.seq), hint.seq, at, WENT_BACK)

    def _loss(self, first: int, last: int, at: int, reason: str) -> Message[Loss]:
        body = Loss(stream=self._stream, first=first, last=last, at=at, reason=reason)
        return Message(part=f"lost.{self._stream}", epoch=at, n=last, body=body)

    def _read(self, seq: int, message: Msg) -> Message[Any]:
        subject = (message.headers or {}).get(SUBJECT, "")
        kind, _, venue = subject.removeprefix("market.").partition(".")
        try:
            records = _DECODERS[kind].decode(message.data)
        except (KeyError, ValueError, RecursionError) as error:
            body = UnreadableMessage(subject, message.data[:PAYLOAD_KEPT], f"{subject}: {error}")
            return Message(part=f"{self._stream}.unreadable", epoch=_stored_ns(message), n=0, body=body, seq=seq)
        return Message(part=f"{kind}.{venue}", epoch=records.epoch, n=records.n, body=records, seq=seq)

    async def _get(self, seq: int, batch: int = BATCH_MESSAGES) -> tuple[list[tuple[int, Msg]], int]:
        """Return messages from `seq` on, and how many are behind them. Raises Unavailable."""
        inbox = self._client.new_inbox()
        found: list[tuple[int, Msg]] = []
        body = json.dumps({"seq": seq, "next_by_subj": ">", "batch": batch, "max_bytes": BATCH_BYTES}).encode()
        try:
            answers = await self._client.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
            try:
                await self._client.publish(f"{API}.DIRECT.GET.{self._stream}", body, reply=inbox)
                while True:
                    message = await answers.next_msg(ANSWER_S)
                    headers = message.headers or {}
                    status = headers.get(STATUS)
                    if status is None:
                        found.append((int(headers[SEQUENCE]), message))
                    elif status == END_OF_BATCH:
                        return found, int(headers.get("Nats-Num-Pending", 0))
                    elif status == NOTHING_THERE:
                        return found, 0
                    else:
                        raise Unavailable(f"stream {self._stream}: {status} {headers.get('Description', '')}".strip())
            finally:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await answers.unsubscribe()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            if found:  # a slow server: what came is in order, and the rest is asked for again
                return found, 1
            raise Unavailable(f"cannot read stream {self._stream}: {str(error) or type(error).__name__}") from error

    async def _bounds(self) -> StreamBounds:
        answer = json.loads(await bus.request(self._client, f"{API}.STREAM.INFO.{self._stream}", b"", ANSWER_S))
        if "error" in answer:
            raise Unavailable(f"stream {self._stream}: {answer['error'].get('description')}")
        state, config = answer["state"], answer["config"]
        return StreamBounds(state["first_seq"], state["last_seq"], self._full(state, config), from_rfc3339(answer["created"]))

    def _full(self, state: Mapping[str, Any], config: Mapping[str, Any]) -> int:
        age = self._clock.now_ns() - from_rfc3339(state["first_ts"]) if state["messages"] else 0
        used = ((state["bytes"], config["max_bytes"]), (state["messages"], config["max_msgs"]), (age, config["max_age"]))
        return max([0, *(int(100 * found // bound) for found, bound in used if bound > 0)])


def _stored_ns(message: Msg) -> int:
    """Return when the server stored a message."""
    return from_rfc3339((message.headers or {}).get("Nats-Time-Stamp", "1970-01-01T00:00:00Z"))
