"""The fills tables in QuestDB, written and read over the PostgreSQL wire protocol with bind parameters.

QuestDB's HTTP only reads, because it has one user for all. docs/decisions.md, "How fills reach QuestDB", has the costs.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

import asyncpg
import msgspec

from adapters.questpg import EPOCH, ERRORS, QUERY_TIMEOUT_S, Pooled, QuestDbPool, reason
from domain.ports import FillPlace, Unavailable
from domain.position.rows import EventRow, FillRow, OrderEventRow, Owners, fill_row, table_rows
from domain.values import rfc3339

OVERLAP: Final = 1000
"""How many commits are rewritten after a start or an error: QuestDB does not fsync by default, so its host may lose the latest rows."""
RECENT_ROWS: Final = 100_000
"""How many rows are searched for the highest sequence: rows are ordered by time, which is nearly the order of the journal."""
WRITE_TIMEOUT_S: Final = 30.0
"""The timeout for all rows of one table in one write."""
ASK_MANY: Final = 500

# DECIMAL(38,12) holds every number an order may carry (18 + 12 digits) and sums of them; products of two are exact as DECIMAL(76,24).
# A fee is quantity x price x rate: up to 36 places.
FILLS: Final = """
CREATE TABLE IF NOT EXISTS fills (
  timestamp TIMESTAMP, exec_id VARCHAR, order_id VARCHAR, client_order_id VARCHAR, account SYMBOL, symbol SYMBOL, side SYMBOL, venue SYMBOL,
  quantity DECIMAL(38,12), price DECIMAL(38,12), fee DECIMAL(76,36), liquidity SYMBOL, seq LONG{column}
) timestamp(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, exec_id, venue)
"""
ORDER_EVENTS: Final = """
CREATE TABLE IF NOT EXISTS order_events (
  timestamp TIMESTAMP, order_id VARCHAR, account SYMBOL, symbol SYMBOL, type SYMBOL, status SYMBOL, seq LONG, "index" INT,
  detail VARCHAR{column}
) timestamp(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, order_id, seq, "index")
"""
# Numbers go as text, which QuestDB refuses if it does not fit the column. It would cut a NUMERIC that is too large silently (9.3.4).
PUT_FILL: Final = """
INSERT INTO fills VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
  CAST($9::VARCHAR AS DECIMAL(38,12)), CAST($10::VARCHAR AS DECIMAL(38,12)), CAST($11::VARCHAR AS DECIMAL(76,36)), $12, $13{value})
