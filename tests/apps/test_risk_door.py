"""POST /check and its neighbours: what is answered, and the exact status and code of what is refused."""

import gc
import json
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apps.http.caller import Caller
from apps.http.problem import Refusal
from apps.risk.check_body import CHECK_SCHEMA, CheckBody
from domain.access.scopes import AccessScope, mask_of
from domain.order.lifecycle import State
from domain.risk.controls import KillThrown
from domain.values import order_id_of
from tests.apps.risk_house import GOOD, House, text
from tests.domain.risk.scene import WITHOUT_VAR, filled, order


async def test_the_users_own_example_is_approved_in_the_users_own_words() -> None:
    async with House().http() as client:
        answer = await client.post("/check", content=text())
        assert (answer.status_code, answer.content) == (200, b'{"approved":true}')
        refused = (await client.post("/check", content=text(quantity=3))).json()
        detail = {"found": "135000", "limit": "100000", "unit": "USD"}
        assert refused == {"approved": False, "reason": "order_size_limit", "detail": detail}


async def test_explain_shows_each_check_with_its_headroom() -> None:
    async with House().http() as client:
        answer = (await client.post("/check?explain=1", content=text())).json()
    assert answer["approved"] is True
    assert answer["reference"] == 45000
    assert answer["checks"][0] == {"name": "order_size_limit", "found": 4500, "limit": 100000, "headroom": 95500}
    assert [one["name"] for one in answer["checks"]][2:] == ["position_limit", "concentration_limit", "buying_power"]


async def test_a_check_without_an_order_id_is_dry_and_with_one_reserves() -> None:
    house = House()
    async with house.http() as client:
        for _ in range(2):
            assert (await client.post("/check", content=text())).json() == {"approved": True}
        assert not house.risk.exposure.reservations
        for _ in range(2):
            assert (await client.post("/check", content=text(order_id="o1"))).json() == {"approved": True}
        assert list(house.risk.exposure.reservations) == ["o1"]
        portfolio = (await client.get("/risk/portfolio?account=alice")).json()
        assert (portfolio["reservations"], portfolio["buying_power"]) == (2250, 97750)
        assert portfolio["symbols"]["BTCUSDT"]["open_buy_quantity"] == 0.1
        assert (portfolio["currency"], portfolio["rates"]) == ("USD", {"USDT": 1})


async def test_a_trader_cannot_reserve_under_the_name_of_another_accounts_order() -> None:
    """Order ids follow from account and client_order_id: with a reservation under bob's next one, his order would be denied as repeated."""
    house = House()
    trader = Caller("PKALICE2222222222222", "ann", "alice", mask_of((AccessScope.TRADE, AccessScope.READ)))
    bobs = order_id_of("bob", "next")
    async with house.http() as client:
        with pytest.raises(Refusal) as refused:
            house.door.answer(text(order_id=bobs), "0", trader)
        assert (refused.value.status, refused.value.code, refused.value.extra["needs"]) == (403, "scope_missing", "risk")
        assert house.door.answer(text(), "0", trader) == b'{"approved":true}'
        assert (await client.post("/check", content=text(account="bob", order_id=bobs))).json() == {"approved": True}


@pytest.mark.parametrize("number", ["0.1", '"0.1"', "0.100000000000", "1e-1", '"1e-01"'])
async def test_numbers_may_be_json_numbers_or_decimal_strings(number: str) -> None:
    async with House().http() as client:
        body = b'{"account":"alice","symbol":"BTCUSDT","side":"buy","price":"45000","quantity":%s}' % number.encode()
        assert (await client.post("/check", content=body)).json() == {"approved": True}


NASTY = ["-1", "NaN", "Infinity", "-Infinity", "1e18", "1e999999999", "1E-13", "01", "+1", ".5", "1.", "-0", "9" * 400, "0." + "1" * 13]
NASTY_TEXT = ["", " 1", "1 ", "NaN", "Infinity", "1e18", "١", "1_000", "0x1", "-1", "true", "1\n", "9" * 19]


