"""Connections to QuestDB over its PostgreSQL wire; whatever fails on one is Unavailable. How its times are written there."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import structlog
from asyncpg.cursor import Cursor
from asyncpg.pool import PoolConnectionProxy

from domain.ports import Unavailable

log = structlog.get_logger()

CONNECT_TIMEOUT_S: Final = 3.0
QUERY_TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 4
KEPT_MAX: Final = 2
"""Connections that are kept for the next read."""
NO_STATEMENTS: Final = 0
"""No statement is kept: a recreated table has the old name and other columns."""
STATEMENTS_MAX: Final = 100
"""asyncpg repeats a statement (executemany) only over a connection that keeps statements: QuestDB forgets an unnamed one."""
ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

ROWS_A_TURN: Final = 32
"""Rows that `in_turns` decodes without a break, some 10 us each."""

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (QuestDB's TIMESTAMP has no zone: it is UTC)
ONE_DAY: Final = timedelta(days=1)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pooled: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


def begin_of(day: int) -> datetime:
    """Return the begin of a day. `day` counts from 1970-01-01, UTC."""
    return EPOCH + day * ONE_DAY


@contextlib.asynccontextmanager
async def connected(pg_url: str, *, timeout_s: float = QUERY_TIMEOUT_S, statements: int = NO_STATEMENTS) -> AsyncIterator[Connection]:
    """Open one connection, for callers that ask a few times a minute. `timeout_s`: of each query. Unavailable."""
    try:
        connection = await asyncpg.connect(pg_url, timeout=CONNECT_TIMEOUT_S, command_timeout=timeout_s, statement_cache_size=statements)
        try:
            yield connection
        finally:
            connection.terminate()
    except ERRORS as error:
        raise Unavailable(f"QuestDB: {reason(error)}") from error


@contextlib.asynccontextmanager
async def in_turns(connection: Connection, statement: str, *arguments: object) -> AsyncIterator[AsyncIterator[list[asyncpg.Record]]]:
    """Read the rows of one query, at most ROWS_A_TURN at a time: decoding them all at once would keep the event loop.

    After a failure the connection cannot be used: it is in a transaction, whose end is not awaited because the server may hang.
    """
    transaction = connection.transaction()  # QuestDB keeps a cursor within a transaction only
    await transaction.start()
    yield _turns(await connection.cursor(statement, *arguments))
    await transaction.rollback()


async def _turns(cursor: "Cursor[asyncpg.Record]") -> AsyncIterator[list[asyncpg.Record]]:
    while rows := await cursor.fetch(ROWS_A_TURN):
        yield rows


class KeptConnections:
    """Connections for reads that have their own deadline: opened when needed, kept after a success, and cut off after anything else.

    The caller bounds how many are open. A pool would wait for the answer of a server that hangs before it gives one up.
    """

    def __init__(self, pg_url: str, timeout_s: float) -> None:
        """`timeout_s`: of each query."""
        self._pg_url = pg_url
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Unavailable."""
        while self._idle and self._idle[-1].is_closed():
            self._idle.pop()
        connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = await asyncpg.connect(
                    self._pg_url, timeout=CONNECT_TIMEOUT_S, command_timeout=self._timeout_s, statement_cache_size=NO_STATEMENTS
                )
            yield connection
            if len(self._idle) < KEPT_MAX:
                self._idle.append(connection)
                connection = None
        except ERRORS as error:
            raise Unavailable(f"QuestDB: {reason(error)}") from error
        finally:
            if connection is not None:
                connection.terminate()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().terminate()


class QuestDbPool:
    """At most CONNECTIONS_MAX connections, opened when they are needed."""

    def __init__(self, pg_url: str) -> None:
        self._pg_url = pg_url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._connected = False

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Pooled]:
        """Lend a connection. Unavailable."""
        try:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._pg_url,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=QUERY_TIMEOUT_S,
                    statement_cache_size=NO_STATEMENTS,
                )
            async with self._pool.acquire(timeout=QUERY_TIMEOUT_S) as connection:
                yield connection
        except ERRORS as error:
            self._connected = False
            raise Unavailable(f"QuestDB: {reason(error)}") from error
        if not self._connected:
            self._connected = True
            log.info("Connected to QuestDB", address=urlsplit(self._pg_url).netloc.rpartition("@")[2])

    def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None


def reason(error: Exception) -> str:
    """Return an error's text; that of a timeout is empty, so its kind."""
    return str(error) or type(error).__name__
