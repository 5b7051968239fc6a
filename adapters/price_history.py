"""Daily closes for value at risk, one row a day and symbol: the table `daily_closes` in QuestDB, or in a SQLite file of its own."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import asyncpg

from domain.ports import Unavailable
from domain.risk.history import SIMULATED, DailyClose
from domain.values import plain

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 3.0
QUERY_TIMEOUT_S: Final = 10.0
VISIBLE_LOOKS_MAX: Final = 200
POLL_S: Final = 0.05
BUSY_TIMEOUT_S: Final = 5.0
FILE: Final = "prices.db"
PRICES_CHANGED: Final = "prices.changed"
"""The subject on which whoever has written closes says so, without a payload."""
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (QuestDB's TIMESTAMP has no zone: it is UTC)
ONE_DAY: Final = timedelta(days=1)

# A close has as many digits as any price here: 18 + 12. A day is written once, by whoever comes last.
QUESTDB_TABLE: Final = """
CREATE TABLE IF NOT EXISTS daily_closes (timestamp TIMESTAMP, symbol SYMBOL, close DECIMAL(38,12), source SYMBOL)
timestamp(timestamp) PARTITION BY YEAR WAL DEDUP UPSERT KEYS(timestamp, symbol)
"""
# The number as text, or one that is too large would be cut without a word (adapters/questdb.py).
QUESTDB_PUT: Final = "INSERT INTO daily_closes VALUES ($1, $2, CAST($3::VARCHAR AS DECIMAL(38,12)), $4)"
QUESTDB_RECENT: Final = "SELECT timestamp, symbol, close, source FROM daily_closes WHERE symbol = $1 ORDER BY timestamp DESC LIMIT $2"
QUESTDB_REAL: Final = "SELECT DISTINCT symbol FROM daily_closes WHERE source != $1"
QUESTDB_WAITING: Final = "SELECT count() FROM wal_tables() WHERE name = 'daily_closes' AND sequencerTxn > writerTxn"

SQLITE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS daily_closes (
  timestamp TEXT NOT NULL, symbol TEXT NOT NULL, close TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (symbol, timestamp)
) WITHOUT ROWID
"""
SQLITE_PUT: Final = "INSERT OR REPLACE INTO daily_closes VALUES (?,?,?,?)"
SQLITE_RECENT: Final = "SELECT timestamp, symbol, close, source FROM daily_closes WHERE symbol = ? ORDER BY timestamp DESC LIMIT ?"
SQLITE_REAL: Final = "SELECT DISTINCT symbol FROM daily_closes WHERE source != ?"


class QuestDbPrices:
    """Port: domain.ports.Prices. A connection a call: it is asked a few times a minute."""

    def __init__(self, pg_url: str) -> None:
        self._pg_url = pg_url

    async def prepare(self) -> None:
        async with self._query() as connection:
            await connection.execute(QUESTDB_TABLE)

    async def ping(self) -> None:
        async with self._query() as connection:
            await connection.execute("SELECT 1")

    async def write(self, closes: Sequence[DailyClose]) -> None:
        """Returns when they can be read."""
        rows = [(EPOCH + close.day * ONE_DAY, close.symbol, plain(close.price), close.source) for close in closes]
        async with self._query() as connection:
            await connection.executemany(QUESTDB_PUT, rows)
            for _ in range(VISIBLE_LOOKS_MAX):
                if not await connection.fetchval(QUESTDB_WAITING):
                    return
                await asyncio.sleep(POLL_S)
        raise Unavailable("QuestDB took the closes and does not show them", unknown=True)

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        async with self._query() as connection:
            records = [record for symbol in symbols for record in await connection.fetch(QUESTDB_RECENT, symbol, days)]
        return [DailyClose((at - EPOCH) // ONE_DAY, symbol, price, source) for at, symbol, price, source in records]

    async def real_symbols(self) -> frozenset[str]:
        async with self._query() as connection:
            return frozenset(symbol for (symbol,) in await connection.fetch(QUESTDB_REAL, SIMULATED))

    @contextlib.asynccontextmanager
    async def _query(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        try:
            connection = await asyncpg.connect(self._pg_url, timeout=CONNECT_TIMEOUT_S, command_timeout=QUERY_TIMEOUT_S)
            try:
                yield connection
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable(f"QuestDB: {str(error) or type(error).__name__}") from error


class SqlitePrices:
    """Port: domain.ports.Prices. Beside the fills, not among them: those are made again from the journal, closes are not."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE

    async def prepare(self) -> None:
        await self._in_thread(lambda connection: connection.execute(SQLITE_TABLE))

    async def ping(self) -> None:
        await self._in_thread(lambda connection: connection.execute("SELECT 1").fetchone())

    async def write(self, closes: Sequence[DailyClose]) -> None:
        """One transaction."""
        rows = [(_day_text(close.day), close.symbol, plain(close.price), close.source) for close in closes]
        await self._in_thread(lambda connection: connection.executemany(SQLITE_PUT, rows))

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        def ask(connection: sqlite3.Connection) -> list[DailyClose]:
            rows = [row for symbol in symbols for row in connection.execute(SQLITE_RECENT, (symbol, days))]
            return [DailyClose(_day(at), symbol, Decimal(price), source) for at, symbol, price, source in rows]

        return await self._in_thread(ask)

    async def real_symbols(self) -> frozenset[str]:
        return await self._in_thread(lambda c: frozenset(symbol for (symbol,) in c.execute(SQLITE_REAL, (SIMULATED,))))

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def whole() -> T:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.closing(sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S)) as connection, connection:
                    return work(connection)
            except (sqlite3.Error, OSError) as error:
                raise Unavailable(f"SQLite {self._file}: {error}") from error

        return await asyncio.to_thread(whole)


def _day_text(day: int) -> str:
    return (EPOCH + day * ONE_DAY).isoformat() + ".000000Z"


def _day(text: str) -> int:
    return (datetime.fromisoformat(text[:10]) - EPOCH) // ONE_DAY
