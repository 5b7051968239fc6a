"""The account of a client of the Alpaca facade: positions, what closes them, trades, and the numbers of risk."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from domain.instruments import Denial
from tests.apps.alpaca_house import AlpacaHouse, trading
from tests.apps.test_alpaca_orders import LIMIT, MARKET
from tests.given import denied


async def bought(house: AlpacaHouse, client: Any, quantity: str = "1", price: str = "50") -> str:
    order = (await client.post("/v2/orders", json=MARKET | {"qty": quantity})).json()
    await house.fill(order["id"], quantity, price)
    return str(order["id"])


async def test_positions_are_valued_at_the_mid_and_tell_what_is_free() -> None:
    async with trading() as (house, client):
        assert (await client.get("/v2/positions")).json() == []
        await bought(house, client, "2", "50")
        await client.post("/v2/orders", json=LIMIT | {"side": "sell", "qty": "0.5", "limit_price": "60"})
        house.quote("54.99", "55.01")
        (position,) = (await client.get("/v2/positions")).json()
        numbers = {name: value for name, value in position.items() if name not in ("asset_id", "exchange", "asset_marginable")}
        assert numbers == {
            "symbol": "BTC/USDT",
            "asset_class": "crypto",
            "qty": "2",
            "qty_available": "1.5",
            "side": "long",
            "avg_entry_price": "50",
            "cost_basis": "100",
            "market_value": "110",
            "current_price": "55",
            "unrealized_pl": "10",
            "unrealized_plpc": "0.1",
            "unrealized_intraday_pl": "10",
            "unrealized_intraday_plpc": "0.1",
            "lastday_price": "50",
            "change_today": "0.1",
        }
        for spelling in ("BTC/USDT", "btc%2Fusdt", "BTCUSDT", position["asset_id"]):
            assert (await client.get(f"/v2/positions/{spelling}")).json() == position
        absent = await client.get("/v2/positions/FINE")
        assert (absent.status_code, absent.json()) == (404, {"code": 40410000, "message": "position does not exist"})


async def test_a_position_is_closed_whole_or_in_part_and_never_more_than_is_free() -> None:
    async with trading() as (house, client):
        await bought(house, client, "2")
        half = (await client.delete("/v2/positions/BTC/USDT", params={"percentage": "25.01"})).json()
        shown = {name: half[name] for name in ("qty", "side", "type", "position_intent", "status")}
        assert shown == {"qty": "0.5", "side": "sell", "type": "market", "position_intent": "sell_to_close", "status": "accepted"}
        more = await client.delete("/v2/positions/BTCUSDT", params={"qty": "1.6"})
        assert (more.status_code, more.json()["code"]) == (403, 40310000)
        assert more.json()["message"] == "insufficient qty available for order (requested: 1.6, available: 1.5)"
        part = (await client.delete("/v2/positions/BTCUSDT", params={"qty": 0.1 + 0.2})).json()
        assert part["qty"] == "0.3"
        for wrong in ({"qty": "0"}, {"qty": "x"}, {"percentage": "101"}, {"qty": "1", "percentage": "1"}):
            assert (await client.delete("/v2/positions/BTCUSDT", params=wrong)).json()["code"] == 40010001, wrong
        assert (await client.delete("/v2/positions/FINE")).status_code == 404


@pytest.mark.parametrize(
    ("reason", "words"), [("short_restriction", "insufficient balance for BTC"), ("reduce_only", "insufficient qty available for order")]
)
async def test_a_refusal_for_too_little_to_sell_names_what_open_orders_leave(
    reason: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client sends `available` next: it is what is held without what open orders of the side may still sell."""
    async with trading() as (house, client):

        async def check(terms: Any) -> Any:
            return structs.replace(denied(reason, terms.order_id), denial=Denial(reason, found="12", limit="10", unit="shares"))

        monkeypatch.setattr(house.oms.risk, "check", check)
        found = (await client.post("/v2/orders", json=LIMIT | {"side": "sell", "qty": "8"})).json()
        assert found["message"] == f"{words} (requested: 8, available: 6)"
        assert (found["found"], found["limit"], found["unit"], found["reason"]) == ("12", "10", "shares", reason)