@pytest.mark.parametrize("number", [*NASTY, *(json.dumps(one) for one in NASTY_TEXT), "true", "[1]", "{}"])
@pytest.mark.parametrize("field", ["quantity", "price", "stop_price"])
async def test_a_nasty_number_is_malformed_at_once(number: str, field: str) -> None:  # FAILURES 55
    kept = {k: v for k, v in GOOD.items() if k != field}
    body = json.dumps(kept)[:-1] + f', "{field}": {number}}}'
    async with House().http() as client:
        gc.disable()  # garbage of the scenes before this one is not the request's work
        began = time.thread_time()
        try:
            answer = await client.post("/check", content=body.encode())
        finally:
            gc.enable()
        spent = time.thread_time() - began
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert spent < 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", None),
        (b"nothing", None),
        (b"[]", None),
        (b"5", None),
        (b'"text"', None),
        (b"\xef\xbb\xbf" + text(), None),
        (text().decode().encode("utf-16"), None),
        (text()[:-3], None),
        (text() + b"x", None),
        (b"[" * 60_000, None),
        (b'{"a":' * 12_000, "/a"),
        (b'{"account":"\xff"}', None),
        (b'{"account":"alice",' + text()[1:], "/account"),
        (text(extra=1), "/extra"),
        (text(client_order_id="a-1"), "/client_order_id"),
        (text(account=...), "/account"),
        (text(account=5), "/account"),
        (text(account=None), "/account"),
        (text(account=""), "/account"),
        (text(account="a b"), "/account"),
        (text(account="a.b"), "/account"),
        (text(account="a" * 65), "/account"),
        (text(account="аlice"), "/account"),
        (text(account="alice\n"), "/account"),
        (text(account="\x00"), "/account"),
        (text(order_id="a>"), "/order_id"),
        (text(symbol=...), "/symbol"),
        (text(symbol=["BTCUSDT"]), "/symbol"),
        (text(side=...), "/side"),
        (text(side="BUY"), "/side"),
        (text(side=1), "/side"),
        (text(type="iceberg"), "/type"),
        (text(reduce_only="yes"), "/reduce_only"),
        (text(quantity=...), "/quantity"),
        (text(quantity=None), "/quantity"),
    ],
)
async def test_what_is_not_well_formed_is_malformed(body: bytes, pointer: str | None) -> None:  # FAILURES 57, 58
    async with House().http() as client:
        answer = await client.post("/check", content=body)
    found = answer.json()
    assert (answer.status_code, found["code"], found.get("pointer")) == (400, "malformed", pointer)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOPE"}, "unknown_symbol"),
        ({"symbol": "orders.>"}, "unknown_symbol"),
        ({"quantity": 0}, "quantity_not_positive"),
        ({"quantity": "0.000001"}, "quantity_off_lot"),
        ({"quantity": "999999999999999999"}, "quantity_too_large"),
        ({"price": 0}, "price_not_positive"),
        ({"price": "45000.001"}, "price_off_tick"),
        ({"type": "market"}, "price_not_allowed"),
        ({"type": "limit", "price": None}, "price_required"),
        ({"type": "stop", "price": None}, "stop_price_required"),
        ({"stop_price": 5}, "stop_price_not_allowed"),
        ({"type": "stop_limit", "stop_price": "1.001"}, "stop_price_off_tick"),
        ({"quantity": 1, "display_quantity": 1}, "display_quantity_too_large"),
        ({"quantity": 1, "display_quantity": "0.000001"}, "display_quantity_off_lot"),
        ({"type": "market", "price": None, "display_quantity": "0.01"}, "display_quantity_not_allowed"),
    ],
)
async def test_what_cannot_trade_is_refused_by_name(changes: dict[str, Any], code: str) -> None:
    async with House().http() as client:
        answer = await client.post("/check", content=text(**changes))
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_an_iceberg_is_checked_for_its_whole_quantity() -> None:
    house = House()
    async with house.http() as client:
        whole = (await client.post("/check", content=text(quantity=3))).json()
        assert (await client.post("/check", content=text(quantity=3, display_quantity="0.1"))).json() == whole


