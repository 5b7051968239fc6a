"""The one loop of every sink: read a source, turn messages into rows, write them into one place, with the checkpoint in the place."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import structlog

from adapters.codec import encode
from apps.runtime.failpoint import failpoint
from domain.archive.checkpoint import Checkpoint, Message, Reached
from domain.archive.ports import (
    REASON_MAX,
    REFUSED_MAX,
    ROW_MAX,
    ArchiveRow,
    DeadLetter,
    DeadLetters,
    Place,
    Rows,
    RowsRefused,
    Source,
    UnreadableMessage,
)
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.25
RETRY_MAX_S: Final = 5.0
"""Pauses after the source or the place was unavailable."""


class FlushBounds(msgspec.Struct, frozen=True, kw_only=True):
    """A batch is written after this many rows, or this long after its first message."""

    rows: int = 50_000
    wait_s: float = 1.0


class Pipeline:
    """Moves messages from one source to one place. It is always behind the source, never ahead of the place.

    While the place or the source is away it waits and begins again from the place's checkpoint: nothing is kept in memory for later.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        rows: Rows,
        place: Place,
        letters: DeadLetters,
        clock: Clock,
        *,
        bounds: FlushBounds = FlushBounds(),  # noqa: B008 (frozen)
        fails: Callable[[str], None] = failpoint,
    ) -> None:
        self.name = name
        self.source = source
        self.place = place
        self.checkpoint = Checkpoint()
        self.rows = 0
        self.writes = 0
        self.aside = 0
        self.starts = 0
        self.trouble = "not begun"
        self._rows_of = rows
        self._letters = letters
        self._clock = clock
        self._bounds = bounds
        self._fails = fails
        self._progress = Reached(self.checkpoint)
        self._pending: list[ArchiveRow] = []
        self._moved = False
        self._due_ns = 0
        self._at_end_ns = self._level_ns = clock.monotonic_ns()

    @property
    def lag_s(self) -> float:
        """How long ago the place had everything that the source had."""
        return (self._clock.monotonic_ns() - self._level_ns) / 1e9

    @property
    def held(self) -> int:
        """Rows read and not written yet."""
        return len(self._pending)

    async def run(self) -> None:
        """Run until cancelled. Raises Fenced if another process claimed the place, Corrupt if the source does not verify."""
        pause = RETRY_FIRST_S
        while True:
            written = self.writes
            try:
                await self._move()
            except Unavailable as trouble:
                if str(trouble) != self.trouble:
                    log.warning("a sink waits", sink=self.name, reason=str(trouble))
                self.trouble = str(trouble)
            pause = RETRY_FIRST_S if self.writes > written else min(pause * 2, RETRY_MAX_S)
            await asyncio.sleep(pause)

    async def _move(self) -> None:
        self.checkpoint = await self.place.claim()
        self._progress, self._pending, self._moved = Reached(self.checkpoint), [], False
        self.starts += 1
        async with contextlib.aclosing(self.source.messages(self.checkpoint)) as batches:
            async for batch in batches:
                self.trouble = ""
                for message in batch:
                    self._take(message)
                    if len(self._pending) >= self._bounds.rows:
                        await self._flush()
                if not self.source.behind:
                    self._at_end_ns = self._clock.monotonic_ns()
                if not self._moved:
                    self._level_ns = self._at_end_ns
                elif self._clock.monotonic_ns() >= self._due_ns:
                    await self._flush()

    def _take(self, message: Message[Any]) -> None:
        taken = self._progress.advance(message)
        if not self._moved:
            self._moved, self._due_ns = True, self._clock.monotonic_ns() + int(self._bounds.wait_s * 1e9)
        if not taken:
            return
        if isinstance(message.body, UnreadableMessage):
            self._put_aside([(_unreadable(message), message.body.reason)])
            return
        try:
            self._pending += self._rows_of(message)
        except ValueError as error:
            self._put_aside([(_unreadable(message), str(error) or type(error).__name__)])

    async def _flush(self) -> None:
        rows, checkpoint, at_end_ns = self._pending, self._progress.checkpoint(), self._at_end_ns
        self._fails("before_rows")
        while True:
            try:
                await self.place.write(rows, checkpoint)
                break
            except RowsRefused as refused:
                if len(refused.rows) > REFUSED_MAX:
                    raise Unavailable(f"{self.name} refuses {len(refused.rows)} rows of one write: {refused}") from refused
                self._put_aside(refused.rows)
                gone = {row.origin for row, _ in refused.rows}
                rows = [row for row in rows if row.origin not in gone]
        self._fails("after_checkpoint")
        self.checkpoint, self.rows, self.writes = checkpoint, self.rows + len(rows), self.writes + 1
        self._pending, self._moved, self._level_ns = [], False, at_end_ns

    def _put_aside(self, refused: Sequence[tuple[ArchiveRow, str]]) -> None:
        """Keep what can never be written, before the checkpoint passes it."""
        now = self._clock.now_ns()
        self._letters.put([_letter(self.name, row, reason, now) for row, reason in refused])
        self.aside += len(refused)
        log.warning("rows were put aside", sink=self.name, rows=len(refused), first=refused[0][1][:REASON_MAX])
        self._fails("after_aside")


def _unreadable(message: Message[Any]) -> ArchiveRow:
    """Return a message as one row, for its letter."""
    body = message.body
    value = body.payload.decode(errors="replace") if isinstance(body, UnreadableMessage) else body
    return ArchiveRow("", message.part, message.epoch, message.n or message.seq, 0, value)


def _letter(place: str, row: ArchiveRow, reason: str, at: int) -> DeadLetter:
    text = row.value if isinstance(row.value, str) else encode(row.value).decode()
    return DeadLetter(
        place=place,
        table=row.table,
        part=row.part,
        epoch=row.epoch,
        n=row.n,
        i=row.i,
        at=at,
        reason=reason[:REASON_MAX],
        row=text[:ROW_MAX],
    )
