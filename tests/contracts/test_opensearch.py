"""The contract of places on a real OpenSearch; an order is one document with its timeline, and is found by its words and fields."""

from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator
from decimal import Decimal

import msgspec
import pytest

from adapters.opensearch import OpenSearch, OpenSearchPlace
from adapters.opensearch_schema import MAPPINGS, index
from adapters.opensearch_search import SearchRefused, search
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.documents import NOTICES, ORDERS, change_rows, order_of
from domain.archive.ports import ArchiveRow, RowsRefused
from domain.order import events as e
from domain.order.events import OrderEvent
from domain.order.lifecycle import State
from domain.order.order import evolved
from tests.contracts import places
from tests.contracts.facts import filled, queued, submitted
from tests.contracts.places import Fails, Shelf
from tests.optional_servers import live_opensearch

QUARANTINED = e.ReportQuarantined(order_id="unknown", at=1, status=State.NEW, reason="unknown_order", venue="V", report_seq=1, report="{}")
MESSAGES = [
    Message(part="orders.0", epoch=0, n=n, body=body)
    for n, body in enumerate(
        (
            [submitted("O1"), queued("O1"), submitted("O2")],
            [filled("E1", order_id="O1")],
            [QUARANTINED],
            [queued("O2"), filled("E2", order_id="O1")],
            [filled("E3", order_id="O2", status=State.FILLED), submitted("O3")],
            [filled("E4", order_id="O1", status=State.FILLED)],
            [queued("O3")],
        ),
        1,
    )
]
REFUSABLE = Message(part="orders.1", epoch=0, n=1, body=[msgspec.structs.replace(submitted("R1"), price=Decimal("1e400"))])


