"""The kill switch, blocks and limits over HTTP: what is answered, what is refused, and that a refusal changes nothing."""

import json
from typing import Any

import httpx
import pytest

from adapters.codec import encode
from adapters.memory import MemoryJournal
from apps.http.caller import Caller
from domain.access.scopes import AccessScope, mask_of
from domain.four_eyes import SECOND_STEP_MAX_NS
from domain.ports import Unavailable
from tests.apps.risk_house import House, text
from tests.domain.risk.scene import order

WHY = {"reason": "a scene"}


async def post(client: httpx.AsyncClient, path: str, **body: object) -> httpx.Response:
    return await client.post(path, content=json.dumps(body))


async def reason(client: httpx.AsyncClient, **changes: object) -> str | None:
    found: str | None = (await client.post("/check", content=text(**changes))).json().get("reason")
    return found


@pytest.mark.parametrize("scope", ["all", "account:alice", "symbol:BTCUSDT"])
async def test_a_thrown_switch_refuses_the_next_check_also_of_an_order_that_only_reduces(scope: str) -> None:  # FAILURES 41
    house = House()
    async with house.http() as client:
        answer = await post(client, "/risk/kill", scope=scope, who="desk-1", **WHY)
        assert (answer.status_code, answer.json()["killed"], answer.json()["obeyed"]) == (200, True, {"exeq": "yes", "oms": "yes"})
        assert await reason(client) == "killed"
        assert await reason(client, side="sell") == "killed"
        assert await reason(client, account="bob", symbol="PENNY", price=1) == ("killed" if scope == "all" else None)
        assert house.asked(b"[" + order_json("o1") + b"]")[0]["reason"] == "killed"
        assert not house.risk.exposure.reservations


def order_json(order_id: str) -> bytes:
    return encode(order("alice", order_id, "buy", "0.1", "BTCUSDT", "@45000"))


async def test_a_switch_of_a_venue_does_not_refuse_checks() -> None:
    async with House().http() as client:
        assert (await post(client, "/risk/kill", scope="venue:PAPER_A", **WHY)).status_code == 200
        assert await reason(client) is None


async def test_a_service_that_does_not_acknowledge_makes_it_202() -> None:
    house = House()
    house.obeyed = {"exeq": "unknown", "oms": "yes"}
    async with house.http() as client:
        answer = await post(client, "/risk/kill", scope="all", **WHY)
        assert (answer.status_code, answer.json()["killed"]) == (202, True)
        assert (await post(client, "/risk/symbols/BTCUSDT/block", **WHY)).status_code == 202
        assert await reason(client) == "killed"


async def test_arming_takes_two_steps_and_two_people() -> None:  # FAILURES 41
    async with House().http() as client:
        await post(client, "/risk/kill", scope="all", who="desk-1", **WHY)
        asked = await post(client, "/risk/arm", scope="all", who="desk-1", reason="it was a test")
        token = asked.json()["token"]
        assert (asked.status_code, asked.json()["killed"]) == (202, True)
        assert await reason(client) == "killed"
        refused = await post(client, "/risk/arm", scope="all", who="desk-1", token=token, **WHY)
        assert (refused.status_code, refused.json()["code"]) == (403, "second_person_required")
        wrong = await post(client, "/risk/arm", scope="all", who="desk-2", token="0" * 8, **WHY)
        assert (wrong.status_code, wrong.json()["code"]) == (409, "not_requested")
        assert await reason(client) == "killed"
        armed = await post(client, "/risk/arm", scope="all", who="desk-2", token=token, reason="I have looked")
        assert (armed.status_code, armed.json()["killed"]) == (200, False)
        assert await reason(client) is None
        history = (await client.get("/risk/controls/history")).json()["controls"]
        assert [(one["type"], one["who"], one["reason"]) for one in history] == [
            ("Armed", "desk-2", "I have looked"),
            ("ArmRequested", "desk-1", "it was a test"),
            ("KillThrown", "desk-1", "a scene"),
        ]


