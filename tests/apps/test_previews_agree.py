"""A submit, a check and a preview of a route refuse an order for the same reason, also for what its venues can do and their hours."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apps.http.app import Refusal
from apps.http.body import read_struct
from apps.http.order_body import OrderBody, terms_of
from apps.oms.submit_body import TermsReader
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.order_rules import EVERY_TYPE, OrderRules
from domain.instruments import Denial
from domain.market.quotes import Quote
from domain.order.auction import Auction
from domain.values import TimeInForce, rfc3339
from tests.apps.risk_house import GOOD, House
from tests.domain.risk.scene import INSTRUMENTS

HOUR_NS = 3600 * 1_000_000_000
CLOSED = "closed-1"
TRAILS: dict[str, Any] = {"price": ..., "type": "trailing_stop", "trail_amount": "0.1"}


def only_openings(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
    """There is an opening to wait for, and it is too late for the closing."""
    return (
        Auction("PAPER_A", HOUR_NS, 2 * HOUR_NS)
        if time_in_force is TimeInForce.OPG
        else Denial("too_late_for_close", "10:59:45", "10:59:30")
    )


ORDERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "a plain limit order": ({}, None),
    "for the opening": ({"time_in_force": "opg"}, None),
    "for a closing that is too near": ({"time_in_force": "cls"}, "too_late_for_close"),
    "a stop for the opening": ({"price": ..., "type": "stop", "stop_price": 100, "time_in_force": "opg"}, "time_in_force_not_allowed"),
    "a trailing stop for the opening": ({**TRAILS, "time_in_force": "opg"}, "time_in_force_not_allowed"),
    "a trailing stop": (TRAILS, None),
    "two distances of a trail": ({**TRAILS, "trail_percent": 1}, "trail_ambiguous"),
    "a trail of a limit order": ({"type": "limit", "trail_amount": 1}, "trail_not_allowed"),
    "post-only of a market order": ({"price": ..., "post_only": True}, "post_only_not_allowed"),
    "post-only with ioc": ({"time_in_force": "ioc", "post_only": True}, "post_only_not_allowed"),
    "an iceberg where no venue has icebergs": ({"quantity": 2, "display_quantity": 1}, "display_quantity_unsupported"),
    "gtd without a time": ({"time_in_force": "gtd"}, "expire_at_required"),
    "gtd of a past time": ({"time_in_force": "gtd", "expire_at": "2020-01-31T12:00:00Z"}, "expire_at_in_past"),
    "a time without gtd": ({"expire_at": "2126-01-31T12:00:00Z"}, "expire_at_not_allowed"),
    "a price off the tick": ({"price": "99.00001"}, "price_off_tick"),
    "of a closed account": ({"account": CLOSED}, "account_closed"),
}


def body(changes: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **changes}.items() if value is not ...}).encode()


def may_trade(account: str) -> bool:
    return account != CLOSED and KeyRing().may_trade(account)


def of_a_submit(asked: bytes, now_ns: int) -> str | None:
    reader = TermsReader(INSTRUMENTS, "main", EVERY_TYPE, may_trade, auction_of=only_openings)
    denial = reader.denial(reader.read(asked, None, EVERY_ACCOUNT), now_ns)
    return denial.code if denial else None


def of_a_route(asked: bytes, now_ns: int) -> str | None:
    rules = OrderRules(INSTRUMENTS, may_trade, auction_of=only_openings)
    try:
        terms_of(read_struct(msgspec.json.Decoder(OrderBody), asked), rules, "", now_ns)
    except Refusal as refusal:
        return refusal.code
    return None


@pytest.fixture
def house() -> House:
    house = House()
    house.auction_of = only_openings
    house.may_trade = may_trade
    house.icebergs.clear()
    one = Decimal(1)
    quote = Quote(symbol="BTCUSDT", venue="PAPER_A", bid=Decimal(44999), bid_size=one, ask=Decimal(45000), ask_size=one, at=1)
    house.risk.marks.update(quote, house.clock.monotonic_ns())
    return house


@pytest.mark.parametrize(("changes", "code"), ORDERS.values(), ids=ORDERS)
async def test_a_check_and_a_preview_say_what_a_submit_would_say(house: House, changes: dict[str, Any], code: str | None) -> None:
    asked, now_ns = body(changes), house.clock.now_ns()
    assert of_a_submit(asked, now_ns) == code
    assert of_a_route(asked, now_ns) == code
    async with house.http() as client:
        answer = await client.post("/check", content=asked)
    told = answer.json()
    assert (answer.status_code, told.get("code")) == ((200, None) if code is None else (422, code))


def over_nats(house: House, changes: dict[str, Any], *, dry: bool = True) -> tuple[bool, str | None, str | None]:
    """Whether it is approved, the reason, and what was found."""
    told = house.handler.answer(body(changes), dry=dry)
    assert not isinstance(told, list)
    return told.approved, told.reason, told.denial.found if told.denial else None


OVER_NATS = {name: case for name, case in ORDERS.items() if "expire_at" not in case[0]}


@pytest.mark.parametrize(("changes", "code"), OVER_NATS.values(), ids=OVER_NATS)
def test_a_dry_check_over_nats_says_it_too(house: House, changes: dict[str, Any], code: str | None) -> None:
    """Its numbers and its names are those of `POST /check`; what a submit would refuse is an error with the code."""
    for dry in (False, True):
        assert over_nats(house, changes, dry=dry) == ((True, None, None) if code is None else (False, "risk_error", code))
    assert not house.risk.exposure.reservations


def test_a_time_over_nats_is_in_nanoseconds(house: House) -> None:
    past, soon = house.clock.now_ns() - HOUR_NS, house.clock.now_ns() + HOUR_NS
    for at, expected in ((past, "expire_at_in_past"), (soon, None)):
        assert over_nats(house, {"time_in_force": "gtd", "expire_at": at})[2] == expected, rfc3339(at)


def test_a_trailing_stop_over_nats_needs_no_type(house: House) -> None:
    assert over_nats(house, {"price": ..., "trail_percent": "0.5"}) == (True, None, None)
    assert over_nats(house, {"price": ..., "trail_percent": "60"}) == (False, "risk_error", "trail_percent_out_of_range")