async def test_dust_below_the_least_notional_may_be_asked_about_where_it_only_reduces() -> None:
    house = House()
    dear = {s: msgspec.structs.replace(i, notional_min=Decimal(10)) for s, i in house.risk.instruments.items()}
    house.risk.instruments = house.rules.instruments = dear
    house.risk.fold.apply(filled(order("alice", "o", "buy", "1", "PENNY", "@100"), "1", "100", "0", State.FILLED), 1)
    dust = {"symbol": "PENNY", "side": "sell", "quantity": "0.01", "price": 100}
    async with house.http() as client:
        assert (await client.post("/check", content=text(**dust))).json()["code"] == "notional_too_small"
        assert (await client.post("/check", content=text(**dust, reduce_only=True))).json() == {"approved": True}
        more = (await client.post("/check", content=text(**dust | {"quantity": "1.01"}, reduce_only=True))).json()
    assert (more["reason"], more["detail"]) == ("reduce_only", {"found": "1.01", "limit": "1", "unit": "shares"})


BODIES = [text(), text(order_id="o1"), text(quantity=3), text(symbol="NOPE"), text(extra=1), b"", text(type="market", price=None)]
BODIES += [text(reduce_only=True)]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("query", ["", "?explain=1", "?explain=0"])
async def test_the_documented_twin_answers_as_the_fast_path_does(body: bytes, query: str) -> None:
    async with House().http(fast=True) as fast, House().http(fast=False) as twin:
        one, other = await fast.post(f"/check{query}", content=body), await twin.post(f"/check{query}", content=body)
    assert (one.status_code, one.content) == (other.status_code, other.content)


async def test_the_documentation_names_every_field_that_the_door_reads() -> None:
    async with House().http() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/check", "/risk/portfolio", "/risk/limits", "/risk/symbols/{symbol}/block", "/risk/symbols/{symbol}/unblock"} <= paths.keys()
    assert set(CHECK_SCHEMA["properties"]) == set(CheckBody.__struct_fields__)


async def test_the_limits_are_shown_with_their_version_and_origin() -> None:
    async with House(short_accounts=frozenset({"hedger"})).http() as client:
        found = (await client.get("/risk/limits?account=hedger")).json()
        bad = await client.get("/risk/limits?account=a.b")
    assert (found["version"], found["set_by"], found["short_allowed"]) == (1, "configuration", True)
    assert (found["max_order_size_usd"], found["max_concentration_pct"], found["blocked_symbols"]) == (100000, 25, [])
    assert (bad.status_code, bad.json()["code"]) == (400, "malformed")


async def test_all_portfolios_come_page_by_page() -> None:
    house = House()
    async with house.http() as client:
        for name in ("alice", "bob", "carol"):
            await client.post("/check", content=text(account=name, order_id=f"o-{name}"))
        first = (await client.get("/risk/portfolio?limit=2")).json()
        rest = (await client.get(f"/risk/portfolio?limit=2&cursor={first['next']}")).json()
        stranger = (await client.get("/risk/portfolio?account=stranger")).json()
    assert [one["account"] for one in first["accounts"]] == ["alice", "bob"]
    assert ([one["account"] for one in rest["accounts"]], rest["next"]) == (["carol"], None)
    assert (stranger["equity"], stranger["symbols"]) == (100000, {})
    assert "stranger" not in house.risk.exposure.accounts


