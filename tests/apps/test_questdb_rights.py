"""Every user of QuestDB x every way in x every statement: readers and guests read, and over HTTP nothing can be changed at all."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import msgspec
import pytest

from adapters.price_history import QuestDbPrices
from adapters.questdb import QuestDbFills
from apps.stack import servers
from apps.stack.credentials import keys
from apps.stack.credentials.users import QUESTDB_ROLES, QUESTDB_WRITER
from config import secrets
from domain.market.price_history import SIMULATED, DailyClose
from tests.contracts.facts import commits, filled, submitted
from tests.live import LiveServer, live

GUEST: Final = "guest"
READERS: Final = (GUEST, *(user for user, role in QUESTDB_ROLES.items() if role != QUESTDB_WRITER))
WRITERS: Final = tuple(user for user, role in QUESTDB_ROLES.items() if role == QUESTDB_WRITER)

SCENE: Final = (
    "CREATE TABLE kept (timestamp TIMESTAMP, n INT, s SYMBOL) timestamp(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp)",
    "CREATE TABLE plain (timestamp TIMESTAMP, n INT, s SYMBOL) timestamp(timestamp) PARTITION BY DAY BYPASS WAL",
    "INSERT INTO plain VALUES (0, 1, 'a'), (90000000000, 1, 'a')",
    "CREATE MATERIALIZED VIEW seen AS (SELECT timestamp, max(n) m FROM kept SAMPLE BY 1d) PARTITION BY DAY",
    "CREATE VIEW watched AS (SELECT * FROM kept)",
    "INSERT INTO kept VALUES (0, 1, 'a')",
)
READS: Final = (
    "SELECT count() FROM kept",
    "SELECT timestamp, n, s FROM plain WHERE n > 0 ORDER BY timestamp LIMIT 10",
    "WITH x AS (SELECT n FROM kept) SELECT * FROM x",
    "SELECT * FROM watched",
    "SELECT * FROM seen",
    "EXPLAIN SELECT * FROM kept",
    "SHOW TABLES",
    "SHOW COLUMNS FROM kept",
    "SHOW CREATE TABLE kept",
    "SELECT table_name FROM tables()",
)
CHANGES: Final = (
    "CREATE TABLE made (a INT)",
    "CREATE TABLE IF NOT EXISTS made (a INT)",
    "CREATE TABLE made AS (SELECT * FROM kept)",
    "CREATE ATOMIC TABLE made AS (SELECT * FROM kept)",
    "CREATE BATCH 10 TABLE made AS (SELECT * FROM kept)",
    "CREATE TABLE made (LIKE kept)",
    "CREATE MATERIALIZED VIEW made AS (SELECT timestamp, max(n) m FROM kept SAMPLE BY 1h) PARTITION BY DAY",
    "CREATE VIEW made AS (SELECT * FROM kept)",
    "CREATE OR REPLACE VIEW watched AS (SELECT n FROM kept)",
    "ALTER VIEW watched AS (SELECT n FROM kept)",
    "COMPILE VIEW watched",
    "DROP VIEW watched",
    "INSERT INTO kept VALUES (0, 9, 'z')",
    "INSERT INTO kept SELECT * FROM kept",
    "INSERT ATOMIC INTO kept SELECT * FROM kept",
    "INSERT BATCH 10 INTO plain SELECT * FROM plain",
    "WITH x AS (SELECT * FROM kept) INSERT INTO kept SELECT * FROM x",
    "UPDATE plain SET n = 9",
    "UPDATE kept SET n = 9",
    "TRUNCATE TABLE kept",
    "TRUNCATE TABLE plain",
    "RENAME TABLE kept TO other",
    "ALTER TABLE kept ADD COLUMN x INT",
    "ALTER TABLE kept DROP COLUMN n",
    "ALTER TABLE kept RENAME COLUMN n TO m",
    "ALTER TABLE kept ALTER COLUMN n TYPE LONG",
    "ALTER TABLE kept ALTER COLUMN s ADD INDEX",
    "ALTER TABLE kept ALTER COLUMN s DROP INDEX",
    "ALTER TABLE kept ALTER COLUMN s NOCACHE",
    "ALTER TABLE kept ALTER COLUMN s SYMBOL CAPACITY 512",
    "ALTER TABLE kept DEDUP DISABLE",
    "ALTER TABLE plain DEDUP ENABLE UPSERT KEYS(timestamp)",
    "ALTER TABLE kept DROP PARTITION LIST '1970-01-01'",
    "ALTER TABLE plain DETACH PARTITION LIST '1970-01-01'",
    "ALTER TABLE plain ATTACH PARTITION LIST '1970-01-01'",
    "ALTER TABLE plain SQUASH PARTITIONS",
    "ALTER TABLE kept CONVERT PARTITION TO PARQUET LIST '1970-01-01'",
    "ALTER TABLE plain CONVERT PARTITION TO NATIVE LIST '1970-01-01'",
    "ALTER TABLE kept SET PARAM maxUncommittedRows = 7",
    "ALTER TABLE kept SET TTL 1 DAY",
    "ALTER TABLE kept SET TYPE BYPASS WAL",
    "ALTER TABLE kept SUSPEND WAL",
    "ALTER TABLE kept RESUME WAL",
    "ALTER TABLE kept RESUME WAL FROM TXN 1",
    "ALTER MATERIALIZED VIEW seen RESUME WAL",
    "ALTER MATERIALIZED VIEW seen SET TTL 1 DAY",
    "ALTER MATERIALIZED VIEW seen SET REFRESH MANUAL",
    "ALTER MATERIALIZED VIEW seen SET REFRESH LIMIT 1 DAY",
    "REFRESH MATERIALIZED VIEW seen FULL",
    "REFRESH MATERIALIZED VIEW seen INCREMENTAL",
    "DROP MATERIALIZED VIEW seen",
    "DROP TABLE kept",
    "DROP TABLE IF EXISTS plain",
    "DROP ALL TABLES",
    "DROP ALL",
    "VACUUM TABLE kept",
    "VACUUM PARTITIONS plain",
    "REINDEX TABLE plain LOCK EXCLUSIVE",
    "COPY kept FROM 'x.csv' WITH HEADER true",
    "COPY made FROM 'x.csv'",
    "COPY kept TO 'there' WITH FORMAT PARQUET",
    "COPY (SELECT * FROM kept) TO 'there' WITH FORMAT PARQUET",
    "BACKUP TABLE kept",
    "BACKUP DATABASE",
    "CHECKPOINT CREATE",
    "CHECKPOINT RELEASE",
    "SNAPSHOT PREPARE",
    "SNAPSHOT COMPLETE",
    "CANCEL QUERY 1",
    "CREATE USER mallory",
    "GRANT ALL TO mallory",
    "SELECT 1; DROP TABLE kept",
    "SELECT 1; INSERT INTO kept VALUES (0, 9, 'z')",
    "SELECT * FROM import_files()",
    "SELECT * FROM export_files()",
    "SELECT * FROM read_parquet('{parquet}')",
)
"""What a reader is refused. The last three read files of the server's machine."""
WITHOUT_EFFECT: Final = (
    *("BEGIN", "COMMIT", "ROLLBACK", "SET x = 1", "SET TIME ZONE 'UTC'"),
    *("COPY '5179978a6d7a1772' CANCEL", "SELECT cancel_query(1)", "SELECT flush_query_cache()", "SELECT reload_config()"),
    *("SELECT hydrate_table_metadata('kept')", "SELECT simulate_crash('0')", "SELECT dump_memory_usage()"),
)
"""Answered or not: no table, row or file is another one afterwards."""

