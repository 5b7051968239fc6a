"""Samples of equity: the table `account_equity` in QuestDB, or in its own SQLite file."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

from adapters.questpg import EPOCH, STATEMENTS_MAX, Connection, KeptConnections, connected, in_turns
from domain.ports import Unavailable
from domain.position.equity import STEPS, EquitySample
from domain.values import plain, rfc3339

T = TypeVar("T")

WRITE_TIMEOUT_S: Final = 30.0
READ_TIMEOUT_S: Final = 5.0
BUSY_TIMEOUT_S: Final = 5.0
FILE: Final = "equity.db"

# As many digits as a fee has, and an amount that does not fit is refused: see adapters/questdb.py.
QUESTDB_TABLE: Final = """
CREATE TABLE IF NOT EXISTS account_equity (
  timestamp TIMESTAMP, account SYMBOL, equity DECIMAL(76,36), cash DECIMAL(76,36), long DECIMAL(76,36), short DECIMAL(76,36)
) timestamp(timestamp) PARTITION BY MONTH WAL DEDUP UPSERT KEYS(timestamp, account)
"""
_AMOUNT: Final = "CAST(${}::VARCHAR AS DECIMAL(76,36))"
QUESTDB_PUT: Final = f"INSERT INTO account_equity VALUES ($1, $2, {', '.join(_AMOUNT.format(number) for number in range(3, 7))})"
QUESTDB_STANDING: Final = "SELECT count() FROM tables() WHERE table_name = 'account_equity' AND dedup AND NOT table_suspended"
_LAST: Final = ", ".join(f'last("{name}") AS "{name}"' for name in ("equity", "cash", "long", "short"))
QUESTDB_HISTORY: Final = (
    f"SELECT timestamp, {_LAST} FROM account_equity WHERE account = $1 AND timestamp >= $2 AND timestamp < $3"
    " SAMPLE BY {step} ALIGN TO CALENDAR ORDER BY timestamp DESC LIMIT $4"
)
QUESTDB_LAST: Final = (
    'SELECT timestamp, equity, cash, "long", "short" FROM account_equity WHERE account = $1 AND timestamp < $2'
    " ORDER BY timestamp DESC LIMIT 1"
)

QUESTDB_OLDER: Final = "SELECT count() FROM (SELECT timestamp FROM account_equity WHERE timestamp < $1 LIMIT 1)"

SQLITE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS account_equity (
  timestamp TEXT NOT NULL, account TEXT NOT NULL, equity TEXT NOT NULL, cash TEXT NOT NULL, long TEXT NOT NULL, short TEXT NOT NULL,
  PRIMARY KEY (account, timestamp)
) WITHOUT ROWID
"""
SQLITE_PUT: Final = "INSERT OR REPLACE INTO account_equity VALUES (?,?,?,?,?,?)"
# Beside max(), SQLite takes the other columns from the row that has it.
SQLITE_HISTORY: Final = """
SELECT max(timestamp), equity, cash, long, short, strftime('%s', timestamp) / :step AS number FROM account_equity
WHERE account = :account AND timestamp >= :since AND timestamp < :until GROUP BY number ORDER BY number DESC LIMIT :limit
"""
SQLITE_LAST: Final = (
    "SELECT timestamp, equity, cash, long, short FROM account_equity WHERE account = ? AND timestamp < ? ORDER BY timestamp DESC LIMIT 1"
)

SQLITE_DROP: Final = "DELETE FROM account_equity WHERE timestamp < ?"