"""
PUT_EVENT: Final = "INSERT INTO order_events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9{value})"
SHARD_COLUMN: Final = ", shard INT"
"""Of the tables of several shards."""
STANDING: Final = "SELECT count() FROM tables() WHERE table_name IN ('fills', 'order_events') AND dedup AND NOT table_suspended"
HIGHEST: Final = f"SELECT max(seq) FROM (SELECT seq FROM order_events LIMIT -{RECENT_ROWS})"
HIGHEST_OF: Final = "SELECT max(seq) FROM order_events WHERE shard = {}"
OWNERS: Final = "SELECT order_id, account, symbol FROM order_events WHERE type = 'OrderSubmitted' AND order_id IN "
COLUMNS: Final = ", ".join(FillRow.__struct_fields__)
FILLS_OF: Final = f"SELECT {COLUMNS} FROM fills WHERE account = $1 AND timestamp >= $2"
ROWS: Final = f"SELECT {COLUMNS} FROM fills WHERE seq > $1 AND seq <= $2"
COUNT: Final = "SELECT count() FROM fills WHERE (seq IS NULL OR seq <= $1)"
HOLDS_EVENT: Final = 'SELECT count() FROM order_events WHERE timestamp = $1 AND order_id = $2 AND seq = $3 AND "index" = $4'
HOLDS_FILL: Final = "SELECT count() FROM fills WHERE timestamp = $1 AND exec_id = $2 AND venue = $3"
BELOW: Final = (
    "timestamp <= ${0} AND (timestamp < ${0} OR seq < ${1} OR (seq = ${1} AND (exec_id < ${2} OR (exec_id = ${2} AND venue < ${3}))))"
)
NEWEST: Final = " ORDER BY timestamp DESC, seq DESC, exec_id DESC, venue DESC LIMIT "

_numbers = itertools.count(1)
Rows: TypeAlias = Sequence[FillRow] | Sequence[OrderEventRow]


class SharedTables:
    """What the stores of several shards in a process share: QuestDB deletes no single rows, so the tables can only be emptied for all.

    `generation`: how often that was done. A store that has seen fewer knows that its rows are gone.
    """

    def __init__(self, pg_url: str) -> None:
        self.pool = QuestDbPool(pg_url)
        self.writing = asyncio.Lock()
        self.generation = 0


class QuestDbFills:
    """Port: domain.ports.Fills. Rows are readable about a tenth of a second after `write` has returned."""

    def __init__(self, pg_url: str, shard: int | None = None, tables: "SharedTables | None" = None) -> None:
        """`shard`: the one that is written and counted, where there are several; all of a process share `tables`."""
        self._owners = Owners()
        self._shared = tables or SharedTables(pg_url)
        self._pool, self._writing = self._shared.pool, self._shared.writing
        self._generation = 0
        self._only = "" if shard is None else f" AND (shard = {shard} OR shard IS NULL)"
        self._highest = HIGHEST if shard is None else HIGHEST_OF.format(shard)
        self._column, self._value = ("", "") if shard is None else (SHARD_COLUMN, f", {shard}")

    async def prepare(self) -> None:
        self._generation = self._shared.generation
        async with self._pool.connection() as connection:
            await connection.execute(FILLS.format(column=self._column))
            await connection.execute(ORDER_EVENTS.format(column=self._column))
            await _standing(connection)

    def _same_tables(self) -> None:
        """Raise Unavailable if another shard has emptied the tables since `prepare`: the rows of this one have to be written again."""
        if self._generation != self._shared.generation:
            raise Unavailable("QuestDB: the tables were emptied for another shard")

    async def close(self) -> None:
        """Close the pool; waits for a write in progress."""
        async with self._writing:
            self._pool.close()

    async def ping(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("SELECT 1")

    async def checkpoint(self) -> int:
        async with self._pool.connection() as connection:
            return max(0, (await connection.fetchval(self._highest) or 0) - OVERLAP)

    async def holds(self, row: EventRow) -> tuple[bool, bool]:
        self._same_tables()
        at, fill = _datetime(row.event.at), fill_row(row)
        async with self._pool.connection() as connection:
            event = await connection.fetchval(HOLDS_EVENT, at, row.event.order_id, row.seq, row.index)
            return bool(event), fill is None or bool(await connection.fetchval(HOLDS_FILL, at, fill.exec_id, fill.venue))

    async def clear(self) -> None:
        """Empty both tables. They hold the rows of all shards, so the others start over too: none writes before it knows."""
        async with self._writing, self._pool.connection() as connection:
            self._same_tables()
            self._shared.generation += 1
            self._generation = self._shared.generation
            await connection.execute("TRUNCATE TABLE order_events")
            await connection.execute("TRUNCATE TABLE fills")

    async def write(self, rows: Sequence[EventRow]) -> None:
        """Write fills before events: the checkpoint, which is read from the events, is then never ahead of the fills.

        Each table takes its rows in one transaction. After an interruption they may be stored all the same: a second write changes nothing.
        """
        async with self._writing, self._pool.connection() as connection:
            self._same_tables()
            await _standing(connection)
            await self._learn(connection, self._owners.missing(rows))
            fills, events = table_rows(rows, self._owners)
            try:
                await _put(connection, PUT_FILL.format(value=self._value), fills)
                await _put(connection, PUT_EVENT.format(value=self._value), events)
            except ERRORS as error:
                raise Unavailable(f"QuestDB did not accept rows up to sequence {rows[-1].seq}: {reason(error)}", unknown=True) from error
        self._owners.stored(rows)

    async def fills(
        self, account: str, *, symbol: str | None, since_ns: int, limit: int, until_ns: int | None = None, below: FillPlace | None = None
    ) -> list[dict[str, object]]:
        asked, values = [FILLS_OF], [account, _datetime(since_ns)]
        for condition, value in (
            ("timestamp < ${}", None if until_ns is None else _datetime(until_ns)),
            ("symbol = ${}", symbol),
        ):
            if value is not None:
                values.append(value)
                asked.append(condition.format(len(values)))
        if below is not None:
            asked.append(BELOW.format(*range(len(values) + 1, len(values) + 5)))
            values += [_datetime(below.at_ns), below.seq, below.exec_id, below.venue]
        async with self._pool.connection() as connection:
            found = await connection.fetch(f"{' AND '.join(asked)}{NEWEST}${len(values) + 1}", *values, limit)
            return [_answer(record) for record in found]

    async def reaches(self) -> int:
        """Return the highest readable sequence.

        Each table applies writes by itself, so the last fills up to it may appear a moment later.
        """
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(self._highest) or 0)

    async def rows(self, after: int, until: int) -> list[dict[str, object]]:
        async with self._pool.connection() as connection:
            return [_answer(record) for record in await connection.fetch(ROWS + self._only, after, until)]

    async def count(self, until: int) -> int:
        async with self._pool.connection() as connection:
            return int(await connection.fetchval(COUNT + self._only, until) or 0)

    async def _learn(self, connection: Pooled, missing: Sequence[str]) -> None:
        for start in range(0, len(missing), ASK_MANY):
            some = [*missing[start : start + ASK_MANY], missing[start]]  # a list of one would be bound as an array
            marks = ",".join(f"${number}" for number in range(1, len(some) + 1))
            for order_id, account, symbol in await connection.fetch(f"{OWNERS}({marks})", *some):
                self._owners.learn(order_id, (account, symbol))


async def _standing(connection: Pooled) -> None:
    """Raise Unavailable unless both tables exist, have their keys, and accept rows."""
    if await connection.fetchval(STANDING) != 2:
        raise Unavailable("QuestDB: table fills or order_events is missing, suspended, or was created without DEDUP by another program")


class Values:
    """The values of rows, converted as they are sent: a large write does not block the event loop. Can be iterated more than once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        for row in self._rows:
            at, *rest = msgspec.structs.astuple(row)
            if type(row) is FillRow:
                rest = [format(value, "f") if type(value) is Decimal else value for value in rest]
            yield (_datetime(at), *rest)


async def _put(connection: Pooled, statement: str, rows: Rows) -> None:
    """Write rows through a named statement: QuestDB forgets an unnamed one after the first row."""
    if rows:
        prepared = await connection.prepare(statement, name=f"put_{next(_numbers)}", timeout=QUERY_TIMEOUT_S)
        await prepared.executemany(Values(rows), timeout=WRITE_TIMEOUT_S)


def _datetime(at_ns: int) -> datetime:
    seconds, microseconds = divmod(at_ns // 1000, 1_000_000)
    return EPOCH + timedelta(0, seconds, microseconds)  # takes half the time of dividing that many microseconds


def _answer(record: asyncpg.Record) -> dict[str, object]:
    row = dict(record)
    return row | {"timestamp": rfc3339((row["timestamp"] - EPOCH) // timedelta(microseconds=1) * 1000)}