@pytest.mark.parametrize("other", ["Alice", "ALICE", "alice"])
async def test_one_person_in_other_letters_is_no_second_person(other: str) -> None:
    async with House().http() as client:
        await post(client, "/risk/kill", scope="all", who="alice", **WHY)
        token = (await post(client, "/risk/arm", scope="all", who="alice", **WHY)).json()["token"]
        refused = await post(client, "/risk/arm", scope="all", who=other, token=token, **WHY)
        assert (refused.status_code, refused.json()["code"]) == (403, "second_person_required")
        assert (await post(client, "/risk/arm", scope="all", who=f"{other} ", token=token, **WHY)).status_code == 400
        assert await reason(client) == "killed"
        assert (await post(client, "/risk/arm", scope="all", who="alicia", token=token, **WHY)).status_code == 200


async def test_the_unnamed_operator_is_one_person_in_any_letters() -> None:
    async with House().http() as client:
        await post(client, "/risk/kill", scope="all", **WHY)
        token = (await post(client, "/risk/arm", scope="all", **WHY)).json()["token"]
        assert (await post(client, "/risk/arm", scope="all", who="OPERATOR", token=token, **WHY)).status_code == 403


async def test_one_person_may_take_both_steps_where_the_configuration_says_so() -> None:
    house = House()
    house.control_door._second_person = False
    async with house.http() as client:
        await post(client, "/risk/kill", scope="all", **WHY)
        token = (await post(client, "/risk/arm", scope="all", **WHY)).json()["token"]
        assert (await post(client, "/risk/arm", scope="all", token=token, **WHY)).status_code == 200


async def test_a_request_to_arm_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    async with house.http() as client:
        await post(client, "/risk/kill", scope="all", **WHY)
        token = (await post(client, "/risk/arm", scope="all", **WHY)).json()["token"]
        later = house.control_door._clock.now_ns() + SECOND_STEP_MAX_NS + 1_000_000_000
        monkeypatch.setattr(house.control_door._clock, "now_ns", lambda: later)
        answer = await post(client, "/risk/arm", scope="all", who="desk-2", token=token, **WHY)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_requested")


async def test_a_scope_that_is_not_killed_cannot_be_armed() -> None:
    async with House().http() as client:
        await post(client, "/risk/kill", scope="account:alice", **WHY)
        for body in ({"scope": "all"}, {"scope": "all", "token": "x"}):
            answer = await post(client, "/risk/arm", **body, **WHY)
            assert (answer.status_code, answer.json()["code"]) == (409, "not_killed")