def rows(message: Message[list[OrderEvent]]) -> list[ArchiveRow]:
    return change_rows(message.part, int(message.part.rpartition(".")[2]), message.n, message.body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live_opensearch() as (_, ports):
        yield ports.url


@pytest.fixture
async def server(url: str) -> AsyncIterator[OpenSearch]:
    """The server without our indexes."""
    made = OpenSearch(url)
    for name in MAPPINGS:
        await made.request("DELETE", f"/{index(name)}", fine=[404])
    yield made
    await made.close()


@pytest.fixture
def shelf(server: OpenSearch) -> Shelf:
    async def documents(name: str) -> list[dict[str, object]]:
        await server.request("POST", f"/{index(name)}/_refresh")
        _, found = await server.request("POST", f"/{index(name)}/_search", {"size": 1000})
        return [hit["_source"] for hit in found["hits"]["hits"]]

    async def held() -> Counter[Hashable]:
        seen: Counter[Hashable] = Counter((document["id"], document["type"]) for document in await documents(NOTICES))
        for document in await documents(ORDERS):
            lines: dict[int, list[tuple[int, str]]] = {}
            assert isinstance(document["timeline"], list)
            for line in document["timeline"]:
                lines.setdefault(line["n"], []).append((line["i"], line["type"]))
            seen.update((document["order_id"], n, tuple(some)) for n, some in lines.items())
        return seen

    def identity(row: ArchiveRow) -> Hashable:
        if row.table == NOTICES:
            return row.value["id"], row.value["type"]
        return row.value.order_id, row.n, tuple((i, type(event).__name__) for i, event in row.value.events)

    def known(message: Message[list[OrderEvent]]) -> list[ArchiveRow]:
        """The rows, without the one that would change an unknown order: no reader can see it."""
        return [row for row in rows(message) if row.table == NOTICES or row.value.order_id != "unknown"]

    def opened(fails: Fails) -> OpenSearchPlace:
        return OpenSearchPlace(server, "orders", fails)

    return Shelf(opened, held, known, identity, MESSAGES, REFUSABLE, planted=rows)


async def test_delivered_twice(shelf: Shelf) -> None:
    await places.check_delivered_twice(shelf)


async def test_split_anywhere(shelf: Shelf) -> None:
    await places.check_split(shelf)


@pytest.mark.parametrize("failpoint", places.FAILPOINTS)
async def test_killed_at(shelf: Shelf, failpoint: str) -> None:
    await places.check_killed(shelf, failpoint)


async def test_two_at_once(shelf: Shelf) -> None:
    await places.check_two_at_once(shelf)


async def test_a_refused_row_goes_aside(shelf: Shelf) -> None:
    await places.check_refused_goes_aside(shelf)
    assert "price" in shelf.letters.newest(1)[0].reason


async def stored(server: OpenSearch, *commits: list[OrderEvent]) -> OpenSearchPlace:
    place = OpenSearchPlace(server, "orders", places.never)
    await place.claim()
    for n, events in enumerate(commits, 1):
        await place.write(change_rows("orders.0", 0, n, events), Checkpoint())
    await server.request("POST", f"/{index(ORDERS)}/_refresh")
    return place


async def test_a_document_has_the_exact_order_that_its_events_make(server: OpenSearch) -> None:
    events: list[OrderEvent] = [submitted("O1"), queued("O1"), filled("E1", "0.000000000001", "123456789.000000000001", order_id="O1")]
    await stored(server, *([event] for event in events))
    _, found = await server.request("GET", f"/{index(ORDERS)}/_doc/O1")
    assert order_of(found["_source"]) == evolved(events)
    assert found["_version"] == 3, "the position of its last event"


async def test_a_change_of_an_order_that_the_place_never_had_goes_aside(server: OpenSearch) -> None:
    with pytest.raises(RowsRefused, match="no document of this order"):
        await stored(server, [submitted("O1")], [queued("O2")])


async def test_an_order_that_misses_an_event_has_no_document_and_its_later_events_go_aside(server: OpenSearch) -> None:
    place = await stored(server, [submitted("O1"), submitted("O2")])
    immense = msgspec.structs.replace(filled("E1", order_id="O1"), exec_id="x" * 40_000)
    with pytest.raises(RowsRefused, match="immense term"):
        await place.write(change_rows("orders.0", 0, 2, [immense]), Checkpoint())
    with pytest.raises(RowsRefused, match="no document of this order"):
        await place.write(change_rows("orders.0", 0, 3, [filled("E2", order_id="O1")]), Checkpoint())
    await place.write(change_rows("orders.0", 0, 3, [queued("O2")]), Checkpoint())
    found = [(await server.request("GET", f"/{index(ORDERS)}/_doc/{order_id}", fine=[404]))[0] for order_id in ("O1", "O2")]
    assert found == [404, 200]


async def test_an_order_is_found_by_all_of_its_words_and_by_its_fields(server: OpenSearch) -> None:
    collar = e.OrderRejected(order_id="O1", at=5, status=State.REJECTED, source="risk", reason="price_collar", found="70", limit="60")
    others: list[OrderEvent] = [submitted("O2", "bob"), submitted("O3", symbol="BTC/USD"), queued("O3"), filled("E9", order_id="O3")]
    await stored(server, [submitted("O1"), collar], others)

    async def found(text: str) -> list[str]:
        answer = await search(server, text, 10)
        assert (answer.complete, answer.found) == (True, len(answer.orders))
        return [order.order_id for order in answer.orders]

    assert await found("alice BTCUSDT rejected price_collar") == ["O1"]
    assert await found("account:alice") == ["O3", "O1"]
    assert await found("bob OR status:rejected") == ["O2", "O1"]
    assert await found("BTC/USD") == ["O3"]
    assert await found("E9") == ["O3"]
    assert await found("client-O2") == ["O2"]
    assert await found("price:>=50 NOT bob") == ["O3", "O1"]
    assert await found("alice price_collar BTC/USD") == []
    for bad in ("(", "price:abc", "*x", " "):
        with pytest.raises(SearchRefused):
            await search(server, bad, 10)