class QuestDbEquity:
    """Port: domain.ports.EquitySamples. A write opens a connection, because it comes once an interval; reads keep theirs."""

    def __init__(self, pg_url: str) -> None:
        self._pg_url = pg_url
        self._reads = KeptConnections(pg_url, READ_TIMEOUT_S)

    async def close(self) -> None:
        self._reads.close()

    async def prepare(self) -> None:
        async with connected(self._pg_url) as connection:
            await connection.execute(QUESTDB_TABLE)
            await _standing(connection)

    async def write(self, samples: Sequence[EquitySample]) -> None:
        rows = [
            (_datetime(sample.at), sample.account, *map(plain, (sample.equity, sample.cash, sample.long, sample.short)))
            for sample in samples
        ]
        async with connected(self._pg_url, timeout_s=WRITE_TIMEOUT_S, statements=STATEMENTS_MAX) as connection:
            await _standing(connection)
            await connection.executemany(QUESTDB_PUT, rows)

    async def history(self, account: str, step: str, *, since_ns: int, until_ns: int, limit: int) -> list[EquitySample]:
        statement = QUESTDB_HISTORY.format(step={name: name for name in STEPS}[step])
        async with self._reads.connection() as connection:
            query = in_turns(connection, statement, account, _datetime(since_ns), _datetime(until_ns), limit)
            async with query as turns:
                return [_sample(account, *record) async for rows in turns for record in rows]

    async def last_before(self, account: str, until_ns: int) -> EquitySample | None:
        async with self._reads.connection() as connection:
            found = await connection.fetchrow(QUESTDB_LAST, account, _datetime(until_ns))
        return None if found is None else _sample(account, *found)

    async def drop_before(self, until_ns: int) -> None:
        """Drop the months that ended before. A partition is dropped by its begin."""
        month = _datetime(until_ns).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        async with connected(self._pg_url, timeout_s=WRITE_TIMEOUT_S) as connection:
            if await connection.fetchval(QUESTDB_OLDER, month):
                await connection.execute(f"ALTER TABLE account_equity DROP PARTITION WHERE timestamp < '{month:%Y-%m-%d}'")


async def _standing(connection: Connection) -> None:
    """Raise Unavailable unless the table exists, has its keys, and accepts rows."""
    if await connection.fetchval(QUESTDB_STANDING) != 1:
        raise Unavailable("QuestDB: table account_equity is missing, suspended, or was created without DEDUP by another program")


def _datetime(at_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_ns // 1000)


def _sample(account: str, at: datetime, *amounts: Decimal) -> EquitySample:
    return EquitySample((at - EPOCH) // timedelta(microseconds=1) * 1000, account, *amounts)


class SqliteEquity:
    """Port: domain.ports.EquitySamples. A file apart from the fills: those are rebuilt from the journal, samples are not."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE

    async def close(self) -> None:
        """Nothing stays open between calls."""

    async def prepare(self) -> None:
        await self._in_thread(lambda connection: connection.execute(SQLITE_TABLE), create=True)

    async def write(self, samples: Sequence[EquitySample]) -> None:
        rows = [(rfc3339(s.at), s.account, *map(plain, (s.equity, s.cash, s.long, s.short))) for s in samples]
        await self._in_thread(lambda connection: connection.executemany(SQLITE_PUT, rows))

    async def history(self, account: str, step: str, *, since_ns: int, until_ns: int, limit: int) -> list[EquitySample]:
        step_ns = STEPS[step]
        asked = {"account": account, "since": rfc3339(since_ns), "until": rfc3339(until_ns), "step": step_ns // 10**9, "limit": limit}
        found = await self._in_thread(lambda connection: connection.execute(SQLITE_HISTORY, asked).fetchall())
        return [EquitySample(number * step_ns, account, *map(Decimal, amounts)) for _, *amounts, number in found]

    async def last_before(self, account: str, until_ns: int) -> EquitySample | None:
        found = await self._in_thread(lambda connection: connection.execute(SQLITE_LAST, (account, rfc3339(until_ns))).fetchone())
        if found is None:
            return None
        at, *amounts = found
        return EquitySample(_nanoseconds(at), account, *map(Decimal, amounts))

    async def drop_before(self, until_ns: int) -> None:
        await self._in_thread(lambda connection: connection.execute(SQLITE_DROP, (rfc3339(until_ns),)))

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T], *, create: bool = False) -> T:
        """Run `work` in one transaction. Only the writer creates the file. Unavailable."""

        def whole() -> T:
            try:
                if create:
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                address = f"{self._file.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
                with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S)) as connection, connection:
                    return work(connection)
            except (sqlite3.Error, OSError) as error:
                raise Unavailable(f"SQLite {self._file}: {error}") from error

        return await asyncio.to_thread(whole)


def _nanoseconds(text: str) -> int:
    return (datetime.fromisoformat(text.removesuffix("Z")) - EPOCH) // timedelta(microseconds=1) * 1000