@pytest.mark.parametrize("path", ["/risk/kill", "/risk/arm"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"reason": "x"}, 400, "malformed"),
        ({"scope": "everything", "reason": "x"}, 400, "malformed"),
        ({"scope": "account:", "reason": "x"}, 400, "malformed"),
        ({"scope": "account:a.b", "reason": "x"}, 400, "malformed"),
        ({"scope": "desk:a", "reason": "x"}, 400, "malformed"),
        ({"scope": ["all"], "reason": "x"}, 400, "malformed"),
        ({"scope": "all", "reason": "x", "force": True}, 400, "malformed"),
        ({"scope": "symbol:NOPE", "reason": "x"}, 422, "unknown_symbol"),
        ({"scope": "venue:PAPR_A", "reason": "x"}, 422, "unknown_venue"),
    ],
)
async def test_a_switch_that_says_nothing_clear_is_not_thrown(path: str, body: dict[str, object], status: int, code: str) -> None:
    house = House()
    async with house.http() as client:
        answer = await post(client, path, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert house.risk.controls.version == 1


@pytest.mark.parametrize("body", [{"scope": "all"}, {"scope": "all", "reason": "x", "who": "two words"}])
async def test_nothing_is_armed_without_a_reason_and_a_name(body: dict[str, object]) -> None:
    async with House().http() as client:
        answer = await post(client, "/risk/arm", **body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def limits(client: httpx.AsyncClient, query: str = "account=alice") -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/risk/limits?{query}")).json()
    return found


async def put(client: httpx.AsyncClient, account: str = "alice", **body: object) -> httpx.Response:
    return await client.put(f"/risk/limits/{account}", content=json.dumps({"version": 1, "reason": "a scene", "who": "desk-1"} | body))


async def test_new_limits_hold_for_the_next_check_and_the_decision_names_their_version() -> None:
    house = House()
    async with house.http() as client:
        answer = await put(client, max_order_size_usd="4499.99", max_concentration_pct=20)
        assert (answer.status_code, answer.json()["version"], answer.json()["set_by"]) == (200, 2, "desk-1")
        refused = (await client.post("/check?explain=1", content=text())).json()
        assert (refused["reason"], refused["limits_version"], refused["detail"]["limit"]) == ("order_size_limit", 2, "4499.99")
        assert await reason(client, account="bob") is None
        found = await limits(client)
        assert (found["max_order_size_usd"], found["max_concentration_pct"], found["max_order_size_shares"]) == (4499.99, 20, 10000)
        again = await put(client, version=2, max_order_size_usd=4500)
        assert again.json()["version"] == 3
        assert await reason(client) is None
        assert (await limits(client))["max_concentration_pct"] == 25, "what is left out is as for all accounts"
        change = (await client.get("/risk/controls/history?limit=1")).json()["controls"][0]
        assert (change["old"], change["new"]) == (
            {"max_order_size_usd": 4499.99, "max_concentration_pct": 20},
            {"max_order_size_usd": 4500},
        )
        assert (change["who"], change["reason"], change["version"]) == ("desk-1", "a scene", 3)


async def test_limits_of_a_symbol_hold_for_that_symbol_alone() -> None:
    async with House().http() as client:
        assert (await put(client, symbol="BTCUSDT", max_order_size_shares=0)).status_code == 200
        assert await reason(client) == "order_size_limit"
        assert await reason(client, symbol="LENDABLE", price=10) is None
        assert (await limits(client))["max_order_size_shares"] == 10000
        assert (await limits(client, "account=alice&symbol=BTCUSDT"))["max_order_size_shares"] == 0
        assert [one["symbol"] for one in (await limits(client, ""))["overrides"]] == ["BTCUSDT"]


async def test_a_stale_version_changes_nothing() -> None:
    house = House()
    async with house.http() as client:
        await put(client, max_order_size_usd=1)
        answer = await put(client, max_order_size_usd=2)
        assert (answer.status_code, answer.json()["code"], answer.json()["version"]) == (409, "limits_version_stale", 2)
        assert (await put(client, "bob", max_order_size_usd=2)).status_code == 200, "the limits of others are another matter"
        assert (await limits(client))["max_order_size_usd"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"max_order_size_usd": -1}, 400, "malformed", "/max_order_size_usd"),
        ({"max_order_size_usd": "NaN"}, 400, "malformed", "/max_order_size_usd"),
        ({"max_order_size_usd": "1e99"}, 400, "malformed", "/max_order_size_usd"),
        ({"max_position_size_usd": [1]}, 400, "malformed", "/max_position_size_usd"),
        ({"max_concentration_pct": 1001}, 422, "limit_out_of_range", "/max_concentration_pct"),
        ({"max_order_size": 1}, 400, "malformed", "/max_order_size"),
        ({"enabled": []}, 400, "malformed", "/enabled"),
        ({"version": None}, 400, "malformed", "/version"),
        ({"version": "x"}, 400, "malformed", "/version"),
        ({"version": 1.5}, 400, "malformed", "/version"),
        ({"reason": " "}, 400, "malformed", "/reason"),
        ({"short_allowed": "yes"}, 400, "malformed", "/short_allowed"),
        ({"symbol": "NOPE"}, 422, "unknown_symbol", "/symbol"),
        ({"symbol": "BTCUSDT", "max_portfolio_var_usd": 1}, 422, "limit_not_per_symbol", "/max_portfolio_var_usd"),
        ({"symbol": "BTCUSDT", "short_allowed": True}, 422, "limit_not_per_symbol", "/short_allowed"),
    ],
)
async def test_bad_limits_are_refused_and_nothing_changes(body: dict[str, Any], status: int, code: str, pointer: str | None) -> None:
    house = House()
    async with house.http() as client:
        before = await limits(client)
        answer = await put(client, **body)
        assert (answer.status_code, answer.json()["code"], answer.json().get("pointer")) == (status, code, pointer)
        assert answer.headers["content-type"] == "application/problem+json"
        assert await limits(client) == before
        assert (await put(client, "a.b", max_order_size_usd=1)).status_code == 400


async def test_what_cannot_be_recorded_is_503_and_not_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: MemoryJournal, *_: object) -> None:
        raise Unavailable("the disk is full")

    house = House()
    monkeypatch.setattr(MemoryJournal, "append", refuse)
    async with house.http() as client:
        answer = await post(client, "/risk/kill", scope="all", **WHY)
        assert (answer.status_code, answer.json()["outcome"]) == (503, "not_accepted")
        assert await reason(client) is None


