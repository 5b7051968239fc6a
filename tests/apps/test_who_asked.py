"""Who asked, from the door to the timeline."""

from typing import Any

import httpx

from apps.cli.story import what
from apps.http.caller import Caller
from domain.order.commands import DoubtRoute, RouteOrder
from domain.order.events import Leg
from tests.apps.callers import ERIN
from tests.apps.oms_house import OmsHouse, living
from tests.apps.submits import text

STRANGER = Caller("PKSTRANGER2222222222", "carl", "*", ERIN.mask)
"""A key whose owner oms does not know."""


async def submitted(client: httpx.AsyncClient, name: str) -> str:
    answer = await client.post("/orders", content=text(client_order_id=name, quantity=2, price=50))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["order_id"])


async def signed(client: httpx.AsyncClient, order_id: str) -> list[tuple[str, str | None, str | None]]:
    """The events with who asked, by the order's timeline."""
    events: list[dict[str, Any]] = (await client.get(f"/orders/{order_id}/events")).json()["events"]
    return [(event["type"], event.get("by"), event.get("owner")) for event in events]


async def routed(house: OmsHouse, order_id: str) -> None:
    order = house.host.find(order_id)
    assert order is not None
    await house.host.perform(RouteOrder(order_id=order_id, legs=(Leg("R1", "PAPER_A", order.quantity),), policy="x"))


async def test_every_request_is_in_the_timeline_with_who_asked() -> None:
    erin = (ERIN.key_id, "erin")
    async with living() as (house, local), house.http(ERIN) as client:
        order_id = await submitted(client, "a")
        assert (await local.patch(f"/orders/{order_id}", content=b'{"quantity":3}')).status_code == 200
        assert (await client.delete(f"/orders/{order_id}")).status_code == 200
        assert await signed(client, order_id) == [
            ("OrderSubmitted", *erin),
            ("OrderRiskChecked", None, None),
            ("OrderQueued", None, None),
            ("OrderReplaced", "local", None),
            ("OrderCancelled", *erin),
        ]
        doubtful = await submitted(local, "b")
        await routed(house, doubtful)
        await house.host.perform(DoubtRoute(order_id=doubtful, route_id="R1", reason="no_answer"))
        body = b'{"outcome":"working","reason":"asked the desk"}'
        answer = await client.post(f"/orders/{doubtful}/settle", content=body)
        assert answer.status_code == 200, answer.text
        assert (await client.patch(f"/orders/{doubtful}", content=b'{"price":49}')).status_code == 202
        assert [line for line in await signed(local, doubtful) if line[1]] == [
            ("OrderSubmitted", "local", None),
            ("DoubtSettled", *erin),
            ("ReplaceRequested", *erin),
        ]
        assert (await client.request("DELETE", "/orders", params={"account": "alice"})).json() == {"cancelled": 0, "pending": 1}
        assert (await signed(local, doubtful))[-1] == ("CancelRequested", *erin)


async def test_a_key_of_an_unknown_owner_is_named_by_its_id() -> None:
    async with living() as (house, _), house.http(STRANGER) as client:
        order_id = await submitted(client, "a")
        first = (await client.get(f"/orders/{order_id}/events")).json()["events"][0]
        assert first["by"] == STRANGER.key_id
        assert "owner" not in first
        assert first["description"].endswith(f"; submitted with key {STRANGER.key_id}.")


async def test_another_name_settles_nothing() -> None:
    async with living() as (house, local), house.http(ERIN) as client:
        order_id = await submitted(local, "a")
        answer = await client.post(f"/orders/{order_id}/settle", content=b'{"outcome":"working","who":"bea","reason":"x"}')
        assert (answer.status_code, answer.json()["code"]) == (403, "who_not_yours")


async def test_a_key_that_settles_for_one_account_does_not_see_the_orders_of_others() -> None:
    for_bob = Caller("PKBOB222222222222222", "ops", "bob", ERIN.mask)
    async with living() as (house, local), house.http(for_bob) as client:
        order_id = await submitted(local, "a")
        body = b'{"outcome":"cancelled","reason":"x"}'
        foreign, absent = [await client.post(f"/orders/{name}/settle", content=body) for name in (order_id, "0" * 32)]
        assert (foreign.status_code, foreign.text.replace(order_id, "0" * 32)) == (404, absent.text)
        assert (await local.post(f"/orders/{order_id}/settle", content=body[:-1] + b',"who":"ann"}')).status_code == 409


def test_a_drop_copy_without_a_sentence_is_reported_with_the_key() -> None:
    cancelled = {"type": "OrderCancelled", "source": "client", "reason": "requested"}
    assert what(cancelled) == "by client: requested"
    assert what(cancelled | {"by": "K1"}) == "by client: requested; with key K1"
    assert what(cancelled | {"by": "local"}) == "by client: requested; without a key"
