"""POST /routes/preview: what routing would decide for an order, in the words of the timeline, and nothing is decided."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from adapters.clock import SystemClock
from apps.exeq.route_preview import PREVIEW_SCHEMA, router
from apps.http.app import application, encode
from apps.http.caller import LOCAL_CALLER, Caller
from apps.http.order_body import OrderBody
from domain.access.keys import KeyRing
from domain.access.scopes import AccessScope, mask_of
from domain.execution.order_rules import OrderRules
from domain.market.quotes import Quote
from domain.order.commands import RouteOrder
from domain.risk.controls import KillThrown
from tests.apps.callers import as_caller
from tests.apps.one_executor import OneExecutor
from tests.apps.submits import INSTRUMENTS
from tests.apps.test_exeq_routing import ONE, SYMBOL, Desk, S, venue
from tests.contracts.facts import AT

ORDER: dict[str, Any] = {"account": "alice", "symbol": SYMBOL, "side": "buy", "quantity": "10", "type": "market"}


@asynccontextmanager
async def previews(desk: Desk, caller: Caller = LOCAL_CALLER) -> AsyncIterator[httpx.AsyncClient]:
    rules = OrderRules(INSTRUMENTS, KeyRing().may_trade, icebergs={SYMBOL})
    app = as_caller(application("exeq", router(OneExecutor(desk.executor), rules, SystemClock())), caller)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://exeq") as client:
        yield client


async def preview(desk: Desk, caller: Caller = LOCAL_CALLER, **changes: Any) -> Any:
    async with previews(desk, caller) as client:
        answer = await client.post("/routes/preview", json={k: v for k, v in {**ORDER, **changes}.items() if v is not ...})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_comparison_is_the_one_that_would_be_recorded() -> None:
    desk = Desk(venue("A", fee=10), venue("B"))
    told = await preview(desk)
    desk.told.submit("o")
    (command,) = desk.executor._next()
    assert isinstance(command, RouteOrder)
    recorded = msgspec.json.decode(encode([msgspec.structs.asdict(seen) for seen in command.candidates]))
    own = ("eligible", "latency_ms")
    assert [{name: value for name, value in seen.items() if name not in own} for seen in told["candidates"]] == recorded
    assert (told["choice"], told["policy"]) == (command.legs[0].venue, command.policy) == ("B", "lowest_cost")
    assert told["legs"] == [{"venue": "B", "quantity": 10}]
    assert (told["reason"], told["detail"], told["waits"]) == (None, None, False)
    assert [seen["eligible"] for seen in told["candidates"]] == [True, True]


async def test_nothing_changes_by_it() -> None:
    desk = Desk(venue("A", burst=1, per_sec=10))
    for _ in range(3):
        assert (await preview(desk))["choice"] == "A", "a preview takes no token"
    assert (desk.executor.stats()["queued"], desk.told.health, desk.asked) == (0, {}, [])
    desk.told.submit("o")
    assert desk.decided() == ["o A"]


async def test_a_venue_that_may_not_take_it_says_why_and_one_without_a_quote_comes_last() -> None:
    desk = Desk(venue("A"), venue("B"), venue("C", fee=9), quote_age_max_ns=S)
    desk.clock.now += 2 * S
    for name in ("A", "C"):
        desk.router._market.update(Quote(symbol=SYMBOL, venue=name, bid=ONE, bid_size=ONE, ask=ONE, ask_size=ONE, at=AT), desk.clock.now)
    desk.router.disconnected.add("A")
    desk.told.health_of("C").answered(5_250_000)
    told = await preview(desk)
    seen = {each["venue"]: (each["eligible"], each["note"], each["latency_ms"]) for each in told["candidates"]}
    assert seen == {"A": (False, "disconnected", None), "B": (True, "no fresh quote", None), "C": (True, None, 5.25)}
    assert told["choice"] == "C"


@pytest.mark.parametrize(
    ("rules", "waits"), [({}, False), ({"hold": True}, True), ({"away_wait_ns": S}, True)], ids=["refused", "held", "waited for"]
)
async def test_without_a_venue_there_is_a_reason_and_whether_the_order_would_wait(rules: dict[str, Any], waits: bool) -> None:
    desk = Desk(venue("A"), **rules)
    desk.router.disconnected.add("A")
    told = await preview(desk)
    assert (told["choice"], told["legs"], told["reason"], told["detail"]) == (None, [], "no_venue", "A: disconnected")
    assert told["waits"] is waits
    assert [seen["note"] for seen in told["candidates"]] == ["disconnected"]


async def test_without_a_token_it_would_wait() -> None:
    desk = Desk(venue("A", burst=1, per_sec=10))
    desk.told.submit("o")
    assert desk.decided() == ["o A"]
    told = await preview(desk)
    assert (told["choice"], told["waits"], told["candidates"][0]["note"]) == (None, True, "throttled")


async def test_an_order_that_is_split_has_its_legs_and_the_largest_is_the_choice() -> None:
    desk = Desk(venue("A"), venue("B", fee=2), policy="split")
    told = await preview(desk, quantity="1.5")
    assert (told["choice"], told["legs"]) == ("A", [{"venue": "A", "quantity": 1}, {"venue": "B", "quantity": 0.5}])
    assert len((await preview(desk, quantity="1.5", time_in_force="fok"))["legs"]) == 1, "it must fill whole"


async def test_an_iceberg_goes_only_where_it_is_hidden() -> None:
    desk = Desk(venue("A"), msgspec.structs.replace(venue("B", fee=5), icebergs=True))
    hidden: dict[str, Any] = {"type": "limit", "price": 1, "display_quantity": 5}
    told = await preview(desk, **hidden)
    assert (told["choice"], [seen["note"] for seen in told["candidates"]]) == ("B", ["no icebergs", None])
    assert [seen["eligible"] for seen in told["candidates"]] == [False, True]
    desk.router.disconnected.add("B")
    told = await preview(desk, **hidden)
    assert (told["choice"], told["detail"]) == (None, "A: no icebergs, B: disconnected")


async def test_an_account_that_is_stopped_gets_no_venue() -> None:
    desk = Desk(venue("A"))
    desk.controls.apply(KillThrown(version=1, at=AT, scope="account:alice", who="ann", reason="x"))
    told = await preview(desk)
    assert (told["choice"], told["reason"], told["waits"], told["candidates"]) == (None, "killed", False, [])
    assert (await preview(desk, account="bob"))["choice"] == "A"


async def test_a_key_asks_for_its_own_account_and_by_default_for_it() -> None:
    trader = Caller("PKALICE2222222222222", "ann", "alice", mask_of((AccessScope.TRADE,)))
    desk = Desk(venue("A"))
    assert (await preview(desk, trader, account=...))["choice"] == "A"
    async with previews(desk, trader) as client:
        other = await client.post("/routes/preview", json={**ORDER, "account": "bob"})
    assert (other.status_code, other.json()["code"]) == (403, "account_not_yours")


@pytest.mark.parametrize(
    ("changes", "status", "code", "pointer"),
    [
        ({"quantity": "1e5000"}, 400, "malformed", "/quantity"),
        ({"quantity": ...}, 400, "malformed", "/quantity"),
        ({"account": ...}, 400, "malformed", "/account"),
        ({"side": "up"}, 400, "malformed", "/side"),
        ({"order_id": "o1"}, 400, "malformed", "/order_id"),
        ({"time_in_force": "later"}, 400, "malformed", "/time_in_force"),
        ({"symbol": "NOPE"}, 422, "unknown_symbol", None),
        ({"price": "45000.001", "type": "limit"}, 422, "price_off_tick", None),
        ({"price": "45000"}, 422, "price_not_allowed", None),
    ],
)
async def test_what_is_no_order_is_refused_as_everywhere(changes: dict[str, Any], status: int, code: str, pointer: str | None) -> None:
    async with previews(Desk(venue("A"))) as client:
        answer = await client.post("/routes/preview", json={k: v for k, v in {**ORDER, **changes}.items() if v is not ...})
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"], answer.json().get("pointer")) == (status, code, pointer)


async def test_before_orders_are_routed_there_is_no_preview() -> None:
    desk = Desk(venue("A"))
    desk.executor.caught_up = lambda: False
    async with previews(desk) as client:
        answer = await client.post("/routes/preview", json=ORDER)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "not_routing", "1")


def test_openapi_names_the_fields_that_are_parsed() -> None:
    assert set(PREVIEW_SCHEMA["properties"]) == set(OrderBody.__struct_fields__)
