"""Trailing stops at the doors of oms: what is accepted, how they are shown, amended and cancelled, alone and in lists."""

from typing import Any

import httpx
import pytest

from domain.order.commands import TrailStop, TriggerOrder
from domain.order.trail import Trail, TrailTrigger
from domain.values import OrderType, order_id_of
from tests.apps.oms_house import OmsHouse, living
from tests.apps.submits import malformed_at, read, refusal, text
from tests.apps.test_order_lists import Wire, post
from tests.domain.order.test_trail import D

TRAILING: dict[str, Any] = {"side": "sell", "price": ..., "type": "trailing_stop", "trail_amount": 5}
ORDER_ID = order_id_of("alice", "a-1")
SHOWN = {
    "trail_amount": 5,
    "trail_percent": None,
    "trail_trigger": "touch",
    "limit_offset": None,
    "activation_price": None,
    "best": None,
    "stop_price": None,
}


async def trailed(house: OmsHouse, stop: str, best: str, order_id: str = ORDER_ID) -> None:
    await house.host.perform(TrailStop(order_id=order_id, venue="PAPER_A", stop_price=D(stop), best=D(best)))


async def shown(client: httpx.AsyncClient, order_id: str = ORDER_ID) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/orders/{order_id}")).json()
    return found


def test_a_body_is_read_into_its_trail() -> None:
    terms = read(text(**TRAILING, stop_price=44, limit_offset="0.5", activation_price=60, trail_trigger="mid"))
    assert terms.trail == Trail(amount=D(5), trigger=TrailTrigger.MID, limit_offset=D("0.5"), activation_price=D(60))
    assert (terms.order_type, terms.price, terms.stop_price) == (OrderType.TRAILING_STOP, None, D(44))
    assert read(text(price=..., trail_percent="0.25")).order_type is OrderType.TRAILING_STOP
    assert read(text(trail_amount=None, trail_trigger=None)).trail is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trail_amount": ...}, "trail_required"),
        ({"trail_percent": 1}, "trail_ambiguous"),
        ({"trail_amount": 0}, "trail_amount_not_positive"),
        ({"trail_amount": "0.001"}, "trail_amount_off_tick"),
        ({"trail_amount": ..., "trail_percent": 51}, "trail_percent_out_of_range"),
        ({"type": "stop", "stop_price": 50}, "trail_not_allowed"),
        ({"type": "limit", "price": 50}, "trail_not_allowed"),
        ({"price": 50}, "price_not_allowed"),
        ({"post_only": True}, "post_only_not_allowed"),
        ({"stop_price": "0.001"}, "stop_price_off_tick"),
    ],
)
def test_what_cannot_trail_is_refused_by_name(changes: dict[str, Any], code: str) -> None:
    found = refusal(text(**{**TRAILING, **changes}))
    assert (found.status, found.code) == (422, code)


def test_what_is_no_number_or_word_is_malformed() -> None:
    assert malformed_at(text(**{**TRAILING, "trail_amount": "-5"})) == "/trail_amount"
    assert malformed_at(text(**{**TRAILING, "trail_trigger": "close"})) == "/trail_trigger"


async def test_the_order_shows_where_it_is_and_a_repeat_is_the_same_order() -> None:
    async with living() as (house, client):
        answer = await client.post("/orders", content=text(**TRAILING))
        assert answer.json()["status"] == "submitted"
        order = await shown(client)
        assert (order["type"], order["status"], order["trail"]) == ("trailing_stop", "queued", SHOWN)
        await trailed(house, "95", "100")
        await trailed(house, "98", "103")
        order = await shown(client)
        assert order["trail"] == {**SHOWN, "best": 103, "stop_price": 98}
        assert order["stop_price"] == 98
        assert (await client.post("/orders", content=text(**TRAILING))).json()["replayed"] is True
        other = await client.post("/orders", content=text(**{**TRAILING, "trail_amount": 6}))
        assert (other.status_code, other.json()["code"]) == (422, "client_order_id_reused")
        events = (await client.get(f"/orders/{ORDER_ID}/events")).json()["events"]
        assert [(event["type"], event["exec_type"]) for event in events[-2:]] == [("StopTrailed", "D")] * 2
        assert events[-1]["description"] == "PAPER_A has shown 103: its stop price follows to 98."


