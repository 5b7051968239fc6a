"""ClickHouse as a place: its engine inside this process (chdb), or a server. Rows travel as columns, in the order rows, checkpoint."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from adapters.clickhouse_schema import DATABASE, SCHEMA, TABLES, TableShape
from adapters.codec import decoder, encode
from domain.archive.checkpoint import Checkpoint
from domain.archive.misfit import EXPONENT_MAX, absurd
from domain.archive.ports import ArchiveRow, RowsRefused
from domain.ports import Fenced, Unavailable

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 60
"""For a server: the engine inside the process has no connection."""
MISFITS: Final = (ValueError, TypeError, OverflowError)
"""What Arrow raises for a value that does not fit its column; its own exceptions are among them."""
_CHECKPOINTS: Final = decoder(Checkpoint)
_OWNED: Final = "SELECT argMax((owner, body), (owner, written)) FROM trade.checkpoints WHERE name = {name:String}"


class ClickHouse:
    """One engine or server. Its client is synchronous, so all calls of this process run one after another on one thread.

    With `path`, the engine runs in this process, which alone may use that directory; else `url` names a server.
    """

    def __init__(self, *, path: Path | None = None, url: str = "") -> None:
        self._path = path
        self._url = url
        self._thread = ThreadPoolExecutor(1, "clickhouse")
        self._client: Any = None

    async def run(self, work: Callable[[Any], T]) -> T:
        """Call `work` with the client, on its thread. Raises Unavailable if the engine or server fails."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def client(self, database: str | None = None, **settings: object) -> Any:
        """Return a further client with a database and settings of its own. On the thread only."""
        import clickhouse_connect  # imported late: with its engine it takes 200 MB

        known: dict[str, Any] = {"settings": settings, "show_clickhouse_errors": True} | ({"database": database} if database else {})
        if self._path is not None:
            self._path.mkdir(parents=True, exist_ok=True)
            return clickhouse_connect.get_client(interface="chdb", path=str(self._path), **known)
        return clickhouse_connect.get_client(
            dsn=self._url, connect_timeout=CONNECT_TIMEOUT_S, send_receive_timeout=ANSWER_TIMEOUT_S, autogenerate_session_id=False, **known
        )

    def _run(self, work: Callable[[Any], T]) -> T:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            if self._client is None:
                client = self.client()
                for statement in SCHEMA:
                    client.command(statement)
                self._client = client
            return work(self._client)
        except (ClickHouseError, OSError) as error:
            raise Unavailable(f"ClickHouse: {str(error)[:300] or type(error).__name__}", unknown=True) from error

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class ClickHousePlace:
    """Port: domain.archive.ports.Place. `name` is the checkpoint's; several places share an engine, each for tables of its own."""

    def __init__(self, clickhouse: ClickHouse, name: str, fails: Callable[[str], None]) -> None:
        self._clickhouse = clickhouse
        self._name = name
        self._fails = fails
        self._owner = 0
        self._written = 0

    async def claim(self) -> Checkpoint:
        owner, checkpoint = await self._clickhouse.run(self._owned)
        self._owner, self._written = owner + 1, 0
        await self._put(checkpoint)
        return checkpoint

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        columns = await asyncio.to_thread(_by_table, rows)
        await self._clickhouse.run(lambda client: self._insert(client, columns))
        self._fails("after_rows")
        await self._put(checkpoint)

    async def checkpoint(self) -> Checkpoint:
        return (await self._clickhouse.run(self._owned))[1]

    async def ping(self) -> None:
        await self._clickhouse.run(lambda client: client.command("SELECT 1"))

    async def close(self) -> None:
        """Leave the engine to its owner."""

    def _owned(self, client: Any) -> tuple[int, Checkpoint]:
        owner, body = client.query(_OWNED, parameters={"name": self._name}).result_rows[0][0]
        return owner, _CHECKPOINTS.decode(body) if body else Checkpoint()

    def _insert(self, client: Any, columns: dict[str, Any]) -> None:
        self._verify(client)
        for table, data in columns.items():
            client.insert_arrow(table, data, database=DATABASE)

    async def _put(self, checkpoint: Checkpoint) -> None:
        body = encode(checkpoint).decode()

        def put(client: Any) -> None:
            row = [self._name, self._owner, self._written, body]
            client.insert("checkpoints", [row], column_names=["name", "owner", "written", "body"], database=DATABASE)
            self._verify(client)

        self._written += 1
        await self._clickhouse.run(put)

    def _verify(self, client: Any) -> None:
        """Raise Fenced if another process claimed the place. Rows written meanwhile change nothing: the other one writes the same."""
        owner, _ = self._owned(client)
        if owner != self._owner:
            raise Fenced(f"another sink claimed {self._name} in ClickHouse: owner {owner}")


def _by_table(rows: Sequence[ArchiveRow]) -> dict[str, Any]:
    """Return the rows of each table as columns. RowsRefused names those that do not fit."""
    sorted_rows: dict[str, list[ArchiveRow]] = defaultdict(list)
    for row in rows:
        sorted_rows[row.table].append(row)
    refused: list[tuple[ArchiveRow, str]] = []
    found = {}
    for table, some in sorted_rows.items():
        try:
            found[table] = _columns(TABLES[table], [row.value for row in some])
        except MISFITS:
            if not (misfits := [(row, reason) for row in some if (reason := _misfit(TABLES[table], row.value))]):
                raise  # no row explains it: without its table the others must not be written
            refused += misfits
    if refused:
        raise RowsRefused(refused)
    return found


def _columns(shape: TableShape, values: Sequence[msgspec.Struct]) -> Any:
    import pyarrow as pa

    return pa.table({name: _array([getattr(value, name) for value in values], kind) for name, kind in shape.arrow().items()})


def _array(values: Sequence[Any], kind: Any) -> Any:
    """Return a column. ValueError, also for an exponent with which Arrow ends the process."""
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        for value in values:
            if value is not None and absurd(value):
                raise ValueError(f"{value} has an exponent beyond {EXPONENT_MAX}")
    return pa.array(values, kind)


def _misfit(shape: TableShape, value: msgspec.Struct) -> str:
    for name, kind in shape.arrow().items():
        try:
            _array([getattr(value, name)], kind)
        except MISFITS as error:
            return f"{name}: {error}"
    return ""
