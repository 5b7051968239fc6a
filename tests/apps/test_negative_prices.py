"""A price below zero at the doors: submit, replace, settle, check, a fault and the command line; and who may not have one."""

import json
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from domain.order.commands import DoubtRoute
from tests.apps.fake_oms import FakeOms, fake_oms
from tests.apps.oms_house import living
from tests.apps.risk_house import House
from tests.apps.submits import text
from tests.apps.test_cli_order import ACCEPTED, ID, trade
from tests.apps.test_oms_replace import at_venue, report


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["code"], answer.json().get("pointer")


@pytest.mark.parametrize("written", ["-37.63", '"-37.63"', "-3763e-2"])
async def test_an_order_below_zero_is_taken_where_the_catalogue_says_so(written: str) -> None:
    async with living() as (house, client):
        body = text(symbol="CL", price="@").replace(b'"@"', written.encode())
        answer = await client.post("/orders", content=body)
        assert answer.status_code == 200, answer.text
        order_id = answer.json()["order_id"]
        told = json.loads((await client.get(f"/orders/{order_id}")).text, parse_float=Decimal)
        assert (told["price"], told["status"]) == (Decimal("-37.63"), "queued")
        again = (await client.post("/orders", content=body)).json()
        assert (again["order_id"], again["replayed"]) == (order_id, True)
        other = await client.post("/orders", content=text(symbol="CL", price=37.63))
        assert other.json()["code"] == "client_order_id_reused"
        assert house.host.find(order_id) is not None


async def test_an_order_below_zero_is_refused_as_ever_where_it_does_not() -> None:
    async with living() as (_, client):
        for field in ("price", "stop_price"):
            for symbol in ("BTCUSDT", "NOPE"):
                answer = await client.post("/orders", content=text(symbol=symbol, **{field: -1}))
                assert refused(answer) == (400, "malformed", f"/{field}")
        zero = await client.post("/orders", content=text(price=0))
        assert refused(zero)[:2] == (422, "price_not_positive")
        taken = await client.post("/orders", content=text(symbol="CL", price=0))
        assert taken.json()["status"] == "submitted"
        assert refused(await client.post("/orders", content=text(symbol="CL", quantity=-1))) == (400, "malformed", "/quantity")
        between = await client.post("/orders", content=text(symbol="CL", price=-37.635, client_order_id="a-2"))
        assert refused(between)[:2] == (422, "price_off_tick")


async def test_a_replace_follows_the_instrument_of_its_order() -> None:
    async with living() as (house, client):
        below = (await client.post("/orders", content=text(client_order_id="b", symbol="CL", price=5))).json()["order_id"]
        above = (await client.post("/orders", content=text(client_order_id="a"))).json()["order_id"]
        answer = await client.patch(f"/orders/{below}", content=b'{"price":-5}')
        assert (answer.status_code, answer.json()["price"]) == (200, -5)
        assert f"{below}-r1" not in house.risk.asked, "a lower bid that is worth no more needs no leave of risk"
        await client.patch(f"/orders/{below}", content=b'{"price":-6}')
        assert f"{below}-r2" in house.risk.asked, "one that is worth more does"
        assert refused(await client.patch(f"/orders/{above}", content=b'{"price":-5}')) == (400, "malformed", "/price")
        assert refused(await client.patch(f"/orders/{above}", content=b'{"price":0}'))[:2] == (422, "price_not_positive")
        assert refused(await client.patch(f"/orders/{below}", content=b'{"quantity":-5}')) == (400, "malformed", "/quantity")
        assert refused(await client.patch("/orders/nope", content=b'{"price":"--5"}')) == (400, "malformed", "/price")


@pytest.mark.parametrize("price", ["-37.63", "0"])
async def test_a_venues_fill_and_an_operators_word_below_zero(price: str) -> None:
    async with living() as (house, client):
        orders = {}
        for symbol, limit in (("CL", -30), ("BTCUSDT", 50)):
            answer = await client.post("/orders", content=text(client_order_id=symbol, symbol=symbol, price=limit, quantity=2))
            orders[symbol] = answer.json()["order_id"]
            await at_venue(house, orders[symbol])
        await report(house, orders["CL"], "fill", exec_id="F1", quantity="1", price=price, fee="0.01")
        found = house.host.find(orders["CL"])
        assert found is not None
        assert (found.average_price, found.fees) == (Decimal(price), Decimal("0.01"))
        if price != "0":  # a price of zero was always booked when a venue said so
            await report(house, orders["BTCUSDT"], "fill", exec_id="F1", quantity="1", price=price)
            other = house.host.find(orders["BTCUSDT"])
            assert other is not None
            assert (other.cum_quantity, other.trades) == (Decimal(0), ())
        for symbol, code in (("CL", 200), ("BTCUSDT", 400)):
            doubt = DoubtRoute(order_id=orders[symbol], route_id="R1", reason="silent", anyway=True)
            await house.host.perform(doubt)
            said = {"outcome": "filled", "who": "ann", "reason": "asked", "quantity": 1, "price": float(price), "exec_id": "F2"}
            answer = await client.post(f"/orders/{orders[symbol]}/settle", json=said)
            assert answer.status_code == code, answer.text


async def test_risk_answers_below_zero_by_the_same_rule() -> None:
    house = House()
    async with house.http() as client:
        asked = {"account": "alice", "symbol": "CRUDE", "side": "sell", "quantity": 100, "price": "-40", "order_id": "o1"}
        assert (await client.post("/check", json=asked)).json() == {"approved": True}
        view = (await client.get("/risk/portfolio?account=alice")).json()["symbols"]["CRUDE"]
        assert (view["open_sell_notional"], view["worst_case"]) == (5000, 5000)
        zero = await client.post("/check", json=asked | {"price": 0, "order_id": "o2", "account": "bob"})
        assert zero.json() == {"approved": True}
        assert (await client.get("/risk/portfolio?account=bob")).json()["symbols"]["CRUDE"]["open_sell_quantity"] == 100
        assert refused(await client.post("/check", json=asked | {"symbol": "PENNY"})) == (400, "malformed", "/price")


@pytest.fixture
def oms() -> Iterator[FakeOms]:
    with fake_oms() as fake:
        yield fake


@pytest.mark.parametrize("price", ["--price -37.63", "--price=-37.63"])
def test_the_command_line_takes_a_minus_for_a_number_and_not_for_an_option(oms: FakeOms, price: str) -> None:
    oms.says("POST", "/orders", ACCEPTED)
    answer = trade(oms, f"order submit sell 1 CL {price} --stop-price -37.00 --type stop_limit")
    assert (answer.exit_code, oms.asked[0].json["price"], oms.asked[0].json["stop_price"]) == (0, "-37.63", "-37.00"), answer.output
    oms.says("PATCH", f"/orders/{ID}", b'{"status":"routed"}')
    assert trade(oms, f"order replace {ID} {price}").exit_code == 0
    assert oms.asked[1].json == {"price": "-37.63"}
    oms.says("POST", f"/orders/{ID}/settle", b'{"status":"filled"}')
    assert trade(oms, f"order settle {ID} --outcome filled --reason asked --quantity 1 {price}").exit_code == 0
    assert oms.asked[2].json["price"] == "-37.63"
    wrong = trade(oms, "order submit sell 1 CL --price --37")
    assert wrong.exit_code == 2
    assert "is not a decimal number" in wrong.stderr
    assert trade(oms, "order submit sell 1 CL --quantity -1").exit_code == 2
