"""Orders on disk: a projection that oms keeps for itself, so that closed orders need no memory and a restart is short.

If it is lost or damaged, it is dropped and rebuilt from the journal. Every row has a checksum over all its columns, and the file records
to which journal it belongs. A file of another schema is rebuilt too.
"""

import contextlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import structlog

from adapters.codec import encode
from adapters.parent_table import TABLE, DamagedParent, check_parents, find_parent, open_parents, parents_page, put_parents
from domain.execution.owner import NO_OWNER, Owner
from domain.order.algo import AlgoFilter, Parent
from domain.order.holdings import Key
from domain.order.index import OrderFilter, names_of
from domain.order.interning import Shared
from domain.order.lifecycle import CLOSED
from domain.order.order import Order
from domain.ports import Corrupt, Head, StoredOrders, StoredPicture, Unavailable

log = structlog.get_logger()

SCHEMA: Final = 5
BUSY_MS: Final = 2000
TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY, order_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, client_order_id TEXT NOT NULL, symbol TEXT NOT NULL,
  status TEXT NOT NULL, closed INTEGER NOT NULL, created_at INTEGER NOT NULL, group_id TEXT NOT NULL, leads INTEGER NOT NULL,
  body BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS held (
  account TEXT NOT NULL, symbol TEXT NOT NULL, quantity TEXT NOT NULL, checksum INTEGER NOT NULL,
  PRIMARY KEY (account, symbol)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (
  account TEXT NOT NULL, client_order_id TEXT NOT NULL, order_id TEXT NOT NULL, checksum INTEGER NOT NULL,
  PRIMARY KEY (account, client_order_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_name ON names (client_order_id);
CREATE INDEX IF NOT EXISTS by_time ON orders (created_at, order_id);
CREATE INDEX IF NOT EXISTS by_account ON orders (account, created_at, order_id);
CREATE INDEX IF NOT EXISTS by_status ON orders (status);
CREATE INDEX IF NOT EXISTS by_list ON orders (group_id) WHERE group_id <> '';
CREATE INDEX IF NOT EXISTS leaders ON orders (created_at, order_id) WHERE leads = 1;
CREATE INDEX IF NOT EXISTS still_open ON orders (id) WHERE closed = 0;
"""
ROW: Final = "(?,?,?,?,?,?,?,?,?,?,?)"
PUT: Final = f"""
INSERT INTO orders (order_id, account, client_order_id, symbol, status, closed, created_at, group_id, leads, body, checksum) VALUES {ROW}
ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, closed = excluded.closed, leads = excluded.leads, body = excluded.body,
checksum = excluded.checksum
"""
ROWS_AT_ONCE: Final = 64
"""Rows in one statement: the GIL changes hands between statements, and the event loop would have to wait for it."""
PUT_MANY: Final = PUT.replace(ROW, ",".join([ROW] * ROWS_AT_ONCE))
SELECT: Final = "SELECT order_id, account, client_order_id, symbol, status, closed, created_at, group_id, leads, body, checksum FROM orders"
FIND: Final = f"{SELECT} WHERE order_id = ?"
MEMBERS: Final = f"{SELECT} WHERE group_id = ? AND group_id <> ''"
OPEN: Final = f"{SELECT} WHERE closed = 0"
ALL: Final = f"{SELECT} NOT INDEXED"
PICTURE: Final = f"{SELECT} ORDER BY order_id"
HELD: Final = "SELECT account, symbol, quantity, checksum FROM held"
NAMED: Final = "SELECT account, client_order_id, order_id, checksum FROM names WHERE account = ? AND client_order_id = ?"
CONDITIONS: Final = {
    "account": "account = ?",
    "symbol": "symbol = ?",
    "group_id": "group_id = ? AND group_id <> ''",
    "client_order_id": "(client_order_id = ? OR order_id IN (SELECT order_id FROM names WHERE client_order_id = ?))",
    "status": "status = ?",
    "closed": "closed = ?",
    "leads": "leads = ?",
    "since_ns": "created_at >= ?",
    "until_ns": "created_at < ?",
}
"""Conditions by field of OrderFilter; all fields have one."""
SQL_INTEGERS: Final = (-(2**63), 2**63 - 1)

_ORDER: Final = msgspec.json.Decoder(Order)


class DamagedStore(Exception):
    """A row or the file does not verify."""


class SqliteOrderStore:
    """Port: domain.ports.OrderStore. Reads on the caller's thread (a point look-up takes some microseconds), writes on another one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._saving = False
        self._checked = False

    def load(self) -> StoredOrders | None:
        """Return the start of a restart; None if nothing is stored, or nothing that verifies (which is logged).

        The first load in a process checks every row: one whose status was changed would be missing from every query.
        """
        try:
            with self._trouble():
                meta = dict(self._read().execute("SELECT name, value FROM meta").fetchall())
                if int(meta.get("schema", 0)) != SCHEMA:
                    return None
                if not self._checked:
                    for row in self._read().execute(ALL):
                        _check(row)
                    check_parents(self._read())
                    self._checked = True
                shared = Shared()
                orders = [shared.order(_verified(row)) for row in self._read().execute(OPEN)]
                counts = self._read().execute("SELECT status, count(*) FROM orders GROUP BY status").fetchall()
                return StoredOrders(
                    checkpoint=int(meta["checkpoint"]),
                    head=msgspec.json.decode(meta["head"], type=Head),
                    report_seqs=json.loads(meta["report_seqs"]),
                    open=orders,
                    counts=dict(counts),
                    owner=msgspec.json.decode(meta.get("owner", "{}"), type=Owner),
                    naming=frozenset(account for (account,) in self._read().execute("SELECT DISTINCT account FROM names")),
                    held=dict(map(_held, self._read().execute(HELD))),
                    parents=open_parents(self._read()),
                )
        except (DamagedStore, DamagedParent, Unavailable, KeyError, ValueError) as trouble:
            log.warning("the order store does not verify and is rebuilt from the journal", file=self._file.name, reason=str(trouble))
            return None

    def clear(self) -> None:
        """Start with an empty file."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)

    def find(self, order_id: str) -> Order | None:
        """Return one order. Raises Unavailable if the row does not verify: no decision uses a damaged order."""
        with self._trouble(), self._reading:
            row = self._look().execute(FIND, (order_id,)).fetchone()
        try:
            return _verified(row) if row else None
        except DamagedStore as damage:
            raise Unavailable(f"the order store is damaged at {order_id}: {damage}") from damage

    def members(self, group_id: str) -> list[Order]:
        """Return the orders of a list. Raises Unavailable if a row does not verify."""
        with self._trouble(), self._reading:
            rows = self._look().execute(MEMBERS, (group_id,)).fetchall()
        try:
            return [_verified(row) for row in rows]
        except DamagedStore as damage:
            raise Unavailable(f"the order store is damaged at list {group_id}: {damage}") from damage

    def named(self, account: str, client_order_id: str) -> str | None:
        """Return the order whose replace has this name. Raises Unavailable if the row does not verify."""
        with self._trouble(), self._reading:
            row = self._look().execute(NAMED, (account, client_order_id)).fetchone()
        if row is None:
            return None
        if _texts_checksum(row[:-1]) != row[-1]:
            raise Unavailable(f"the order store is damaged at a name of account {account}")
        return str(row[2])

    def parent(self, algo_id: str) -> Parent | None:
        """Return one parent. Raises Unavailable if the row does not verify."""
        try:
            with self._trouble(), self._reading:
                return find_parent(self._look(), algo_id)
        except DamagedParent as damage:
            raise Unavailable(f"the order store is damaged: {damage}") from damage

    def parents(self, wanted: AlgoFilter, below: tuple[int, str] | None, limit: int) -> list[Parent]:
        """Return parents, newest first, older than `below` (created_at, algo_id)."""
        try:
            with self._trouble(), contextlib.closing(self._connect()) as connection:
                return parents_page(connection, wanted, below, limit)
        except DamagedParent as damage:
            raise Unavailable(f"the order store is damaged: {damage}") from damage

    def page(self, wanted: OrderFilter, below: tuple[int, str] | None, limit: int, *, oldest_first: bool = False) -> list[Order]:
        """Return orders, newest first, older than `below` (created_at, order_id); or oldest first, newer than it."""
        way, behind = ("ASC", ">") if oldest_first else ("DESC", "<")
        given = {name: value for name in CONDITIONS if (value := getattr(wanted, name)) is not None}
        asked = [CONDITIONS[name] for name in given]
        values: list[Any] = [_sql(value) for name, value in given.items() for _ in range(CONDITIONS[name].count("?"))]
        if below is not None:
            asked.append(f"(created_at, order_id) {behind} (?, ?)")
            values.extend(below)
        where = f" WHERE {' AND '.join(asked)}" if asked else ""
        connection = self._connect()
        try:
            with self._trouble():
                found = connection.execute(f"{SELECT}{where} ORDER BY created_at {way}, order_id {way} LIMIT ?", [*values, limit])
                return [_verified(row) for row in found]
        except DamagedStore as damage:
            raise Unavailable(f"the order store is damaged: {damage}") from damage
        finally:
            connection.close()

    @contextlib.contextmanager
    def picture(self) -> Iterator[StoredPicture | None]:
        """Open one read transaction on a read-only connection of its own. While it lasts, the WAL file only grows."""
        if not self._file.exists():
            yield None
            return
        with self._trouble(), contextlib.closing(sqlite3.connect(f"{self._file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            try:
                connection.isolation_level = None
                connection.execute("BEGIN")
                meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
                if int(meta.get("schema", 0)) != SCHEMA:
                    yield None
                    return
                head = msgspec.json.decode(meta["head"], type=Head)
                held = dict(map(_held, connection.execute(HELD)))
                yield StoredPicture(int(meta["checkpoint"]), head, map(_pictured, connection.execute(PICTURE)), held)
            except DamagedStore as damage:
                raise Corrupt(f"{self._file.name} is damaged: {damage}") from damage
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as damage:
                raise Corrupt(f"{self._file.name} is damaged: {damage}") from damage

    def save(
        self,
        rows: Sequence[tuple[Order, bytes]],
        *,
        checkpoint: int,
        head: Head,
        report_seqs: dict[str, int],
        owner: Owner = NO_OWNER,
        held: Mapping[Key, Decimal] = MappingProxyType({}),
        parents: Sequence[tuple[Parent, bytes]] = (),
    ) -> None:
        """Store orders, parents, holdings and the journal checkpoint they represent, in one transaction. Raises Unavailable."""
        meta = {"schema": str(SCHEMA), "checkpoint": str(checkpoint), "head": encode(head).decode(), "report_seqs": json.dumps(report_seqs)}
        meta["owner"] = encode(owner).decode()
        with self._writing, self._trouble(), self._reader_paused():
            connection = self._write()
            with connection:
                put = [columns(order, body) for order, body in rows]
                rest = len(put) % ROWS_AT_ONCE
                for first in range(rest, len(put), ROWS_AT_ONCE):
                    connection.execute(PUT_MANY, [*chain.from_iterable(put[first : first + ROWS_AT_ONCE])])
                connection.executemany(PUT, put[:rest])
                connection.executemany(
                    "DELETE FROM held WHERE account = ? AND symbol = ?", [key for key, quantity in held.items() if not quantity]
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)", [_held_row(*key, q) for key, q in held.items() if q]
                )
                named = [(*name, order.order_id) for order, _ in rows if order.generations for name in names_of(order)]
                connection.executemany("INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)", [(*row, _texts_checksum(row)) for row in named])
                put_parents(connection, parents)
                connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())

    @contextlib.contextmanager
    def _reader_paused(self) -> Iterator[None]:
        """End the reader's transaction during a save, so that the WAL can be folded back; the next read starts a new one."""
        with self._reading:
            self._saving = True
            if self._reader is not None:
                self._reader.rollback()
        try:
            yield
        finally:
            self._saving = False

    def _look(self) -> sqlite3.Connection:
        """Return the reader, in one transaction from save to save: locking and unlocking the file costs four times the look-up."""
        reader = self._read()
        if not self._saving and not reader.in_transaction:
            reader.execute("BEGIN")
        return reader

    def close(self) -> None:
        with self._writing:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    def _read(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = self._connect()
        return self._reader

    def _write(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def _connect(self) -> sqlite3.Connection:
        """Open a connection in WAL mode without fsync.

        What a power cut loses is read again from the journal: the checkpoint is lost with it.
        """
        with self._trouble():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._file, check_same_thread=False, timeout=BUSY_MS / 1000)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(TABLES + TABLE)
            return connection

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{self._file.name}: {error}") from error


def _sql(value: object) -> object:
    """Convert a value for its column; an integer out of range becomes the nearest possible one."""
    if isinstance(value, int):
        return min(max(int(value), SQL_INTEGERS[0]), SQL_INTEGERS[1])
    return str(value)


def columns(order: Order, body: bytes) -> tuple[Any, ...]:
    """Return a row of the table, its checksum last."""
    named = (
        order.order_id,
        order.account,
        order.client_order_id,
        order.symbol,
        str(order.status),
        int(order.status in CLOSED),
        order.created_at,
        order.group_id,
        int(order.group is not None),
    )
    return (*named, body, _checksum(named, body))


def _checksum(named: tuple[Any, ...], body: bytes) -> int:
    """Return the checksum over the body and the columns by which a row is found. SQLite returns these unchanged, texts and integers."""
    return zlib.crc32(body, zlib.crc32(repr(named).encode()))


def _held_row(account: str, symbol: str, quantity: Decimal) -> tuple[str, str, str, int]:
    row = account, symbol, str(quantity)
    return (*row, _texts_checksum(row))


def _texts_checksum(row: tuple[str, ...]) -> int:
    return zlib.crc32(repr(row).encode())


def _held(row: tuple[Any, ...]) -> tuple[Key, Decimal]:
    *named, checksum = row
    if _texts_checksum(tuple(named)) != checksum:
        raise DamagedStore("a holding's checksum is wrong")
    account, symbol, quantity = named
    return (account, symbol), Decimal(quantity)


def _pictured(row: tuple[Any, ...]) -> tuple[str, Order | None]:
    """Decode a row. Lists are made from the columns beside the body, so both must agree; else the order is None."""
    try:
        order = _verified(row)
    except (DamagedStore, ValueError):
        return row[0], None
    return row[0], order if columns(order, row[-2]) == row else None


def _check(row: tuple[Any, ...]) -> None:
    *named, body, checksum = row
    if not isinstance(body, bytes) or _checksum(tuple(named), body) != checksum:
        raise DamagedStore("a row's checksum is wrong")


def _verified(row: tuple[Any, ...]) -> Order:
    _check(row)
    order = _ORDER.decode(row[-2])
    order.commit = 0
    return order
