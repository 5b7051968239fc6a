"""Limit how many requests to risk and exeq one turn of a unit's event loop serves, so that a flood of them does not delay orders."""

import asyncio
from collections import deque
from typing import Final

from starlette.types import Receive, Scope, Send

from apps.http.app import Handler

A_TURN: Final = 4
"""Requests in one turn of the loop, some 60 us each: an order that passes through the same loop waits a quarter of a millisecond a turn."""
BYTES_OF_ONE: Final = 4096
"""A NATS message counts as one request for each block of this size that it begins."""


class LoopShare:
    """A limit of `a_turn` requests in one turn of the loop. The others wait for later turns, in their order of arrival."""

    def __init__(self, a_turn: int = A_TURN) -> None:
        self._a_turn = a_turn
        self._left = a_turn
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def pass_through(self, size: int = 0) -> None:
        """Wait until the request is admitted. `size`: its bytes, where it may be large."""
        weight = 1 + size // BYTES_OF_ONE
        if self._waiting or self._left <= 0:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        self._left -= weight
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Admit waiting requests. A large request uses up the room of several turns."""
        if self._left == self._a_turn and not self._waiting:
            self._turning = False
            return
        self._left = min(self._a_turn, self._left + self._a_turn)
        asyncio.get_running_loop().call_soon(self._next_turn)
        for _ in range(min(self._left, len(self._waiting))):
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    def around(self, app: Handler) -> Handler:
        """Put the application behind this limit."""

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            await self.pass_through()
            await app(scope, receive, send)

        return front
