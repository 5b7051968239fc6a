"""Projection of fills and order events: rows are written in batches. After a failure it starts over from the store's checkpoint."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from apps.journal.subscription import Applied
from apps.projector.projection_loop import StartOver
from domain.order.events import OrderEvent
from domain.ports import Fills, Unavailable
from domain.position.rows import EventRow, fill_row

BATCHES_HELD_MAX: Final = 10
"""Batches held in memory before reading the journal waits for writes."""
WRITE_BATCHES_MAX: Final = 5
"""Maximum batches in one write while the store is behind: a few large writes cost less than many small ones."""
CHECK_EVERY_S: Final = 10.0
"""How often the store is checked: it may have been emptied or restored."""
LOOKS: Final = 5
LOOK_AGAIN_S: Final = 1.0
"""A row just written becomes readable a moment later: a row counts as lost after LOOKS failed reads, LOOK_AGAIN_S apart."""


class FillsProjection:
    """Writes rows from the journal into the store. `seq` is the last commit of which all rows were written."""

    name = "fills"

    def __init__(self, store: Fills, *, batch_rows: int, flush_s: float) -> None:
        self.seq = 0
        self.newest = 0
        self.rows = 0
        self.writes = 0
        self._store = store
        self._batch_rows = batch_rows
        self._flush_s = flush_s
        self._held: list[EventRow] = []
        self._checkpoint = 0
        self._witness: EventRow | None = None
        self._emptied = False
        self._some, self._batch, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def held(self) -> int:
        return len(self._held)

    async def begin(self) -> int:
        """Return the store's checkpoint. It lies before what was written, so that rows the store may have lost are written again."""
        await self._store.prepare()
        if self._emptied:
            await self._store.clear()  # rows written since: an interrupted rebuild would take them for its end
        self._checkpoint = self.seq = 0 if self._emptied else await self._store.checkpoint()
        self.newest = 0 if self._emptied else await self._store.reaches()
        self._held, self._witness, self._emptied = [], None, False
        self._signal()
        return self.seq

    async def recognises(self, events: Sequence[OrderEvent]) -> bool:
        rows = [EventRow(event=event, seq=self.newest, index=index) for index, event in enumerate(events)]
        if not rows or not (await self._store.holds(rows[0]))[0]:
            return False
        self._witness = rows[0]
        return True

    async def apply(self, commits: Applied[OrderEvent]) -> None:
        for seq, commit in commits:
            self._held += [EventRow(event=event, seq=seq, index=index) for index, event in enumerate(commit.events)]
        self._signal()
        await self._room.wait()

    async def run(self) -> None:
        """Write a batch, or what came within `flush_s`; check every CHECK_EVERY_S that the store still has its rows."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + CHECK_EVERY_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._some.wait()
            if loop.time() >= look_at:
                await self._check()
                look_at = loop.time() + CHECK_EVERY_S
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_s):
                    await self._batch.wait()
            await self._write()

    async def _write(self) -> None:
        end = min(len(self._held), WRITE_BATCHES_MAX * self._batch_rows)
        while end < len(self._held) and self._held[end].seq == self._held[end - 1].seq:
            end += 1  # a commit is not split
        rows = self._held[:end]
        try:
            await self._store.write(rows)
        except Unavailable as trouble:
            raise StartOver(str(trouble)) from trouble
        del self._held[:end]
        if self._witness is None or fill_row(self._witness) is None:  # a trade is in both tables, so it checks both
            self._witness = next((row for row in rows if fill_row(row) is not None), self._witness or rows[0])
        self.seq = rows[-1].seq
        self.rows += len(rows)
        self.writes += 1
        self._signal()

    async def _check(self) -> None:
        """Detect a store that was restored, by an earlier checkpoint, or emptied, by a missing row. Raises StartOver."""
        if self._witness is not None and not await self._holds(self._witness):
            self._emptied = True
            raise StartOver(f"the store no longer has a row of sequence {self._witness.seq}: it was emptied, and is filled again")
        found = await self._store.checkpoint()
        if found < self._checkpoint:
            raise StartOver(f"the store went back from {self._checkpoint} to {found}")
        self._checkpoint = found

    async def _holds(self, row: EventRow) -> bool:
        for _ in range(LOOKS):
            if all(await self._store.holds(row)):
                return True
            await asyncio.sleep(LOOK_AGAIN_S)
        return False

    def _signal(self) -> None:
        for event, holds in (
            (self._some, bool(self._held)),
            (self._batch, len(self._held) >= self._batch_rows),
            (self._room, len(self._held) < BATCHES_HELD_MAX * self._batch_rows),
        ):
            event.set() if holds else event.clear()
