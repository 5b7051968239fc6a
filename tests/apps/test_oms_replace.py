"""`PATCH /orders/{id}` and the deadlines of orders, at the doors of oms."""

import asyncio
from decimal import Decimal

import httpx
import msgspec
import pytest

from apps.oms.expiry import AGAIN_MAX_NS, VENUE_GRACE_NS, OrderExpiry
from domain.market.trading_hours import DAY_NS, Calendar
from domain.order.commands import RiskDecision, RouteOrder, Terms
from domain.order.events import Leg
from domain.order.order import Order
from tests import given
from tests.apps.oms_house import OmsHouse, living
from tests.apps.submits import text


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def submit(client: httpx.AsyncClient, **more: object) -> str:
    answer = await client.post("/orders", content=text(client_order_id="a-1", **more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["order_id"])


async def at_venue(house: OmsHouse, order_id: str) -> None:
    order = house.host.find(order_id)
    assert order is not None
    await house.host.perform(RouteOrder(order_id=order_id, legs=(Leg("R1", "PAPER_A", order.quantity),), policy="x"))
    await report(house, order_id, "accepted", venue_order_id="V1")


async def resting(house: OmsHouse, client: httpx.AsyncClient, **more: object) -> tuple[str, Order]:
    """An order that rests at its venue."""
    order_id = await submit(client, **{"quantity": 1, "price": 50} | more)
    await at_venue(house, order_id)
    order = house.host.find(order_id)
    assert order is not None
    return order_id, order


async def report(house: OmsHouse, order_id: str, kind: str, **more: str) -> None:
    order = house.host.find(order_id)
    assert order is not None
    said = given.report(kind, account=order.account, symbol=order.symbol, side=str(order.side), **more)  # type: ignore[arg-type]
    await house.host.perform(msgspec.structs.replace(said, order_id=order_id))


async def test_an_order_in_the_queue_is_changed_at_once() -> None:
    async with living() as (house, client):
        order_id = await submit(client, quantity=1, price=50)
        answer = await client.patch(f"/orders/{order_id}", content=b'{"quantity":"2","price":51}')
        assert answer.status_code == 200
        told = answer.json()
        assert (told["quantity"], told["price"], told["status"], told["replacing"]) == (2, 51, "queued", None)
        assert house.risk.asked == [order_id, f"{order_id}-r1"]
        again = await client.patch(f"/orders/{order_id}", content=b'{"quantity":2}')
        assert (again.status_code, again.json()["version"]) == (200, told["version"])


async def test_at_a_venue_the_answer_is_waited_for_and_shown() -> None:
    async with living() as (house, client):
        order_id = await submit(client, quantity=2, price=50)
        await at_venue(house, order_id)
        answer = await client.patch(f"/orders/{order_id}", content=b'{"price":49}')
        assert answer.status_code == 202
        told = answer.json()
        assert (told["status"], told["price"], told["replacing"]) == (
            "pending_replace",
            50,
            {"quantity": 2, "price": 49, "stop_price": None},
        )
        assert house.risk.asked == [order_id], "a lower bid needs no leave of risk"
        assert (await client.patch(f"/orders/{order_id}", content=b'{"price":49}')).status_code == 202
        other = await client.patch(f"/orders/{order_id}", content=b'{"price":48}')
        assert problem(other) == (409, "illegal_transition")
        assert other.json()["reason"] == "pending_replace"
        await report(house, order_id, "replaced", quantity="2", price="49", replace_id=f"{order_id}-r1")
        now = (await client.get(f"/orders/{order_id}")).json()
        assert (now["status"], now["price"], now["replacing"]) == ("routed", 49, None)


async def test_risk_may_refuse_the_new_terms() -> None:
    async with living() as (house, client):
        order_id = await submit(client, quantity=1, price=50)

        async def no(terms: Terms) -> RiskDecision:
            assert (terms.replaces, terms.quantity) == (order_id, Decimal(9))
            return given.denied("order_size_limit", terms.order_id)

        house.risk.check = no  # type: ignore[method-assign]
        answer = await client.patch(f"/orders/{order_id}", content=b'{"quantity":9}')
        assert problem(answer) == (422, "order_size_limit")
        assert answer.json()["limit"] == "100000"
        timeline = (await client.get(f"/orders/{order_id}/events")).json()["events"]
        assert timeline[-1]["type"] == "ReplaceRefused"
        assert (await client.get(f"/orders/{order_id}")).json()["quantity"] == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", "malformed"),
        (b'{"quantity":null}', "malformed"),
        (b"[]", "malformed"),
        (b'{"side":"sell"}', "malformed"),
        (b'{"quantity":1e18}', "malformed"),
        (b'{"quantity":1,"quantity":2}', "malformed"),
        (b'{"quantity":0}', "quantity_not_positive"),
        (b'{"quantity":0.0001}', "quantity_off_lot"),
        (b'{"price":50.001}', "price_off_tick"),
        (b'{"stop_price":50}', "stop_price_not_allowed"),
    ],
)
async def test_what_cannot_be_asked_changes_nothing(body: bytes, code: str) -> None:
    # FAILURES 53, 55
    async with living() as (house, client):
        order_id = await submit(client, quantity=1, price=50)
        before = (await client.get(f"/orders/{order_id}")).json()
        answer = await client.patch(f"/orders/{order_id}", content=body)
        assert answer.json()["code"] == code
        assert answer.status_code == (400 if code == "malformed" else 422)
        assert (await client.get(f"/orders/{order_id}")).json() == before
        assert house.risk.asked == [order_id]