async def test_the_trail_is_amended_and_the_stop_price_is_not() -> None:
    async with living() as (house, client):
        await client.post("/orders", content=text(**TRAILING))
        await trailed(house, "95", "100")
        by_hand = await client.patch(f"/orders/{ORDER_ID}", json={"stop_price": 97})
        assert (by_hand.status_code, by_hand.json()["code"]) == (422, "stop_price_not_allowed")
        both = await client.patch(f"/orders/{ORDER_ID}", json={"trail_amount": 3, "trail_percent": 1})
        assert (both.status_code, both.json()["code"]) == (422, "trail_ambiguous")
        for _ in ("once", "again"):
            answer = await client.patch(f"/orders/{ORDER_ID}", json={"trail_percent": "2.5", "quantity": 2, "client_order_id": "a-2"})
            assert answer.status_code == 200
            found = answer.json()["trail"]
            assert (found["trail_amount"], found["trail_percent"], found["stop_price"]) == (None, 2.5, 95)
        assert house.risk.asked == [ORDER_ID, f"{ORDER_ID}-r1"]
        assert (await shown(client))["quantity"] == 2


async def test_only_a_trailing_stop_has_a_trail_to_amend_and_only_until_it_has_triggered() -> None:
    async with living() as (house, client):
        await client.post("/orders", content=text(client_order_id="plain"))
        answer = await client.patch(f"/orders/{order_id_of('alice', 'plain')}", json={"trail_amount": 3})
        assert (answer.status_code, answer.json()["code"]) == (422, "trail_not_allowed")
        await client.post("/orders", content=text(**TRAILING, limit_offset=1))
        await house.host.perform(TriggerOrder(order_id=ORDER_ID, venue="PAPER_A", price=D(97), stop_price=D(98), best=D(103)))
        order = await shown(client)
        assert (order["price"], order["stop_price"]) == (97, 98)
        late = await client.patch(f"/orders/{ORDER_ID}", json={"trail_amount": 3})
        assert (late.status_code, late.json()["reason"]) == (409, "triggered")
        assert (await client.patch(f"/orders/{ORDER_ID}", json={"price": 96})).json()["price"] == 96


async def test_one_that_has_become_a_market_order_gets_no_price() -> None:
    async with living() as (house, client):
        await client.post("/orders", content=text(**TRAILING))
        await house.host.perform(TriggerOrder(order_id=ORDER_ID, venue="PAPER_A", price=D(97), stop_price=D(98), best=D(103)))
        answer = await client.patch(f"/orders/{ORDER_ID}", json={"price": 96})
        assert (answer.status_code, answer.json()["code"]) == (422, "price_not_allowed")
        assert (await shown(client))["price"] is None


async def test_a_cancelled_one_is_over() -> None:
    async with living() as (house, client):
        await client.post("/orders", content=text(**TRAILING))
        assert (await client.delete(f"/orders/{ORDER_ID}")).json()["status"] == "cancelled"
        await trailed(house, "95", "100")
        assert (await shown(client))["trail"] == SHOWN


BRACKET: dict[str, Any] = {
    "account": "alice",
    "client_list_id": "b-1",
    "type": "bracket",
    "orders": [
        {"client_order_id": "e", "symbol": "BTCUSDT", "side": "buy", "quantity": 1, "price": 50},
        {"role": "take_profit", "client_order_id": "t", "price": 60},
        {"role": "stop_loss", "client_order_id": "s", "type": "trailing_stop", "trail_percent": 10},
    ],
}


async def test_the_stop_loss_of_a_bracket_may_trail_and_stays_exclusive() -> None:
    async with living() as (house, client):
        answer = await post(client, BRACKET)
        wire, stop = Wire(house), order_id_of("alice", "s")
        entry, take = wire.order(answer, "entry"), wire.order(answer, "take_profit")
        await trailed(house, "45", "50", stop)
        assert (await shown(client, stop))["status"] == "risk_checked"
        assert (await shown(client, stop))["trail"]["stop_price"] is None, "a held leg does not trail"
        await wire.rest(entry)
        await wire.fill(entry, "1")
        await wire.rest(take)
        await trailed(house, "45", "50", stop)
        await trailed(house, "54", "60", stop)
        await house.host.perform(TriggerOrder(order_id=stop, venue="PAPER_A", price=D("53.9")))
        leg = await shown(client, stop)
        assert (leg["status"], leg["stop_price"], leg["trail"]["best"]) == ("queued", 54, 60)
        assert (await shown(client, take.order_id))["status"] == "pending_cancel"
        assert (await client.get(f"/orders/{stop}/events")).json()["events"][-1]["waits_for"] == [take.order_id]
        await wire.report(take, "cancelled")
        assert (await client.get(f"/orders/{stop}/events")).json()["events"][-1]["type"] == "OrderReleased"


async def test_a_take_profit_does_not_trail_and_a_stop_loss_needs_a_price_or_a_trail() -> None:
    async with living() as (_, client):
        entry, take, stop = BRACKET["orders"]
        for orders in ([entry, {**take, "trail_amount": 1}, stop], [entry, take, {"role": "stop_loss"}]):
            answer = await client.post("/order-lists", json={**BRACKET, "orders": orders})
            assert (answer.status_code, answer.json()["code"]) == (422, "not_a_list")