async def test_a_decision_over_nats_names_the_limits_version() -> None:
    house = House()
    async with house.http() as client:
        await put(client, max_order_size_usd=99_999)
        decision = house.check_service.decide(order("alice", "o1", "buy", "0.1", "BTCUSDT", "@45000"))
        other = house.check_service.decide(order("bob", "o2", "buy", "0.1", "BTCUSDT", "@45000"))
    assert (decision.limits_version, other.limits_version) == (2, 1)


async def test_every_request_that_changes_something_is_documented_with_its_fields() -> None:
    async with House().http() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    found = {}
    for path, verbs in paths.items():
        for verb in {"post", "put"} & set(verbs):
            schema = verbs[verb]["requestBody"]["content"]["application/json"]["schema"]
            found[path] = (set(schema["properties"]), set(schema["required"]))
    assert found["/risk/kill"] == ({"scope", "reason", "who"}, {"scope"})
    assert found["/risk/arm"] == ({"scope", "reason", "who", "token"}, {"scope", "reason"})
    assert found["/risk/limits/{account}"][1] == {"version", "reason"}
    assert {"max_order_size_usd", "max_portfolio_var_usd", "short_allowed", "symbol"} < found["/risk/limits/{account}"][0]
    assert found["/risk/symbols/{symbol}/block"] == ({"reason", "who"}, {"reason"})


async def test_stamps_never_go_back_when_the_wall_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:  # FAILURES 43
    house = House()
    async with house.http() as client:
        await post(client, "/risk/kill", scope="account:alice", **WHY)
        (first,) = house.risk.controls.history
        monkeypatch.setattr(house.control_door._clock, "now_ns", lambda: first.at - 3_600_000_000_000)
        await post(client, "/risk/symbols/BTCUSDT/block", **WHY)
        assert [control.at for control in house.risk.controls.history] == [first.at, first.at]


# The account's own switch

ALICE = Caller("PKALICE2222222222222", "ann", "alice", mask_of((AccessScope.TRADE,)))


async def test_an_account_suspends_itself_and_takes_it_back_alone() -> None:
    house = House()
    async with house.http(ALICE) as client:
        answer = (await post(client, "/risk/accounts/alice/suspend", **WHY)).json()
        assert (answer["suspended"], answer["who"], answer["acknowledged"]) == (True, "ann", {"exeq": "yes", "oms": "yes"})
    async with house.http() as client:
        assert [await reason(client), await reason(client, side="sell")] == ["account_suspended"] * 2
        assert await reason(client, account="bob") is None
        assert [each["account"] for each in (await client.get("/risk/controls")).json()["suspended"]] == ["alice"]
        assert (await client.get("/risk/limits", params={"account": "alice"})).json()["suspended"] is True
    async with house.http(ALICE) as client:
        assert (await post(client, "/risk/accounts/alice/resume", **WHY)).json()["suspended"] is False
    async with house.http() as client:
        assert await reason(client) is None


async def test_what_is_so_already_is_not_recorded_again() -> None:
    async with House().http(ALICE) as client:
        assert (await post(client, "/risk/accounts/alice/resume", **WHY)).json()["version"] == 1
        first = (await post(client, "/risk/accounts/alice/suspend", **WHY)).json()
        again = (await post(client, "/risk/accounts/alice/suspend", reason="other")).json()
        assert (first["version"], again["version"], "seq" in again) == (2, 2, False)


async def test_an_account_cannot_suspend_or_resume_another() -> None:
    async with House().http(ALICE) as client:
        for verb in ("suspend", "resume"):
            answer = await post(client, f"/risk/accounts/bob/{verb}", **WHY)
            assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
            assert (await post(client, f"/risk/accounts/alice/{verb}")).json()["pointer"] == "/reason"


async def test_a_suspension_that_is_not_acknowledged_is_202() -> None:
    house = House()
    house.obeyed = {"exeq": "yes", "oms": "unknown"}
    async with house.http(ALICE) as client:
        assert (await post(client, "/risk/accounts/alice/suspend", **WHY)).status_code == 202
