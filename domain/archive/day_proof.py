"""Whether a table of ticks and the archive have the same rows of a day: counted and hashed, slice by slice."""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final

from domain.archive.market_rows import BOOK_TOP, QUOTES, TRADES

Row = tuple[Hashable, ...]
"""The columns of a row, in the order of its table: numbers exact, times as nanoseconds, None for a missing value."""

KEYS: Final[Mapping[str, Sequence[str]]] = {
    QUOTES: ("at", "venue", "symbol", "seq"),
    TRADES: ("at", "venue", "symbol", "trade_id"),
    BOOK_TOP: ("at", "venue", "symbol", "seq", "level"),
}
"""Table -> the columns that identify a row: rows of one key are one row in the table, and each of them is in the archive."""


class DayProof:
    """Compares the rows of one table, a slice of time at a call. `key` returns what identifies a row.

    `rest`: the day was equal and dropped before, and these rows came late: the archive has more, which is not compared.
    """

    def __init__(self, key: Callable[[Row], Hashable], *, rest: bool = False) -> None:
        self._key = key
        self._rest = rest
        self._stored, self._archived = hashlib.sha256(), hashlib.sha256()
        self.stored = 0
        self.archived = 0

    def add(self, stored: Iterable[Row], archived: Iterable[Row]) -> None:
        """Count and hash a slice. Of archived rows with one key, the one counts that the table has, else the first."""
        table = {self._key(row): row for row in stored}
        archive: dict[Hashable, Row] = {}
        for row in archived:
            key = self._key(row)
            if self._rest and key not in table:
                continue
            if key not in archive or row == table.get(key):
                archive[key] = row
        self.stored += len(table)
        self.archived += len(archive)
        _hash(self._stored, table.values())
        _hash(self._archived, archive.values())

    @property
    def trouble(self) -> str | None:
        """Return how the two differ; None if they are equal."""
        if self.stored != self.archived:
            return f"{self.stored} rows, and {self.archived} in the archive"
        return None if self._stored.digest() == self._archived.digest() else f"{self.stored} rows in both, with other contents"


def _hash(into: "hashlib._Hash", rows: Iterable[Row]) -> None:
    for line in sorted(map(repr, rows)):
        into.update(line.encode())
        into.update(b"\n")
