"""The fills tables in one SQLite file: the same columns as in QuestDB, numbers as exact text, times as RFC 3339 text."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import structlog

from domain.ports import FillPlace, Unavailable
from domain.position.rows import EventRow, FillRow, OrderEventRow, Owners, fill_row, table_rows
from domain.values import plain, rfc3339

log = structlog.get_logger()
T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 5.0
ASK_MANY: Final = 500

TABLES: Final = """
CREATE TABLE IF NOT EXISTS fills (
  timestamp TEXT NOT NULL, exec_id TEXT NOT NULL, order_id TEXT NOT NULL, client_order_id TEXT,
  account TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, venue TEXT NOT NULL,
  quantity TEXT NOT NULL, price TEXT NOT NULL, fee TEXT NOT NULL, liquidity TEXT, seq INTEGER NOT NULL{column},
  PRIMARY KEY (timestamp, exec_id, venue)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fills_of_account ON fills (account, timestamp);
CREATE TABLE IF NOT EXISTS order_events (
  timestamp TEXT NOT NULL, order_id TEXT NOT NULL, account TEXT, symbol TEXT, type TEXT NOT NULL, status TEXT NOT NULL,
  seq INTEGER NOT NULL, "index" INTEGER NOT NULL, detail TEXT NOT NULL{column},
  PRIMARY KEY ({key}seq, "index")
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS order_events_of_order ON order_events (order_id);
"""
SHARD_COLUMN: Final = ", shard INTEGER NOT NULL"
"""Of the tables of several shards."""
PUT_FILL: Final = "INSERT OR REPLACE INTO fills VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?{})"
PUT_EVENT: Final = "INSERT OR REPLACE INTO order_events VALUES (?,?,?,?,?,?,?,?,?{})"
COLUMNS: Final = ", ".join(FillRow.__struct_fields__)
FILLS_OF: Final = f"""
SELECT {COLUMNS} FROM fills WHERE account = :account AND timestamp >= :since AND (:until IS NULL OR timestamp < :until)
AND (:symbol IS NULL OR symbol = :symbol)
AND (:at IS NULL OR (timestamp <= :at AND (timestamp, seq, exec_id, venue) < (:at, :seq, :exec_id, :venue)))
ORDER BY timestamp DESC, seq DESC, exec_id DESC, venue DESC LIMIT :limit
"""
ROWS: Final = f"SELECT {COLUMNS} FROM fills WHERE seq > ? AND seq <= ?"
COUNT: Final = "SELECT count(*) FROM fills WHERE seq <= ?"
HOLDS_EVENT: Final = 'SELECT count(*) FROM order_events WHERE timestamp = ? AND order_id = ? AND seq = ? AND "index" = ?'
HOLDS_FILL: Final = "SELECT count(*) FROM fills WHERE timestamp = ? AND exec_id = ? AND venue = ?"
NUMBERS: Final = ("quantity", "price", "fee")


class SqliteFills:
    """Port: domain.ports.Fills. One connection, used in worker threads one call at a time."""

    def __init__(self, file: Path, shard: int | None = None) -> None:
        """`shard`: the one that is written and counted, where there are several."""
        self._file = file
        self._shard = shard
        self._column = () if shard is None else (shard,)
        self._only = "" if shard is None else f" AND shard = {shard}"
        self._owners = Owners()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._one_at_a_time = threading.Lock()

    async def prepare(self) -> None:
        """Create the file and its tables. No other call creates the file: an early reader must not leave an empty one for the writer."""
        await self._in_thread(lambda connection: connection.executescript(self._tables()), create=True)

    def _tables(self) -> str:
        sharded = self._shard is not None
        return TABLES.format(column=SHARD_COLUMN if sharded else "", key="shard, " if sharded else "")

    async def close(self) -> None:
        """Close the connection; waits for a call in progress."""
        await asyncio.to_thread(self._close)

    async def ping(self) -> None:
        await self._in_thread(lambda connection: connection.execute("SELECT 1").fetchone())

    async def checkpoint(self) -> int:
        return await self._in_thread(
            lambda c: int(c.execute(f"SELECT coalesce(max(seq), 0) FROM order_events WHERE TRUE{self._only}").fetchone()[0])
        )

    async def holds(self, row: EventRow) -> tuple[bool, bool]:
        at, fill = rfc3339(row.event.at), fill_row(row)

        def ask(connection: sqlite3.Connection) -> tuple[bool, bool]:
            (event,) = connection.execute(HOLDS_EVENT, (at, row.event.order_id, row.seq, row.index)).fetchone()
            return bool(event), fill is None or bool(connection.execute(HOLDS_FILL, (at, fill.exec_id, fill.venue)).fetchone()[0])

        return await self._in_thread(ask)

    async def clear(self) -> None:
        await self._in_thread(
            lambda connection: connection.executescript(
                f"DELETE FROM order_events WHERE TRUE{self._only}; DELETE FROM fills WHERE TRUE{self._only};"
            )
        )

    async def write(self, rows: Sequence[EventRow]) -> None:
        """Write all rows in one transaction."""
        await self._in_thread(lambda connection: self._write(connection, rows))
        self._owners.stored(rows)

    async def fills(
        self, account: str, *, symbol: str | None, since_ns: int, limit: int, until_ns: int | None = None, below: FillPlace | None = None
    ) -> list[dict[str, object]]:
        at = None if below is None else rfc3339(below.at_ns)
        place = dict(zip(("at", "seq", "exec_id", "venue"), (None,) * 4 if below is None else (at, *below[1:]), strict=True))
        until = None if until_ns is None else rfc3339(until_ns)
        asked = {"account": account, "symbol": symbol, "since": rfc3339(since_ns), "until": until, "limit": limit, **place}

        def ask(connection: sqlite3.Connection) -> list[dict[str, object]]:
            found = connection.execute(FILLS_OF, asked)
            return [_answer(dict(zip(FillRow.__struct_fields__, row, strict=True))) for row in found]

        return await self._in_thread(ask)

    async def reaches(self) -> int:
        return await self.checkpoint()

    async def rows(self, after: int, until: int) -> list[dict[str, object]]:
        def ask(connection: sqlite3.Connection) -> list[dict[str, object]]:
            return [
                _answer(dict(zip(FillRow.__struct_fields__, row, strict=True)))
                for row in connection.execute(ROWS + self._only, (after, until))
            ]

        return await self._in_thread(ask)

    async def count(self, until: int) -> int:
        return await self._in_thread(lambda connection: int(connection.execute(COUNT + self._only, (until,)).fetchone()[0]))

    def _write(self, connection: sqlite3.Connection, rows: Sequence[EventRow]) -> None:
        missing = self._owners.missing(rows)
        for start in range(0, len(missing), ASK_MANY):
            some = missing[start : start + ASK_MANY]
            marks = ",".join("?" * len(some))
            asked = f"SELECT order_id, account, symbol FROM order_events WHERE type = 'OrderSubmitted' AND order_id IN ({marks})"
            for order_id, account, symbol in connection.execute(asked, some):
                self._owners.learn(order_id, (account, symbol))
        fills, events = table_rows(rows, self._owners)
        with connection:
            mark = ",?" * len(self._column)
            connection.executemany(PUT_FILL.format(mark), ((*_columns(row), *self._column) for row in fills))
            connection.executemany(PUT_EVENT.format(mark), ((*_columns(row), *self._column) for row in events))

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T], *, create: bool = False) -> T:
        def locked() -> T:
            with self._one_at_a_time, self._trouble():
                if self._connection is None:
                    self._connection = self._open(create)
                elif self._file.stat().st_ino != self._inode:
                    raise sqlite3.OperationalError("the file was replaced")
                return work(self._connection)

        return await asyncio.to_thread(locked)

    def _open(self, create: bool) -> sqlite3.Connection:
        if create:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        address = f"{self._file.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
        self._inode = self._file.stat().st_ino
        # WAL allows reads during a write; NORMAL may lose the last transactions in a power cut, and the checkpoint with them.
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        log.info("Connected to SQLite", file=str(self._file))
        return connection

    def _close(self) -> None:
        with self._one_at_a_time:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        """Drop the connection after any error: the file may have been replaced, or be gone."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise Unavailable(f"SQLite {self._file}: {error}") from error


def _columns(row: FillRow | OrderEventRow) -> tuple[object, ...]:
    """Return the values in the order of the table; the first column is the time."""
    at, *values = (getattr(row, name) for name in row.__struct_fields__)
    return (rfc3339(at), *(plain(value) if isinstance(value, Decimal) else value for value in values))


def _answer(row: dict[str, object]) -> dict[str, object]:
    return row | {name: Decimal(str(row[name])) for name in NUMBERS}
