"""The journal and the controls reach ClickHouse and OpenSearch, and people get the answers of the service: both real, where installed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, CommitCodec
from adapters.controls import CONTROL_COMMITS
from adapters.memory import MemoryJournal
from adapters.memory_places import MemoryDeadLetters
from apps.http.app import application
from apps.sink.analytic_rows import fact_documents, fact_tables, quote_tables
from apps.sink.analytics import CONTROLS, ORDERS, AnalyticParts, analytic_parts, analytic_pipelines
from apps.sink.journal_source import JournalSource
from apps.sink.reads import router
from apps.stack import analytics
from apps.stack.trouble import CannotStart
from config.analytics_sections import ClickHouseSection, OpenSearchSection
from domain.archive.checkpoint import Message
from domain.archive.ports import Loss
from domain.market.records import Fact, FactKind
from domain.order import events as e
from domain.order.lifecycle import State
from domain.ports import Head
from domain.risk.controls import KillThrown
from tests.contracts import ticks
from tests.contracts.facts import filled, queued, submitted
from tests.contracts.places import never
from tests.optional_servers import live_opensearch

DEADLINE_S = 120.0
COLLAR = e.OrderRejected(order_id="O2", at=9, status=State.REJECTED, source="risk", reason="price_collar", found="70", limit="60")
COMMITS: list[list[Any]] = [
    [submitted("O1"), queued("O1")],
    [submitted("O2", "bob"), COLLAR],
    [filled("E1", "10", order_id="O1", status=State.FILLED)],
]
KILL = KillThrown(version=2, at=5, who="ann", reason="halt", scope="all")


@pytest.fixture
def clickhouse(tmp_path: Path) -> ClickHouseSection:
    try:
        analytics.check()
    except CannotStart as absent:
        pytest.skip(str(absent).replace("\n", " "))
    return ClickHouseSection(path=tmp_path / "clickhouse", wait_ms=1)


@pytest.fixture
def opensearch() -> Iterator[OpenSearchSection]:
    with live_opensearch() as (_, ports):
        yield OpenSearchSection(url=ports.url, wait_ms=1)


async def journal(codec: CommitCodec[Any], commits: list[list[Any]]) -> MemoryJournal:
    made, head = MemoryJournal(), Head()
    for n, events in enumerate(commits, 1):
        head = await made.append(codec.encode(0, n, events), head)
    return made


async def copied(parts: AnalyticParts, clickhouse: ClickHouseSection, opensearch: OpenSearchSection) -> httpx.AsyncClient:
    """Run the pipelines until the places have both journals; return a client of the routes."""
    orders, controls = await journal(ORDER_COMMITS, COMMITS), await journal(CONTROL_COMMITS, [[KILL]])
    sources = {
        ORDERS: lambda: JournalSource(orders, ORDER_COMMITS, "orders.0"),
        CONTROLS: lambda: JournalSource(controls, CONTROL_COMMITS, "controls"),
    }
    pipelines = analytic_pipelines(parts, sources, clickhouse, opensearch, MemoryDeadLetters(), SystemClock(), never)
    running = [asyncio.create_task(pipeline.run()) for pipeline in pipelines]
    async with asyncio.timeout(DEADLINE_S):
        while not all(each.checkpoint.holds("orders.0", 0, 3) or each.checkpoint.holds("controls", 0, 1) for each in pipelines):
            assert not any(task.done() for task in running)
            await asyncio.sleep(0.01)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    app = application("sink-alt", router(parts.opensearch, parts.queries))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def tables(clickhouse: ClickHouseSection) -> AsyncIterator[httpx.AsyncClient]:
    parts = analytic_parts(clickhouse, OpenSearchSection())
    async with await copied(parts, clickhouse, OpenSearchSection()) as client:
        yield client
    await parts.close()


@pytest.fixture
async def documents(opensearch: OpenSearchSection) -> AsyncIterator[httpx.AsyncClient]:
    parts = analytic_parts(ClickHouseSection(), opensearch)
    async with await copied(parts, ClickHouseSection(), opensearch) as client:
        assert parts.opensearch is not None
        await parts.opensearch.request("POST", "/_refresh")
        yield client
    await parts.close()


async def test_what_the_journal_says_is_counted_in_sql(tables: httpx.AsyncClient) -> None:
    sql = "SELECT account, status, cum_quantity, reason FROM orders ORDER BY account"
    answer = await tables.post("/query", json={"sql": sql})
    assert answer.json()["rows"] == [["alice", "filled", 10, ""], ["bob", "rejected", 0, "price_collar"]]
    answer = await tables.post("/query", json={"sql": "SELECT type, who, reason, JSONExtractString(detail, 'scope') FROM controls"})
    assert answer.json()["rows"] == [["KillThrown", "ann", "halt", "all"]]
    assert (await tables.get("/search?q=bob")).json()["code"] == "search_absent"


async def test_what_the_journal_says_is_found_by_its_words(documents: httpx.AsyncClient) -> None:
    found = (await documents.get("/search", params={"q": "bob BTCUSDT rejected price_collar"})).json()
    assert [(order["order_id"], order["status"], order["reason"]) for order in found["orders"]] == [("O2", "rejected", "price_collar")]
    assert (found["found"], found["complete"]) == (1, True)
    refused = await documents.get("/search", params={"q": "price:abc"})
    assert (refused.status_code, refused.json()["code"], refused.json()["detail"]) == (
        400,
        "search_invalid",
        'failed to create query: For input string: "abc"',
    )
    assert (await documents.post("/query", json={"sql": "SELECT 1"})).json()["code"] == "analytics_absent"


def test_a_part_of_the_market_that_is_lost_is_a_fact_in_both_places() -> None:
    loss = Loss(stream="MARKET", first=5, last=9, at=7, reason="discarded")
    message: Message[Any] = Message(part="lost.MARKET", epoch=7, n=9, body=loss)
    (row,) = quote_tables(message)
    assert (row.table, row.value.fact, row.value.first, row.value.last) == ("market_facts", "lost", 5, 9)
    assert [row.value for row in fact_tables(message)] == [row.value]
    (document,) = fact_documents(message)
    assert (document.table, document.value["id"], document.value["type"]) == ("market-facts", "*-7-9-0", "lost")


def silent(symbol: str, at: int) -> Message[Any]:
    return ticks.told("facts", "ALPHA", 1, 0, Fact(fact=FactKind.STALE, venue="ALPHA", at=at, symbol=symbol))


def test_each_fact_of_no_frame_is_a_document_of_its_own_however_often_it_comes() -> None:
    """A silence comes from no frame, so its message has the number 0, as that of every other silence."""
    silences = [silent("BTCUSDT", 5), silent("ETHUSDT", 5), silent("BTCUSDT", 9), silent("BTCUSDT", 9)]
    assert [document.value["id"] for message in silences for document in fact_documents(message)] == [
        "ALPHA-1-5-BTCUSDT-stale-0",
        "ALPHA-1-5-ETHUSDT-stale-0",
        "ALPHA-1-9-BTCUSDT-stale-0",
        "ALPHA-1-9-BTCUSDT-stale-0",
    ]
