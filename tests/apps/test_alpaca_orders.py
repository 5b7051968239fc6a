"""Orders through the Alpaca facade: what a client sends, what it gets, and what it may do next."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from apps.http.alpaca_words import AlpacaRefusal
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.order_body import read_order
from domain.market.trading_hours import ALWAYS, Calendar
from domain.risk.controls import KillThrown
from domain.values import order_id_of
from tests.apps.algo_desk import AlgoDesk
from tests.apps.alpaca_house import AlpacaHouse, trading
from tests.apps.submits import INSTRUMENTS
from tests.given import denied

LIMIT = {"symbol": "BTC/USDT", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": "50"}
MARKET = {"symbol": "BTC/USDT", "qty": "1", "side": "buy", "type": "market", "time_in_force": "gtc"}
KEYS = (
    *("id", "client_order_id", "created_at", "updated_at", "submitted_at", "filled_at", "expired_at", "expires_at", "canceled_at"),
    *("failed_at", "replaced_at", "replaced_by", "replaces", "asset_id", "symbol", "asset_class", "notional", "qty", "filled_qty"),
    *("filled_avg_price", "order_class", "order_type", "type", "side", "position_intent", "time_in_force", "limit_price", "stop_price"),
    *("status", "extended_hours", "legs", "trail_percent", "trail_price", "hwm", "source", "subtag"),
    *("seq", "reason", "in_doubt", "fees", "venues"),
)


async def test_an_order_is_answered_whole_with_every_number_as_a_string() -> None:
    async with trading() as (_house, client):
        answer = await client.post("/v2/orders", json=LIMIT | {"client_order_id": "My order #1", "qty": 0.30000000000000004})
        order = answer.json()
        assert answer.status_code == 200
        assert tuple(order) == KEYS
        shown = {name: order[name] for name in ("symbol", "qty", "filled_qty", "limit_price", "status", "fees", "filled_avg_price")}
        assert shown == {
            "symbol": "BTC/USDT",
            "qty": "0.3",
            "filled_qty": "0",
            "limit_price": "50",
            "status": "accepted",
            "fees": "0",
            "filled_avg_price": None,
        }
        assert order["id"].replace("-", "") == order_id_of("alice", "My order #1")
        assert order["submitted_at"].endswith("Z")
        for address in (f"/v2/orders/{order['id']}", f"/v2/orders/{order['id'].replace('-', '')}"):
            assert (await client.get(address)).json() == order
        found = await client.get("/v2/orders:by_client_order_id", params={"client_order_id": "My order #1"})
        assert found.json() == order


@pytest.mark.parametrize(("tif", "ends"), [("gtc", "2199-12-31"), ("day", "tomorrow"), ("ioc", "at once"), ("fok", "at once")])
async def test_an_order_shows_when_it_ends_by_itself(tif: str, ends: str) -> None:
    async with trading() as (_house, client):
        order = (await client.post("/v2/orders", json=LIMIT | {"time_in_force": tif})).json()
        made = order["created_at"]
        tomorrow = (date.fromisoformat(made[:10]) + timedelta(days=1)).isoformat()
        expected = {"tomorrow": f"{tomorrow}T00:00:00.000000000Z", "at once": made}.get(ends, f"{ends}T00:00:00.000000000Z")
        assert (order["time_in_force"], order["expires_at"]) == (tif, expected)


async def test_a_client_order_id_is_used_once_unless_the_header_asks_for_the_first_answer() -> None:
    async with trading() as (_house, client):
        first = (await client.post("/v2/orders", json=LIMIT | {"client_order_id": "once"})).json()
        for body in (LIMIT, LIMIT | {"qty": "2"}):
            again = await client.post("/v2/orders", json=body | {"client_order_id": "once"})
            assert again.status_code == 422
            assert again.json() == {"code": 40010001, "message": "client_order_id must be unique", "order_id": first["id"]}
        replayed = await client.post("/v2/orders", json=LIMIT, headers={"Idempotency-Key": "once"})
        assert (replayed.status_code, replayed.json()) == (200, first)
        differs = await client.post("/v2/orders", json=LIMIT | {"client_order_id": "other"}, headers={"Idempotency-Key": "once"})
        assert (differs.status_code, differs.json()["code"]) == (422, 40010001)


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"qty": "abc"}, 40010001, "qty must be"),
    ({"qty": None}, 40010001, "qty or notional is required"),
    ({"qty": [1]}, 40010001, "qty must be"),
    ({"side": "long"}, 40010001, "side:"),
    ({"type": "iceberg"}, 40010001, "type:"),
    ({"time_in_force": "gtd"}, 40010001, "time_in_force:"),
    ({"symbol": None}, 40010001, "symbol: is required"),
    ({"symbol": 5}, 40010001, "symbol"),
    ({"extra": 1}, 40010001, "extra"),
    ({"client_order_id": "é"}, 40010001, "client_order_id"),
    ({"client_order_id": "x" * 129}, 40010001, "client_order_id"),
    ({"notional": 100}, 40010001, "notional"),
    ({"stop_loss": {"stop_price": 40}}, 40010001, "stop_loss"),
    ({"trail_percent": 1}, 40010001, "trail_percent"),
    ({"position_intent": "sell_to_close"}, 40010001, "position_intent"),
    ({"symbol": "NOPE"}, 42210000, "asset 'NOPE' not found"),
    ({"order_class": "mleg", "legs": []}, 42210000, "order_class mleg"),
    ({"time_in_force": "opg"}, 42210000, "no session"),
    ({"time_in_force": "cls"}, 42210000, "no session"),
    ({"time_in_force": "opg", "type": "stop", "stop_price": "49", "limit_price": None}, 42210000, "stop opg"),
    ({"time_in_force": "cls", "order_class": "oto", "take_profit": {"limit_price": "60"}}, 42210000, "time_in_force"),
    ({"qty": "0.0001"}, 42210000, "quantity off lot: found 0.0001, limit 0.001"),
    ({"limit_price": "50.001"}, 42210000, "price off tick: found 50.001, limit 0.01"),
    ({"stop_price": "49"}, 42210000, "stop price not allowed"),
    ({"type": "market", "extended_hours": True}, 42210000, "extended_hours"),
]


@pytest.mark.parametrize(("changes", "code", "message"), WRONG, ids=[repr(each[0])[:40] for each in WRONG])
async def test_what_is_wrong_with_an_order_is_named_and_nothing_is_recorded(changes: dict[str, Any], code: int, message: str) -> None:
    async with trading() as (house, client):
        answer = await client.post("/v2/orders", json=LIMIT | changes)
        found = answer.json()
        assert (answer.status_code, found["code"]) == (422, code), found
        assert message in found["message"]
        assert answer.headers["content-type"] == "application/json"
        assert house.oms.host.head.seq == 0


async def test_unknown_fields_that_are_null_are_ignored_and_bodies_that_are_no_json_are_not() -> None:
    async with trading() as (_house, client):
        assert (await client.post("/v2/orders", json=LIMIT | {"legs": None, "of_a_later_release": None})).status_code == 200
        for body in (b"", b"{", b"[]", b'{"symbol":"BTC/USDT","symbol":"X"}', b'{"qty":NaN}', b"\xff"):
            answer = await client.post("/v2/orders", content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (422, 40010001), body


@pytest.mark.parametrize(
    ("reason", "status", "code", "message"),
    [
        ("buying_power", 403, 40310000, "insufficient balance for USDT (requested: 150000, available: 100000)"),
        ("order_size_limit", 422, 42210000, "order size limit: found 150000, limit 100000 USD"),
        ("killed", 403, 40310000, "new orders are rejected by user request: killed"),
        ("risk_timeout", 503, 50310000, "risk did not answer in time; this order was refused, send a new one"),
    ],
)
async def test_a_refusal_of_risk_has_the_words_that_clients_read_and_is_listed(
    reason: str, status: int, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading() as (house, client):

        async def check(terms: Any) -> Any:
            return denied(reason, terms.order_id)

        monkeypatch.setattr(house.oms.risk, "check", check)
        answer = await client.post("/v2/orders", json=LIMIT)
        found = answer.json()
        assert (answer.status_code, found["code"], found["message"], found["reason"]) == (status, code, message, reason)
        listed = (await client.get("/v2/orders", params={"status": "closed"})).json()
        assert [(order["id"], order["status"], order["reason"]) for order in listed] == [(found["order_id"], "rejected", reason)]
        assert listed[0]["failed_at"] == listed[0]["updated_at"]


async def test_a_refusal_by_the_kill_switch_names_the_scope() -> None:
    async with trading() as (house, client):
        house.controls.apply(KillThrown(version=2, at=1, who="ann", reason="test", scope="account:alice"))
        answer = await client.post("/v2/orders", json=LIMIT)
        message = "new orders are rejected by user request: account:alice"
        assert (answer.status_code, answer.json()["message"], answer.json()["scope"]) == (403, message, "account:alice")


async def test_while_the_journal_is_away_the_answer_says_whether_it_may_have_happened() -> None:
    async with trading() as (house, client):
        house.oms.log.acks_to_lose = 1
        unknown = await client.post("/v2/orders", json=LIMIT | {"client_order_id": "lost"})
        assert (unknown.status_code, unknown.json()["code"], unknown.json()["outcome"]) == (503, 50310000, "unknown")
        assert unknown.headers["retry-after"] == "1"
        assert "ask orders:by_client_order_id" in unknown.json()["message"]
        house.oms.log.down = True
        refused = await client.post("/v2/orders", json=LIMIT)
        assert (refused.status_code, refused.json()["code"], refused.json()["outcome"]) == (503, 50310000, "not_accepted")
        house.oms.log.down = False
        await house.oms.recovered()
        assert (await client.get("/v2/orders:by_client_order_id?client_order_id=lost")).status_code == 200


async def test_an_error_of_our_own_is_never_500_nor_504(monkeypatch: pytest.MonkeyPatch) -> None:
    async with trading() as (house, client):

        async def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(house.oms.intake, "submit", broken)
        answer = await client.post("/v2/orders", json=LIMIT)
        assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (503, 50310000, "unknown")
        assert "a fault of ours" not in answer.text


async def test_a_refusal_for_the_least_notional_names_it() -> None:
    async with trading() as (_house, client):
        answer = await client.post("/v2/orders", json=LIMIT | {"qty": "0.01"})
        assert (answer.status_code, answer.json()["code"]) == (403, 40310000)
        assert answer.json()["message"] == "cost basis must be >= minimal amount of order 5"


async def test_an_order_for_money_is_worth_a_quantity_down_to_the_lot() -> None:
    async with trading() as (house, client):
        body = {name: value for name, value in MARKET.items() if name != "qty"}
        unquoted = await client.post("/v2/orders", json=body | {"notional": 100})
        assert (unquoted.status_code, unquoted.json()["message"]) == (403, "no fresh quote for BTC/USDT")
        house.quote("49.9", "50.1")
        small = await client.post("/v2/orders", json=body | {"notional": "4.99"})
        assert (small.status_code, small.json()["message"]) == (403, "cost basis must be >= minimal amount of order 5")
        limit = await client.post("/v2/orders", json=body | {"notional": "100", "type": "limit", "limit_price": "50"})
        assert (limit.status_code, limit.json()["code"]) == (422, 40010001)
        order = (await client.post("/v2/orders", json=body | {"notional": 100.0, "client_order_id": "money"})).json()
        assert (order["notional"], order["qty"], order["status"]) == ("100", None, "accepted")
        assert str(house.order(order["id"]).quantity) == "1.996"
        await house.fill(order["id"], "1.996", "50.1")
        filled = (await client.get(f"/v2/orders/{order['id']}")).json()
        assert (filled["notional"], filled["qty"], filled["filled_qty"], filled["status"]) == ("100", None, "1.996", "filled")
        house.quote("59.9", "60.1")
        again = await client.post(
            "/v2/orders", json=body | {"notional": 100, "client_order_id": "money"}, headers={"Idempotency-Key": "money"}
        )
        assert (again.status_code, again.json()) == (200, order)


async def test_an_order_is_shown_in_alpacas_states_from_submit_to_fill() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()

        async def shown() -> dict[str, Any]:
            return dict((await client.get(f"/v2/orders/{order['id']}")).json())

        await house.route(order["id"])
        assert (await shown())["status"] == "new"
        await house.fill(order["id"], "0.4", "49.5")
        part = await shown()
        assert [part[name] for name in ("status", "filled_qty", "filled_avg_price", "filled_at")] == [
            "partially_filled",
            "0.4",
            "49.5",
            None,
        ]
        await house.fill(order["id"], "0.6", "50")
        full = await shown()
        assert [full[name] for name in ("status", "filled_qty", "filled_avg_price", "venues")] == ["filled", "1", "49.8", ["PAPER_A"]]
        assert full["filled_at"] == full["updated_at"]
        cancelled = await client.delete(f"/v2/orders/{order['id']}")
        assert (cancelled.status_code, cancelled.json()["message"]) == (422, 'order is already in "filled" state')


async def test_a_cancel_has_no_body_and_a_closed_order_cannot_be_cancelled_again() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        answer = await client.delete(f"/v2/orders/{order['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        again = await client.delete(f"/v2/orders/{order['id']}")
        assert (again.status_code, again.json()["code"], again.json()["message"]) == (422, 42210000, 'order is already in "canceled" state')
        at_venue = (await client.post("/v2/orders", json=LIMIT)).json()
        await house.route(at_venue["id"])
        assert (await client.delete(f"/v2/orders/{at_venue['id']}")).status_code == 204
        assert (await client.get(f"/v2/orders/{at_venue['id']}")).json()["status"] == "pending_cancel"
        assert (await client.delete(f"/v2/orders/{at_venue['id']}")).status_code == 204, "a repeated cancel changes nothing"


async def test_all_open_orders_are_cancelled_with_a_status_for_each() -> None:
    async with trading() as (_house, client):
        ids = [(await client.post("/v2/orders", json=LIMIT)).json()["id"] for _ in range(3)]
        answer = await client.delete("/v2/orders")
        assert answer.status_code == 207
        assert sorted(answer.json(), key=lambda each: ids.index(each["id"])) == [{"id": each, "status": 200} for each in ids]
        assert (await client.get("/v2/orders")).json() == []
        assert (await client.delete("/v2/orders")).json() == []


async def test_a_cancel_of_all_orders_cancels_algos_first() -> None:
    async with trading() as (house, client), house.oms.http() as native:
        desk = AlgoDesk(house.oms, native)
        await desk.submit()
        await desk.spawn(1)
        child = (await client.get("/v2/orders")).json()[0]["id"]
        assert (await client.delete("/v2/orders")).json() == [{"id": child, "status": 200}]
        assert (await desk.view())["status"] == "cancelled"


async def names(client: Any, **query: Any) -> list[str]:
    answer = await client.get("/v2/orders", params=query)
    assert answer.status_code == 200, answer.text
    return [order["client_order_id"] for order in answer.json()]


async def listed(house: AlpacaHouse, client: Any) -> list[dict[str, Any]]:
    """Six orders: two closed ones of another symbol, and sales among the open ones."""
    orders = []
    for number in range(6):
        other = {"symbol": "FINE", "qty": "10"} if number < 2 else {}
        side = {"side": "sell"} if number in (3, 5) else {}
        body = LIMIT | other | side | {"client_order_id": str(number)}
        orders.append((await client.post("/v2/orders", json=body)).json())
    for order in orders[:2]:
        await client.delete(f"/v2/orders/{order['id']}")
    return orders


async def test_lists_are_bounded_and_ordered_and_selected_as_asked() -> None:
    async with trading() as (house, client):
        orders = await listed(house, client)
        assert await names(client) == ["5", "4", "3", "2"]
        assert await names(client, status="all") == ["5", "4", "3", "2", "1", "0"]
        assert await names(client, status="closed") == ["1", "0"]
        assert await names(client, status="all", limit=2) == ["5", "4"]
        assert await names(client, status="all", limit=2, direction="asc") == ["0", "1"]
        assert await names(client, status="all", symbols="fine") == ["1", "0"]
        assert await names(client, status="all", symbols="FINE,BTC/USDT", limit=3) == ["5", "4", "3"]
        assert await names(client, status="all", asset_class="us_equity", limit=1) == ["1"]
        assert await names(client, asset_class="crypto,us_option", limit=2) == ["5", "4"]
        assert await names(client, status="all", asset_class="treasury") == []
        assert await names(client, status="all", asset_class="all", limit=2) == ["5", "4"]
        assert await names(client, status="all", side="sell") == ["5", "3"]
        assert await names(client, side="buy", direction="asc") == ["2", "4"]
        assert await names(client, status="all", symbols="NOPE") == []
        assert await names(client, status="all", before_order_id=orders[3]["id"]) == ["2", "1", "0"]
        assert await names(client, status="all", after_order_id=orders[3]["id"]) == ["5", "4"]
        assert await names(client, status="all", unknown="ignored", nested="True") == ["5", "4", "3", "2", "1", "0"]
        for wrong in (
            {"limit": 0},
            {"limit": 501},
            {"limit": "x"},
            {"status": "old"},
            {"direction": "up"},
            {"after": "soon"},
            {"side": "x"},
        ):
            answer = await client.get("/v2/orders", params=wrong)
            assert (answer.status_code, answer.json()["code"]) == (422, 40010001), wrong


@pytest.mark.parametrize("status", ["all", "open"])
async def test_pages_continue_from_the_last_time_of_submission_without_a_hole(status: str) -> None:
    async with trading() as (house, client):
        await listed(house, client)
        whole = await names(client, status=status)
        for direction, bound in (("desc", "until"), ("asc", "after")):
            seen: list[str] = []
            more: dict[str, Any] = {}
            while page := (await client.get("/v2/orders", params={"status": status, "limit": 1, "direction": direction, **more})).json():
                seen += [order["client_order_id"] for order in page]
                assert len(seen) <= len(whole), "a page is repeated"
                more = {bound: page[-1]["submitted_at"]}
            assert seen == (whole if direction == "desc" else whole[::-1])


async def test_another_accounts_orders_are_absent() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT | {"client_order_id": "mine"})).json()
        async with house.http(house.key("bob", "trade", "read")) as bob:
            for method, address in (("GET", f"/v2/orders/{order['id']}"), ("DELETE", f"/v2/orders/{order['id']}")):
                theirs = await bob.request(method, address)
                nothing = await bob.request(method, f"/v2/orders/{'0' * 32}")
                assert (theirs.status_code, theirs.json()["code"]) == (nothing.status_code, nothing.json()["code"]) == (404, 40410000)
                assert theirs.json()["message"] == f"order not found for {order['id']}"
            assert (await bob.get("/v2/orders:by_client_order_id", params={"client_order_id": "mine"})).status_code == 404
            assert (await bob.get("/v2/orders?status=all&account=alice")).json() == []
            assert (await bob.delete("/v2/orders")).json() == []
            own = await bob.post("/v2/orders", json=LIMIT | {"client_order_id": "mine"})
            assert own.status_code == 200, "ids are unique in an account"
        assert (await client.get(f"/v2/orders/{order['id']}")).json()["status"] == "accepted"


async def test_a_head_and_a_trailing_body_do_no_harm() -> None:
    async with trading() as (_house, client):
        headed = await client.head("/v2/orders")
        assert (headed.status_code, headed.content) == (200, b"")
        assert json.loads((await client.get("/v2/orders")).content) == []


async def test_extended_hours_are_kept_and_shown_where_the_venue_never_closes() -> None:
    async with trading() as (house, client):
        made = (await client.post("/v2/orders", json=LIMIT | {"extended_hours": True})).json()
        assert made["extended_hours"] is True
        assert (await client.get(f"/v2/orders/{made['id']}")).json() == made
        assert house.order(made["id"]).extended_hours is True
        assert (await client.post("/v2/orders", json=LIMIT | {"extended_hours": False})).json()["extended_hours"] is False


@pytest.mark.parametrize(("others", "refused"), [((), True), ((ALWAYS,), False)])
def test_extended_hours_are_refused_where_every_venue_has_regular_hours_only(others: tuple[Calendar, ...], refused: bool) -> None:
    hours = Calendar(opens_s=9 * 3600, closes_s=16 * 3600)
    assets = AssetBook(INSTRUMENTS.values(), {"BTCUSDT": (hours, *others)})
    body = json.dumps(LIMIT | {"extended_hours": True}).encode()
    if not refused:
        assert read_order(body, assets, "alice").terms.extended_hours is True
        return
    with pytest.raises(AlpacaRefusal) as caught:
        read_order(body, assets, "alice")
    assert (caught.value.status, caught.value.code, caught.value.extra["reason"]) == (422, 42210000, "no_extended_session")