@pytest.mark.parametrize(
    ("symbol", "body", "status", "code"),
    [
        ("NOPE", b'{"reason":"x"}', 422, "unknown_symbol"),
        ("BTCUSDT", b"{}", 400, "malformed"),
        ("BTCUSDT", b'{"reason":""}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":"a\\u0000b"}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":"a\\ud800"}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":"x","who":"a b"}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":5}', 400, "malformed"),
        ("BTCUSDT", json.dumps({"reason": "x" * 201}).encode(), 400, "malformed"),
        ("BTCUSDT", b'{"reason":"x","reason":"y"}', 400, "malformed"),
    ],
)
async def test_a_block_without_a_readable_reason_is_not_made(symbol: str, body: bytes, status: int, code: str) -> None:
    house = House()
    async with house.http() as client:
        answer = await client.post(f"/risk/symbols/{symbol}/block", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert house.risk.controls.version == 1


async def explained(house: House, how: str, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """The answer, and the names of the checks in it."""
    async with house.http() as client:
        answer = (await client.post(f"/check?explain={how}", content=text(**changes))).json()
    return answer, [check["name"] for check in answer["checks"]]


def outcomes(answer: dict[str, Any]) -> dict[tuple[str, str | None], str]:
    return {(check["name"], check["unit"]): check["outcome"] for check in answer["checks"]}


async def test_all_checks_are_explained_behind_a_refusal_too_and_the_verdict_is_the_same() -> None:
    house = House(order_notional_max=Decimal(4000), position_notional_max=Decimal(3000))
    first, up_to_it = await explained(house, "1")
    every, _ = await explained(house, "all")
    assert {name: value for name, value in first.items() if name != "checks"} == {n: v for n, v in every.items() if n != "checks"}
    assert (first["reason"], up_to_it) == ("order_size_limit", ["order_size_limit"])
    assert outcomes(every) == {
        ("killed", None): "passed",
        ("symbol_blocked", None): "passed",
        ("account_suspended", None): "passed",
        ("no_reference_price", None): "passed",
        ("reduce_only", "shares"): "not_applicable",
        ("price_collar", "USD"): "not_applicable",
        ("order_size_limit", "USD"): "refused",
        ("order_size_limit", "shares"): "passed",
        ("position_limit", "USD"): "refused",
        ("short_restriction", "shares"): "not_applicable",
        ("concentration_limit", "USD"): "passed",
        ("buying_power", "USD"): "passed",
    }
    notional = next(check for check in every["checks"] if check["outcome"] == "refused")
    assert {name: notional[name] for name in ("found", "limit", "headroom")} == {"found": 4500, "limit": 4000, "headroom": -500}


async def test_an_order_that_passes_has_the_numbers_of_its_record_among_all_checks() -> None:
    house = House()
    record, _ = await explained(house, "1")
    every, _ = await explained(house, "all")
    numbers = [{name: check[name] for name in ("name", "found", "limit", "headroom")} for check in every["checks"] if check["found"]]
    assert numbers == record["checks"]
    assert set(outcomes(every).values()) == {"passed", "not_applicable"}


async def test_what_cannot_be_found_without_a_price_is_said_not_to_be_measured() -> None:
    answer, _ = await explained(House(), "all", price=...)
    blind = {check["name"] for check in answer["checks"] if check["outcome"] == "not_measured"}
    assert blind == {"price_collar", "order_size_limit", "position_limit", "concentration_limit", "buying_power"}
    assert all(
        check["found"] is check["limit"] is check["headroom"] is None for check in answer["checks"] if check["name"] == "buying_power"
    )
    assert outcomes(answer)["order_size_limit", "shares"] == "passed", "shares can be counted, money cannot"
    assert (answer["reason"], outcomes(answer)["no_reference_price", None]) == ("no_reference_price", "refused")


async def test_without_closes_the_value_at_risk_is_not_measured_and_that_refuses() -> None:
    answer, names = await explained(House(enabled=WITHOUT_VAR | {"var_limit"}), "all")
    found = outcomes(answer)
    assert (answer["reason"], names[-2:]) == ("no_price_history", ["no_price_history", "var_limit"])
    assert (found["no_price_history", None], found["var_limit", "USD"]) == ("refused", "not_measured")


async def test_a_kill_switch_hides_no_check_behind_it() -> None:
    house = House()
    house.risk.controls.apply(KillThrown(version=2, at=1, scope="all", who="ann", reason="x"))
    answer, names = await explained(house, "all")
    assert (answer["reason"], names[-1], outcomes(answer)["buying_power", "USD"]) == ("killed", "buying_power", "passed")


async def test_while_risk_is_not_ready_there_is_nothing_to_explain() -> None:
    house = House()
    house.gate.opened = False
    answer, names = await explained(house, "all")
    assert (answer["reason"], answer["detail"], names) == ("risk_error", {"found": "not_ready"}, [])


async def test_what_is_explained_is_counted_as_dry_and_remembered_nowhere() -> None:
    house = House(order_notional_max=Decimal(4000), order_rate_max=1, repeated_orders_max=1)
    for _ in range(3):
        answer, _ = await explained(house, "all")
        assert answer["reason"] == "order_size_limit", "neither a rate nor a repeat"
    stats = house.measures.stats()
    assert (stats["checks"], stats["dry"], stats["approved"], stats["denied"]) == (3, 3, 0, {})
    assert not house.risk.exposure.reservations


async def test_explaining_all_only_asks_and_never_reserves() -> None:
    house = House()
    async with house.http() as client:
        refused = await client.post("/check?explain=all", content=text(order_id="o1"))
    assert (refused.status_code, refused.json()["pointer"]) == (400, "?explain")
    assert not house.risk.exposure.reservations


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("query", ["explain=2", "explain=", "explain=ALL", "explain=true", "explian=1", "explain=1&explain=1"])
async def test_explain_has_its_words_and_no_others(fast: bool, query: str) -> None:
    async with House().http(fast=fast) as client:
        answer = await client.post(f"/check?{query}", content=text())
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.json()["pointer"] == f"?{query.partition('=')[0]}"


async def test_dry_checks_deny_nothing_in_the_counts() -> None:
    house = House(order_notional_max=Decimal(4000))
    async with house.http() as client:
        for body in (text(), text(quantity="0.01"), text(order_id="o1"), text(order_id="o2", quantity="0.01")):
            await client.post("/check", content=body)
    stats = house.measures.stats()
    assert (stats["checks"], stats["dry"], stats["approved"], stats["denied"]) == (4, 2, 1, {"order_size_limit": 1})


async def test_an_exit_is_checked_as_if_its_entry_had_traded() -> None:
    """As a held leg of a list is checked: alone it would open a short position."""
    house = House()
    exit_of = {"side": "sell", "quantity": "0.05"}
    alone, _ = await explained(house, "all", **exit_of)
    behind, _ = await explained(house, "all", **exit_of, entry={"side": "buy", "quantity": "0.1"})
    assert outcomes(alone)["position_limit", "USD"] == "passed"
    assert outcomes(behind)["position_limit", "USD"] == "not_applicable"
    assert behind["approved"] is True
    assert not house.risk.exposure.reservations


@pytest.mark.parametrize(("changes", "pointer"), [
    ({"entry": {"side": "buy", "quantity": "0"}}, "/entry/quantity"),
    ({"entry": {"side": "buy", "quantity": "x"}}, "/entry/quantity"),
    ({"entry": {"side": "buy", "quantity": "1"}, "order_id": "o1"}, "/entry"),
])  # fmt: skip
async def test_an_invalid_entry_is_refused_at_its_field(changes: dict[str, Any], pointer: str) -> None:
    async with House().http() as client:
        answer = await client.post("/check", content=text(**changes))
    assert (answer.status_code, answer.json()["pointer"]) == (400, pointer)


async def test_a_trailing_stop_is_checked_without_a_stop_price() -> None:
    async with House().http() as client:
        passed = await client.post("/check?explain=all", content=text(price=..., type="trailing_stop", trail_amount="10"))
        refused = await client.post("/check", content=text(price=..., type="trailing_stop"))
    assert (passed.status_code, passed.json()["reason"]) == (200, "no_reference_price"), "as a market order: nothing is quoted here"
    assert (refused.status_code, refused.json()["code"]) == (422, "trail_required")
