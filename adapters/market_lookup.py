"""Look-ups in a stream of the market by sequence, without a consumer: the first message at or behind a place, and where the stream ends."""

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from nats.aio.client import Client

from adapters import bus
from adapters.feed import API
from adapters.jetstream import NO_MESSAGE, NO_STREAM, stream_subjects
from domain.ports import Missing, Unavailable

TIMEOUT_S = 2.0


class Stored(NamedTuple):
    """A message and its sequence in the stream. After a power cut another message may get the same sequence."""

    seq: int
    payload: bytes


class StreamEnds(NamedTuple):
    """The sequences of the first and the last message of a stream; the last is 0 if there was never one."""

    first: int
    last: int


class MarketLookup:
    """One stream of the market. All methods raise Unavailable, and Missing if the stream does not exist."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream

    async def ends(self) -> StreamEnds:
        state = (await self._ask(f"STREAM.INFO.{self._stream}", {}) or {})["state"]
        return StreamEnds(state["first_seq"], state["last_seq"])

    async def subjects(self) -> Sequence[str]:
        """Return the subjects of which the stream has messages; none if it does not exist."""
        return await stream_subjects(self._client, self._stream)

    async def last(self, subject: str) -> Stored | None:
        """Return the newest message of a subject."""
        return await self._message({"last_by_subj": subject})

    async def at(self, subject: str, seq: int) -> Stored | None:
        """Return the first message of a subject whose sequence is at least `seq`."""
        return await self._message({"seq": max(seq, 1), "next_by_subj": subject})

    async def _message(self, which: dict[str, object]) -> Stored | None:
        answer = await self._ask(f"STREAM.MSG.GET.{self._stream}", which)
        if answer is None:
            return None
        message = answer["message"]
        return Stored(int(message["seq"]), base64.b64decode(message.get("data", "")))

    async def _ask(self, what: str, body: dict[str, object]) -> dict[str, Any] | None:
        """Return the answer, None if there is no such message."""
        answer: dict[str, Any] = json.loads(await bus.request(self._client, f"{API}.{what}", json.dumps(body).encode(), TIMEOUT_S))
        if "error" not in answer:
            return answer
        code = answer["error"].get("err_code")
        if code == NO_MESSAGE:
            return None
        raise (Missing if code == NO_STREAM else Unavailable)(f"stream {self._stream}: {answer['error'].get('description')}")
