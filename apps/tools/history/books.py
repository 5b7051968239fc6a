"""Saved position books: states of the fold at some sequences, so that a point-in-time query need not replay the whole journal."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from adapters.codec import decoder, encode
from adapters.snapshots import FileSnapshots
from domain.audit.state_hash import shape_of
from domain.ports import Head, Journal, Unavailable
from domain.position.position import Position, PositionBook

log = structlog.get_logger()

DIRECTORY: Final = Path("snapshots", "positions")
STATE_VERSION: Final = 1
"""Increase this if the meaning of a position changes while its fields stay the same."""
BOOKS_MAX: Final = 200
"""Above this number every second book is removed, so that the rest are twice as far apart."""
DIGITS: Final = 20

_SCHEMA: Final = shape_of(list[Position], STATE_VERSION)
_DECODER: Final = decoder(list[Position])


class Books:
    """The saved books, each in a directory named after its sequence. A lost or damaged one is skipped."""

    def __init__(self, data_dir: Path, shard: int | None = None) -> None:
        """`shard`: the one that the books are of, where there are several."""
        self._directory = data_dir / DIRECTORY / ("" if shard is None else f"shard-{shard}")
        self._files = FileSnapshots(self._directory)

    async def newest(self, journal: Journal, until: int) -> tuple[Head, PositionBook]:
        """Return the latest book at or before `until` that verifies and is of this journal; else an empty book. Unavailable."""
        for name in reversed([name for name in self._names() if int(name) <= until]):
            for head, body in self._files.kept(name, _SCHEMA):
                recorded = await journal.read(head.seq)
                if recorded is not None and recorded.head == head and head.seq == int(name):
                    return head, _book(_DECODER.decode(body))
                log.warning("a saved position book is ignored: it is of another journal", sequence=head.seq)
        return Head(), PositionBook()

    async def keep(self, head: Head, book: PositionBook) -> None:
        """Save a book. A failure, as on a full disk, is logged and does not fail the query."""
        try:
            await asyncio.to_thread(self._files.store, _name(head.seq), _SCHEMA, head, encode(list(book.positions.values())))
            self._thin()
        except (Unavailable, OSError) as trouble:
            log.warning("a position book could not be saved", sequence=head.seq, reason=str(trouble))

    def _thin(self) -> None:
        names = self._names()
        if len(names) > BOOKS_MAX:
            for name in names[::2]:
                shutil.rmtree(self._directory / name)

    def _names(self) -> Sequence[str]:
        """Return the names of all books, in the order of their sequences."""
        found = self._directory.iterdir() if self._directory.is_dir() else ()
        return sorted(each.name for each in found if len(each.name) == DIGITS and each.name.isdecimal())


def _name(seq: int) -> str:
    return f"{seq:0{DIGITS}}"


def _book(positions: list[Position]) -> PositionBook:
    book = PositionBook()
    book.positions = {(position.account, position.symbol): position for position in positions}
    return book