DROPPED = ("fills~", "order_events~", "daily_closes~")
"""Directories of tables that scenes of this file drop: the server removes them at some later time. A table itself is in SHOW TABLES."""
OWN_LOGS: Final = ("sys.copy_export_log", "sys.text_import_log")
"""QuestDB makes these tables of its own, empty, when it is first asked to cancel a COPY. They must stay empty."""

CSV: Final = {"data": ("made.csv", "timestamp,n,s\n1970-01-01T00:00:00.000000Z,9,z\n")}
OTHER_WAYS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("POST", "/imp?name=made", {"files": CSV}),
    ("POST", "/imp?name=kept&overwrite=true", {"files": CSV}),
    ("POST", "/imp?name=kept&timestamp=timestamp&partitionBy=DAY", {"files": CSV}),
    ("POST", "/write", {"content": b"kept n=9i 1000000\n"}),
    ("POST", "/write?precision=n", {"content": b"made n=9i 1000000\n"}),
    ("POST", "/api/v2/write", {"content": b"plain n=9i 1000000\n"}),
    ("PUT", "/settings?version=0", {"json": {"instance_name": "mallory"}}),
    ("POST", "/settings?version=0", {"json": {"instance_name": "mallory"}}),
    ("POST", "/exec?query=create%20table%20made%20(a%20int)", {}),
    ("PUT", "/exec?query=create%20table%20made%20(a%20int)", {}),
    ("POST", "/exp?query=create%20table%20made%20(a%20int)", {}),
    ("GET", "/api/v1/sql/validate?query=create%20table%20made%20(a%20int)", {}),
    ("POST", "/api/v1/imports", {"files": {"made.parquet": ("made.parquet", b"PAR1")}}),
    ("DELETE", "/exec?query=drop%20table%20kept", {}),
    ("GET", "/exp?fmt=parquet&query=select%20*%20from%20kept", {}),
)
PAGES: Final = ("/exec?query=select%201", "/chk?f=json&j=kept&version=2", "/imp", "/write", "/api/v2/write")
"""Those with data. QuestDB itself leaves /ping, /settings and /warnings open: they say its version and what it misses of the system."""


