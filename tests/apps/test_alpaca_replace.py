"""Replaces through the Alpaca facade: an id names one generation of an order's terms."""

from typing import Any

import httpx

from tests.apps.alpaca_house import AlpacaHouse, trading
from tests.apps.test_alpaca_orders import LIMIT, names


async def submitted(client: httpx.AsyncClient, **changes: Any) -> str:
    return str((await client.post("/v2/orders", json=LIMIT | {"client_order_id": "first"} | changes)).json()["id"])


async def shown(client: httpx.AsyncClient, order_id: str) -> dict[str, Any]:
    answer = await client.get(f"/v2/orders/{order_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def answered(house: AlpacaHouse, order_id: str, kind: str, **fields: Any) -> None:
    """The venue answers the pending replace."""
    asked = house.order(order_id).replacing
    assert asked is not None
    numbers = {"quantity": asked.quantity, "price": asked.price} if kind == "replaced" else {}
    await house.report(order_id, kind, replace_id=asked.replace_id, **numbers, **fields)


async def test_a_replace_opens_a_new_order_and_closes_the_old_one_when_the_venue_has_agreed() -> None:
    async with trading() as (house, client):
        old = await submitted(client)
        await house.fill(old, "0.4", "50")
        answer = await client.patch(f"/v2/orders/{old}", json={"qty": 2, "limit_price": 51.0, "client_order_id": "second"})
        new = answer.json()
        assert answer.status_code == 200
        assert new["id"] != old
        compared = ("status", "replaces", "client_order_id", "qty", "limit_price", "filled_qty", "filled_avg_price")
        assert [new[name] for name in compared] == ["accepted", old, "second", "2", "51", "0.4", "50"]
        assert (await shown(client, old))["status"] == "pending_replace"
        assert sorted(await names(client)) == ["first", "second"], "both are open until the venue has answered"

        await answered(house, old, "replaced")
        await house.fill(new["id"], "0.6", "51")
        before, after = await shown(client, old), await shown(client, new["id"])
        ended = ("status", "replaced_by", "replaces", "client_order_id", "qty", "limit_price", "filled_qty", "filled_avg_price")
        assert [before[name] for name in ended] == ["replaced", new["id"], None, "first", "1", "50", "0.4", "50"]
        assert [after[name] for name in ended] == ["partially_filled", None, old, "second", "2", "51", "1", "50.6"]
        assert before["replaced_at"] == before["updated_at"]
        assert await names(client) == ["second"]
        assert await names(client, status="closed") == ["first"]
        assert await names(client, status="all") == ["second", "first"]
        for name, order_id in (("first", old), ("second", new["id"])):
            found = await client.get("/v2/orders:by_client_order_id", params={"client_order_id": name})
            assert found.json()["id"] == order_id

        for method in ("DELETE", "PATCH"):
            refused = await client.request(method, f"/v2/orders/{old}", json={"qty": "3"} if method == "PATCH" else None)
            assert (refused.status_code, refused.json()["message"]) == (422, 'order is already in "replaced" state')
        assert (await client.delete(f"/v2/orders/{new['id']}")).status_code == 204
        traded = (await client.get("/v2/account/activities/FILL")).json()
        assert [(fill["order_id"], fill["cum_qty"], fill["leaves_qty"]) for fill in traded] == [(new["id"], "1", "1"), (old, "0.4", "0.6")]


async def test_the_new_order_is_rejected_and_the_old_one_works_on_if_the_venue_keeps_the_old_terms() -> None:
    async with trading() as (house, client):
        old = await submitted(client)
        await house.route(old)
        new = (await client.patch(f"/v2/orders/{old}", json={"limit_price": "51"})).json()["id"]
        await answered(house, old, "replace_rejected", reason="too_late")
        assert (await shown(client, old))["status"] == "new"
        refused = await shown(client, new)
        assert (refused["status"], refused["replaces"], refused["failed_at"]) == ("rejected", old, refused["updated_at"])
        assert (await client.delete(f"/v2/orders/{new}")).json()["message"] == 'order is already in "rejected" state'
        third = (await client.patch(f"/v2/orders/{old}", json={"limit_price": "52"})).json()
        assert (third["replaces"], third["status"]) == (old, "accepted")
        await answered(house, old, "replaced")
        assert (await shown(client, old))["replaced_by"] == third["id"]
        assert [(order["status"], order["id"]) for order in (await client.get("/v2/orders?status=all&direction=asc")).json()] == [
            ("replaced", old),
            ("rejected", new),
            ("new", third["id"]),
        ]


async def test_an_order_that_no_venue_has_is_replaced_at_once() -> None:
    async with trading() as (_house, client):
        old = await submitted(client)
        new = (await client.patch(f"/v2/orders/{old}", json={"qty": "2"})).json()
        assert (new["status"], new["replaces"], new["qty"]) == ("accepted", old, "2")
        assert (await shown(client, old))["status"] == "replaced"
        assert (await client.delete("/v2/orders")).json() == [{"id": new["id"], "status": 200}]


async def test_names_of_replaces_are_unique_like_those_of_orders() -> None:
    async with trading() as (_house, client):
        old = await submitted(client)
        new = (await client.patch(f"/v2/orders/{old}", json={"qty": "2", "client_order_id": "second"})).json()["id"]
        for name in ("first", "second"):
            answer = await client.patch(f"/v2/orders/{new}", json={"qty": "3", "client_order_id": name})
            assert (answer.status_code, answer.json()["message"]) == (422, "client_order_id must be unique")
        answer = await client.post("/v2/orders", json=LIMIT | {"client_order_id": "second"})
        assert (answer.json()["message"], answer.json()["order_id"]) == ("client_order_id must be unique", old)


async def test_what_a_replace_may_not_do_is_named() -> None:
    async with trading() as (house, client):
        old = await submitted(client)
        for body, code, message in (
            ({}, 40010001, "qty or limit_price or stop_price is required"),
            ({"client_order_id": "x"}, 40010001, "qty or limit_price or stop_price is required"),
            ({"qty": "2", "time_in_force": "day"}, 40010001, "time_in_force: cannot be changed from gtc"),
            ({"qty": "2", "trail": "1"}, 40010001, "trail: is not supported"),
            ({"qty": "2", "side": "sell"}, 40010001, "side"),
            ({"qty": "1"}, 42210000, "the order has these terms already"),
            ({"qty": "0.0001"}, 42210000, "quantity off lot"),
        ):
            answer = await client.patch(f"/v2/orders/{old}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, code), body
            assert message in answer.json()["message"]
        assert (await client.patch(f"/v2/orders/{old}", json={"qty": "2", "time_in_force": "gtc"})).status_code == 200
        async with house.http(house.key("bob", "trade", "read")) as bob:
            for order_id in (old, house.order(old).order_id[:-4] + "ffff"):
                assert (await bob.patch(f"/v2/orders/{order_id}", json={"qty": "2"})).status_code == 404


async def test_every_generation_is_on_exactly_one_page() -> None:
    async with trading() as (_house, client):
        for number in range(3):
            order_id = await submitted(client, client_order_id=str(number))
            for quantity in ("2", "3"):
                answer = await client.patch(f"/v2/orders/{order_id}", json={"qty": quantity, "client_order_id": f"{number}-{quantity}"})
                order_id = answer.json()["id"]
        whole = await names(client, status="all", direction="asc")
        assert whole == ["0", "0-2", "0-3", "1", "1-2", "1-3", "2", "2-2", "2-3"]
        assert await names(client, status="closed", direction="asc") == ["0", "0-2", "1", "1-2", "2", "2-2"]
        seen: list[str] = []
        more: dict[str, Any] = {}
        while page := (await client.get("/v2/orders", params={"status": "all", "limit": 2, "direction": "asc", **more})).json():
            seen += [order["client_order_id"] for order in page]
            assert len(seen) <= len(whole), "a page is repeated"
            more = {"after": page[-1]["submitted_at"]}
        assert seen == whole
