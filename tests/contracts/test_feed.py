"""The feed of a stream that keeps only the last message of each subject: gaps are usual in it, and yet nothing is skipped."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.msg import Msg

from adapters.feed import END_OF_BATCH, SEQUENCE, STATUS, STORED, Feed

Callback = Callable[[Msg], Awaitable[None]]
DEADLINE_S = 60


class Server:
    """A connection whose server is the test. It stands for nats.aio.client.Client."""

    def __init__(self) -> None:
        self.stats = {"reconnects": 0}
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self._heard: dict[str, Callback] = {}

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, subject: str, cb: Callback, **_limits: int) -> "Server":
        self._heard[subject] = cb
        return self

    async def unsubscribe(self) -> None:
        """Nothing is sent after a test."""

    async def publish(self, subject: str, payload: bytes, reply: str) -> None:
        self.asked.put_nowait(json.loads(payload)["seq"])

    async def answers(self, *numbers: int, left: int = 0) -> None:
        """Reply to a get with these messages. `left`: how many are behind them."""
        for seq in numbers:
            await self._heard["inbox"](message({SEQUENCE: str(seq)}))
        await self._heard["inbox"](message({STATUS: END_OF_BATCH, "Nats-Num-Pending": str(left)}))

    async def stored(self, seq: int) -> None:
        await self._heard[f"{STORED}.keys.>"](message({SEQUENCE: str(seq)}))


def message(headers: dict[str, str]) -> Msg:
    return Msg(_client=None, data=b"x", headers=headers)  # type: ignore[arg-type]


async def test_what_is_stored_during_a_fetch_does_not_hide_what_is_still_to_be_fetched() -> None:
    server: Any = Server()
    seen: list[int] = []

    async def read() -> None:
        async with contextlib.aclosing(Feed(server, "KEYS", "keys.>", 0, whole=False).batches()) as batches:
            async for batch in batches:
                seen.extend(seq for seq, _ in batch)

    async with asyncio.timeout(DEADLINE_S):
        reading = asyncio.create_task(read())
        assert await server.asked.get() == 1
        await server.stored(9)
        await server.answers(1, 3, left=2)
        assert await server.asked.get() == 4
        await server.answers(5, 9)
        await server.stored(12)
        while len(seen) < 5:
            await asyncio.sleep(0)
    reading.cancel()
    assert seen == [1, 3, 5, 9, 12]
