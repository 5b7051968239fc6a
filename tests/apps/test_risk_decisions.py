"""`GET /risk/decisions/{order_id}`, portfolios for readers, and repeated orders enabled again."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.codec import encode
from apps.http.app import application
from apps.http.caller import LOCAL_CALLER, Caller
from apps.http.order_view import event_view
from apps.risk.decision_lookup import Decisions
from apps.risk.views import holdings_view, limits_view, snapshot_fields
from domain.access.keys import KeyRing
from domain.order import events as e
from domain.order.lifecycle import State
from domain.risk.limits import SWITCHES
from tests.apps.callers import ERIN, as_caller
from tests.apps.risk_house import House, text
from tests.domain.risk.scene import Scene

LINE = "order_size_limit 4500 100000,var_limit 62.5 50000;mid 45000.005 120;2026-11-21"
CHECKED = e.OrderRiskChecked(order_id="o1", at=1, status=State.RISK_CHECKED, limits_version=3, checks=LINE, reference=Decimal(45000))
REFUSED = e.OrderRejected(
    order_id="o1",
    at=1,
    status=State.REJECTED,
    source="risk",
    reason="var_limit",
    found="60000",
    limit="50000",
    unit="USD",
    limits_version=3,
    checks="var_limit 60000 50000",
)
BY_VENUE = e.OrderRejected(order_id="o1", at=2, status=State.REJECTED, source="venue", reason="unknown symbol")


def oms(*events: e.OrderEvent) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/orders/o1/events":
            return httpx.Response(404)
        return httpx.Response(200, content=encode({"order_id": "o1", "events": [event_view(event, 5) for event in events]}))

    return answer


async def asked(
    answer: Callable[[httpx.Request], httpx.Response], order_id: str = "o1", caller: Caller = LOCAL_CALLER, **headers: str
) -> tuple[int, Any]:
    decisions = Decisions(httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://oms"), KeyRing())
    transport = httpx.ASGITransport(app=as_caller(application("risk", decisions.router()), caller))
    async with httpx.AsyncClient(transport=transport, base_url="http://risk") as client:
        found = await client.get(f"/risk/decisions/{order_id}", headers=headers)
    await decisions.close()
    return found.status_code, json.loads(found.content, parse_float=Decimal)


async def test_a_decision_is_printed_with_every_check_headroom_and_price() -> None:
    status, found = await asked(oms(CHECKED, BY_VENUE))
    assert (status, found["approved"], found["limits_version"], found["reference"], found["seq"]) == (200, True, 3, 45000, 5)
    assert found["checks"][1] == {"name": "var_limit", "found": Decimal("62.5"), "limit": 50000, "headroom": Decimal("49937.5")}
    assert found["prices"] == [{"name": "mid", "price": Decimal("45000.005"), "age_ms": 120}]
    assert (found["closes_to"], found["replaces"]) == ("2026-11-21", [])


async def test_oms_is_not_asked_for_a_caller_whose_credentials_cannot_be_passed_on() -> None:
    """Without them oms would take the request for one of a program without a key, which in open mode may read every account."""
    status, found = await asked(oms(CHECKED), caller=ERIN)
    assert (status, found["code"]) == (403, "scope_missing")
    assert (await asked(oms(CHECKED), caller=ERIN, authorization="Bearer x"))[0] == 200


async def test_a_refusal_is_reported_with_its_reason_and_numbers() -> None:
    _, found = await asked(oms(REFUSED))
    assert (found["approved"], found["reason"], found["source"]) == (False, "var_limit", "risk")
    assert found["detail"] == {"found": "60000", "limit": "50000", "unit": "USD"}
    assert found["checks"][0]["headroom"] == -10000


@pytest.mark.parametrize(
    ("order_id", "answer", "status", "code"),
    [
        ("o1", oms(BY_VENUE), 404, "decision_not_found"),
        ("o2", oms(), 404, "order_not_found"),
        ("o1", lambda _: httpx.Response(503), 503, "decisions_unavailable"),
        ("o1", lambda _: httpx.Response(200, content=b"rubbish"), 503, "decisions_unavailable"),
        ("a.b", oms(), 400, "malformed"),
    ],
)
async def test_a_decision_that_cannot_be_shown_is_refused_by_name(
    order_id: str, answer: Callable[[httpx.Request], httpx.Response], status: int, code: str
) -> None:
    found = await asked(answer, order_id)
    assert (found[0], found[1]["code"]) == (status, code)


async def test_explain_says_the_prices_and_the_days_that_were_used() -> None:
    house = House(price_collar=Decimal("0.2"))
    async with house.http() as client:
        found = (await client.post("/check?explain=1", content=text(type="limit"))).json()
    assert (found["approved"], found["limits_version"], found.get("prices")) == (True, 1, None)
    scene = Scene(enabled=frozenset(SWITCHES))
    scene.run("closes BTCUSDT 100 90 99\nquote BTCUSDT 99 101\nalice o1 buy 1 BTCUSDT @100")
    fields = told(scene)
    assert (fields["var"], fields["var_reason"], fields["open_orders"]) == ("10", "", "1")
    assert json.loads(fields["symbols"])["BTCUSDT"]["open_buy_quantity"] == 1
    assert limits_view(scene.risk, None)["var_scenarios"] == 2


async def test_what_cannot_be_measured_is_empty_for_readers_and_not_left_as_it_was() -> None:
    scene = Scene(enabled=frozenset(SWITCHES) - {"var_limit"})
    scene.run("alice o1 buy 1 PENNY @100")
    fields = told(scene)
    assert (fields["var"], fields["var_reason"], fields["currency"]) == ("", "no_price_history", "USD")
    scene.run("cancel o1")
    assert told(scene).keys() == fields.keys()


def told(scene: Scene) -> Mapping[str, str]:
    """What readers find of alice."""
    alice = scene.risk.exposure.look("alice")
    return snapshot_fields(scene.risk, alice, holdings_view(alice, alice.holdings.values()), 0)


async def test_repeated_orders_pass_again_when_a_person_enables_them() -> None:  # FAILURES 71
    house = House(repeated_orders_max=1)
    async with house.http() as client:
        for number, reason in enumerate((None, "repeated_order", "repeated_order")):
            assert (await client.post("/check", content=text(order_id=f"o{number}"))).json().get("reason") == reason
        assert (await client.post("/risk/repeats/alice/enable", content=b"{}")).json()["code"] == "malformed"
        answer = (await client.post("/risk/repeats/alice/enable", content=b'{"reason":"the loop is mended"}')).json()
        assert (answer["account"], answer["enabled"], answer["who"]) == ("alice", 1, "operator")
        assert (await client.post("/check", content=text(order_id="o9"))).json() == {"approved": True}
