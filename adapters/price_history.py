"""Daily closes for value at risk, one row for each day and symbol: the table `daily_closes` in QuestDB, or in its own SQLite file."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

from adapters.questpg import EPOCH, ONE_DAY, STATEMENTS_MAX, Connection, begin_of, connected
from domain.market.price_history import SIMULATED, DailyClose
from domain.ports import Unavailable
from domain.values import plain

T = TypeVar("T")

VISIBLE_LOOKS_MAX: Final = 200
POLL_S: Final = 0.05
BUSY_TIMEOUT_S: Final = 5.0
FILE: Final = "prices.db"

# A close has as many digits as any price: 18 + 12. Each day has one row; the last write wins.
QUESTDB_TABLE: Final = """
CREATE TABLE IF NOT EXISTS daily_closes (timestamp TIMESTAMP, symbol SYMBOL, close DECIMAL(38,12), source SYMBOL)
timestamp(timestamp) PARTITION BY YEAR WAL DEDUP UPSERT KEYS(timestamp, symbol)
"""
# Numbers go as text: a NUMERIC that is too large would be cut silently (adapters/questdb.py).
QUESTDB_PUT: Final = "INSERT INTO daily_closes VALUES ($1, $2, CAST($3::VARCHAR AS DECIMAL(38,12)), $4)"
FORGOTTEN: Final = "forgotten"
"""QuestDB deletes no rows. A deleted close is replaced by a row without a price and with this source."""
_REAL: Final = f"symbol = $1 AND source != '{SIMULATED}' AND source != '{FORGOTTEN}'"
_SIMULATED: Final = f"symbol = $1 AND source = '{SIMULATED}'"
QUESTDB_RECENT: Final = tuple(
    f"SELECT timestamp, symbol, close, source FROM daily_closes WHERE {these} ORDER BY timestamp DESC LIMIT $2"
    for these in (_REAL, _SIMULATED)
)
QUESTDB_DAYS: Final = f"SELECT timestamp, source FROM daily_closes WHERE {_REAL} AND timestamp >= $2 AND timestamp <= $3"
QUESTDB_FORGET: Final = f"INSERT INTO daily_closes VALUES ($1, $2, CAST(NULL AS DECIMAL(38,12)), '{FORGOTTEN}')"
QUESTDB_WAITING: Final = "SELECT count() FROM wal_tables() WHERE name = 'daily_closes' AND sequencerTxn > writerTxn"

SQLITE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS daily_closes (
  timestamp TEXT NOT NULL, symbol TEXT NOT NULL, close TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (symbol, timestamp)
) WITHOUT ROWID
"""
SQLITE_PUT: Final = "INSERT OR REPLACE INTO daily_closes VALUES (?,?,?,?)"
SQLITE_RECENT: Final = tuple(
    f"SELECT timestamp, symbol, close, source FROM daily_closes WHERE symbol = ? AND source {these} ORDER BY timestamp DESC LIMIT ?"
    for these in (f"!= '{SIMULATED}'", f"= '{SIMULATED}'")
)
SQLITE_FORGET: Final = f"DELETE FROM daily_closes WHERE symbol = ? AND source != '{SIMULATED}' AND timestamp >= ? AND timestamp <= ?"


class QuestDbPrices:
    """Port: domain.ports.Prices. Opens one connection a call, because it is called a few times a minute."""

    def __init__(self, pg_url: str) -> None:
        self._pg_url = pg_url

    async def prepare(self) -> None:
        async with connected(self._pg_url, statements=STATEMENTS_MAX) as connection:
            await connection.execute(QUESTDB_TABLE)

    async def ping(self) -> None:
        async with connected(self._pg_url, statements=STATEMENTS_MAX) as connection:
            await connection.execute("SELECT 1")

    async def write(self, closes: Sequence[DailyClose]) -> None:
        """Store closes; they are readable when this returns."""
        rows = [(begin_of(close.day), close.symbol, plain(close.price), close.source) for close in closes]
        async with connected(self._pg_url, statements=STATEMENTS_MAX) as connection:
            await connection.executemany(QUESTDB_PUT, rows)
            await _shown(connection)

    async def forget(self, symbol: str, source: str | None, first: int, last: int) -> int:
        async with connected(self._pg_url, statements=STATEMENTS_MAX) as connection:
            found = await connection.fetch(QUESTDB_DAYS, symbol, begin_of(first), begin_of(last))
            rows = [(at, symbol) for at, of in found if source in (None, of)]
            await connection.executemany(QUESTDB_FORGET, rows)
            await _shown(connection)
        return len(rows)

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        async with connected(self._pg_url, statements=STATEMENTS_MAX) as connection:
            records = [record for symbol in symbols for these in QUESTDB_RECENT for record in await connection.fetch(these, symbol, days)]
        return [DailyClose((at - EPOCH) // ONE_DAY, symbol, price, source) for at, symbol, price, source in records]


async def _shown(connection: Connection) -> None:
    """Wait until what was written can be read."""
    for _ in range(VISIBLE_LOOKS_MAX):
        if not await connection.fetchval(QUESTDB_WAITING):
            return
        await asyncio.sleep(POLL_S)
    raise Unavailable("QuestDB stored the closes, but they are not readable yet", unknown=True)


class SqlitePrices:
    """Port: domain.ports.Prices. A file apart from the fills: those are rebuilt from the journal, closes are not."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE

    async def prepare(self) -> None:
        await self._in_thread(lambda connection: connection.execute(SQLITE_TABLE))

    async def ping(self) -> None:
        await self._in_thread(lambda connection: connection.execute("SELECT 1").fetchone())

    async def write(self, closes: Sequence[DailyClose]) -> None:
        """Store closes in one transaction."""
        rows = [(_day_text(close.day), close.symbol, plain(close.price), close.source) for close in closes]
        await self._in_thread(lambda connection: connection.executemany(SQLITE_PUT, rows))

    async def forget(self, symbol: str, source: str | None, first: int, last: int) -> int:
        of_source, more = (" AND source = ?", (source,)) if source else ("", ())
        values = (symbol, _day_text(first), _day_text(last), *more)
        return await self._in_thread(lambda connection: connection.execute(SQLITE_FORGET + of_source, values).rowcount)

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        def ask(connection: sqlite3.Connection) -> list[DailyClose]:
            rows = [row for symbol in symbols for these in SQLITE_RECENT for row in connection.execute(these, (symbol, days))]
            return [DailyClose(_day(at), symbol, Decimal(price), source) for at, symbol, price, source in rows]

        return await self._in_thread(ask)

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
    return begin_of(day).isoformat() + ".000000Z"


def _day(text: str) -> int:
    return (datetime.fromisoformat(text[:10]) - EPOCH) // ONE_DAY