async def test_all_positions_are_closed_after_their_orders_were_cancelled() -> None:
    async with trading() as (house, client):
        await bought(house, client, "2")
        resting = (await client.post("/v2/orders", json=LIMIT | {"side": "sell", "limit_price": "60"})).json()
        answer = await client.delete("/v2/positions", params={"cancel_orders": "True"})
        assert answer.status_code == 207
        (found,) = answer.json()
        assert (found["symbol"], found["status"], found["body"]["qty"], found["body"]["side"]) == ("BTC/USDT", 200, "2", "sell")
        assert (await client.get(f"/v2/orders/{resting['id']}")).json()["status"] == "canceled"


async def test_the_account_adds_up() -> None:
    async with trading() as (house, client):
        house.risk.portfolio = (
            b'{"equity":100010,"margin_in_use":80,"reservations":0,"buying_power":99930,'
            b'"symbols":{"BTCUSDT":{"quantity":2,"mark":55},"FINE":{"quantity":-1,"mark":50}}}'
        )
        account = (await client.get("/v2/account")).json()
        names = (
            "equity",
            "cash",
            "long_market_value",
            "short_market_value",
            "position_market_value",
            "buying_power",
            "multiplier",
            "created_at",
        )
        assert [account[name] for name in names] == ["100010", "99950", "110", "-50", "60", "199860", "2", "2023-11-14T22:13:20.000000000Z"]
        assert (account["account_number"], account["status"], account["trading_blocked"], account["account_blocked"]) == (
            "alice",
            "ACTIVE",
            False,
            False,
        )
        assert (await client.get("/v2/account/configurations")).json()["max_margin_multiplier"] == "2"
        house.risk.down = True
        away = await client.get("/v2/account")
        assert (away.status_code, away.json()["code"], away.headers["retry-after"]) == (503, 50310000, "1")