async def test_an_order_that_is_closed_or_unknown_is_not_replaced() -> None:
    async with living() as (_, client):
        order_id = await submit(client, quantity=1, price=50)
        await client.delete(f"/orders/{order_id}")
        answer = await client.patch(f"/orders/{order_id}", content=b'{"quantity":2}')
        assert (answer.status_code, answer.json()["state"]) == (409, "cancelled")
        assert problem(await client.patch("/orders/nope", content=b'{"quantity":2}')) == (404, "order_not_found")


async def test_two_replaces_at_once_are_one_after_the_other() -> None:
    async with living() as (house, client):
        order_id = await submit(client, quantity=1, price=50)
        house.risk.let.clear()
        both = [asyncio.create_task(client.patch(f"/orders/{order_id}", content=b'{"quantity":%d}' % n)) for n in (2, 3)]
        await house.under_way(2)
        house.risk.let.set()
        assert [answer.status_code for answer in await asyncio.gather(*both)] == [200, 200]
        assert (await client.get(f"/orders/{order_id}")).json()["quantity"] == 3


async def test_a_repeated_submit_after_a_replace_is_the_same_order() -> None:
    async with living() as (_, client):
        body = text(client_order_id="a-1", quantity=1, price=50)
        order_id = (await client.post("/orders", content=body)).json()["order_id"]
        await client.patch(f"/orders/{order_id}", content=b'{"quantity":2}')
        assert (await client.post("/orders", content=body)).json()["replayed"] is True
        other = await client.post("/orders", content=text(client_order_id="a-1", quantity=2, price=50))
        assert problem(other) == (422, "client_order_id_reused")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"type": "market", "price": None, "post_only": True}, "post_only_not_allowed"),
        ({"time_in_force": "ioc", "post_only": True}, "post_only_not_allowed"),
        ({"time_in_force": "fok", "post_only": True}, "post_only_not_allowed"),
        ({"time_in_force": "day", "expire_at": "2099-01-01T00:00:00Z"}, "expire_at_not_allowed"),
    ],
)
async def test_flags_that_contradict_the_order_are_refused(more: dict[str, object], code: str) -> None:
    async with living() as (_, client):
        answer = await client.post("/orders", content=text(**{"quantity": 1, "price": 50} | more))
        assert problem(answer) == (422, code)


async def test_flags_and_the_day_are_kept_and_shown() -> None:
    async with living() as (_, client):
        order_id = await submit(client, quantity=1, price=50, time_in_force="day", post_only=True, reduce_only=True)
        told = (await client.get(f"/orders/{order_id}")).json()
        assert (told["time_in_force"], told["post_only"], told["reduce_only"]) == ("day", True, True)


# Time


