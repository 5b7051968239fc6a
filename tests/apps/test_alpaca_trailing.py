"""Trailing stops through the Alpaca facade: the high-water mark, the present stop price, and replaces of the trail."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from domain.order.commands import TrailStop, TriggerOrder
from domain.order.trail import Trail, TrailTrigger
from tests import given
from tests.apps.alpaca_house import AlpacaHouse, trading
from tests.apps.test_alpaca_orders import LIMIT
from tests.apps.test_alpaca_replace import shown
from tests.apps.test_alpaca_updates import Stream, words
from tests.domain.order.test_trail import trailing

D = Decimal
TRAILING: dict[str, Any] = {"symbol": "BTC/USDT", "side": "sell", "qty": 1, "type": "trailing_stop", "time_in_force": "gtc"}
FIELDS = ("type", "order_type", "status", "trail_price", "trail_percent", "hwm", "stop_price", "limit_price")


async def submitted(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v2/orders", json=TRAILING | {"client_order_id": "first"} | changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def trailed(house: AlpacaHouse, order_id: str, stop: str, best: str) -> None:
    order = house.order(order_id)
    await house.oms.host.perform(TrailStop(order_id=order.order_id, venue="PAPER_A", stop_price=D(stop), best=D(best)))


def of(order: dict[str, Any]) -> list[Any]:
    return [order[name] for name in FIELDS]


async def test_the_mark_and_the_stop_price_follow_the_market() -> None:
    async with trading() as (house, client):
        order = await submitted(client, trail_price="2.50")
        assert of(order) == ["trailing_stop", "trailing_stop", "accepted", "2.5", None, None, None, None]
        assert (await shown(client, order["id"]))["status"] == "new", "it works, although no venue has it"
        await trailed(house, order["id"], "97.5", "100")
        await trailed(house, order["id"], "99.5", "102")
        found = await shown(client, order["id"])
        assert of(found) == ["trailing_stop", "trailing_stop", "new", "2.5", None, "102", "99.5", None]


async def test_a_replace_of_the_trail_is_a_new_order_of_the_same_kind_of_trail() -> None:
    async with trading() as (house, client):
        old = (await submitted(client, trail_percent=2.5))["id"]
        await trailed(house, old, "97.5", "100")
        answer = await client.patch(f"/v2/orders/{old}", json={"trail": "1.5"})
        new = answer.json()
        assert answer.status_code == 200, answer.text
        assert (new["replaces"], new["trail_percent"], new["trail_price"], new["hwm"], new["stop_price"]) == (
            old,
            "1.5",
            None,
            "100",
            "97.5",
        )
        before = await shown(client, old)
        assert (before["status"], before["replaced_by"], before["trail_percent"]) == ("replaced", new["id"], "2.5")
        same = await client.patch(f"/v2/orders/{new['id']}", json={"trail": "1.5"})
        assert (same.status_code, same.json()["code"]) == (422, 42210000)
        by_hand = await client.patch(f"/v2/orders/{new['id']}", json={"stop_price": "98"})
        assert (by_hand.status_code, by_hand.json()["message"]) == (422, "stop price not allowed: found 98")


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({}, 40010001, "trail_price or trail_percent is required"),
        ({"trail_price": 1, "trail_percent": 1}, 40010001, "trail_percent: cannot be given together with trail_price"),
        ({"trail_price": "x"}, 40010001, "trail_price must be"),
        ({"trail_price": 1, "trail_trigger": "close"}, 40010001, "trail_trigger"),
        ({"trail_percent": 60}, 42210000, "trail percent out of range: found 60, limit 50"),
        ({"trail_price": "0.001"}, 42210000, "trail amount off tick"),
        ({"trail_price": 1, "limit_price": 50}, 42210000, "price not allowed"),
        ({"trail_price": 1, "stop_loss": {"stop_price": 40}}, 40010001, "stop_loss"),
        ({"trail_price": 1, "order_class": "bracket", "take_profit": {"limit_price": 60}}, 40010001, "trail_price"),
    ],
)
async def test_what_is_wrong_with_a_trail_is_named(changes: dict[str, Any], code: int, message: str) -> None:
    async with trading() as (house, client):
        answer = await client.post("/v2/orders", json=TRAILING | changes)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert message in answer.json()["message"]
        assert house.oms.host.head.seq == 0


async def test_other_orders_have_no_trail_to_replace() -> None:
    async with trading() as (_house, client):
        old = (await client.post("/v2/orders", json=LIMIT)).json()["id"]
        answer = await client.patch(f"/v2/orders/{old}", json={"trail": "1"})
        assert (answer.status_code, answer.json()["message"]) == (422, "trail: is not supported with this type of order")


async def test_a_stream_has_one_new_and_nothing_for_each_step() -> None:
    stream = Stream()
    await stream.land(given.submit(trailing()))
    assert [words(update) for update in stream.sent] == [["accepted", "new"], ["new", "new"]]
    await stream.play("""
        trail PAPER_A stop 50 best 55
        ~ nothing
        trigger PAPER_A @50
        ~ nothing
        route PAPER_A
        ~ pending_new pending_new
        ack V1
        ~ nothing
        fill F1 10 @50
        ~ fill filled filled=10 10@50 held=-10""")


async def test_an_older_generation_has_the_mark_and_the_stop_price_of_the_time_when_it_was_replaced() -> None:
    async with trading() as (house, client):
        old = (await submitted(client, trail_price="2.50"))["id"]
        await trailed(house, old, "97.5", "100")
        new = (await client.patch(f"/v2/orders/{old}", json={"trail": "1.5"})).json()["id"]
        await trailed(house, old, "108.5", "110")
        for order_id, mark, stop in ((old, "100", "97.5"), (new, "110", "108.5")):
            found = await shown(client, order_id)
            assert (found["hwm"], found["stop_price"]) == (mark, stop)


async def test_a_new_trail_after_the_trigger_is_refused_in_words_that_say_so() -> None:
    async with trading() as (house, client):
        order_id = (await submitted(client, trail_price="2.50"))["id"]
        await trailed(house, order_id, "97.5", "100")
        await house.oms.host.perform(
            TriggerOrder(order_id=house.order(order_id).order_id, venue="PAPER_A", price=D(97), stop_price=D("97.5"))
        )
        answer = await client.patch(f"/v2/orders/{order_id}", json={"trail": "1.5"})
        told = answer.json()
        assert (answer.status_code, told["code"], told["reason"]) == (422, 42210000, "triggered")
        assert told["message"] == "the trailing stop has triggered: its trail cannot be changed any more"


async def test_a_trailing_stop_may_follow_the_last_trade() -> None:
    async with trading() as (house, client):
        order = await submitted(client, trail_price="2.50", trail_trigger="last")
        assert house.order(order["id"]).trail == Trail(amount=D("2.50"), trigger=TrailTrigger.LAST)
