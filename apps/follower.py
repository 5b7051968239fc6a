"""A reader of the journal: applies every commit once, in order, and comes back after trouble from where it stood."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import structlog

from adapters.codec import Commit, CommitCodec
from domain.ports import Head, Journal, Unavailable

log = structlog.get_logger()
E = TypeVar("E")

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0

Applied = Sequence[tuple[int, Commit[E]]]
"""Commits with their stream sequences."""


class Follower(Generic[E]):
    """One fold's place in the journal. `apply` gets batches; what it raises ends the follower (and the service)."""

    def __init__(
        self,
        journal: Journal,
        codec: CommitCodec[E],
        apply: Callable[[Applied[E]], Awaitable[None] | None],
        *,
        after: Head,
        wait_s: float = 0.001,
    ) -> None:
        self._journal = journal
        self._codec = codec
        self._apply = apply
        self._wait_s = wait_s
        self.head = after
        self.target: int | None = None
        self.began: int | None = None
        self.connected = False
        self._progress = asyncio.Event()

    @property
    def caught_up(self) -> bool:
        """Has everything that was in the journal when the reading began been applied, and is the reading alive?"""
        return self.connected and self.target is not None and self.head.seq >= self.target

    def is_past(self, seq: int) -> bool:
        """Was this in the journal before this follower began to read?"""
        return self.began is None or seq <= self.began

    async def wait_for(self, seq: int) -> None:
        """Until sequence `seq` has been applied."""
        while self.head.seq < seq:
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Follow for ever. Corrupt ends it: nobody goes on from a journal that does not verify."""
        pause = RETRY_FIRST_S
        while True:
            before = self.head.seq
            try:
                self.target = (await self._journal.head()).seq
                self.began = self.target if self.began is None else self.began
                self.connected = True
                await self._read()
            except Unavailable as trouble:
                self.connected = False
                log.warning("journal reading interrupted", after=self.head.seq, reason=str(trouble))
            pause = RETRY_FIRST_S if self.head.seq > before else min(pause * 2, RETRY_MAX_S)
            await asyncio.sleep(pause)

    async def _read(self) -> None:
        self._progress.set()
        async with contextlib.aclosing(self._journal.follow(self.head)) as batches:
            async for recorded in batches:
                applied = self._apply([(r.head.seq, self._codec.decode(r.payload)) for r in recorded])
                if applied is not None:
                    await applied
                self.head = recorded[-1].head
                self._progress.set()
                if self._wait_s > 0 and self.caught_up:
                    await asyncio.sleep(self._wait_s)
