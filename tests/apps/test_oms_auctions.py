"""Orders for an opening or closing at the doors of oms: what is accepted, what is refused and why, and how they are shown."""

from typing import Any

import pytest

from apps.http.order_view import event_view, order_view
from apps.oms.list_body import ListReader, first_denial
from apps.oms.submit_body import TermsReader
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.auctions import TOO_LATE
from domain.instruments import Denial
from domain.order.auction import Auction
from domain.order.commands import ReleaseHeld
from domain.order.order import created
from domain.order.terms import recorded
from domain.values import OrderType, TimeInForce, rfc3339
from tests.apps.alpaca_house import trading
from tests.apps.submits import INSTRUMENTS, text
from tests.apps.test_alpaca_orders import LIMIT
from tests.given import NOW, SECOND

OPENING = Auction("PAPER_A", NOW + 3600 * SECOND, NOW + 7200 * SECOND)


def only_openings(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
    """An opening in an hour; for the closing it is too late."""
    return OPENING if time_in_force is TimeInForce.OPG else Denial(TOO_LATE, rfc3339(NOW), rfc3339(NOW))


READER = TermsReader(INSTRUMENTS, "main", frozenset(OrderType), KeyRing().may_trade, auction_of=only_openings)


def denied(**changes: Any) -> str | None:
    terms = READER.read(text(**changes), None, EVERY_ACCOUNT)
    found = READER.denial(terms, NOW)
    return None if found is None else found.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"time_in_force": "opg"}, None),
        ({"time_in_force": "opg", "price": ..., "type": "market"}, None),
        ({"time_in_force": "opg", "reduce_only": True}, None),
        ({"time_in_force": "cls"}, "too_late_for_close"),
        ({"time_in_force": "opg", "type": "stop", "price": ..., "stop_price": 50}, "time_in_force_not_allowed"),
        ({"time_in_force": "opg", "post_only": True}, "post_only_not_allowed"),
        ({"time_in_force": "opg", "expire_at": "2033-01-01T00:00:00Z"}, "expire_at_not_allowed"),
        ({"time_in_force": "opg", "quantity": ..., "price": ..., "notional": 100}, "notional_not_allowed"),
        ({"time_in_force": "opg", "symbol": "NOPE"}, "unknown_symbol"),
    ],
)
def test_an_order_for_an_opening_is_accepted_if_it_can_wait(changes: dict[str, Any], code: str | None) -> None:
    assert denied(**changes) == code


def test_where_nothing_closes_there_is_no_opening() -> None:
    reader = TermsReader(INSTRUMENTS, "main", frozenset(OrderType), KeyRing().may_trade)
    for tif in ("opg", "cls"):
        found = reader.denial(reader.read(text(time_in_force=tif), None, EVERY_ACCOUNT), NOW)
        assert found == Denial("no_session", "BTCUSDT")


def test_a_leg_of_a_list_cannot_wait_for_a_session() -> None:
    leg = b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"price":50,"time_in_force":"opg"}'
    _, legs = ListReader(READER).read(b'{"account":"alice","type":"none","orders":[%s,%s]}' % (leg, leg), EVERY_ACCOUNT, "l-1")
    assert first_denial(READER, legs, NOW) == (0, Denial("time_in_force_not_allowed", "opg in a list"))


def test_an_order_shows_when_it_is_released_and_when_it_ends_and_that_no_venue_has_auctions() -> None:
    terms = READER.read(text(time_in_force="opg"), None, EVERY_ACCOUNT)
    submitted = recorded(terms, NOW, "")
    view = order_view(created(submitted))
    assert {name: view[name] for name in ("time_in_force", "release_at", "expire_at", "emulated")} == {
        "time_in_force": "opg",
        "release_at": rfc3339(OPENING.at),
        "expire_at": rfc3339(OPENING.ends_at),
        "emulated": True,
    }
    plain = order_view(created(recorded(READER.read(text(), None, EVERY_ACCOUNT), NOW, "")))
    assert (plain["release_at"], plain["expire_at"], plain["emulated"]) == (None, None, False)
    shown = {"venue": "PAPER_A", "at": rfc3339(OPENING.at), "ends_at": rfc3339(OPENING.ends_at)}
    assert event_view(submitted, 1)["auction"] == shown


async def test_a_client_of_the_facade_sees_it_accepted_until_it_is_routed() -> None:
    async with trading() as (house, client):
        now = house.oms.clock.now_ns()
        opening = Auction("PAPER_A", now - SECOND, now + 3600 * SECOND)
        house.auction_of = lambda symbol, time_in_force: opening
        for tif, terms in (("opg", LIMIT), ("cls", {**LIMIT, "type": "market", "limit_price": None})):
            order = (await client.post("/v2/orders", json=terms | {"time_in_force": tif})).json()
            shown = (order["time_in_force"], order["status"], order["expires_at"][:26])
            assert shown == (tif, "accepted", rfc3339(opening.ends_at)[:26])
            address = f"/v2/orders/{order['id']}"
            assert (await client.get(address)).json() == order
            await house.oms.host.perform(ReleaseHeld(order_id=house.order(order["id"]).order_id))
            assert (await client.get(address)).json()["status"] == "accepted"
            await house.route(order["id"])
            assert (await client.get(address)).json()["status"] == "new"


async def test_a_client_of_the_facade_reads_why_an_order_is_too_late_or_cannot_wait() -> None:
    async with trading() as (house, client):
        house.auction_of = only_openings
        late = await client.post("/v2/orders", json=LIMIT | {"time_in_force": "cls"})
        assert (late.status_code, late.json()["code"], late.json()["reason"]) == (422, 42210000, "too_late_for_close")
        assert late.json()["message"].startswith("too late for close: found ")
        stop = await client.post("/v2/orders", json=LIMIT | {"time_in_force": "opg", "type": "stop_limit", "stop_price": "49"})
        assert (stop.status_code, stop.json()["reason"]) == (422, "time_in_force_not_allowed")
        assert house.oms.host.head.seq == 0


async def test_it_is_changed_and_cancelled_through_the_facade_while_it_waits() -> None:
    async with trading() as (house, client):
        now = house.oms.clock.now_ns()
        house.auction_of = lambda symbol, time_in_force: Auction("PAPER_A", now + 3600 * SECOND, now + 7200 * SECOND)
        first = (await client.post("/v2/orders", json=LIMIT | {"time_in_force": "opg"})).json()
        other = await client.patch(f"/v2/orders/{first['id']}", json={"qty": "2", "time_in_force": "opg"})
        assert (other.status_code, other.json()["qty"], other.json()["time_in_force"]) == (200, "2", "opg")
        assert (await client.patch(f"/v2/orders/{other.json()['id']}", json={"qty": "3", "time_in_force": "day"})).status_code == 422
        assert (await client.delete(f"/v2/orders/{other.json()['id']}")).status_code == 204
        assert (await client.get(f"/v2/orders/{other.json()['id']}")).json()["status"] == "canceled"
