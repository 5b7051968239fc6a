"""A journal whose disk a test holds in its hand: nothing is stored, or nothing is acknowledged, before it lets go."""

import asyncio
from collections.abc import Awaitable, Callable

from adapters.memory import MemoryJournal, MemoryLog
from domain.ports import Head

WAIT_S = 120.0


class HeldJournal(MemoryJournal):
    """`hold()`: appends are stored when they are let go with `release()`. `appending` counts those under way."""

    def __init__(self, shared: MemoryLog | None = None) -> None:
        super().__init__(shared)
        self._free = asyncio.Event()
        self._free.set()
        self.appending = 0

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    async def append(self, payload: bytes, after: Head) -> Head:
        self.appending += 1
        try:
            await self._free.wait()
            return await super().append(payload, after)
        finally:
            self.appending -= 1

    async def reached(self) -> None:
        """Until an append stands before the disk."""
        await until(lambda: self.appending > 0)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.001)


async def within(waiting: Awaitable[object]) -> object:
    async with asyncio.timeout(WAIT_S):
        return await waiting