class SetClock:
    """`now` is the wall's, `steady` the time that went by; where a scene does not set it, they are the same."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.steady: int | None = None

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now if self.steady is None else self.steady


def expirer(house: OmsHouse, clock: SetClock, timeout_s: float | None = None) -> OrderExpiry:
    return OrderExpiry(house.host, clock, None if timeout_s is None else int(timeout_s * 1e9), {"BTCUSDT": [Calendar()]})


async def look(of: OrderExpiry, clock: SetClock, at: int) -> None:
    clock.now = at
    running = asyncio.create_task(of.run())
    await asyncio.sleep(0.3)
    running.cancel()


async def status(client: httpx.AsyncClient, order_id: str) -> str:
    return str((await client.get(f"/orders/{order_id}")).json()["status"])


async def test_an_order_that_no_venue_has_expires_when_its_time_is_over() -> None:
    # FAILURES 44
    async with living() as (house, client):
        order_id = await submit(client, quantity=1, price=50, time_in_force="day")
        order = house.host.find(order_id)
        assert order is not None
        midnight = (order.created_at // DAY_NS + 1) * DAY_NS
        clock = SetClock(midnight - 1)
        timed = expirer(house, clock)
        timed.restart()
        assert timed.deadline(order) == (midnight, "session_end")
        await look(timed, clock, midnight - 1)
        assert await status(client, order_id) == "queued"
        clock.now = midnight
        running = asyncio.create_task(timed.run())
        async with asyncio.timeout(120):
            while await status(client, order_id) != "expired":
                await asyncio.sleep(0.01)
        running.cancel()


async def test_an_order_that_is_too_old_is_withdrawn_from_its_venue_and_expires() -> None:
    async with living() as (house, client):
        order_id, order = await resting(house, client)
        clock = SetClock(order.created_at)
        timed = expirer(house, clock, timeout_s=300)
        timed.restart()
        await look(timed, clock, order.created_at + 299 * 10**9)
        assert await status(client, order_id) == "routed"
        await look(timed, clock, order.created_at + 300 * 10**9)
        assert await status(client, order_id) == "pending_cancel"
        await report(house, order_id, "cancelled", reason="requested")
        assert await status(client, order_id) == "expired"


async def test_a_venue_is_given_time_to_end_an_order_itself() -> None:
    async with living() as (house, client):
        order_id = await submit(client, quantity=1, price=50, time_in_force="gtd", expire_at="2099-01-01T00:00:00Z")
        await at_venue(house, order_id)
        order = house.host.find(order_id)
        assert order is not None
        assert order.expire_at is not None
        clock = SetClock(0)
        timed = expirer(house, clock)
        timed.restart()
        await look(timed, clock, order.expire_at)
        assert await status(client, order_id) == "routed"
        await look(timed, clock, order.expire_at + VENUE_GRACE_NS)
        assert await status(client, order_id) == "pending_cancel"


async def test_a_refused_cancel_is_asked_for_again_in_its_time_though_the_wall_clock_stands_still() -> None:
    async with living() as (house, client):
        order_id, order = await resting(house, client)
        clock = SetClock(order.created_at)
        clock.steady = 0
        timed = expirer(house, clock, timeout_s=300)
        timed.restart()
        ahead = order.created_at + 3600 * 10**9  # where the clock was put, and stays after it was put back
        await look(timed, clock, ahead)
        assert (timed.expired, await status(client, order_id)) == (1, "pending_cancel")
        await look(timed, clock, ahead)
        assert timed.expired == 1
        clock.steady = AGAIN_MAX_NS
        await look(timed, clock, ahead)
        assert timed.expired == 2


async def test_what_came_while_it_ran_has_its_deadline_too() -> None:
    async with living() as (house, client):
        clock = SetClock(0)
        timed = expirer(house, clock, timeout_s=1)
        house.host.on_landed = timed.landed
        order_id = await submit(client, quantity=1, price=50)
        order = house.host.find(order_id)
        assert order is not None
        await look(timed, clock, order.created_at + 10**9)
        assert await status(client, order_id) == "expired"


async def test_an_order_that_a_bust_opens_after_its_deadline_is_withdrawn_from_its_venue() -> None:
    async with living() as (house, client):
        order_id, order = await resting(house, client, quantity=2)
        clock = SetClock(order.created_at)
        timed = expirer(house, clock, timeout_s=300)
        timed.restart()
        house.host.on_landed = timed.landed
        await report(house, order_id, "fill", exec_id="E1", quantity="2", price="50")
        assert await status(client, order_id) == "filled"
        deadline = order.created_at + 300 * 10**9
        await look(timed, clock, deadline)
        await report(house, order_id, "bust", exec_id="E1")
        assert await status(client, order_id) == "routed"
        await look(timed, clock, deadline)
        assert await status(client, order_id) == "pending_cancel"


async def test_the_expiry_of_an_order_that_a_bust_did_not_open_is_requested_once() -> None:
    async with living() as (house, client):
        order_id, order = await resting(house, client, quantity=2)
        clock = SetClock(order.created_at)
        timed = expirer(house, clock, timeout_s=300)
        timed.restart()
        house.host.on_landed = timed.landed
        await report(house, order_id, "fill", exec_id="E1", quantity="1", price="50")
        await report(house, order_id, "bust", exec_id="E1")
        await look(timed, clock, order.created_at + 300 * 10**9)
        assert (timed.expired, await status(client, order_id)) == (1, "pending_cancel")
