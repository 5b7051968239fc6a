"""Dead letters in one SQLite file: rows that a place refused and messages that could not be read. Bounded; the oldest make room."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from adapters.memory_places import LETTERS_MAX
from domain.archive.ports import DeadLetter
from domain.ports import Unavailable

BUSY_TIMEOUT_S: Final = 5.0
TABLES: Final = """
CREATE TABLE IF NOT EXISTS letters (
  number INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, "table" TEXT NOT NULL, part TEXT NOT NULL, epoch INTEGER NOT NULL,
  n INTEGER NOT NULL, i INTEGER NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL, row TEXT NOT NULL,
  UNIQUE (place, "table", part, epoch, n, i)
);
CREATE TABLE IF NOT EXISTS counts (place TEXT PRIMARY KEY, letters INTEGER NOT NULL) WITHOUT ROWID;
"""
COLUMNS: Final = ", ".join(f'"{name}"' for name in DeadLetter.__struct_fields__)
PUT: Final = f"INSERT OR IGNORE INTO letters ({COLUMNS}) VALUES ({', '.join('?' * len(DeadLetter.__struct_fields__))})"
COUNTED: Final = "INSERT INTO counts VALUES (?, ?) ON CONFLICT (place) DO UPDATE SET letters = letters + excluded.letters"
MAKE_ROOM: Final = "DELETE FROM letters WHERE number <= (SELECT number FROM letters ORDER BY number DESC LIMIT 1 OFFSET ?)"
NEWEST: Final = f"SELECT {COLUMNS} FROM letters ORDER BY number DESC LIMIT ?"


class SqliteDeadLetters:
    """Port: domain.archive.ports.DeadLetters. Used from one thread."""

    def __init__(self, file: Path, letters_max: int = LETTERS_MAX) -> None:
        self._file = file
        self._letters_max = letters_max
        self._connection: sqlite3.Connection | None = None

    def put(self, letters: Sequence[DeadLetter]) -> None:
        with self._transaction() as connection:
            for letter in letters:
                made = connection.execute(PUT, msgspec.structs.astuple(letter)).rowcount
                connection.execute(COUNTED, (letter.place, made))
            connection.execute(MAKE_ROOM, (self._letters_max,))

    def newest(self, limit: int) -> Sequence[DeadLetter]:
        with self._transaction() as connection:
            found = connection.execute(NEWEST, (limit,)).fetchall()
        return [DeadLetter(**dict(zip(DeadLetter.__struct_fields__, row, strict=True))) for row in found]

    def counts(self) -> Mapping[str, int]:
        with self._transaction() as connection:
            return dict(connection.execute("SELECT place, letters FROM counts WHERE letters > 0").fetchall())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S)
                self._connection.executescript(TABLES)
            with self._connection:
                yield self._connection
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise Unavailable(f"dead letters: {self._file}: {error}") from error
