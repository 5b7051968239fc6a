"""Lists over HTTP, on an oms without servers: CONTINGENT.md 2."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog, MemoryOrderStore
from domain.order import commands as c
from domain.order.events import Leg
from domain.order.order import Order
from tests.apps.callers import ERIN
from tests.apps.oms_house import OmsHouse, living

BRACKET: dict[str, Any] = {
    "account": "alice",
    "client_list_id": "b-1",
    "type": "bracket",
    "orders": [
        {"role": "entry", "client_order_id": "b-1-e", "symbol": "BTCUSDT", "side": "buy", "type": "limit", "quantity": 0.2, "price": 45000},
        {"role": "take_profit", "price": 46000},
        {"role": "stop_loss", "stop_price": 44000},
    ],
}
OCO: dict[str, Any] = {
    "account": "alice",
    "type": "oco",
    "client_list_id": "o-1",
    "orders": [
        {"symbol": "BTCUSDT", "side": "sell", "quantity": 0.2, "price": 46000},
        {"symbol": "BTCUSDT", "side": "sell", "quantity": 0.2, "stop_price": 44000},
    ],
}


def events_of(log: MemoryLog) -> list[list[str]]:
    return [[type(event).__name__ for event in ORDER_COMMITS.decode(payload).events] for _, payload in log.commits]


class Wire:
    """What exeq and a venue say about the orders of a list."""

    def __init__(self, house: OmsHouse) -> None:
        self.house = house
        self.seq = 0

    def order(self, answer: dict[str, Any], role: str) -> Order:
        found = next(each["order_id"] for each in answer["orders"] if each["role"] == role)
        order = self.house.host.find(found)
        assert order is not None
        return order

    async def rest(self, order: Order) -> None:
        leg = Leg(f"R-{order.order_id[:8]}", "PAPER_A", order.leaves_quantity)
        await self.house.host.perform(c.RouteOrder(order_id=order.order_id, legs=(leg,), policy="best_price"))
        await self.report(order, "accepted", venue_order_id=f"V{self.seq}")

    async def report(self, order: Order, kind: str, **more: Any) -> None:
        self.seq += 1
        route = order.routes[-1]
        report = c.VenueReport(
            report=c.ReportKind(kind),
            order_id=order.order_id,
            route_id=route.route_id,
            venue=route.venue,
            report_seq=self.seq,
            at=1,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            **more,
        )
        await self.house.host.perform(report)

    async def fill(self, order: Order, quantity: str) -> None:
        await self.report(order, "fill", exec_id=f"X{self.seq}", quantity=Decimal(quantity), price=order.price or order.stop_price)


async def post(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/order-lists", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def statuses(view: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(each["role"], each["status"], each["leaves_quantity"]) for each in view["orders"]]


async def test_a_bracket_is_accepted_as_a_whole_and_its_exits_follow_its_entry() -> None:
    async with living() as (house, client):
        answer = await post(client, BRACKET)
        assert [(each["role"], each["status"]) for each in answer["orders"]] == [
            ("entry", "queued"),
            ("take_profit", "risk_checked"),
            ("stop_loss", "risk_checked"),
        ]
        assert (answer["status"], answer["client_list_id"], answer["seq"]) == ("submitted", "b-1", 1)
        assert len(events_of(house.log)) == 1, "one commit"
        wire = Wire(house)
        entry = wire.order(answer, "entry")
        await wire.rest(entry)
        await wire.fill(entry, "0.05")
        view = (await client.get(f"/order-lists/{answer['list_id']}")).json()
        assert statuses(view) == [("entry", "partially_filled", 0.15), ("take_profit", "queued", 0.05), ("stop_loss", "queued", 0.05)]
        assert (view["status"], view["entry_quantity"], view["exit_quantity"], view["flags"]) == ("executing", 0.05, 0, [])
        assert events_of(house.log)[-1] == ["OrderFilled", "OrderReplaced", "OrderReplaced", "OrderQueued", "OrderQueued"]
        orders = (await client.get("/orders", params={"group_id": answer["list_id"]})).json()["orders"]
        assert sorted(each["role"] for each in orders) == ["entry", "stop_loss", "take_profit"]
        story = (await client.get(f"/order-lists/{answer['list_id']}/events")).json()["events"]
        assert [(each["role"], each["type"]) for each in story][:2] == [("entry", "OrderSubmitted"), ("entry", "OrderRiskChecked")]
        (told,) = [each for each in story if each["type"] == "ListSubmitted"]
        assert (told["list_status_type"], told["list_order_status"], told["contingency_type"]) == ("1", "3", "2")
        assert [each["exec_type"] for each in story if each["role"] == "entry"] == ["A", None, None, None, None, "0", "F"]


async def test_an_exit_may_say_what_follows_from_its_entry() -> None:
    """The body of CONTINGENT.md 2, word for word."""
    body = {
        "account": "alice",
        "client_list_id": "b-1",
        "type": "bracket",
        "trigger": "partial",
        "exclusive": "strict",
        "orders": [
            BRACKET["orders"][0],
            {"role": "take_profit", "side": "sell", "type": "limit", "price": 46000},
            {"role": "stop_loss", "side": "sell", "type": "stop", "stop_price": 44000},
        ],
    }
    async with living() as (_, client):
        assert (await post(client, body))["status"] == "submitted"
        assert (await post(client, BRACKET))["replayed"], "it is the same list"


async def test_a_basket_has_fifty_orders_and_no_more() -> None:
    orders = [{"symbol": "BTCUSDT", "side": "buy", "quantity": 0.01, "price": 45000, "client_order_id": f"k-{n}"} for n in range(51)]
    async with living(open_orders_max=50) as (house, client):
        refused = await client.post("/order-lists", json={"account": "alice", "type": "none", "orders": orders})
        assert (refused.status_code, refused.json()["code"], refused.json()["pointer"]) == (422, "not_a_list", "/orders")
        answer = await post(client, {"account": "alice", "type": "none", "orders": orders[:50]})
        assert (answer["status"], [each["status"] for each in answer["orders"]]) == ("submitted", ["queued"] * 50)
        assert len(events_of(house.log)) == 1, "one commit"


async def test_with_full_a_held_leg_waits_for_the_whole_entry() -> None:
    legs = [
        {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.2, "price": 45000},
        {"symbol": "BTCUSDT", "side": "sell", "quantity": 0.2, "price": 46000},
    ]
    async with living() as (house, client):
        answer = await post(client, {"account": "alice", "type": "oto", "trigger": "full", "orders": legs})
        wire, list_id = Wire(house), answer["list_id"]
        entry = wire.order(answer, "entry")
        await wire.rest(entry)
        await wire.fill(entry, "0.15")
        assert statuses((await client.get(f"/order-lists/{list_id}")).json())[1] == ("closing", "risk_checked", 0.2)
        await wire.fill(entry, "0.05")
        assert statuses((await client.get(f"/order-lists/{list_id}")).json())[1] == ("closing", "queued", 0.2)


async def test_pages_of_lists_lead_to_the_first_one_also_by_status() -> None:
    async with living() as (_, client):
        for number in range(3):
            await post(client, {**OCO, "client_list_id": f"o-{number}"})
        for query, expected in (
            ({}, ["o-2", "o-1", "o-0"]),
            ({"status": "executing"}, ["o-2", "o-1", "o-0"]),
            ({"status": "received"}, []),
        ):
            found: list[str] = []
            page: dict[str, Any] = {"next": None}
            for _ in range(4):
                more = {} if page["next"] is None else {"cursor": page["next"]}
                page = (await client.get("/order-lists", params={"account": "alice", "limit": 1, **query, **more})).json()
                found += [each["client_list_id"] for each in page["lists"]]
                if page["next"] is None:
                    break
            assert found == expected


async def test_a_repeated_list_is_answered_as_at_first_and_another_body_is_refused() -> None:
    # G12
    log = MemoryLog()
    async with living(log) as (_, client):
        first = await post(client, BRACKET)
        assert await post(client, BRACKET) == first | {"replayed": True}
        assert len(log.commits) == 1
        other = BRACKET | {"trigger": "full"}
        refused = await client.post("/order-lists", json=other)
        assert (refused.status_code, refused.json()["code"]) == (422, "client_list_id_reused")
    async with living(log) as (_, client):
        assert await post(client, BRACKET) == first | {"replayed": True}, "also after a restart"


async def test_a_list_of_which_one_order_is_denied_is_rejected_as_a_whole() -> None:
    async with living() as (house, client):
        house.forbids = lambda terms: "symbol_blocked" if terms.role == "stop_loss" else None
        answer = await post(client, BRACKET)
        assert (answer["status"], answer["reason"], answer["leg"]) == ("rejected", "symbol_blocked", 2)
        view = (await client.get(f"/order-lists/{answer['list_id']}")).json()
        assert (view["status"], view["reason"]) == ("rejected", "rejected")
        assert [each["reason"] for each in view["orders"]] == ["list_rejected", "list_rejected", "symbol_blocked"]
        house.forbids = lambda terms: None
        assert await post(client, BRACKET) == answer | {"replayed": True}
        cancelled = await client.delete(f"/order-lists/{answer['list_id']}")
        assert (cancelled.status_code, cancelled.json()["code"]) == (409, "illegal_transition")


async def test_a_list_is_cancelled_and_again_changes_nothing() -> None:
    async with living() as (house, client):
        answer = await post(client, BRACKET)
        first = await client.delete(f"/order-lists/{answer['list_id']}")
        assert (first.status_code, first.json()["status"], first.json()["reason"]) == (200, "done", "cancelled")
        again = await client.delete(f"/order-lists/{answer['list_id']}")
        assert (again.status_code, again.json()) == (200, first.json())
        assert len(house.log.commits) == 2


async def test_exits_stay_when_a_list_is_cancelled_unless_the_client_says_so() -> None:
    async with living() as (house, client):
        answer, wire = await post(client, BRACKET), Wire(house)
        entry = wire.order(answer, "entry")
        await wire.rest(entry)
        await wire.fill(entry, "0.2")
        kept = await client.delete(f"/order-lists/{answer['list_id']}")
        assert (kept.status_code, [each["status"] for each in kept.json()["orders"]]) == (202, ["filled", "queued", "queued"])
        ended = await client.delete(f"/order-lists/{answer['list_id']}", params={"exits": "cancel"})
        assert (ended.status_code, [each["status"] for each in ended.json()["orders"]]) == (200, ["filled", "cancelled", "cancelled"])


async def test_the_quantity_of_an_exit_is_the_lists_and_its_price_the_clients() -> None:
    async with living() as (_, client):
        answer = await post(client, BRACKET)
        exit_id = answer["orders"][1]["order_id"]
        refused = await client.patch(f"/orders/{exit_id}", json={"quantity": 0.1})
        assert (refused.status_code, refused.json()["code"]) == (409, "quantity_follows_entry")
        moved = await client.patch(f"/orders/{exit_id}", json={"price": 47000})
        assert (moved.status_code, moved.json()["price"], moved.json()["status"]) == (200, 47000, "risk_checked")


async def test_lists_are_found_by_account_and_status_and_only_by_their_own_account() -> None:
    async with living() as (house, client):
        first = await post(client, BRACKET)
        second = await post(client, OCO)
        await client.delete(f"/order-lists/{first['list_id']}")
        found = (await client.get("/order-lists", params={"account": "alice"})).json()
        assert [each["client_list_id"] for each in found["lists"]] == ["o-1", "b-1"]
        done = (await client.get("/order-lists", params={"status": "done"})).json()
        assert [each["client_list_id"] for each in done["lists"]] == ["b-1"]
        assert [each["role"] for each in second["orders"]] == ["alternative", "alternative"]
        async with house.http(msgspec.structs.replace(ERIN, account="bob")) as stranger:
            for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
                refused = await stranger.request(method, f"/order-lists/{first['list_id']}{path}")
                assert (refused.status_code, refused.json()["code"]) == (404, "list_not_found")
            assert (await stranger.post("/order-lists", json=BRACKET)).json()["code"] == "account_not_yours"


async def test_a_foreign_list_costs_as_many_reads_as_one_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    async with living() as (house, client):
        made = await post(client, BRACKET)
        reads: list[str] = []
        members = MemoryOrderStore.members

        def counted(store: MemoryOrderStore, list_id: str) -> list[Order]:
            reads.append(list_id)
            return members(store, list_id)

        monkeypatch.setattr(MemoryOrderStore, "members", counted)
        async with house.http(msgspec.structs.replace(ERIN, account="bob")) as stranger:
            for list_id in (made["list_id"], made["list_id"], "0" * 32):
                before = len(reads)
                assert (await stranger.get(f"/order-lists/{list_id}")).status_code == 404
                assert len(reads) == before + 1


async def test_other_tasks_run_between_the_lists_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async with living() as (house, client):
        for number in range(3):
            await post(client, {**OCO, "client_list_id": f"o-{number}"})
        turns: list[int] = []
        seen: list[int] = []
        members = house.host.book.members

        def read(list_id: str) -> dict[str, Order]:
            seen.append(len(turns))
            asyncio.get_running_loop().call_soon(turns.append, 1)
            return members(list_id)

        monkeypatch.setattr(house.host.book, "members", read)
        assert len((await client.get("/order-lists")).json()["lists"]) == 3
        assert seen == [0, 1, 2]


async def test_an_account_has_a_bounded_number_of_open_lists() -> None:
    async with living() as (_, client):
        for number in range(3):
            await post(client, {**OCO, "client_list_id": f"o-{number}"})
        answer = await post(client, {**OCO, "client_list_id": "o-4"})
        assert (answer["status"], answer["reason"], answer["detail"]) == (
            "rejected",
            "max_open_lists",
            {"found": "4", "limit": "3", "unit": "lists"},
        )


async def test_lists_in_flight_count_among_the_open_ones_of_their_account() -> None:
    async with living(open_orders_max=9) as (house, client):
        house.risk.let.clear()
        sent = [asyncio.create_task(post(client, {**OCO, "client_list_id": f"o-{number}"})) for number in range(4)]
        await house.under_way(3)
        house.risk.let.set()
        answers = await asyncio.gather(*sent)
        assert [answer["status"] for answer in answers] == ["submitted"] * 3 + ["rejected"]
        assert answers[3]["reason"] == "max_open_lists"


async def test_orders_of_lists_in_flight_count_among_the_open_ones_of_their_account() -> None:
    async with living(open_orders_max=3) as (house, client):
        house.risk.let.clear()
        sent = [asyncio.create_task(post(client, {**OCO, "client_list_id": f"o-{number}"})) for number in range(2)]
        await house.under_way(1)
        house.risk.let.set()
        answers = await asyncio.gather(*sent)
        assert [(answer["status"], answer.get("reason")) for answer in answers] == [("submitted", None), ("rejected", "max_open_orders")]


async def test_of_a_leg_and_a_replace_at_the_same_time_one_gets_the_name() -> None:
    async with living() as (house, client):
        order = {"account": "alice", "client_order_id": "a-1", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.2, "price": 45000}
        order_id = (await client.post("/orders", json=order)).json()["order_id"]
        house.risk.let.clear()
        sent = asyncio.create_task(client.post("/order-lists", json=BRACKET))
        await house.under_way(2)
        await client.patch(f"/orders/{order_id}", json={"price": 44000, "client_order_id": "b-1-e"})
        house.risk.let.set()
        refused = await sent
        assert (refused.status_code, refused.json()["code"], refused.json()["leg"]) == (422, "client_order_id_reused", 0)
        named = (await client.get("/orders", params={"account": "alice", "client_order_id": "b-1-e"})).json()["orders"]
        assert [each["order_id"] for each in named] == [order_id]


def _with(leg: int, **more: Any) -> dict[str, Any]:
    orders = [dict(order) for order in BRACKET["orders"]]
    orders[leg] |= more
    return BRACKET | {"orders": orders}


BAD: dict[str, tuple[dict[str, Any], int, str, int | None, str]] = {
    "a role that a bracket lacks": (_with(1, role="held"), 422, "not_a_list", 1, "/orders/1/role"),
    "an exit with the side of its entry": (_with(1, side="buy"), 422, "not_a_list", 1, "/orders/1/side"),
    "no type of list": (BRACKET | {"type": "pair"}, 400, "malformed", None, "/type"),
    "orders that are no array": (BRACKET | {"orders": {}}, 400, "malformed", None, "/orders"),
    "a trigger that does not exist": (BRACKET | {"trigger": "never"}, 400, "malformed", None, "/trigger"),
    "an exit with a symbol": (_with(1, symbol="ETHUSDT"), 422, "not_a_list", 1, "/orders/1/symbol"),
    "an exit with a quantity": (_with(2, quantity=1), 422, "not_a_list", 2, "/orders/2/quantity"),
    "a stop without a stop price": (_with(2, stop_price=None, price=44000), 422, "not_a_list", 2, "/orders/2/stop_price"),
    "an entry without a side": (_with(0, side=None), 400, "malformed", 0, "/orders/0/side"),
    "a price off its tick": (_with(1, price=46000.001), 422, "price_off_tick", 1, "/orders/1"),
    "an unknown field": (_with(0, colour="red"), 400, "malformed", 0, "/orders/0/colour"),
    "one order": (BRACKET | {"orders": BRACKET["orders"][:1]}, 422, "not_a_list", None, "/orders"),
    "two take profits": (BRACKET | {"orders": [BRACKET["orders"][n] for n in (0, 1, 1)]}, 422, "not_a_list", None, "/orders"),
    "an option of another type": (BRACKET | {"reduce": True}, 422, "not_a_list", None, "/reduce"),
    "reduce only": (_with(1, reduce_only=True), 422, "not_a_list", 1, "/orders/1/reduce_only"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_list_is_refused_with_its_leg_and_changes_nothing(name: str) -> None:
    body, status, code, leg, pointer = BAD[name]
    async with living() as (house, client):
        refused = await client.post("/order-lists", json=body)
        found = refused.json()
        assert (refused.status_code, found["code"], found.get("leg"), found["pointer"]) == (status, code, leg, pointer), found
        assert house.log.commits == []


async def test_the_id_of_an_order_that_exists_is_refused_for_a_leg() -> None:
    async with living() as (_, client):
        order = {"account": "alice", "client_order_id": "b-1-e", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.2, "price": 45000}
        assert (await client.post("/orders", json=order)).status_code == 200
        refused = await client.post("/order-lists", json=BRACKET)
        assert (refused.status_code, refused.json()["code"], refused.json()["leg"]) == (422, "client_order_id_reused", 0)
