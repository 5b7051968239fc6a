"""The contract of places on QuestDB as a stack runs it: HTTP only reads, and sink-ticks writes over the wire with its own password."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from adapters.clock import SystemClock
from adapters.questticks import QuestDbTicks
from apps.stack import servers
from apps.stack.credentials import keys
from config import secrets
from tests.contracts import places
from tests.contracts.places import Fails
from tests.contracts.test_tick_places import OVERLAP, Tables, shelf
from tests.live import LiveServer, live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, Path]]:
    directory = tmp_path_factory.mktemp("secrets")
    keys.init(directory, guests=True)
    found = live(partial(servers.questdb, secrets=directory), tmp_path_factory.mktemp("questdb"))
    yield found, directory
    found.stop()


class TablesOverTheWire(Tables):
    """The same tables, written with the password of sink-ticks."""

    url = ""

    def open(self, fails: Fails) -> QuestDbTicks:
        return QuestDbTicks("", self.url, "ticks", "one process", SystemClock(), fails, overlap=OVERLAP)


@pytest.fixture
async def tables(server: tuple[LiveServer, Path]) -> AsyncIterator[TablesOverTheWire]:
    questdb, directory = server
    user = secrets.read("sink-ticks", {secrets.VARIABLE: str(directory)})["questdb.pg_url"]
    connection = await asyncpg.connect(secrets.with_user(questdb.pg_url, *user))
    found = TablesOverTheWire(questdb, connection)
    found.url = secrets.with_user(questdb.pg_url, *user)
    await found.drop()
    yield found
    await connection.close()


async def test_sink_ticks_stores_every_tick_once_where_http_only_reads(tables: TablesOverTheWire) -> None:
    async with httpx.AsyncClient() as http:
        refused = await http.post(f"{tables.server.url}/write", content=b"trades price=1 1\n")
    assert refused.status_code == 421, "no line of ILP is taken"
    one = shelf(tables)
    await places.check_delivered_twice(one)
    await places.check_split(one, sizes=(2, 5))
    await tables.drop()
    await places.check_refused_goes_aside(one)
