"""Orders that show only a part of themselves: what oms takes, records and refuses by name."""

import json
from decimal import Decimal
from typing import Any

import pytest

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog
from apps.oms.submit_body import TermsReader
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT
from domain.instruments import Denial
from domain.order.events import OrderSubmitted
from domain.values import order_id_of
from tests.apps.oms_house import living
from tests.apps.submits import GOOD, INSTRUMENTS, TYPES, malformed_at, read, refusal, text
from tests.given import NOW

ICEBERG: dict[str, Any] = {**GOOD, "quantity": 10, "price": 50, "display_quantity": 2}
ORDER_ID = order_id_of("alice", "a-1")


def body(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**ICEBERG, **changes}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("changes", "code", "extra"),
    [
        ({"price": ...}, "display_quantity_not_allowed", {"found": "market gtc"}),
        ({"price": ..., "stop_price": 60}, "stop_price_not_allowed", {"found": "60"}),
        ({"type": "stop", "price": ..., "stop_price": 60}, "display_quantity_not_allowed", {"found": "stop gtc"}),
        ({"time_in_force": "ioc"}, "display_quantity_not_allowed", {"found": "limit ioc"}),
        ({"time_in_force": "opg"}, "display_quantity_not_allowed", {"found": "limit opg"}),
        ({"time_in_force": "cls"}, "display_quantity_not_allowed", {"found": "limit cls"}),
        ({"time_in_force": "fok"}, "display_quantity_not_allowed", {"found": "limit fok"}),
        ({"quantity": ..., "notional": 500, "time_in_force": "ioc"}, "display_quantity_not_allowed", {"found": "limit ioc"}),
        ({"display_quantity": 0}, "display_quantity_not_positive", {"found": "0", "limit": "0"}),
        ({"display_quantity": "2.0005"}, "display_quantity_off_lot", {"found": "2.0005", "limit": "0.001"}),
        ({"display_quantity": 10}, "display_quantity_too_large", {"found": "10", "limit": "10"}),
        ({"display_quantity": 11}, "display_quantity_too_large", {"found": "11", "limit": "10"}),
        ({"display_quantity": "0.099"}, "display_quantity_too_small", {"found": "4.95", "limit": "5", "unit": "USDT"}),
        ({"display_quantity": "0.009", "reduce_only": True}, "display_quantity_too_small", {"found": "0.009", "limit": "0.01"}),
        ({"symbol": "FINE"}, "display_quantity_unsupported", {"found": "FINE"}),
        ({"quantity": "10.0005"}, "quantity_off_lot", {"found": "10.0005", "limit": "0.001"}),
        ({"price": "0.1"}, "notional_too_small", {"found": "1", "limit": "5", "unit": "USDT"}),
    ],
)
def test_what_cannot_be_shown_in_parts_is_refused_by_name(changes: dict[str, Any], code: str, extra: dict[str, str]) -> None:
    found = refusal(body(**changes))
    pointer = {"pointer": "/display_quantity"} if code.startswith("display_quantity") else {}
    assert (found.status, found.code, found.extra) == (422, code, extra | pointer)


def test_the_smallest_part_is_the_minimum_notional_or_a_thousandth() -> None:
    assert read(body(display_quantity="0.1")).display_quantity == Decimal("0.1")
    assert read(body(display_quantity="0.01", reduce_only=True)).display_quantity == Decimal("0.01")


def test_no_number_is_malformed_and_null_is_an_order_shown_whole() -> None:
    assert malformed_at(body(display_quantity="many")) == "/display_quantity"
    assert malformed_at(body(display_quantity=-1)) == "/display_quantity"
    assert read(body(display_quantity=None)).display_quantity is None


def test_without_a_venue_that_supports_icebergs_every_one_is_refused() -> None:
    reader = TermsReader(INSTRUMENTS, "main", TYPES, KeyRing().may_trade)
    terms = reader.read(body(), None, EVERY_ACCOUNT)
    assert reader.denial(terms, NOW) == Denial("display_quantity_unsupported", "BTCUSDT")


async def test_it_is_journaled_shown_and_told() -> None:
    log = MemoryLog()
    async with living(log) as (_, client):
        assert (await client.post("/orders", content=body())).json()["status"] == "submitted"
        assert (await client.get(f"/orders/{ORDER_ID}")).json()["display_quantity"] == 2
        (listed,) = (await client.get("/orders", params={"account": "alice"})).json()["orders"]
        assert listed["display_quantity"] == 2
        first, *_ = (await client.get(f"/orders/{ORDER_ID}/events")).json()["events"]
        assert (first["display_quantity"], first["max_floor"], first["fix_terms"]) == (2, 2, {"40": "2", "59": "1", "111": 2})
        assert "as limit gtc, showing 2 at a time" in first["description"]
    submitted = ORDER_COMMITS.decode(log.commits[0][1]).events[0]
    assert isinstance(submitted, OrderSubmitted)
    assert submitted.display_quantity == Decimal(2)


async def test_an_order_shown_whole_has_no_max_floor() -> None:
    async with living() as (_, client):
        await client.post("/orders", content=text())
        assert (await client.get(f"/orders/{ORDER_ID}")).json()["display_quantity"] is None
        first, *_ = (await client.get(f"/orders/{ORDER_ID}/events")).json()["events"]
        assert "max_floor" not in first


async def test_another_display_quantity_is_another_order() -> None:
    async with living() as (_, client):
        await client.post("/orders", content=body())
        assert (await client.post("/orders", content=body(display_quantity="2.0"))).json()["replayed"] is True
        for other in (3, None):
            answer = await client.post("/orders", content=body(display_quantity=other))
            assert (answer.status_code, answer.json()["code"]) == (422, "client_order_id_reused")


async def test_quantity_and_price_are_replaced_and_the_display_quantity_is_not() -> None:
    async with living() as (_, client):
        await client.post("/orders", content=body())
        answer = await client.patch(f"/orders/{ORDER_ID}", json={"display_quantity": 3})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["pointer"]) == (
            422,
            "display_quantity_not_replaceable",
            "/display_quantity",
        )
        changed = (await client.patch(f"/orders/{ORDER_ID}", json={"quantity": 1, "price": 49, "display_quantity": None})).json()
        assert (changed["quantity"], changed["price"], changed["display_quantity"]) == (1, 49, 2)
        answer = await client.patch(f"/orders/{ORDER_ID}", json={"price": 2, "quantity": 10})
        assert (answer.status_code, answer.json()["code"]) == (422, "display_quantity_too_small")


async def test_legs_of_a_list_may_be_icebergs() -> None:
    legs = [
        {"role": "entry", "symbol": "BTCUSDT", "side": "buy", "quantity": 10, "price": 50, "display_quantity": 2},
        {"role": "take_profit", "price": 60, "display_quantity": 3},
        {"role": "stop_loss", "stop_price": 40},
    ]
    asked = {"account": "alice", "client_list_id": "b-1", "type": "bracket", "orders": legs}
    async with living() as (_, client):
        refused = await client.post("/order-lists", json=asked | {"orders": [legs[0], legs[1], legs[2] | {"display_quantity": 1}]})
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["leg"]) == (422, "display_quantity_not_allowed", 2)
        assert problem["pointer"] == "/orders/2/display_quantity"
        made = (await client.post("/order-lists", json=asked)).json()
        shown = (await client.get(f"/order-lists/{made['list_id']}")).json()["orders"]
        assert [order["display_quantity"] for order in shown] == [2, 3, None]
