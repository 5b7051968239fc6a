"""Orders for an amount of money: oms makes the quantity, at the quote or the limit, and records both."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog
from domain.instruments import quantity_worth
from domain.order.commands import Terms
from domain.order.events import Candidate, OrderSubmitted
from domain.values import order_id_of
from tests.apps import submits
from tests.apps.oms_house import living
from tests.apps.submits import GOOD, INSTRUMENTS, malformed_at, read, refusal

FOR_MONEY: dict[str, Any] = {**GOOD, "quantity": ..., "price": ..., "notional": 100}
ORDER_ID = order_id_of("alice", "a-1")


def body(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**FOR_MONEY, **changes}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({}, "1.996"),  # 100 / 50.1, down to 0.001
        ({"side": "sell"}, "2.004"),  # 100 / 49.9
        ({"type": "market"}, "1.996"),
        ({"notional": "50.1"}, "1"),
        ({"price": 40, "time_in_force": "ioc"}, "2.5"),
        ({"price": "49.99", "time_in_force": "ioc", "side": "sell"}, "2"),
    ],
)
def test_the_quantity_is_what_the_money_is_worth_down_to_the_lot(changes: dict[str, Any], quantity: str) -> None:
    terms: Terms = read(body(**changes))
    assert (terms.quantity, terms.notional) == (Decimal(quantity), Decimal(str(changes.get("notional", 100))))
    assert terms.quote == (None if "price" in changes else submits.QUOTE)


@pytest.mark.parametrize(
    ("changes", "code", "extra"),
    [
        ({"notional": "4.9"}, "notional_too_small", {"found": "4.8597", "limit": "5", "unit": "USDT"}),
        ({"notional": "0.05"}, "notional_too_small", {"found": "0", "limit": "5", "unit": "USDT"}),
        ({"notional": "0.05", "reduce_only": True}, "notional_too_small", {"found": "0", "limit": "0.0501", "unit": "USDT"}),
        ({"notional": 0}, "notional_too_small", {"found": "0", "limit": "5", "unit": "USDT"}),
        ({"symbol": "FINE"}, "no_fresh_quote", {"found": "FINE"}),
        ({"symbol": "NOPE"}, "unknown_symbol", {"found": "NOPE"}),
        ({"symbol": "CL"}, "notional_not_allowed", {"found": "market gtc"}),
        ({"price": 50}, "notional_not_allowed", {"found": "limit gtc"}),
        ({"price": 50, "time_in_force": "fok"}, "notional_not_allowed", {"found": "limit fok"}),
        ({"type": "stop", "stop_price": 50}, "notional_not_allowed", {"found": "stop gtc"}),
        ({"type": "limit", "time_in_force": "ioc"}, "price_required", {}),
        ({"type": "market", "price": 50}, "price_not_allowed", {"found": "50"}),
        ({"price": 0, "time_in_force": "ioc"}, "price_not_positive", {"found": "0", "limit": "0"}),
        ({"price": "50.001", "time_in_force": "ioc"}, "price_off_tick", {"found": "50.001", "limit": "0.01"}),
        ({"notional": 10**9}, "quantity_too_large", {"found": "19960079.84", "limit": "1000"}),
    ],
)
def test_what_makes_no_quantity_is_refused_by_name(changes: dict[str, Any], code: str, extra: dict[str, str]) -> None:
    found = refusal(body(**changes))
    assert (found.status, found.code, found.extra) == (422, code, extra)


def test_what_may_only_reduce_needs_a_lot_and_no_more() -> None:
    assert read(body(notional="0.06", reduce_only=True)).quantity == Decimal("0.001")


def test_an_order_has_a_quantity_or_a_notional() -> None:
    assert malformed_at(body(notional=...)) == "/quantity"
    assert malformed_at(body(quantity=1)) == "/notional"
    assert malformed_at(body(notional="-1")) == "/notional"
    assert read(body(notional=None, quantity=1)).notional is None
    assert read(body(quantity=None)).quantity == Decimal("1.996")


PLACES = st.decimals("0.000000000001", "999999999", places=12)


@given(PLACES, PLACES)
def test_it_costs_no_more_than_asked_and_one_lot_more_would(notional: Decimal, price: Decimal) -> None:
    instrument = INSTRUMENTS["BTCUSDT"]
    quantity = quantity_worth(instrument, notional, price)
    assert quantity % instrument.lot == 0
    assert quantity * price <= notional < (quantity + instrument.lot) * price


async def test_money_and_quote_are_journaled_shown_and_told() -> None:
    log = MemoryLog()
    async with living(log) as (_, client):
        assert (await client.post("/orders", content=body())).json()["status"] == "submitted"
        shown = (await client.get(f"/orders/{ORDER_ID}")).json()
        assert (shown["quantity"], shown["notional"]) == (1.996, 100)
        first, *_ = (await client.get(f"/orders/{ORDER_ID}/events")).json()["events"]
        assert first["notional"] == 100
        assert (first["quote"]["venue"], first["quote"]["ask"], first["quote"]["quote_seq"]) == ("PAPER_A", 50.1, 7)
        assert "which is what 100 is worth at 50.1 of PAPER_A" in first["description"]
    submitted = ORDER_COMMITS.decode(log.commits[0][1]).events[0]
    assert isinstance(submitted, OrderSubmitted)
    assert (submitted.quantity, submitted.notional, submitted.quote) == (Decimal("1.996"), Decimal(100), submits.QUOTE)


async def test_a_repeat_is_the_same_order_although_the_market_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    async with living() as (_, client):
        await client.post("/orders", content=body())
        for ask in (None, Decimal(60)):
            quote = None if ask is None else Candidate("PAPER_A", Decimal(59), ask, Decimal(1))
            monkeypatch.setattr(submits.READER, "_touching", lambda symbol, side, quote=quote: quote)
            assert (await client.post("/orders", content=body())).json()["replayed"] is True
        for other in ({"notional": 101}, {"notional": ..., "quantity": "1.996"}, {"side": "sell"}):
            answer = await client.post("/orders", content=body(**other))
            assert (answer.status_code, answer.json()["code"]) == (422, "client_order_id_reused")


async def test_an_order_for_money_is_replaced_by_quantity() -> None:
    async with living() as (_, client):
        await client.post("/orders", content=body(price=50, time_in_force="ioc"))
        changed = (await client.patch(f"/orders/{ORDER_ID}", json={"quantity": 3})).json()
        assert (changed["quantity"], changed["notional"]) == (3, 100)
        assert (await client.post("/orders", content=body(price=50, time_in_force="ioc"))).json()["replayed"] is True
