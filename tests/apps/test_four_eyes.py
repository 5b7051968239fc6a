"""Two persons: a limit above a size, an admin key and an order in doubt each take two owners, not two words of one."""

import json
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest

from apps.http.app import Refusal
from apps.http.caller import Caller
from apps.oms.settle_requests import REQUESTS_MAX, SettleRequests
from apps.risk.four_eyes import two_hands
from config.access_mode import Mode
from domain.access.events import KeyCreated
from domain.four_eyes import SECOND_STEP_MAX_NS
from domain.order.commands import DoubtRoute, Outcome, RouteOrder, SettleOrder
from domain.order.events import Leg
from tests.apps.callers import ANN, ANN_AGAIN, BEA
from tests.apps.oms_house import OmsHouse, living
from tests.apps.risk_house import Clock, House
from tests.apps.submits import text

MOST: Final = Decimal(200_000)
"""In USD: a larger limit takes two persons. By default an order may have 100 000, a position 1 000 000."""


async def sent(client: httpx.AsyncClient, method: str, path: str, **body: object) -> httpx.Response:
    return await client.request(method, path, content=json.dumps(body))


async def put(client: httpx.AsyncClient, account: str = "alice", **body: object) -> httpx.Response:
    return await sent(client, "PUT", f"/risk/limits/{account}", **({"version": 1, "reason": "a scene"} | body))


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def in_force(client: httpx.AsyncClient, query: str = "account=alice") -> Any:
    return (await client.get(f"/risk/limits?{query}")).json()


async def proposals(client: httpx.AsyncClient) -> list[str]:
    return [each["token"] for each in (await client.get("/risk/controls")).json()["proposals"]]


# Arming


async def test_a_scope_is_armed_by_another_owner_not_by_another_key_or_name() -> None:
    house = House()
    async with house.http(ANN) as ann, house.client(ANN_AGAIN) as again, house.client(BEA) as bea:
        await sent(ann, "POST", "/risk/kill", scope="all", reason="x")
        token = (await sent(ann, "POST", "/risk/arm", scope="all", reason="x")).json()["token"]
        step = {"scope": "all", "reason": "x", "token": token}
        for same in (ann, again):
            assert code(await sent(same, "POST", "/risk/arm", **step)) == (403, "second_person_required")
            assert code(await sent(same, "POST", "/risk/arm", **step, who="bea")) == (403, "who_not_yours")
        assert (await sent(bea, "POST", "/risk/arm", **step)).status_code == 200


