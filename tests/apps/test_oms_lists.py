"""Lists and mass cancels of oms: filters choose exactly what they name, windows of time share nothing, pages lead back to the beginning."""

import base64
import json
from typing import Any

import httpx
import pytest

from domain.order.lifecycle import State
from tests.apps.oms_house import living
from tests.apps.submits import text
from tests.contracts.facts import AT, commits, filled

SECOND = 1_000_000_000


async def submitted(client: httpx.AsyncClient, *names: str, **terms: Any) -> None:
    for name in names:
        answer = await client.post("/orders", content=text(client_order_id=name, **terms))
        assert answer.json()["status"] == "submitted"


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/orders", params=query)
    assert answer.status_code == 200, answer.text
    return [order["client_order_id"] for order in answer.json()["orders"]]


CANCELS: list[tuple[dict[str, str], list[str]]] = [
    ({}, []),
    ({"client_order_id": "b"}, ["s", "c", "a"]),
    ({"client_order_id": "absent"}, ["s", "c", "b", "a"]),
    ({"side": "sell"}, ["c", "b", "a"]),
    ({"symbol": "FINE"}, ["s", "b", "a"]),
    ({"status": "open"}, []),
    ({"status": "queued"}, []),
    ({"status": "routed"}, ["s", "c", "b", "a"]),
    ({"status": "closed"}, ["s", "c", "b", "a"]),
    ({"status": "open", "side": "buy", "symbol": "BTCUSDT"}, ["s", "c"]),
]


@pytest.mark.parametrize(("query", "left"), CANCELS)
async def test_a_cancel_by_filter_cancels_what_all_filters_name(query: dict[str, str], left: list[str]) -> None:
    async with living() as (_, client):
        await submitted(client, "a", "b")
        await submitted(client, "c", symbol="FINE")
        await submitted(client, "s", side="sell")
        answer = await client.delete("/orders", params={"account": "alice", **query})
        assert answer.json() == {"cancelled": 4 - len(left), "pending": 0}
        assert await listed(client, status="open") == left


@pytest.mark.parametrize(
    ("query", "status", "code", "pointer"),
    [
        ("client_order_ids=a", 400, "malformed", "?client_order_ids"),
        ("simbol=BTCUSDT", 400, "malformed", "?simbol"),
        ("order_id=a", 400, "malformed", "?order_id"),
        ("symbol=BTCUSDT&symbol=FINE", 400, "malformed", "?symbol"),
        ("status=live", 400, "malformed", "?status"),
        ("symbol=BTCEUR", 422, "unknown_symbol", "?symbol"),
    ],
)
async def test_a_cancel_that_is_not_understood_cancels_nothing(query: str, status: int, code: str, pointer: str) -> None:
    async with living() as (_, client):
        await submitted(client, "a")
        answer = await client.delete(f"/orders?account=alice&{query}")
        assert (answer.status_code, answer.json()["code"], answer.json()["pointer"]) == (status, code, pointer)
        assert await listed(client, status="open") == ["a"]


async def test_orders_of_a_symbol_that_left_the_catalogue_can_be_cancelled() -> None:
    async with living() as (house, client):
        await submitted(client, "a")
        (order,) = house.host.orders.open_of("alice")
        order.symbol = "GONE"
        assert (await client.delete("/orders?account=alice&symbol=GONE")).json() == {"cancelled": 1, "pending": 0}


async def test_a_submit_that_names_a_parameter_is_no_order() -> None:
    async with living() as (_, client):
        answer = await client.post("/orders?validate=true", content=text())
        assert (answer.status_code, answer.json()["pointer"]) == (400, "?validate")
        assert await listed(client) == []


async def test_open_and_closed_are_the_states_before_and_after_the_end() -> None:
    async with living() as (_, client):
        await submitted(client, "a", "b")
        await client.delete("/orders?account=alice&client_order_id=a")
        assert (await listed(client, status="open"), await listed(client, status="closed")) == (["b"], ["a"])
        assert await listed(client, status=str(State.CANCELLED)) == ["a"]
        assert await listed(client, symbol="NOPE") == [], "what was never traded has an empty list"


async def test_windows_of_orders_share_nothing() -> None:
    async with living() as (house, client):
        await submitted(client, "a", "b", "c")
        moments = {order.client_order_id: order.created_at for order in house.host.orders.open_of("alice")}
        assert await listed(client, since=moments["b"]) == ["c", "b"]
        assert await listed(client, until=moments["b"]) == ["a"]
        assert await listed(client, since=moments["a"], until=moments["c"]) == ["b", "a"]
        assert await listed(client, since="9999-12-31") == await listed(client, until="0001-01-01") == []
        assert len(await listed(client, since="0001-01-01", until="9999-12-31")) == 3


async def test_fills_lead_back_to_the_first_one_while_new_ones_arrive() -> None:
    async with living() as (house, client):
        await house.fills.write(commits(*([filled(f"E{n}", at=AT + n * SECOND)] for n in range(5))))
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await client.get("/fills/alice", params={"limit": 2, **cursor})).json()
            seen += [fill["exec_id"] for fill in page["fills"]]
            await house.fills.write(commits([filled(f"NEW{len(seen)}", at=AT + 100 * SECOND)]))
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert seen == ["E4", "E3", "E2", "E1", "E0"]


async def test_fills_have_windows_in_every_form_of_a_moment() -> None:
    async with living() as (house, client):
        await house.fills.write(commits(*([filled(f"E{n}", at=AT // SECOND * SECOND + n * SECOND)] for n in range(5))))

        async def found(query: str) -> list[str]:
            return [fill["exec_id"] for fill in (await client.get(f"/fills/alice?{query}")).json()["fills"]]

        assert await found("since=2023-11-14T22:13:21+00:00&until=2023-11-14T22:13:23+00:00") == ["E2", "E1"]
        assert await found("since=1700000001&until=1700000003000") == ["E2", "E1"]
        assert await found("since=2023-11-14&until=2023-11-15") == ["E4", "E3", "E2", "E1", "E0"]
        assert await found("until=2023-11-14") == []


def encoded(*place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


NO_PLACES: list[tuple[object, ...]] = [
    (1, 2, "E"),
    (1, 2, "E", 5),
    ("x", 2, "E", "V"),
    (10**30, 2, "E", "V"),
    (-(10**30), 2, "E", "V"),
    (1, 10**30, "E", "V"),
    (1, 2**63, "E", "V"),
]


@pytest.mark.parametrize("cursor", ["x", "", "~", "A" * 2000, *(encoded(*place) for place in NO_PLACES)])
async def test_a_cursor_of_no_page_is_malformed(cursor: str) -> None:
    async with living() as (_, client):
        answer = await client.get("/fills/alice", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["pointer"]) == (400, "?cursor")


@pytest.mark.parametrize("path", ["/orders", "/fills/alice"])
@pytest.mark.parametrize("name", ["since", "until"])
async def test_what_is_no_moment_is_refused_by_its_name(path: str, name: str) -> None:
    async with living() as (_, client):
        for text_ in ("yesterday", "12", "2026-01-31T12:00:00", "", "x" * 1000):
            answer = await client.get(path, params={name: text_})
            assert (answer.status_code, answer.json()["pointer"], answer.json()["within"]) == (400, f"?{name}", "query")