@dataclass(frozen=True)
class Guarded:
    """A server with users and a scene of tables, and the files of the passwords."""

    server: LiveServer
    directory: Path

    def url(self, user: str, key: str) -> str:
        url = self.server.pg_url if key == "questdb.pg_url" else self.server.url
        return url if user == GUEST else secrets.with_user(url, *secrets.read(user, {secrets.VARIABLE: str(self.directory)})[key])

    def http(self, user: str) -> httpx.Client:
        return httpx.Client(base_url=self.url(user, "questdb.http_url"), timeout=20)

    async def wire(self, user: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.url(user, "questdb.pg_url"))

    async def everything(self) -> list[object]:
        """Tables with their definitions and rows, how often each was written, and the files beside them."""
        admin = await self.wire("admin")
        found: list[object] = [tuple(record) for record in await admin.fetch("SELECT name, sequencerTxn, suspended FROM wal_tables()")]
        for name in sorted(record[0] for record in await admin.fetch("SHOW TABLES")):
            kind = {"seen": "MATERIALIZED VIEW", "watched": "VIEW"}.get(name, "TABLE")
            found += [
                name,
                await admin.fetchval(f"SHOW CREATE {kind} {name}"),
                [tuple(row) for row in await admin.fetch(f"SELECT * FROM {name}")],
            ]
        for table in OWN_LOGS:
            made = await admin.fetchval(f"SELECT count() FROM tables() WHERE table_name = '{table}'")
            found.append((table, await admin.fetchval(f"SELECT count() FROM '{table}'") if made else 0))
        await admin.close()
        home = self.server.home / "questdb"
        tables = sorted(file.name for file in (home / "db").iterdir() if not file.name.startswith((*OWN_LOGS, *DROPPED)))
        return [*found, sorted(file.name for file in home.iterdir()), tables]


def _guarded(home: Path, *, guests: bool) -> Iterator[Guarded]:
    keys.init(home / "secrets", guests=guests)
    server = live(partial(servers.questdb, secrets=home / "secrets"), home)
    guarded = Guarded(server, home / "secrets")
    asyncio.run(_set(guarded))
    yield guarded
    server.stop()


async def _set(guarded: Guarded) -> None:
    admin = await guarded.wire("admin")
    for statement in SCENE:
        await admin.execute(statement)
    async with asyncio.timeout(30):
        while await admin.fetchval("SELECT count() FROM seen") != 1:
            await asyncio.sleep(0.02)
    await admin.close()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _guarded(tmp_path_factory.mktemp("opened"), guests=True)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _guarded(tmp_path_factory.mktemp("closed"), guests=False)