async def test_an_expired_request_to_arm_is_no_longer_listed() -> None:
    house = House()
    async with house.http(ANN) as ann:
        await sent(ann, "POST", "/risk/kill", scope="all", reason="x")
        await sent(ann, "POST", "/risk/arm", scope="all", reason="x")
        assert len((await ann.get("/risk/controls")).json()["arming"]) == 1
        house.clock.later(SECOND_STEP_MAX_NS // 1_000_000_000 + 1)
        assert not (await ann.get("/risk/controls")).json()["arming"]


# Limits


async def test_a_limit_above_the_size_waits_until_another_owner_confirms() -> None:
    house = House(alone_max_usd=MOST)
    async with house.http(ANN) as ann, house.client(ANN_AGAIN) as again, house.client(BEA) as bea:
        asked = await put(ann, max_order_size_usd=200_001, reason="the new desk")
        proposal = asked.json()
        assert (asked.status_code, proposal["type"], proposal["limits_version"]) == (202, "LimitsProposed", 1)
        assert (proposal["account"], proposal["old"], proposal["new"]) == ("alice", {}, {"max_order_size_usd": 200_001})
        found = await in_force(ann)
        assert (found["max_order_size_usd"], found["version"], found["own"]) == (100_000, 1, None)
        listed = (await bea.get("/risk/controls")).json()["proposals"]
        assert [{**each, "seq": proposal["seq"]} for each in listed] == [proposal]
        token = proposal["token"]
        for same in (ann, again):
            assert code(await put(same, max_order_size_usd=200_001, token=token)) == (403, "second_person_required")
        confirmed = await put(bea, max_order_size_usd="200001.0", token=token, reason="I have looked")
        assert (confirmed.status_code, confirmed.json()["max_order_size_usd"], confirmed.json()["set_by"]) == (200, 200_001, "bea")
        assert not await proposals(bea)
        history = (await bea.get("/risk/controls/history")).json()["controls"]
        assert [(each["type"], each["who"], each["reason"], each["token"]) for each in history] == [
            ("LimitsChanged", "bea", "I have looked", token),
            ("LimitsProposed", "ann", "the new desk", token),
        ]
        again_used = await put(bea, max_order_size_usd=200_001, version=confirmed.json()["version"], token=token)
        assert code(again_used) == (409, "not_requested")


@pytest.mark.parametrize(
    "changed",
    [
        {"max_order_size_usd": 200_002},
        {"max_order_size_usd": 200_001, "short_allowed": True},
        {"symbol": "BTCUSDT", "max_order_size_usd": 200_001},
        {"token": "00000000"},
    ],
)
async def test_what_is_confirmed_is_what_was_proposed(changed: dict[str, Any]) -> None:
    house = House(alone_max_usd=MOST)
    async with house.http(ANN) as ann, house.client(BEA) as bea:
        token = (await put(ann, max_order_size_usd=200_001)).json()["token"]
        body: dict[str, Any] = {"max_order_size_usd": 200_001, "token": token} | changed
        assert code(await put(bea, **body)) == (409, "not_requested")
        assert code(await put(bea, "bob", max_order_size_usd=200_001, token=token)) == (409, "not_requested")
        assert code(await put(bea, max_order_size_usd=200_001, token=token, version=2)) == (409, "limits_version_stale")
        assert code(await put(bea, max_order_size_usd=200_001, token=7)) == (400, "malformed")
        assert await proposals(bea) == [token]


async def test_a_proposal_ends_after_ten_minutes() -> None:
    house = House(alone_max_usd=MOST)
    async with house.http(ANN) as ann, house.client(BEA) as bea:
        token = (await put(ann, max_order_size_usd=200_001)).json()["token"]
        house.clock.later(SECOND_STEP_MAX_NS // 1_000_000_000 - 5)
        assert await proposals(bea) == [token]
        house.clock.later(10)
        assert not await proposals(bea)
        assert code(await put(bea, max_order_size_usd=200_001, token=token)) == (409, "not_requested")


async def test_a_proposal_ends_when_its_limits_change_and_the_newest_one_counts() -> None:
    house = House(alone_max_usd=MOST)
    async with house.http(ANN) as ann, house.client(BEA) as bea:
        first = (await put(ann, max_order_size_usd=200_001)).json()["token"]
        second = (await put(ann, max_order_size_usd=200_001)).json()["token"]
        of_symbol = (await put(ann, symbol="BTCUSDT", max_order_size_usd=300_000)).json()["token"]
        of_bob = (await put(ann, "bob", max_order_size_usd=300_000)).json()["token"]
        assert code(await put(bea, max_order_size_usd=200_001, token=first)) == (409, "not_requested")
        assert await proposals(bea) == [second, of_symbol, of_bob]
        assert (await put(ann, max_order_size_usd=1)).status_code == 200
        assert await proposals(bea) == [of_bob]


ALONE: Final[list[dict[str, object]]] = [
    {"max_order_size_usd": 200_000},
    {"max_order_size_usd": 1, "max_position_size_usd": 999_999, "max_portfolio_var_usd": 200_000},
    {"max_position_size_usd": 1_000_000},
    {"max_order_size_shares": 10**9, "max_concentration_pct": 1000, "short_allowed": True},
]
TOGETHER: Final[list[dict[str, object]]] = [
    {"max_order_size_usd": "200000.01"},
    {"max_position_size_usd": 1_000_001},
    {"max_portfolio_var_usd": 200_001},
    {"max_order_size_usd": 1, "max_position_size_usd": 1, "max_portfolio_var_usd": 10**9},
    {"symbol": "BTCUSDT", "max_position_size_usd": 1_000_001},
]


@pytest.mark.parametrize(("limits", "status"), [*((each, 200) for each in ALONE), *((each, 202) for each in TOGETHER)])
async def test_what_one_person_may_change_alone(limits: dict[str, Any], status: int) -> None:
    async with House(alone_max_usd=MOST).http(ANN) as ann:
        assert (await put(ann, **limits)).status_code == status


async def test_taking_an_override_away_may_raise_a_limit() -> None:
    async with House(alone_max_usd=MOST).http(ANN) as ann:
        version = (await put(ann, max_position_size_usd=5)).json()["version"]
        assert (await put(ann, version=version)).status_code == 202, "1 000 000 is the configuration's"
        assert (await put(ann, version=version, max_position_size_usd=200_000)).status_code == 200
        version = (await put(ann, "bob", symbol="BTCUSDT", max_order_size_usd=5)).json()["version"]
        assert (await put(ann, "bob", symbol="BTCUSDT", version=version)).status_code == 200, "100 000 is below the size"


async def test_without_a_size_or_without_a_second_person_the_switches_do_what_they_say() -> None:
    async with House().http(ANN) as ann:
        assert (await put(ann, max_order_size_usd=10**9)).status_code == 200
        assert code(await put(ann, "bob", max_order_size_usd=10**9, token="00000000")) == (409, "not_requested")
    async with House(alone_max_usd=MOST, second_person=False).http(ANN) as ann:
        token = (await put(ann, max_order_size_usd=10**9)).json()["token"]
        assert (await put(ann, max_order_size_usd=10**9, token=token)).status_code == 200


# Admin keys


ADMIN: Final[dict[str, Any]] = {"account": "*", "scopes": ["admin"]}


async def create(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await sent(client, "POST", "/access/keys", **body)


def both_are_admins(house: House) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A running house in which ann and bea have admin keys; its client is ann's."""
    for number, caller in enumerate((ANN, BEA), 1):
        fields: dict[str, Any] = {"key_id": caller.key_id, "owner": caller.owner, "digest": "00" * 32, "rate": 1, "burst": 1}
        house.keys.apply(KeyCreated(version=number, at=1, who="operator", account="*", scopes=("admin",), **fields))
    return house.http(ANN)


async def test_the_first_owner_of_an_admin_key_needs_no_other() -> None:
    async with House().http(ANN) as ann:
        assert (await create(ann, **ADMIN)).json()["owner"] == "ann"
        assert (await create(ann, **ADMIN, owner="bea")).status_code == 200
        assert (await create(ann, **ADMIN, owner="carl")).status_code == 202, "bea could confirm"


async def test_an_admin_key_takes_two_owners_and_the_log_shows_both() -> None:
    house = House()
    async with both_are_admins(house) as ann, house.client(ANN_AGAIN) as again, house.client(BEA) as bea:
        asked = await create(ann, **ADMIN, reason="for nights")
        assert (asked.status_code, len(house.keys.by_id)) == (202, 2)
        step = ADMIN | {"token": asked.json()["token"]}
        for same in (ann, again):
            assert code(await create(same, **step)) == (403, "second_person_required")
        for other in ({"owner": "bea"}, {"scopes": ["admin", "risk"]}, {"scopes": ["risk"]}, {"token": "00"}, {"rate": 5}):
            assert code(await create(bea, **(step | other))) == (409, "not_requested")
        made = await create(bea, **step, reason="I know him")
        assert (made.status_code, made.json()["owner"]) == (200, "ann"), "the key is of who asked first, not of who confirms"
        assert code(await create(bea, **step)) == (409, "not_requested")
        log = (await ann.get("/access/log")).json()["log"]
        assert [(each["type"], each["who"], each["reason"]) for each in log[:2]] == [
            ("KeyCreated", "bea", "I know him"),
            ("AdminKeyRequested", "ann", "for nights"),
        ]
        assert not {"token", "request", "digest"} & {name for each in log for name in each}


async def test_a_request_for_an_admin_key_ends_after_ten_minutes() -> None:
    house = House()
    async with both_are_admins(house) as ann, house.client(BEA) as bea:
        token = (await create(ann, **ADMIN)).json()["token"]
        house.clock.later(SECOND_STEP_MAX_NS // 1_000_000_000 + 1)
        assert code(await create(bea, **ADMIN, token=token)) == (409, "not_requested")


async def test_a_new_secret_of_anothers_admin_key_would_be_a_second_hand() -> None:
    house = House()
    async with both_are_admins(house) as ann, house.client(BEA) as bea:
        assert code(await sent(bea, "POST", f"/access/keys/{ANN.key_id}/rotate")) == (403, "second_person_required")
        assert (await sent(ann, "POST", f"/access/keys/{ANN.key_id}/rotate")).status_code == 200
        assert (await sent(bea, "POST", f"/access/keys/{ANN.key_id}/revoke")).status_code == 200, "stopping takes one person"


# Orders in doubt


async def doubtful(house: OmsHouse, client: httpx.AsyncClient) -> str:
    order_id = str((await client.post("/orders", content=text(quantity=2, price=50))).json()["order_id"])
    order = house.host.find(order_id)
    assert order is not None
    await house.host.perform(RouteOrder(order_id=order_id, legs=(Leg("R1", "PAPER_A", order.quantity),), policy="x"))
    await house.host.perform(DoubtRoute(order_id=order_id, route_id="R1", reason="no_answer"))
    return order_id


async def settle(client: httpx.AsyncClient, order_id: str, **body: object) -> httpx.Response:
    return await sent(client, "POST", f"/orders/{order_id}/settle", **({"outcome": "cancelled", "reason": "asked the desk"} | body))


async def test_an_order_in_doubt_is_settled_by_two_owners_and_its_timeline_names_both() -> None:
    async with living(second_person=True) as (house, local), house.http(ANN) as ann, house.http(ANN_AGAIN) as again, house.http(BEA) as bea:
        order_id = await doubtful(house, local)
        asked = await settle(ann, order_id)
        assert (asked.status_code, asked.json()["who"], asked.json()["outcome"]) == (202, "ann", "cancelled")
        assert (await local.get(f"/orders/{order_id}")).json()["status"] == "in_doubt"
        token = asked.json()["token"]
        for same in (ann, again):
            assert code(await settle(same, order_id, token=token)) == (403, "second_person_required")
        for other in ({"outcome": "never_arrived"}, {"route_id": "R1"}, {"token": "00"}):
            assert code(await settle(bea, order_id, **({"token": token} | other))) == (409, "not_requested")
        assert (await settle(bea, order_id, token="a b")).status_code == 400
        done = await settle(bea, order_id, token=token, reason="it told me too")
        assert (done.status_code, done.json()["status"]) == (200, "cancelled")
        events = (await local.get(f"/orders/{order_id}/events")).json()["events"]
        settled = next(each for each in events if each["type"] == "DoubtSettled")
        assert (settled["who"], settled["by"], settled["reason"]) == ("ann and bea", BEA.key_id, "asked the desk; it told me too")
        assert "is settled by ann and bea: cancelled" in settled["description"]
        assert code(await settle(bea, order_id, token=token)) == (409, "not_requested")
        assert code(await settle(ann, order_id)) == (409, "illegal_transition"), "a first step for nothing is refused"


async def test_by_default_one_person_settles() -> None:
    async with living() as (house, local), house.http(ANN) as ann:
        order_id = await doubtful(house, local)
        assert code(await settle(ann, order_id, token="00000000")) == (409, "not_requested")
        assert (await settle(ann, order_id)).status_code == 200


async def test_a_first_step_ends_with_oms() -> None:
    async with living(second_person=True) as (house, local), house.http(ANN) as ann:
        order_id = await doubtful(house, local)
        token = (await settle(ann, order_id)).json()["token"]
        log = house.log
    async with living(log, second_person=True) as (house, _), house.http(BEA) as bea:
        assert code(await settle(bea, order_id, token=token)) == (409, "not_requested")


def command(caller: Caller, **fields: Any) -> SettleOrder:
    return SettleOrder(order_id="o1", outcome=Outcome.CANCELLED, by=caller.key_id, who=caller.owner, **({"reason": "x"} | fields))


class SteadyClock(Clock):
    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns


def test_a_token_of_a_settlement_is_good_once_for_ten_minutes_and_there_are_not_many() -> None:
    clock = SteadyClock()
    requests = SettleRequests(clock)
    token = requests.ask(command(ANN))["token"]
    with pytest.raises(Refusal), requests.confirmed(token, command(BEA)):
        raise Refusal(503, "unavailable", "the disk is full")
    with requests.confirmed(token, command(BEA)) as settlement:
        assert (settlement.who, settlement.by, settlement.reason) == ("ann and bea", BEA.key_id, "x")
    old = requests.ask(command(ANN))["token"]
    clock.later(SECOND_STEP_MAX_NS // 1_000_000_000 + 1)
    tokens = [requests.ask(command(ANN))["token"] for _ in range(REQUESTS_MAX + 1)]
    for gone in (token, old, tokens[0]):
        with pytest.raises(Refusal) as refused, requests.confirmed(gone, command(BEA)):
            pass
        assert refused.value.code == "not_requested"
    with requests.confirmed(tokens[1], command(BEA)):
        pass


# The notice of the start


@pytest.mark.parametrize(
    ("mode", "owners", "told"),
    [
        ("open", {"ann", "bea"}, True),
        ("keys", {"operator"}, True),
        ("keys", {"Ann", "ann"}, True),
        ("keys", set(), True),
        ("keys", {"operator", "ann"}, False),
    ],
)
def test_the_start_says_when_four_eyes_are_two_hands(mode: Mode, owners: set[str], told: bool) -> None:
    sentence = two_hands(mode, owners)
    assert (sentence is not None) == told
    assert sentence is None or sentence.startswith("four eyes are two hands: ")
