"""A flood of requests at one service of a unit must not hold up the others: how much of it one turn of the loop may serve."""

import asyncio
from collections import deque
from typing import Final

from starlette.types import Receive, Scope, Send

from apps.http import Handler

A_TURN: Final = 4
"""Requests in one turn of the loop, some 60 us each: an order that passes through the same loop waits a quarter of a millisecond a turn."""
BYTES_OF_ONE: Final = 4096
"""A message over NATS counts as one request for every so many bytes of it."""


class LoopShare:
    """Lets requests through, so many in a turn. The others wait for the next turns, first come first served."""

    def __init__(self, a_turn: int = A_TURN) -> None:
        self._a_turn = a_turn
        self._left = a_turn
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def pass_through(self, size: int = 0) -> None:
        """Until it is this request's turn."""
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
        """A large request takes the room of the following turns too."""
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
        """The application, its requests let through like this."""

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            await self.pass_through()
            await app(scope, receive, send)

        return front