@pytest.fixture(scope="module")
def parquet(questdb_server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of another program on this machine."""
    file = tmp_path_factory.mktemp("another") / "private.parquet"
    answer = httpx.get(f"{questdb_server.url}/exp", params={"fmt": "parquet", "query": "SELECT 42 secret"}, timeout=20)
    file.write_bytes(answer.content)
    assert file.read_bytes().startswith(b"PAR1")
    return file


async def test_the_user_s_own_question_is_answered_without_a_password(opened: Guarded) -> None:
    store = QuestDbFills(opened.url("projector", "questdb.pg_url"))
    await store.prepare()
    with opened.http(GUEST) as http:
        assert http.get("/exec", params={"query": "SELECT count() FROM fills"}).json()["dataset"] == [[0]]
    admin = await opened.wire("admin")
    for table in ("fills", "order_events"):
        await admin.execute(f"DROP TABLE {table}")
    await admin.close()
    await store.close()


@pytest.mark.parametrize("user", [GUEST, *QUESTDB_ROLES])
async def test_http_reads_and_changes_nothing_whichever_user_asks(opened: Guarded, closed: Guarded, parquet: Path, user: str) -> None:
    server = opened if user == GUEST else closed
    before = await server.everything()
    with server.http(user) as http:
        for statement in READS:
            assert "error" not in http.get("/exec", params={"query": statement}).json(), statement
        for statement in CHANGES:
            for way in ("/exec", "/exp"):
                answer = http.get(way, params={"query": statement.format(parquet=parquet)})
                assert answer.status_code >= 400, (way, statement, answer.text)
        for statement in WITHOUT_EFFECT:
            http.get("/exec", params={"query": statement})
        for method, path, more in OTHER_WAYS:
            with contextlib.suppress(httpx.RemoteProtocolError):  # it may hang up on what it refuses
                http.request(method, path, **more)
    assert await server.everything() == before


@pytest.mark.parametrize("user", READERS)
async def test_readers_of_the_wire_read_and_only_read(opened: Guarded, closed: Guarded, parquet: Path, user: str) -> None:
    server = opened if user == GUEST else closed
    before = await server.everything()
    reader = await server.wire(user)
    for statement in READS:
        await reader.fetch(statement)
    for statement in CHANGES:
        for ask in (reader.fetch, reader.execute):  # prepared, and as a plain text that may hold several statements
            with pytest.raises(asyncpg.PostgresError):
                await ask(statement.format(parquet=parquet))
    for statement in WITHOUT_EFFECT[:-7]:
        await reader.execute(statement)
    await reader.close()
    assert await server.everything() == before


@pytest.mark.parametrize("user", WRITERS)
async def test_writers_write_what_they_have_to(closed: Guarded, user: str) -> None:
    url = closed.url(user, "questdb.pg_url")
    fills, prices = QuestDbFills(url), QuestDbPrices(url)
    await fills.prepare()
    await fills.write(commits([submitted("O1")], [filled("E1", "0.1", "45000.5", fee="0.45")]))
    async with asyncio.timeout(20):
        while await fills.count(9) != 1:
            await asyncio.sleep(0.02)
    await fills.clear()
    await fills.close()
    await prices.prepare()
    close = DailyClose(15_000, "AAPL", Decimal("1.5"), SIMULATED)
    await prices.write([close])
    assert await prices.recent(["AAPL"], 1) == [close]
    await prices.write([msgspec.structs.replace(close, source="file.csv")])
    assert await prices.forget("AAPL", None, 0, 20_000) == 1
    admin = await closed.wire("admin")
    for table in ("fills", "order_events", "daily_closes"):
        await admin.execute(f"DROP TABLE {table}")
    await admin.close()


@pytest.mark.parametrize("path", PAGES)
def test_without_guests_every_page_wants_a_password(closed: Guarded, path: str) -> None:
    with closed.http(GUEST) as stranger:
        assert stranger.get(path).status_code == 401
        assert stranger.get(path, auth=("admin", "quest")).status_code in (401, 403)


async def test_without_guests_the_default_password_opens_nothing(closed: Guarded) -> None:
    with pytest.raises(asyncpg.PostgresError, match="password"):
        await closed.wire(GUEST)


def test_a_page_of_elsewhere_gets_no_permission_from_a_browser(opened: Guarded) -> None:
    """Without these headers a browser keeps the answer from the page; what the page asks changes nothing (above)."""
    page = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site", "Access-Control-Request-Method": "POST"}
    with opened.http(GUEST) as http:
        for method, path in (("GET", "/exec?query=select%201"), ("OPTIONS", "/exec"), ("OPTIONS", "/write"), ("OPTIONS", "/imp")):
            answer = http.request(method, path, headers=page)
            assert not [name for name in answer.headers if name.startswith("access-control")], (method, path)
        answer = http.get("/exec", params={"query": "create table page (a int)"}, headers=page | {"Host": "elsewhere.example"})
        assert answer.status_code == 400
