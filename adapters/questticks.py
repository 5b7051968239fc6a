"""Ticks in QuestDB, written as ILP over HTTP or over the PostgreSQL wire. Statements and the checkpoint go over the wire.

A batch is one request a table. Then the checkpoint is stored as a row. QuestDB does not fsync, so its host may lose the latest rows while
it keeps the checkpoint: a start goes back by OVERLAP_WRITES checkpoints, and DEDUP makes the repeated rows harmless.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg
import structlog
from questdb import Protocol, QuestDBError, Sender, TimestampNanos

from adapters import questwire
from adapters.codec import decoder, encode
from adapters.questpg import CONNECT_TIMEOUT_S, EPOCH, ERRORS, Pooled, QuestDbPool
from adapters.questtables import BARS, LINES, SOUND, TICK_TABLES, TTL_OFF, TTL_SET, view
from domain.archive.checkpoint import Checkpoint
from domain.archive.misfit import misfit
from domain.archive.ports import ArchiveRow, RowsRefused
from domain.ports import Clock, Fenced, Unavailable

log = structlog.get_logger()

OVERLAP_WRITES: Final = 30
"""How many checkpoints a start goes back: at one a second or less, the system has long written those rows to disk."""
CHECKPOINTS_READ: Final = 200
KEEP_CHECKPOINTS_DAYS: Final = 7
WRITE_TIMEOUT_MS: Final = 30_000
VISIBLE_WITHIN_S: Final = 20.0
LOOK_AGAIN_S: Final = 0.05
INVALID: Final = '"code":"invalid"'
"""In an error: QuestDB could read the request, and lines of it do not fit their table."""
TRIES_MAX: Final = 500
"""Requests by which the lines that do not fit are looked for. One line among 50 000 takes 32."""

OWNERS: Final = """
CREATE TABLE IF NOT EXISTS sink_owners (at TIMESTAMP, sink SYMBOL, owner VARCHAR, term LONG)
timestamp(at) PARTITION BY YEAR WAL DEDUP UPSERT KEYS(at, sink, owner)
"""
CHECKPOINTS: Final = f"""
CREATE TABLE IF NOT EXISTS sink_checkpoints (at TIMESTAMP, sink SYMBOL, number LONG, checkpoint VARCHAR)
timestamp(at) PARTITION BY DAY TTL {KEEP_CHECKPOINTS_DAYS} DAYS WAL DEDUP UPSERT KEYS(at, sink, number)
"""
OWNER: Final = "SELECT owner, term FROM sink_owners WHERE sink = $1 ORDER BY term DESC, owner DESC LIMIT 1"
CLAIM: Final = "INSERT INTO sink_owners VALUES ($1, $2, $3, $4)"
MINE: Final = "SELECT count() FROM sink_owners WHERE sink = $1 AND owner = $2 AND term = $3"
NEWEST: Final = (
    f"SELECT number, checkpoint FROM (SELECT * FROM sink_checkpoints WHERE sink = $1 LIMIT -{CHECKPOINTS_READ}) ORDER BY number DESC"
)
NOTE: Final = "INSERT INTO sink_checkpoints VALUES ($1, $2, $3, $4)"
APPLIED: Final = (
    "SELECT CASE WHEN count() = 0 THEN 1 ELSE 0 END FROM wal_tables() WHERE name = 'sink_checkpoints' AND sequencerTxn > writerTxn"
)
SUSPENDED: Final = "SELECT count() FROM tables() WHERE table_suspended AND table_name IN "

_CHECKPOINTS: Final = decoder(Checkpoint)

_AT: Final = attrgetter("value.at")


class QuestDbTicks:
    """Port: domain.archive.ports.Place. Rows are readable about a second after `write` has returned.

    `sink` names the checkpoint: each source that is written here has its own. `owner` must differ between processes. Without `http_url`
    rows go over the wire too.
    """

    def __init__(
        self,
        http_url: str,
        pg_url: str,
        sink: str,
        owner: str,
        clock: Clock,
        fails: Callable[[str], None],
        *,
        overlap: int = OVERLAP_WRITES,
    ) -> None:
        self._http_url = http_url
        self._pg_url = pg_url
        self._sink = sink
        self._owner = owner
        self._clock = clock
        self._fails = fails
        self._overlap = overlap
        self._term = 0
        self._number = 0
        self._pool = QuestDbPool(pg_url)
        self._sender: Sender | None = None
        self._writer: asyncpg.Connection[asyncpg.Record] | None = None

    async def claim(self) -> Checkpoint:
        """Create what is missing, become the writer, and return the checkpoint OVERLAP_WRITES before the last one."""
        async with self._pool.connection() as connection:
            for statement in (OWNERS, CHECKPOINTS, *TICK_TABLES.values(), *map(view, BARS)):
                await connection.execute(statement)
            await self._standing(connection)
            if await connection.fetchval(TTL_SET):
                await connection.execute(TTL_OFF)
            owner = await connection.fetchrow(OWNER, self._sink)
            if not self._owns(owner):
                self._term = 1 + (owner["term"] if owner else 0)
                await connection.execute(CLAIM, self._now(), self._sink, self._owner, self._term)
                await self._until(connection, MINE, self._sink, self._owner, self._term)
            await self._until(connection, APPLIED)
            found = await connection.fetch(NEWEST, self._sink)
        self._number = found[0]["number"] if found else 0
        return _CHECKPOINTS.decode(found[self._overlap]["checkpoint"]) if len(found) > self._overlap else Checkpoint()

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        async with self._pool.connection() as connection:
            await self._check_owner(connection)
            if refused := [(row, why) for row in rows if not SOUND[row.table](row.value) and (why := misfit(row.value))]:
                raise RowsRefused(refused)
            if rows and self._http_url:
                await asyncio.to_thread(self._send, rows)
            elif rows:
                await self._send_over_wire(rows)
            self._fails("after_rows")
            self._number += 1
            await connection.execute(NOTE, self._now(), self._sink, self._number, encode(checkpoint).decode())

    async def checkpoint(self) -> Checkpoint:
        async with self._pool.connection() as connection:
            await self._until(connection, APPLIED)
            found = await connection.fetch(NEWEST, self._sink)
        return _CHECKPOINTS.decode(found[0]["checkpoint"]) if found else Checkpoint()

    async def ping(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        self._hang_up()
        self._pool.close()

    def _send(self, rows: Sequence[ArchiveRow]) -> None:
        """Send a batch, one request a table, and return when the server has committed it. In a thread: it takes up to seconds.

        Rows go in the order of _by_table.
        """
        try:
            for table, its in _by_table(rows).items():
                self._send_table(table, its)
        except (QuestDBError, UnicodeError, OverflowError, ValueError) as error:
            self._hang_up()
            refused = [(row, why) for row in rows if (why := misfit(row.value))] or self._refused_by_server(rows, error)
            if refused:
                raise RowsRefused(refused) from error
            raise Unavailable(f"QuestDB did not accept {len(rows)} rows: {error}", unknown=True) from error

    def _send_table(self, table: str, rows: Sequence[ArchiveRow]) -> None:
        sender, line = self._connected(), LINES[table]
        buffer = sender.new_buffer()
        for row in rows:
            buffer.row(table, **line(row.value), at=TimestampNanos(row.value.at))
        sender.flush(buffer, transactional=True)

    def _refused_by_server(self, rows: Sequence[ArchiveRow], error: Exception) -> Sequence[tuple[ArchiveRow, str]]:
        """Return the rows that do not fit a table as it is now: a batch is halved until they stand alone. Raises Unavailable.

        Empty if QuestDB does not say that lines are wrong. Halves that are accepted are stored.
        """
        if INVALID not in str(error):
            return ()
        found: list[tuple[ArchiveRow, str]] = []
        parts, tries = list(_by_table(rows).items()), 0
        while parts:
            (table, part), tries = parts.pop(), tries + 1
            if tries > TRIES_MAX:
                raise Unavailable(f"QuestDB refuses too many rows: {error}")
            try:
                self._send_table(table, part)
            except QuestDBError as reason:
                self._hang_up()
                if INVALID not in str(reason):
                    raise Unavailable(f"QuestDB did not accept {len(part)} rows: {reason}", unknown=True) from reason
                if len(part) == 1:
                    found.append((part[0], str(reason)))
                else:
                    parts += [(table, part[: len(part) // 2]), (table, part[len(part) // 2 :])]
        return found

    async def _send_over_wire(self, rows: Sequence[ArchiveRow]) -> None:
        """Send a batch in the same order. Raises RowsRefused before anything is sent: a cast would round what does not fit."""
        if refused := [(row, why) for row in rows if (why := misfit(row.value))]:
            raise RowsRefused(refused)
        if self._writer is None:  # apart from the pool: asyncpg repeats a statement only over a connection that keeps statements
            self._writer = await asyncpg.connect(self._pg_url, timeout=CONNECT_TIMEOUT_S, command_timeout=WRITE_TIMEOUT_MS / 1000)
        try:
            for table, its in _by_table(rows).items():
                for first in range(0, len(its), questwire.ROWS_MAX):
                    await self._writer.executemany(questwire.insert(table), map(questwire.values, its[first : first + questwire.ROWS_MAX]))
        except ERRORS:
            self._hang_up()  # a recreated table needs another statement
            raise

    def _connected(self) -> Sender:
        if self._sender is None:
            at = urlsplit(self._http_url)
            self._sender = Sender(
                Protocol.Https if at.scheme == "https" else Protocol.Http,
                at.hostname or "",
                at.port or 9000,
                username=unquote(at.username) if at.username else None,
                password=unquote(at.password) if at.password else None,
                protocol_version=3,
                auto_flush=False,
                retry_timeout=0,
                request_timeout=WRITE_TIMEOUT_MS,
            )
            self._sender.establish()  # type: ignore[no-untyped-call]
        return self._sender

    def _hang_up(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close(flush=False)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.terminate()

    async def _check_owner(self, connection: Pooled) -> None:
        found = await connection.fetchrow(OWNER, self._sink)
        if not self._owns(found):
            raise Fenced(f"{self._sink}: another sink claimed QuestDB: {dict(found) if found else 'the owners are gone'}")

    def _owns(self, found: asyncpg.Record | None) -> bool:
        return found is not None and (found["owner"], found["term"]) == (self._owner, self._term)

    async def _standing(self, connection: Pooled) -> None:
        names = [*TICK_TABLES, *BARS, "sink_owners", "sink_checkpoints"]
        marks = ",".join(f"${number}" for number in range(1, len(names) + 1))
        if suspended := await connection.fetchval(f"{SUSPENDED}({marks})", *names):
            raise Unavailable(f"QuestDB: {suspended} tables of ticks are suspended")

    async def _until(self, connection: Pooled, question: str, *values: object) -> None:
        """Wait until the answer is not 0: what was written is readable a moment later."""
        until = time.monotonic() + VISIBLE_WITHIN_S
        while not await connection.fetchval(question, *values):
            if time.monotonic() > until:
                raise Unavailable(f"QuestDB does not show what was written within {VISIBLE_WITHIN_S:g} s")
            await asyncio.sleep(LOOK_AGAIN_S)

    def _now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._clock.now_ns() // 1000)


def _by_table(rows: Sequence[ArchiveRow]) -> dict[str, list[ArchiveRow]]:
    """Return rows by table, in the order of their time, and rows of one time in that of the log, with which `first` of a bar agrees."""
    tables = defaultdict[str, list[ArchiveRow]](list)
    for row in rows:
        tables[row.table].append(row)
    return {table: sorted(its, key=_AT) for table, its in tables.items()}
