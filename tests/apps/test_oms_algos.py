"""Parents of algos over HTTP and from exeq, on an oms without servers: CONTINGENT.md 4."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from adapters.memory import MemoryLog
from domain.instruments import Denial
from domain.order import commands as c
from domain.order.algo_commands import EndAlgo
from domain.order.legs import Leg
from domain.order.lifecycle import State
from tests import given
from tests.apps.algo_desk import AlgoDesk, events_of, twap
from tests.apps.oms_house import living


async def test_a_twap_is_accepted_and_trades_to_its_end() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        answer = await desk.submit(quantity="0.2", params={"interval_sec": 1800, "seed": 7})
        assert (answer["status"], answer["client_algo_id"], answer["seed"], answer["slices"], answer["seq"]) == (
            "submitted",
            "t-1",
            7,
            2,
            1,
        )
        view = await desk.view()
        assert (view["status"], view["leaves_quantity"], view["slices_total"], view["arrival_price"]) == ("working", 0.2, 2, 50)
        await desk.trade(1)
        half = await desk.view()
        assert (half["cum_quantity"], half["slices_done"], half["average_price"], half["working_quantity"]) == (0.1, 1, 50, 0)
        await desk.trade(2)
        done = await desk.view()
        assert (done["status"], done["reason"], done["cum_quantity"], done["leaves_quantity"]) == ("done", "filled", 0.2, 0)
        assert events_of(house.log)[1] == ["AlgoSliced", "OrderSubmitted", "OrderRiskChecked", "OrderQueued"], "one commit"
        assert events_of(house.log)[-1] == ["OrderFilled", "AlgoEnded"], "the end is in the commit of the last trade"


async def test_the_children_are_found_by_the_id_of_their_parent() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        found = (await client.get("/orders", params={"group_id": desk.algo_id})).json()["orders"]
        assert [(each["role"], each["group_id"], each["quantity"]) for each in found] == [("child", desk.algo_id, 0.1)]
        assert (await client.get(f"/order-lists/{desk.algo_id}")).json()["code"] == "list_not_found"


async def test_a_slice_that_is_asked_for_twice_is_recorded_once() -> None:
    # GRP-5
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        asked = desk.slice(1)
        first, second = await asyncio.gather(desk.said(asked), desk.said(asked))
        assert (first.ok, second.ok) == (True, True)
        assert (await desk.said(asked)).ok
        assert [commit.count("AlgoSliced") for commit in events_of(house.log)] == [0, 1]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"n": 3}, "slice_out_of_turn"),
        ({"n": 2, "quantity": "0.1"}, "child_open"),
        ({"n": 2, "quantity": "0", "due_at": 1}, "slice_out_of_turn"),
    ],
)
async def test_a_slice_out_of_turn_is_refused(more: dict[str, Any], code: str) -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        given_more = {"due_at": house.clock.now_ns()} | more
        command = msgspec.structs.replace(desk.slice(given_more["n"], given_more.get("quantity", "0")), due_at=given_more["due_at"])
        answer = await desk.said(command)
        assert (answer.ok, answer.code) == (False, code)


async def test_a_child_is_never_more_than_is_left_nor_beyond_the_limit_price() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        assert (await desk.spawn(1, "1.1")).code == "quantity_beyond_parent"
        assert (await desk.spawn(1, price=Decimal(61))).code == "beyond_limit_price"
        assert len(house.log.commits) == 1


async def test_a_slice_without_a_child_is_recorded_with_its_reason() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1, "0")
        await desk.trade(2)
        page = (await client.get(f"/algos/{desk.algo_id}/slices")).json()
        rows = [(each["n"], each["quantity"], each["reason"], each["status"], each["cum_quantity"]) for each in page["slices"]]
        assert rows == [(1, 0, "no_quote", None, 0), (2, 0.1, None, "filled", 0.1)]
        assert page["next"] is None


async def test_what_a_rejected_child_had_is_left_again() -> None:
    # GRP-7
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        await desk.rest(1)
        assert (await desk.view())["working_quantity"] == 0.1
        await desk.report(1, "cancelled", reason="venue")
        view = await desk.view()
        assert (view["working_quantity"], view["leaves_quantity"], view["status"]) == (0, 1, "working")


async def test_after_five_refused_children_the_parent_is_paused() -> None:
    # GRP-7
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()

        async def denied(terms: c.Terms) -> c.RiskDecision:
            return given.denied("price_collar", terms.order_id)

        house.risk.check = denied  # type: ignore[method-assign]
        for n in range(1, 6):
            assert (await desk.spawn(n)).ok
        view = await desk.view()
        assert (view["status"], view["reason"], view["refusals"], view["alert"]) == ("paused", "refusals", 5, True)
        assert events_of(house.log)[-1] == ["AlgoSliced", "OrderSubmitted", "OrderRejected", "AlgoPaused"]
        resumed = await client.post(f"/algos/{desk.algo_id}/resume")
        assert (resumed.status_code, resumed.json()["status"], resumed.json()["refusals"]) == (200, "working", 0)


async def test_a_risk_that_does_not_answer_costs_no_slice() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()

        async def late(terms: c.Terms) -> c.RiskDecision:
            return c.RiskDecision(order_id=terms.order_id, limits_version=0, denial=Denial("risk_timeout"))

        house.risk.check = late  # type: ignore[method-assign]
        assert (await desk.spawn(1)).code == "risk_timeout"
        assert len(house.log.commits) == 1


async def test_a_paused_parent_cancels_its_child_and_makes_no_slice() -> None:
    # G3
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        paused = await client.post(f"/algos/{desk.algo_id}/pause", json={"reason": "lunch"})
        assert (paused.status_code, paused.json()["status"], paused.json()["reason"]) == (200, "paused", "lunch")
        assert desk.child(1).status is State.CANCELLED
        assert (await desk.spawn(2)).code == "illegal_transition"
        again = await client.post(f"/algos/{desk.algo_id}/pause", json={"reason": "lunch"})
        assert (again.status_code, again.json()["version"]) == (200, paused.json()["version"])


async def test_a_pause_may_keep_the_open_child() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        await client.post(f"/algos/{desk.algo_id}/pause", json={"keep_child": True})
        assert desk.child(1).status is State.QUEUED


async def test_a_cancelled_parent_ends_when_its_last_child_has() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        await desk.rest(1)
        asked = await client.delete(f"/algos/{desk.algo_id}")
        assert (asked.status_code, asked.json()["status"]) == (202, "ending")
        assert desk.child(1).status is State.PENDING_CANCEL
        await desk.fill(1, "0.04")
        await desk.report(1, "cancelled", reason="requested")
        view = await desk.view()
        assert (view["status"], view["reason"], view["cum_quantity"]) == ("cancelled", "cancelled", 0.04)
        again = await client.delete(f"/algos/{desk.algo_id}")
        assert (again.status_code, again.json()["seq"]) == (200, view["seq"])
        await desk.spawn(2)
        assert (await desk.view())["slices_done"] == 1


@pytest.mark.parametrize("query", [{}, {"symbol": "BTCUSDT"}, {"side": "buy"}])
async def test_a_cancel_of_all_orders_cancels_their_algo_first(query: dict[str, str]) -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        await desk.rest(1)
        first = await client.delete("/orders", params={"account": "alice"} | query)
        assert first.json() == {"cancelled": 0, "pending": 1, "algos": 1}
        assert (await desk.view())["status"] == "ending"
        assert not (await desk.spawn(2)).ok
        again = await client.delete("/orders", params={"account": "alice"} | query)
        assert again.json() == {"cancelled": 0, "pending": 0}


@pytest.mark.parametrize("query", [{"side": "sell"}, {"account": "bob"}, {"status": "routed"}, {"client_order_id": "x"}])
async def test_a_cancel_of_other_orders_leaves_an_algo_alone(query: dict[str, str]) -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        assert (await client.delete("/orders", params={"account": "alice"} | query)).json() == {"cancelled": 0, "pending": 0}
        assert (await desk.view())["status"] == "working"


async def test_a_child_in_doubt_keeps_its_quantity_and_its_parent_from_its_end() -> None:
    # GRP-8
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        order = desk.child(1)
        leg = Leg("R-1", "PAPER_A", order.leaves_quantity)
        await house.host.perform(c.RouteOrder(order_id=order.order_id, legs=(leg,), policy="best_price"))
        await house.host.perform(c.DoubtRoute(order_id=order.order_id, route_id="R-1", reason="no_answer"))
        view = await desk.view()
        assert (view["doubtful_quantity"], view["working_quantity"], view["alert"]) == (0.1, 0, True)
        assert (await desk.spawn(2, "0.95")).code == "quantity_beyond_parent"
        await desk.said(EndAlgo(order_id=desk.algo_id))
        assert (await desk.view())["status"] == "ending"
        await house.host.perform(c.RouteAbsent(order_id=order.order_id, route_id="R-1", evidence="never seen"))
        ended = await desk.view()
        assert (ended["status"], ended["reason"], ended["doubtful_quantity"]) == ("expired", "expired", 0)


async def test_a_trade_after_the_end_is_booked_counted_and_flagged() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        await desk.rest(1)
        await client.delete(f"/algos/{desk.algo_id}")
        await desk.report(1, "cancelled", reason="requested")
        assert (await desk.view())["status"] == "cancelled"
        await desk.fill(1, "0.1")
        view = await desk.view()
        assert (view["status"], view["cum_quantity"], view["flags"], view["alert"]) == ("cancelled", 0.1, ["late_trade"], True)


async def test_a_kill_ends_the_parent_and_arming_does_not_revive_it() -> None:
    # GRP-9
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        house.forbids = lambda terms: "killed"
        await desk.rest(1)
        await desk.report(1, "cancelled", reason="requested")
        assert (await desk.spawn(2)).code == "killed"
        view = await desk.view()
        assert (view["status"], view["reason"]) == ("cancelled", "killed")
        house.forbids = lambda terms: None
        refused = await client.post(f"/algos/{desk.algo_id}/resume")
        assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
        assert (await desk.spawn(2)).code == "illegal_transition"


async def test_a_parent_whose_time_is_over_ends_without_exeq() -> None:
    # GRP-10
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit(end_at=None, time_in_force="gtc", strategy="iceberg", params={"display_quantity": 0.2, "seed": 1})
        parent = house.host.book.parents.by_id[desk.algo_id]
        house.algo_upkeep.look()
        assert (await desk.view())["status"] == "working"
        parent.end_at = house.clock.now_ns()
        house.algo_upkeep.look()
        assert (await desk.view())["status"] == "expired"


async def test_a_repeated_request_is_answered_as_at_first_and_another_body_is_refused() -> None:
    # G12
    log = MemoryLog()
    async with living(log) as (house, client):
        desk = AlgoDesk(house, client)
        body = twap(house)
        first = (await client.post("/algos", json=body)).json()
        assert (await client.post("/algos", json=body)).json() == first | {"replayed": True}
        refused = await client.post("/algos", json=body | {"quantity": 2})
        assert (refused.status_code, refused.json()["code"]) == (409, "client_algo_id_reused")
        desk.algo_id = first["algo_id"]
        await client.patch(f"/algos/{desk.algo_id}", json={"quantity": 3})
        assert (await client.post("/algos", json=body)).json() == first | {"replayed": True}
    async with living(log) as (house, client):
        assert (await client.post("/algos", json=body)).json() == first | {"replayed": True}, "also after a restart"
        assert len(log.commits) == 2


async def test_a_seed_that_was_made_here_is_recorded_and_not_compared() -> None:
    async with living() as (house, client):
        body = twap(house, params={"interval_sec": 360})
        first = (await client.post("/algos", json=body)).json()
        assert (await client.post("/algos", json=body)).json() == first | {"replayed": True}
        assert (await client.get(f"/algos/{first['algo_id']}")).json()["params"]["seed"] == first["seed"]


async def test_parents_survive_a_restart_with_their_slices() -> None:
    log = MemoryLog()
    async with living(log) as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.trade(1)
        await desk.spawn(2)
        algo_id, before = desk.algo_id, await desk.view()
    async with living(log) as (house, client):
        desk = AlgoDesk(house, client)
        desk.algo_id = algo_id
        assert await desk.view() == before
        assert (await desk.spawn(2)).ok, "answered as before"
        await desk.rest(2)
        await desk.fill(2, "0.1", exec_id="Y2")
        assert (await desk.view())["cum_quantity"] == 0.2


async def test_terms_are_changed_as_long_as_nothing_that_is_committed_is_touched() -> None:
    # GRP-12
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.trade(1)
        await desk.spawn(2)
        path = f"/algos/{desk.algo_id}"
        refused = await client.patch(path, json={"quantity": 0.15})
        assert (refused.status_code, refused.json()["code"]) == (409, "quantity_committed")
        changed = await client.patch(path, json={"quantity": 0.5, "params": {"interval_sec": 720}})
        assert (changed.status_code, changed.json()["quantity"], changed.json()["params"]["interval_sec"]) == (200, 0.5, 720)
        tighter = await client.patch(path, json={"limit_price": 45})
        assert (tighter.status_code, tighter.json()["limit_price"]) == (200, 45)
        assert desk.child(2).status is State.CANCELLED, "its price is beyond the new limit"


async def test_the_terms_of_a_child_are_those_of_its_algo() -> None:
    # GRP-12
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1)
        refused = await client.patch(f"/orders/{desk.child(1).order_id}", json={"price": 49})
        assert (refused.status_code, refused.json()["code"], refused.json()["algo_id"]) == (409, "child_of_algo", desk.algo_id)
        cancelled = await client.delete(f"/orders/{desk.child(1).order_id}")
        assert cancelled.json()["status"] == "cancelled"
        view = await desk.view()
        assert (view["status"], view["working_quantity"], view["leaves_quantity"]) == ("working", 0, 1)


async def test_rules_that_fail_cost_no_event_its_place_in_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()
    async with living(log) as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.spawn(1, "1")
        await desk.rest(1)
        with monkeypatch.context() as broken:
            broken.setattr("apps.journal.algo_reactions.follows", lambda *args, **more: 1 // 0)
            await desk.fill(1, "1")
        assert (house.host.parents.failures, events_of(log)[-1]) == (1, ["OrderFilled"])
        assert (await desk.view())["cum_quantity"] == 1
        assert house.host.parents.look_at(house.host.book.parents.by_id[desk.algo_id]) == 1
        assert (await desk.view())["status"] == "done"
