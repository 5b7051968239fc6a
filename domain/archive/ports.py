"""Ports of an archive: Source, Place, DeadLetters. A pure function between them turns a message into rows."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from domain.archive.checkpoint import Checkpoint, Message

REFUSED_MAX: Final = 1000
"""Rows that one write may put aside. If a place refuses more, not the rows are wrong but the place: it counts as unavailable."""


class ArchiveRow(msgspec.Struct, frozen=True, gc=False):
    """One row for `table`: record `i` of the message (`part`, `epoch`, `n`)."""

    table: str
    part: str
    epoch: int
    n: int
    i: int
    value: Any

    @property
    def origin(self) -> tuple[str, str, int, int, int]:
        """Return what identifies the row, whatever its values are."""
        return self.table, self.part, self.epoch, self.n, self.i


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a message that stands for others: they are gone from the stream before they were read. Sequences `first` to `last`."""

    stream: str
    first: int
    last: int
    at: int
    """When the oldest message that is left was stored, nanoseconds UTC."""
    reason: str


class UnreadableMessage(msgspec.Struct, frozen=True):
    """The body of a message that cannot be decoded. It goes aside."""

    subject: str
    payload: bytes
    reason: str


class RowsRefused(Exception):
    """A place can never store these rows as they are; each with its reason. Others may be stored. The checkpoint did not move."""

    def __init__(self, rows: Sequence[tuple[ArchiveRow, str]]) -> None:
        super().__init__(f"{len(rows)} rows refused, the first: {rows[0][1]}")
        self.rows = rows


Rows: TypeAlias = Callable[[Message[Any]], Sequence[ArchiveRow]]
"""Returns the rows of a message. Pure: the same message has the same rows. Also of a `Loss`. Raises ValueError: the message goes aside."""


class Source(Protocol):
    """A log that is read in order. It keeps nothing of its readers."""

    @property
    def behind(self) -> int:
        """How many messages were behind the last batch, as last known."""

    @property
    def unread_percent(self) -> int:
        """How much of the log's bound holds unread messages: near 100 the log discards what was not read. 0: no bound."""

    def messages(self, after: Checkpoint) -> AsyncGenerator[Sequence[Message[Any]]]:
        """Yield batches in order, beginning at or before the hint of `after`; an empty one if nothing came for a moment. Without end.

        Messages that `after` holds may be repeated. Instead of a record, a body may be a `Loss` or an `UnreadableMessage`.
        Raises Unavailable, Corrupt.
        """


class Place(Protocol):
    """Where rows are kept for readers. Rows written again change nothing. One writer: the process that claimed it last."""

    async def claim(self) -> Checkpoint:
        """Become the writer, and return from where to write: never behind what is safely held. Raises Unavailable."""

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        """Store the rows, then the checkpoint. Raises Fenced (another writer claimed the place), RowsRefused, Unavailable."""

    async def checkpoint(self) -> Checkpoint:
        """Return up to where the place has every row. Raises Unavailable."""

    async def ping(self) -> None:
        """Raise Unavailable if the place does not answer."""

    async def close(self) -> None: ...


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A row that a place refused, or a message that could not be read. `row`: as JSON, cut to ROW_MAX characters."""

    place: str
    table: str
    part: str
    epoch: int
    n: int
    i: int
    at: int
    """When it was put aside, nanoseconds UTC."""
    reason: str
    row: str


ROW_MAX: Final = 4000
REASON_MAX: Final = 300


class DeadLetters(Protocol):
    """What was put aside, bounded: the oldest letters make room. The same row again is no further letter."""

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters; they are on disk when this returns. Raises Unavailable."""

    def newest(self, limit: int) -> Sequence[DeadLetter]:
        """Return letters, newest first. Raises Unavailable."""

    def counts(self) -> Mapping[str, int]:
        """Return how many letters each place has had, those included that made room. Raises Unavailable."""
