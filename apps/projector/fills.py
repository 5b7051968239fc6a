"""Fills and order events: rows are gathered to a batch or a moment, written, and forgotten. Trouble costs nothing but time."""

import asyncio
import contextlib
from typing import Final

from apps.follower import Applied
from apps.projector.keeping import StartOver
from domain.events import OrderEvent
from domain.ports import EventRow, Fills, Unavailable

BATCHES_HELD_MAX: Final = 10
"""Beyond so many batches in memory the reading of the journal waits for the writing."""
WRITE_BATCHES_MAX: Final = 5
"""One write takes so many batches at most when it is behind: a few large writes cost less than many small ones."""
CHECK_EVERY_S: Final = 10.0
"""How often the store is looked at when nothing happens: it may have been emptied."""


class FillsProjection:
    """Rows on their way from the journal into the store. `seq` is the last commit of which all rows were taken."""

    name = "fills"

    def __init__(self, store: Fills, *, batch_rows: int, flush_s: float) -> None:
        self.seq = 0
        self.rows = 0
        self.writes = 0
        self._store = store
        self._batch_rows = batch_rows
        self._flush_s = flush_s
        self._held: list[EventRow] = []
        self._checkpoint = 0
        self._some, self._batch, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def held(self) -> int:
        return len(self._held)

    async def begin(self) -> int:
        """The store's checkpoint lies behind what was written, so that rows it may have lost are written again."""
        await self._store.prepare()
        self._checkpoint = self.seq = await self._store.checkpoint()
        self._held = []
        self._signal()
        return self.seq

    async def apply(self, commits: Applied[OrderEvent]) -> None:
        for seq, commit in commits:
            self._held += [EventRow(event=event, seq=seq, index=index) for index, event in enumerate(commit.events)]
        self._signal()
        await self._room.wait()

    async def run(self) -> None:
        """Write for ever, a batch or what has come in a moment."""
        while True:
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._some.wait()
            except TimeoutError:
                await self._check()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_s):
                    await self._batch.wait()
            await self._write()

    async def _write(self) -> None:
        end = min(len(self._held), WRITE_BATCHES_MAX * self._batch_rows)
        while end < len(self._held) and self._held[end].seq == self._held[end - 1].seq:
            end += 1  # a commit is not cut
        rows = self._held[:end]
        try:
            await self._store.write(rows)
        except Unavailable as trouble:
            raise StartOver(str(trouble)) from trouble
        del self._held[:end]
        self.seq = rows[-1].seq
        self.rows += len(rows)
        self.writes += 1
        self._signal()

    async def _check(self) -> None:
        """A store that was emptied, or restored, stands earlier than it did."""
        found = await self._store.checkpoint()
        if found < self._checkpoint:
            raise StartOver(f"the store went back from {self._checkpoint} to {found}")
        self._checkpoint = found

    def _signal(self) -> None:
        for event, holds in (
            (self._some, bool(self._held)),
            (self._batch, len(self._held) >= self._batch_rows),
            (self._room, len(self._held) < BATCHES_HELD_MAX * self._batch_rows),
        ):
            event.set() if holds else event.clear()