async def test_an_account_suspends_itself_and_takes_that_back() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        shown = (await client.get("/v2/account/configurations")).json()
        answer = await client.patch("/v2/account/configurations", json=shown | {"suspend_trade": True})
        assert (answer.status_code, answer.json()) == (200, shown | {"suspend_trade": True})
        refused = await client.post("/v2/orders", json=LIMIT)
        assert (refused.status_code, refused.json()["message"]) == (403, "new orders are rejected by user request")
        assert (await client.get("/v2/account")).json()["trade_suspended_by_user"] is True
        assert (await client.delete(f"/v2/orders/{order['id']}")).status_code == 204, "cancels pass"
        async with house.http(house.key("bob", "trade", "read")) as bob:
            assert (await bob.post("/v2/orders", json=LIMIT)).status_code == 200
        assert (await client.patch("/v2/account/configurations", json={"suspend_trade": False})).json() == shown
        assert (await client.post("/v2/orders", json=LIMIT)).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"no_shorting": False}, 42210000, "no_shorting cannot be changed here"),
        ({"fractional_trading": False, "suspend_trade": True}, 42210000, "fractional_trading cannot be changed here"),
        ({"of_a_later_release": 1}, 42210000, "of_a_later_release cannot be changed here"),
        ({"suspend_trade": "yes"}, 40010001, "suspend_trade: must be true or false"),
        ([], 40010001, "Expected"),
    ],
)
async def test_other_configurations_are_shown_and_fixed(body: Any, code: int, message: str) -> None:
    async with trading() as (house, client):
        answer = await client.patch("/v2/account/configurations", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert message in answer.json()["message"]
        assert not house.controls.suspensions


async def activities(client: Any, path: str = "", **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/v2/account/activities{path}", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_trades_are_listed_at_once_with_what_the_order_had_traded_then() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        for quantity, price in (("0.4", "49.5"), ("0.6", "50")):
            await house.fill(order["id"], quantity, price)
        newest, oldest = await activities(client, "/FILL")
        names = ("type", "qty", "price", "cum_qty", "leaves_qty", "order_status", "side", "symbol", "order_id")
        assert [newest[name] for name in names] == ["fill", "0.6", "50", "1", "0", "filled", "buy", "BTC/USDT", order["id"]]
        assert [oldest[name] for name in names[:6]] == ["partial_fill", "0.4", "49.5", "0.4", "0.6", "partially_filled"]
        digits, _, execution = newest["id"].partition("::")
        assert digits == newest["transaction_time"].replace("-", "").replace("T", "").replace(":", "").replace(".", "")[:17]
        assert len(execution) == 36
        assert await activities(client, "/DIV") == await activities(client, activity_types="DIV,TRANS") == []
        assert await activities(client, activity_types="FILL,DIV") == [newest, oldest]
        assert await activities(client, category="trade_activity") == [newest, oldest]
        assert await activities(client, category="non_trade_activity") == []
        assert await activities(client, order_id="0" * 32) == []
        assert await activities(client, order_id=order["id"], direction="asc") == [oldest, newest]


@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_pages_of_trades_continue_behind_the_last_one_also_within_a_millisecond(direction: str) -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        for _ in range(5):
            await house.fill(order["id"], "0.1", "50")
        whole = [each["id"] for each in await activities(client, direction=direction)]
        seen: list[str] = []
        while page := await activities(client, direction=direction, page_size=2, **({"page_token": seen[-1]} if seen else {})):
            assert len(page) <= 2
            seen += [each["id"] for each in page]
            assert len(seen) <= len(whole), "a page is repeated"
        assert seen == whole
        assert len(set(whole)) == 5
        wrong = await client.get("/v2/account/activities", params={"page_token": "x"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, 40010001)


async def test_moments_that_no_trade_can_have_bound_nothing() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        await house.fill(order["id"], "0.1", "50")
        (fill,) = await activities(client)
        for query in ({"after": "0001-01-01"}, {"until": "9999-12-31T23:59:59.999999999Z"}, {"page_token": "99991231235959999::x"}):
            assert await activities(client, **query) == [fill], query
        for query in ({"until": "0001-01-01"}, {"after": "9999-12-31"}, {"date": "0001-01-01"}, {"page_token": "00010101000000000::x"}):
            assert await activities(client, **query) == [], query
        assert await activities(client, date=fill["transaction_time"][:10]) == [fill]


async def test_a_trade_that_was_taken_back_is_no_longer_listed() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        for _ in range(2):
            await house.fill(order["id"], "0.5", "50")
        first = house.order(order["id"]).trades[0]
        await house.report(order["id"], "bust", exec_id=first.exec_id)
        assert [each["cum_qty"] for each in await activities(client)] == ["0.5"]


async def test_older_trades_come_from_the_table_and_none_is_listed_twice() -> None:
    async with trading() as (house, client):
        order = (await client.post("/v2/orders", json=LIMIT)).json()
        for _ in range(3):
            await house.fill(order["id"], "0.1", "50")
        whole = await activities(client)
        house.lagging = False
        await house.fill(order["id"], "0.1", "50")
        async with asyncio.timeout(60):
            while len(await house.oms.fills.fills("alice", symbol=None, since_ns=0, limit=9)) < 4:
                await asyncio.sleep(0.001)
        assert (await activities(client))[1:] == whole
        restarted = AlpacaHouse(house.oms)
        async with restarted.http(restarted.key("alice", "read")) as later:
            assert (await activities(later))[1:] == whole
            after = await activities(later, after=whole[-1]["transaction_time"])
            assert [each["cum_qty"] for each in after] == ["0.4", "0.3", "0.2"]
