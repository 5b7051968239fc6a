"""Orders of the classes bracket, oto and oco through the Alpaca facade: one request, several orders, one commit."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.memory import MemoryJournal
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.order_past import OrderPast
from apps.oms.alpaca.orders import AlpacaOrder, order_of
from apps.oms.alpaca.update_fold import FoldedAccount, UpdateFold
from domain.order.commands import RiskDecision, Terms
from domain.order.holdings import Holdings
from domain.order.order import Order
from domain.ports import Head
from domain.risk.controls import AccountSuspended
from domain.values import order_id_of
from tests.apps.alpaca_house import AlpacaHouse, trading
from tests.apps.submits import INSTRUMENTS
from tests.apps.test_alpaca_orders import LIMIT, MARKET
from tests.given import approved, denied

GAIN, LOSS = {"limit_price": "60"}, {"stop_price": 40}
BRACKET = LIMIT | {"order_class": "bracket", "take_profit": GAIN, "stop_loss": LOSS}
OTO = LIMIT | {"order_class": "oto", "stop_loss": {"stop_price": "40", "limit_price": "39.5"}}
OCO = {"symbol": "BTC/USDT", "qty": "1", "side": "sell", "type": "limit", "time_in_force": "gtc"} | {
    "order_class": "oco",
    "take_profit": GAIN,
    "stop_loss": LOSS,
}
SHOWN = ("order_class", "type", "side", "qty", "limit_price", "stop_price", "status", "position_intent")


def brief(order: dict[str, Any]) -> list[str | None]:
    return [order[name] for name in SHOWN]


async def posted(client: Any, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v2/orders", json=body | changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def status_of(client: Any, order: dict[str, Any]) -> str:
    return str((await client.get(f"/v2/orders/{order['id']}")).json()["status"])


async def bought(house: AlpacaHouse, client: Any) -> None:
    """Alice holds one."""
    order = await posted(client, MARKET)
    await house.fill(order["id"], "1", "50")


async def test_a_bracket_is_answered_with_its_legs_and_is_one_commit() -> None:
    async with trading() as (house, client):
        order = await posted(client, BRACKET, client_order_id="mine")
        gain, loss = order["legs"]
        assert brief(order) == ["bracket", "limit", "buy", "1", "50", None, "accepted", "buy_to_open"]
        assert brief(gain) == ["bracket", "limit", "sell", "1", "60", None, "held", "sell_to_close"]
        assert brief(loss) == ["bracket", "stop", "sell", "1", None, "40", "held", "sell_to_close"]
        assert house.oms.host.head.n == 1
        assert order["id"].replace("-", "") == order_id_of("alice", "mine")
        seen = (await client.get(f"/v2/orders/{order['id']}", params={"nested": "true"})).json()
        assert seen == order | {"updated_at": seen["updated_at"]}, "its list is recorded behind it"
        assert (await client.get(f"/v2/orders/{order['id']}")).json() == seen | {"legs": None}
        for leg in (gain, loss):
            assert (await client.get(f"/v2/orders/{leg['id']}", params={"nested": "true"})).json() == leg
            named = await client.get("/v2/orders:by_client_order_id", params={"client_order_id": leg["client_order_id"]})
            assert named.json() == leg


async def test_legs_are_held_until_all_of_the_entry_has_traded() -> None:
    async with trading() as (house, client):
        order = await posted(client, BRACKET)
        gain, loss = order["legs"]
        await house.fill(order["id"], "0.4", "50")
        assert [await status_of(client, each) for each in (order, gain, loss)] == ["partially_filled", "held", "held"]
        await house.fill(order["id"], "0.6", "50")
        assert [await status_of(client, each) for each in (order, gain, loss)] == ["filled", "accepted", "new"]
        held = (await client.get("/v2/positions/BTCUSDT")).json()
        assert (held["qty"], held["qty_available"]) == ("1", "0"), "of the two exits one counts"
        await house.fill(gain["id"], "1", "60")
        assert [await status_of(client, each) for each in (gain, loss)] == ["filled", "canceled"]


async def test_with_nested_legs_are_listed_with_their_parent_and_else_by_themselves() -> None:
    async with trading() as (house, client):
        order, other = await posted(client, BRACKET), await posted(client, LIMIT)
        flat = (await client.get("/v2/orders")).json()
        assert {each["id"] for each in flat} == {other["id"], order["id"], *(leg["id"] for leg in order["legs"])}
        assert {str(each["legs"]) for each in flat} == {"None"}
        for status in ("open", "all"):
            listed = (await client.get("/v2/orders", params={"status": status, "nested": "true"})).json()
            assert [(each["id"], each["legs"]) for each in listed] == [(other["id"], None), (order["id"], order["legs"])]
        assert (await client.get("/v2/orders", params={"status": "closed", "nested": "true"})).json() == []
        await house.fill(order["id"], "1", "50")
        for status, expected in (("open", [other["id"], order["id"]]), ("closed", [order["id"]])):
            listed = (await client.get("/v2/orders", params={"status": status, "nested": "true"})).json()
            assert [each["id"] for each in listed] == expected
            assert [leg["status"] for leg in listed[-1]["legs"]] == ["accepted", "new"]
        assert (await client.get("/v2/orders", params={"status": "open", "nested": "true", "side": "sell"})).json() == []


async def test_an_oto_has_one_leg_and_an_oco_is_two_exits_of_what_is_held() -> None:
    async with trading() as (house, client):
        order = await posted(client, OTO)
        (leg,) = order["legs"]
        assert brief(order) == ["oto", "limit", "buy", "1", "50", None, "accepted", "buy_to_open"]
        assert brief(leg) == ["oto", "stop_limit", "sell", "1", "39.5", "40", "held", "sell_to_close"]
        await bought(house, client)
        first = await posted(client, OCO, position_intent="sell_to_close", client_order_id="exits")
        (second,) = first["legs"]
        assert brief(first) == ["oco", "limit", "sell", "1", "60", None, "accepted", "sell_to_close"]
        assert brief(second) == ["oco", "stop", "sell", "1", None, "40", "accepted", "sell_to_close"]
        taken = await client.post("/v2/orders", json=OCO)
        assert (taken.status_code, taken.json()["code"]) == (403, 40310000)
        assert taken.json()["message"] == "insufficient qty available for order (requested: 1, available: 0)"
        again = await client.post("/v2/orders", json=OCO | {"client_order_id": "exits"})
        assert (again.status_code, again.json()["message"]) == (422, "client_order_id must be unique")
        await house.fill(first["id"], "0.4", "60")
        now = (await client.get(f"/v2/orders/{first['id']}", params={"nested": "true"})).json()
        assert [(leg["qty"], leg["status"], leg["replaces"]) for leg in now["legs"]] == [("0.6", "new", second["id"])]
        await house.fill(first["id"], "0.6", "60")
        assert await status_of(client, now["legs"][0]) == "canceled"


async def test_a_client_order_id_is_used_once_also_by_the_first_of_several_orders() -> None:
    async with trading() as (house, client):
        first = await posted(client, BRACKET, client_order_id="once")
        plain = LIMIT | {"client_order_id": "once"}
        leg = LIMIT | {"client_order_id": first["legs"][0]["client_order_id"]}
        others: list[dict[str, Any]] = [BRACKET | {"client_order_id": "once"}, OTO | {"client_order_id": "once"}, plain, leg]
        others.append(BRACKET | {"client_order_id": "once", "qty": "2"})
        for body in others:
            answer = await client.post("/v2/orders", json=body)
            assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (
                422,
                40010001,
                "client_order_id must be unique",
            )
        await posted(client, LIMIT, client_order_id="plain")
        taken = await client.post("/v2/orders", json=BRACKET | {"client_order_id": "plain"})
        assert (taken.status_code, taken.json()["message"]) == (422, "client_order_id must be unique")
        await house.fill(first["id"], "1", "50")
        replayed = await client.post("/v2/orders", json=BRACKET, headers={"Idempotency-Key": "once"})
        assert (replayed.status_code, replayed.json()) == (200, first)


async def test_exits_are_for_what_an_entry_had_when_it_ended_under_new_ids() -> None:
    async with trading() as (house, client):
        order = await posted(client, BRACKET)
        await house.fill(order["id"], "0.4", "50")
        await client.delete(f"/v2/orders/{order['id']}")
        await house.report(order["id"], "cancelled")
        legs = (await client.get(f"/v2/orders/{order['id']}", params={"nested": "true"})).json()["legs"]
        assert [(leg["qty"], leg["status"]) for leg in legs] == [("0.4", "accepted"), ("0.4", "new")]
        for old, now in zip(order["legs"], legs, strict=True):
            assert now["replaces"] == old["id"]
            answer = await client.delete(f"/v2/orders/{old['id']}")
            assert (answer.status_code, answer.json()["message"]) == (422, 'order is already in "replaced" state')


@pytest.mark.parametrize("body", [OTO, BRACKET], ids=["oto", "bracket"])
@pytest.mark.parametrize("quantity", ["0.5", "2"])
async def test_exits_follow_the_new_quantity_of_an_entry(body: dict[str, Any], quantity: str) -> None:
    async with trading() as (house, client):
        order = await posted(client, body)
        newer = (await client.patch(f"/v2/orders/{order['id']}", json={"qty": quantity})).json()
        await house.fill(newer["id"], quantity, "50")
        legs = (await client.get(f"/v2/orders/{newer['id']}", params={"nested": "true"})).json()["legs"]
        assert {leg["qty"] for leg in legs} == {quantity}


async def test_an_oco_buys_back_what_was_sold_short() -> None:
    async with trading() as (house, client):
        sold = await posted(client, MARKET, side="sell")
        await house.fill(sold["id"], "1", "50")
        buys = OCO | {"side": "buy", "take_profit": {"limit_price": 40}, "stop_loss": {"stop_price": 60, "limit_price": 61}}
        first = await posted(client, buys)
        assert brief(first) == ["oco", "limit", "buy", "1", "40", None, "accepted", "buy_to_close"]
        assert brief(first["legs"][0]) == ["oco", "stop_limit", "buy", "1", "61", "60", "accepted", "buy_to_close"]
        assert (await client.post("/v2/orders", json=OCO)).status_code == 403, "there is nothing to sell"


async def test_a_suspended_account_gets_no_orders_of_a_class() -> None:
    async with trading() as (house, client):
        house.controls.apply(AccountSuspended(version=2, at=1, who="alice", reason="test", account="alice"))
        answer = await client.post("/v2/orders", json=BRACKET)
        assert (answer.status_code, answer.json()["message"]) == (403, "new orders are rejected by user request")


async def test_while_the_journal_is_away_the_answer_says_whether_a_list_may_have_happened() -> None:
    async with trading() as (house, client):
        house.oms.log.acks_to_lose = 1
        unknown = await client.post("/v2/orders", json=BRACKET | {"client_order_id": "lost"})
        assert (unknown.status_code, unknown.json()["code"], unknown.json()["outcome"]) == (503, 50310000, "unknown")
        await house.oms.recovered()
        found = await client.get("/v2/orders:by_client_order_id", params={"client_order_id": "lost", "nested": "true"})
        assert [leg["status"] for leg in found.json()["legs"]] == ["held", "held"]


async def test_a_cancelled_entry_takes_its_held_legs_along_and_a_cancelled_leg_goes_alone() -> None:
    async with trading() as (house, client):
        order = await posted(client, BRACKET)
        assert (await client.delete(f"/v2/orders/{order['id']}")).status_code == 204
        assert [await status_of(client, each) for each in (order, *order["legs"])] == ["canceled"] * 3
        order = await posted(client, BRACKET)
        gain, loss = order["legs"]
        await house.fill(order["id"], "1", "50")
        assert (await client.delete(f"/v2/orders/{gain['id']}")).status_code == 204
        assert [await status_of(client, each) for each in (gain, loss)] == ["canceled", "new"]
        assert (await client.delete("/v2/orders")).json() == [{"id": loss["id"], "status": 200}]


async def test_all_open_orders_are_cancelled_those_too_that_end_with_their_entry() -> None:
    async with trading() as (_house, client):
        order = await posted(client, BRACKET)
        answer = await client.delete("/v2/orders")
        ids = [order["id"], *(leg["id"] for leg in order["legs"])]
        assert sorted(answer.json(), key=lambda each: ids.index(each["id"])) == [{"id": each, "status": 200} for each in ids]
        assert (await client.get("/v2/orders")).json() == []


async def test_a_leg_gets_new_prices_and_its_quantity_follows_the_entry() -> None:
    async with trading() as (house, client):
        order = await posted(client, BRACKET)
        gain, loss = order["legs"]
        refused = await client.patch(f"/v2/orders/{loss['id']}", json={"qty": "2", "stop_price": "41"})
        assert (refused.status_code, refused.json()["code"], refused.json()["reason"]) == (422, 42210000, "quantity_follows_entry")
        assert refused.json()["message"] == "qty of a leg follows the other orders of its order_class"
        newer = (await client.patch(f"/v2/orders/{loss['id']}", json={"qty": "1", "stop_price": "41"})).json()
        assert (newer["replaces"], newer["stop_price"], newer["status"]) == (loss["id"], "41", "held")
        nested = (await client.get(f"/v2/orders/{order['id']}", params={"nested": "true"})).json()
        assert [leg["id"] for leg in nested["legs"]] == [gain["id"], newer["id"]]
        await house.fill(order["id"], "1", "50")
        assert await status_of(client, newer) == "new"


@pytest.mark.parametrize(
    ("reason", "status", "code", "message", "leg"),
    [
        ("buying_power", 403, 40310000, "insufficient balance for USDT (requested: 150000, available: 100000)", "entry"),
        ("price_collar", 422, 42210000, "take_profit: price collar", "take_profit"),
        ("risk_timeout", 503, 50310000, "risk did not answer in time; this order was refused, send a new one", "entry"),
    ],
)
async def test_a_refusal_of_risk_names_the_leg_and_all_orders_are_listed_as_rejected(
    reason: str, status: int, code: int, message: str, leg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (house, client):

        async def check_list(legs: Sequence[Terms]) -> Sequence[RiskDecision]:
            found = [approved(terms.order_id) for terms in legs]
            number = ("entry", "take_profit", "stop_loss").index(leg)
            found[number] = denied(reason, legs[number].order_id)
            return found

        monkeypatch.setattr(house.oms.risk, "check_list", check_list)
        answer = await client.post("/v2/orders", json=BRACKET)
        found = answer.json()
        assert (answer.status_code, found["code"], found["reason"], found["leg"]) == (status, code, reason, leg)
        assert found["message"].startswith(message)
        listed = (await client.get("/v2/orders", params={"status": "closed"})).json()
        assert [order["status"] for order in listed] == ["rejected"] * 3
        assert {order["id"] for order in listed if order["reason"] == reason} == {found["order_id"]}


WRONG: list[tuple[dict[str, Any], dict[str, Any], int, str]] = [
    (BRACKET, {"take_profit": None}, 40010001, "take_profit: is required with order_class bracket"),
    (BRACKET, {"stop_loss": None}, 40010001, "stop_loss: is required with order_class bracket"),
    (BRACKET, {"stop_loss": {}}, 40010001, "stop_loss.stop_price: is required"),
    (BRACKET, {"stop_loss": {"limit_price": 39}}, 40010001, "stop_loss.stop_price: is required"),
    (BRACKET, {"take_profit": {"limit_price": 60, "qty": 1}}, 40010001, "take_profit"),
    (BRACKET, {"take_profit": [60]}, 40010001, "take_profit"),
    (BRACKET, {"take_profit": 60}, 40010001, "take_profit"),
    (BRACKET, {"take_profit": {"limit_price": "x"}}, 40010001, "take_profit.limit_price must be"),
    (BRACKET, {"take_profit": {"limit_price": "60.001"}}, 42210000, "take_profit: price off tick: found 60.001, limit 0.01"),
    (BRACKET, {"take_profit": {"limit_price": 40}}, 42210000, "take_profit.limit_price must be > stop_loss.stop_price"),
    (BRACKET, {"side": "sell"}, 42210000, "take_profit.limit_price must be < stop_loss.stop_price"),
    (BRACKET, {"qty": None, "notional": 100, "type": "market", "limit_price": None}, 42210000, "notional"),
    (BRACKET, {"time_in_force": "ioc"}, 42210000, "time_in_force"),
    (BRACKET, {"extended_hours": True}, 42210000, "extended_hours"),
    (BRACKET, {"position_intent": "buy_to_close"}, 42210000, "position_intent"),
    (BRACKET, {"trail_percent": 1}, 40010001, "trail_percent"),
    (BRACKET, {"legs": [{}]}, 40010001, "legs"),
    (BRACKET, {"qty": "0.0001"}, 42210000, "quantity off lot: found 0.0001, limit 0.001"),
    (BRACKET, {"order_class": "simple"}, 40010001, "take_profit"),
    (OTO, {"take_profit": GAIN}, 40010001, "take_profit or stop_loss is required with order_class oto, and not both"),
    (OTO, {"stop_loss": None}, 40010001, "take_profit or stop_loss is required"),
    (OCO, {"type": "market"}, 42210000, "type"),
    (OCO, {"limit_price": "61"}, 40010001, "limit_price: differs from take_profit.limit_price"),
    (OCO, {"position_intent": "sell_to_open"}, 42210000, "position_intent"),
    (OCO, {"stop_loss": None}, 40010001, "stop_loss: is required with order_class oco"),
]


@pytest.mark.parametrize(("body", "changes", "code", "message"), WRONG, ids=[repr(each[1])[:40] for each in WRONG])
async def test_what_is_wrong_is_named_and_nothing_is_recorded(
    body: dict[str, Any], changes: dict[str, Any], code: int, message: str
) -> None:
    async with trading() as (house, client):
        answer = await client.post("/v2/orders", json=body | changes)
        found = answer.json()
        assert (answer.status_code, found["code"]) == (422, code), found
        assert found["message"].startswith(message)
        assert house.oms.host.head.seq == 0


async def test_exits_of_nothing_are_refused() -> None:
    async with trading() as (house, client):
        answer = await client.post("/v2/orders", json=OCO)
        assert (answer.status_code, answer.json()["leg"]) == (403, "take_profit")
        assert answer.json()["message"] == "insufficient qty available for order (requested: 1, available: 0)"
        assert house.oms.host.head.seq == 0


async def updates_of(house: AlpacaHouse) -> list[tuple[str, dict[str, Any]]]:
    """What a listener of alice gets from the begin: event and order."""
    journal, assets = MemoryJournal(house.oms.log), AssetBook(INSTRUMENTS.values())

    def shown(order: Order, generation: int) -> AlpacaOrder:
        return order_of(order, assets.of(order.symbol), generation)

    fold = UpdateFold({"alice": FoldedAccount(Holdings({}), 0)}, OrderPast(house.oms.host, journal), shown)
    sent: list[tuple[str, dict[str, Any]]] = []
    async for batch in journal.follow(Head(), until=house.oms.host.head.seq):
        for entry in batch:
            updates = [json.loads(frame)["data"] for _, frame in await fold.updates(entry)]
            sent += [(update["event"], update["order"]) for update in updates]
    return sent


async def test_the_stream_shows_legs_when_they_are_submitted_and_when_they_are_released() -> None:
    async with trading() as (house, client):
        order = await posted(client, BRACKET)
        gain, loss = order["legs"]
        names = {order["id"]: "entry", gain["id"]: "gain", loss["id"]: "loss"}
        await house.fill(order["id"], "1", "50")
        await house.fill(gain["id"], "1", "60")
        sent = await updates_of(house)
        assert {seen["order_class"] for _, seen in sent} == {"bracket"}
        assert [(names[seen["id"]], event, seen["status"]) for event, seen in sent] == [
            ("entry", "accepted", "accepted"),
            ("gain", "accepted", "held"),
            ("loss", "accepted", "held"),
            ("entry", "pending_new", "pending_new"),
            ("entry", "new", "new"),
            ("entry", "fill", "filled"),
            ("gain", "accepted", "accepted"),
            ("loss", "accepted", "new"),
            ("loss", "new", "new"),
            ("gain", "pending_new", "pending_new"),
            ("gain", "new", "new"),
            ("gain", "fill", "filled"),
            ("loss", "canceled", "canceled"),
        ]


async def test_the_stream_shows_a_held_leg_that_ends_with_its_entry_and_one_with_new_terms() -> None:
    async with trading() as (house, client):
        order = await posted(client, OTO)
        (leg,) = order["legs"]
        newer = (await client.patch(f"/v2/orders/{leg['id']}", json={"stop_price": "41"})).json()
        await client.delete(f"/v2/orders/{order['id']}")
        names = {order["id"]: "entry", leg["id"]: "leg", newer["id"]: "newer"}
        assert [(names[seen["id"]], event, seen["status"]) for event, seen in await updates_of(house)] == [
            ("entry", "accepted", "accepted"),
            ("leg", "accepted", "held"),
            ("leg", "replaced", "replaced"),
            ("newer", "new", "held"),
            ("entry", "canceled", "canceled"),
            ("newer", "canceled", "canceled"),
        ]
