"""The table of parents in the order store's file. Rows are saved with the orders, in the same transaction."""

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from domain.order.algo import AlgoFilter, Parent

TABLE: Final = """
CREATE TABLE IF NOT EXISTS parents (
  algo_id TEXT PRIMARY KEY, account TEXT NOT NULL, state TEXT NOT NULL, closed INTEGER NOT NULL, created_at INTEGER NOT NULL,
  body BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parents_by_time ON parents (created_at, algo_id);
CREATE INDEX IF NOT EXISTS parents_by_account ON parents (account, created_at, algo_id);
"""
_SELECT: Final = "SELECT algo_id, account, state, closed, created_at, body, checksum FROM parents"
_FIND: Final = f"{_SELECT} WHERE algo_id = ?"
_OPEN: Final = f"{_SELECT} WHERE closed = 0"
_PUT: Final = "INSERT OR REPLACE INTO parents VALUES (?, ?, ?, ?, ?, ?, ?)"
_PARENT: Final = msgspec.json.Decoder(Parent)


class DamagedParent(Exception):
    """A row of the table does not verify."""


def open_parents(connection: sqlite3.Connection) -> list[Parent]:
    """Return the parents that have not ended. DamagedParent."""
    return [_verified(row) for row in connection.execute(_OPEN)]


def check_parents(connection: sqlite3.Connection) -> None:
    """Check every row: one whose state was changed would be missing from every query. DamagedParent."""
    for row in connection.execute(_SELECT):
        _verified(row)


def find_parent(connection: sqlite3.Connection, algo_id: str) -> Parent | None:
    """Return one parent. DamagedParent."""
    row = connection.execute(_FIND, (algo_id,)).fetchone()
    return None if row is None else _verified(row)


def parents_page(connection: sqlite3.Connection, wanted: AlgoFilter, below: tuple[int, str] | None, limit: int) -> list[Parent]:
    """Return parents, newest first, older than `below` (created_at, algo_id). DamagedParent."""
    conditions, values = [], list[Any]()
    if wanted.account is not None:
        conditions.append("account = ?")
        values.append(wanted.account)
    if wanted.states:
        conditions.append(f"state IN ({','.join('?' * len(wanted.states))})")
        values += map(str, wanted.states)
    if below is not None:
        conditions.append("(created_at, algo_id) < (?, ?)")
        values += below
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    found = connection.execute(f"{_SELECT}{where} ORDER BY created_at DESC, algo_id DESC LIMIT ?", [*values, limit])
    return [_verified(row) for row in found]


def put_parents(connection: sqlite3.Connection, rows: Sequence[tuple[Parent, bytes]]) -> None:
    """Save parents with their encoded bytes."""
    connection.executemany(_PUT, [_columns(parent, body) for parent, body in rows])


def _columns(parent: Parent, body: bytes) -> tuple[Any, ...]:
    named = parent.algo_id, parent.account, str(parent.state), int(parent.closed), parent.created_at
    return (*named, body, _checksum(named, body))


def _checksum(named: tuple[Any, ...], body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(repr(named).encode()))


def _verified(row: tuple[Any, ...]) -> Parent:
    *named, body, checksum = row
    if not isinstance(body, bytes) or _checksum(tuple(named), body) != checksum:
        raise DamagedParent(f"the checksum of parent {row[0]} is wrong")
    parent = _PARENT.decode(body)
    parent.commit = 0
    return parent
