"""sink-ticks as a process on real servers: killed in the middle, a place away, a row refused; every tick is in both places once."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import encode
from adapters.marketstreams import ensure_market_stream
from adapters.objects import Objects
from adapters.questtables import BARS, TICK_TABLES
from adapters.tick_parquet import read
from apps.runtime.failpoint import KILLED, VARIABLE
from domain.archive.checkpoint import Message
from tests.contracts import ticks
from tests.live import LiveServer
from tests.process import Changes, LiveService

WAIT_S = 120.0
TRADES = 3000


def log(begin: int, end: int) -> list[Message[Any]]:
    """Trades and quotes of two venues, twenty a message."""
    made: list[Message[Any]] = []
    for start in range(begin, end, 20):
        numbers = range(start, start + 20)
        for venue in ("ALPHA", "BETA"):
            trades = [ticks.trade(venue, n, price=str(Decimal(n) / 8), quantity=f"0.{n:018d}") for n in numbers]
            made.append(ticks.told("trades", venue, 1, start + 1, *trades))
        made.append(ticks.told("quotes", "ALPHA", 1, start + 1, *(ticks.quote("ALPHA", n) for n in numbers)))
    return made


class House:
    """The servers, the streams and the service, and what the places hold."""

    def __init__(self, sink: LiveService, client: Client, questdb: "asyncpg.Connection[asyncpg.Record]", directory: Path) -> None:
        self.sink = sink
        self.questdb = questdb
        self.objects = Objects.at(f"file://{directory}")
        self._client = client

    async def publish(self, messages: Sequence[Message[Any]]) -> None:
        for message in messages:
            assert "seq" in json.loads(await bus.request(self._client, f"market.{message.part}", encode(message.body), 10))

    async def until(self, query: str, wanted: object) -> None:
        """Until QuestDB answers this, while the service runs."""
        end, found = time.monotonic() + WAIT_S, None
        while found != wanted:
            assert self.sink.ended is None, self.sink.said()
            assert time.monotonic() < end, f"{query}: {found}, not {wanted}\n{self.sink.said()}"
            await asyncio.sleep(0.05)
            found = await self.questdb.fetchval(query)

    async def in_objects(self, kind: str) -> Counter[tuple[object, ...]]:
        found = Counter[tuple[object, ...]]()
        for name in await self.objects.names(f"market/{kind}"):
            found.update((row["venue"], row["trade_id"], row["quantity"], row["at"]) for row in read(await self.objects.get(name)))
        return found

    async def get(self, path: str) -> httpx.Response:
        async with self.sink.client() as client:
            return await client.get(path)


@pytest.fixture
async def house(fresh_nats: LiveServer, questdb_server: LiveServer, tmp_path: Path) -> AsyncIterator[House]:
    questdb = await asyncpg.connect(questdb_server.pg_url)
    for name in reversed(BARS):
        await questdb.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")
    for name in (*TICK_TABLES, "sink_owners", "sink_checkpoints"):
        await questdb.execute(f"DROP TABLE IF EXISTS {name}")
    client = await bus.connect(fresh_nats.url, "normalizer's part", closed=lambda: None)
    market = (subjects.MARKET_QUOTES, subjects.MARKET_TRADES, subjects.MARKET_BOOKS)
    await ensure_market_stream(client, subjects.MARKET_STREAM, market, max_bytes=2**28)
    await ensure_market_stream(client, subjects.MARKET_FACTS_STREAM, [subjects.MARKET_FACTS], max_bytes=2**26)
    home, directory = tmp_path / "sink", tmp_path / "objects"
    urls = {"http_url": questdb_server.url, "pg_url": questdb_server.pg_url}
    questdb_section = urls | {"rows": "ilp", "flush_wait_sec": 0.1, "flush_rows": 500}
    s3 = {"address": f"file://{directory}", "flush_wait_sec": 0.2}
    changes: Changes = {"questdb": questdb_section, "s3": s3, "bounds": {"lag_max_sec": 60}}
    sink = LiveService("sink-ticks", fresh_nats, home, changes=changes)
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"places": ["questdb", "s3"]}))
    yield House(sink, client, questdb, directory)
    sink.kill()
    await client.close()
    await questdb.close()


async def test_killed_in_the_middle_every_tick_is_in_both_places_once_and_the_sums_are_equal(house: House) -> None:
    # given a life that ends between the rows and their checkpoint
    house.sink.begin(**{VARIABLE: "after_rows:2"})
    await house.publish(log(0, 1000))
    assert await asyncio.to_thread(house.sink.wait) == KILLED
    # and one that is killed while ticks come
    await asyncio.to_thread(house.sink.start)
    publishing = asyncio.create_task(house.publish(log(1000, TRADES)))
    await house.until("SELECT count() > 2500 FROM trades", True)
    house.sink.kill()
    # when the third life has caught up, with a fact and a row that no place can store
    await publishing
    await house.publish([ticks.told("facts", "ALPHA", 1, 1, ticks.fact("ALPHA", 1)), ticks.REFUSABLE])
    await asyncio.to_thread(house.sink.start)
    await house.until("SELECT count() FROM market_facts", 1)
    await house.until("SELECT count() FROM quotes", TRADES)
    await house.until("SELECT count() FROM trades", 2 * TRADES)
    # then QuestDB has each once, and the sums are exact
    expected = [record for message in log(0, TRADES) if message.part.startswith("trades") for record in message.body.records]
    found = await house.questdb.fetchrow("SELECT sum(price * quantity) AS turnover, sum(quantity) AS quantity FROM trades")
    assert found is not None
    assert tuple(found) == (sum(t.price * t.quantity for t in expected), sum(t.quantity for t in expected))
    await house.until("SELECT sum(count) FROM bars_1d", 2 * TRADES)
    # and so have the objects
    while (stats := (await house.get("/stats")).json()["sinks"])["s3 MARKET"]["rows_held"] or stats["s3 MARKET"]["behind_messages"]:
        await asyncio.sleep(0.05)
    objects = await house.in_objects("trades")
    assert objects == Counter((t.venue, t.trade_id, t.quantity, t.at) for t in expected)
    # and the refused row is shown, once for each place
    letters = (await house.get("/dead-letters")).json()
    assert letters["counts"] == {"questdb MARKET": 1, "s3 MARKET": 1}
    assert {each["reason"] for each in letters["dead_letters"]} == {"price: has more than 18 decimals"}
    assert (await house.get("/ready")).status_code == 200


async def test_a_place_that_is_away_holds_up_no_other_and_is_named_by_ready(house: House) -> None:
    """MARKETDATA 4: QuestDB away. Nothing upstream notices, and the sink waits."""
    house.sink.begin(TRADE_QUESTDB_PG_URL="postgresql://admin:quest@127.0.0.1:1/qdb")
    await house.publish(log(0, 100))
    end = time.monotonic() + WAIT_S
    while (await house.in_objects("trades")).total() < 200:
        assert time.monotonic() < end, house.sink.said()
        await asyncio.sleep(0.05)
    answer = await house.get("/ready")
    assert (answer.status_code, "questdb MARKET" in answer.text) == (503, True)
    while (sinks := (await house.get("/stats")).json()["sinks"])["questdb MARKET"]["behind_messages"] != 15:
        assert time.monotonic() < end, sinks
        await asyncio.sleep(0.05)
    assert sinks["questdb MARKET"]["rows"] == 0
    assert sinks["questdb MARKET"]["waits_for"].startswith("QuestDB: ")
    assert sinks["s3 MARKET"]["rows"] == 300
    async with httpx.AsyncClient() as client:
        series = (await client.get(f"http://127.0.0.1:{house.sink.program.ports['metrics']}/metrics")).text
    assert 'sink_behind_messages{sink="questdb MARKET"} 15.0' in series
    assert 'sink_stream_alarm{sink="questdb MARKET"} 0.0' in series
