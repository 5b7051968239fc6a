"""A client of `GET /stream` that proves that it missed nothing, and resumes by itself. An example for programs; `trade watch` uses it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import httpx

RETRY_S: Final = 1.0
NOT_YET: Final = 503
"""The service reads the journal, or does not know the keys now."""
SILENT_S: Final = 10.0
"""The server says something every second. After this long without a word the connection is dead."""
TIMEOUT: Final = httpx.Timeout(SILENT_S, connect=2.0)


class Gap(Exception):
    """A message does not continue the one before: something was lost or doubled."""


class StreamMessage(NamedTuple):
    event: str
    data: dict[str, Any]
    id: str
    text: str
    """The data as it came."""


class ClientState:
    """Orders by id and positions by account and symbol, as of `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.last_id = ""
        self.orders: dict[str, dict[str, Any]] = {}
        self.positions: dict[tuple[str, str], dict[str, Any]] = {}
        self.controls: dict[str, Any] = {}

    def apply(self, message: StreamMessage) -> None:
        """Apply one message. Gap if it does not continue the last one."""
        data = message.data
        if message.event == "hello" and data["resumed"]:
            self.seq = self.seq or data["seq"]
        if message.event == "reset":
            self.orders.clear()
            self.positions.clear()
        if message.event in ("frame", "heartbeat") and data["prev_seq"] != self.seq:
            raise Gap(f"the last message was of sequence {self.seq}, this one continues {data['prev_seq']}")
        self.orders |= {row["order_id"]: row for row in data.get("orders", ())}
        self.positions |= {(row["account"], row["symbol"]): row for row in data.get("positions", ())}
        self.controls = data.get("controls", self.controls)
        if message.id:
            self.seq, self.last_id = data["seq"], message.id


async def follow(
    http: httpx.AsyncClient,
    url: str,
    params: Mapping[str, Any],
    state: ClientState,
    interrupted: Callable[[str, ClientState], None] = lambda reason, state: None,
) -> AsyncIterator[StreamMessage]:
    """Yield messages without an end, each applied to `state` before. Without a connection, call `interrupted` and try again.

    Gap. httpx.TransportError if the first connection fails; httpx.HTTPStatusError for a refusal.
    """
    connected = False
    while True:
        reason = "it ended"
        headers = {"Last-Event-ID": state.last_id} if state.last_id else {}
        try:
            async with http.stream("GET", url, params=params, headers=headers, timeout=TIMEOUT) as answer:
                if answer.is_error and answer.status_code != NOT_YET:
                    await answer.aread()
                    answer.raise_for_status()
                if answer.is_error:
                    reason = "desk is not ready"
                async for message in messages(answer):
                    connected = True
                    state.apply(message)
                    yield message
        except httpx.TransportError as error:
            if not connected:
                raise
            reason = str(error) or type(error).__name__
        interrupted(reason, state)
        await asyncio.sleep(RETRY_S)


async def messages(answer: httpx.Response) -> AsyncIterator[StreamMessage]:
    """Parse server-sent events. Comments keep the connection alive and are not messages."""
    rest = ""
    async for text in answer.aiter_text():  # not by lines: some characters inside JSON end a line for Python, and none but LF does here
        *whole, rest = (rest + text).split("\n\n")
        for block in whole:
            fields = {name: value for name, _, value in (line.partition(": ") for line in block.split("\n"))}
            if "event" in fields:
                yield StreamMessage(fields["event"], json.loads(fields["data"], parse_float=Decimal), fields.get("id", ""), fields["data"])
