"""oms's door without a server: one order for one client_order_id, full intake, a journal that is away, and problems that say so."""

import asyncio
from typing import Any

import httpx
import pytest

from adapters.clock import SystemClock
from adapters.memory import MemoryLog
from domain.values import order_id_of, rfc3339
from tests.apps.oms_house import living
from tests.apps.submits import text

ROUNDS = 200
AT_ONCE = 50


def problem(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["type"], body["status"]) == ("about:blank", answer.status_code)
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["code"]


async def test_fifty_at_once_are_one_order_and_one_question_to_risk() -> None:  # FAILURES 3
    async with living() as (house, client):
        for round_ in range(ROUNDS):
            body = text(client_order_id=f"a-{round_}")
            answers = [answer.json() for answer in await asyncio.gather(*(client.post("/orders", content=body) for _ in range(AT_ONCE)))]
            assert len({(a["order_id"], a["seq"], a["status"]) for a in answers}) == 1
            assert sorted(a.get("replayed", False) for a in answers) == [False] + [True] * (AT_ONCE - 1)
            assert house.risk.asked == [order_id_of("alice", f"a-{n}") for n in range(round_ + 1)]
        assert len(house.host.orders.by_id) == len(house.log.commits) == ROUNDS


MUTATIONS: dict[str, Any] = {
    "symbol": "FINE",
    "side": "sell",
    "quantity": "1.001",
    "price": "50.01",
    "time_in_force": "ioc",
    "priority": 1,
    "type": {"type": "stop", "price": None, "stop_price": "50"},
    "expire_at": {"time_in_force": "gtd", "expire_at": "2099-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("field", MUTATIONS)
async def test_a_used_id_with_another_body_is_refused(field: str) -> None:  # FAILURES 4
    async with living() as (house, client):
        first = (await client.post("/orders", content=text())).json()
        before = (await client.get(f"/orders/{first['order_id']}")).json()
        change = MUTATIONS[field]
        answer = await client.post("/orders", content=text(**(change if isinstance(change, dict) else {field: change})))
        assert problem(answer) == (422, "client_order_id_reused")
        assert answer.json()["order_id"] == first["order_id"]
        assert (await client.get(f"/orders/{first['order_id']}")).json() == before
        assert len(house.log.commits) == len(house.risk.asked) == 1


async def test_the_same_order_in_other_words_is_the_same_order() -> None:  # FAILURES 4
    async with living() as (_, client):
        first = (await client.post("/orders", content=text())).json()
        for body in (text(quantity="1.000", price="50.0"), text(type="limit", time_in_force="gtc", priority=0, expire_at=None)):
            assert (await client.post("/orders", content=body)).json() == {**first, "replayed": True}
        keyed = await client.post("/orders", content=text(client_order_id=...), headers={"Idempotency-Key": "a-1"})
        assert keyed.json() == {**first, "replayed": True}
        elsewhere = (await client.post("/orders", content=text(account="bob"))).json()
        assert elsewhere["order_id"] != first["order_id"]


async def test_while_the_first_is_under_way_the_same_body_waits_and_another_is_refused() -> None:  # FAILURES 4
    async with living() as (house, client):
        house.risk.let.clear()
        bodies = (text(), text(), text(quantity=2))
        asking = [asyncio.create_task(client.post("/orders", content=body)) for body in bodies]
        await house.under_way(1)
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in asking)
        house.risk.let.set()
        first, same, other = await asyncio.gather(*asking)
        assert same.json() == {**first.json(), "replayed": True}
        assert problem(other) == (422, "client_order_id_reused")
        assert len(house.risk.asked) == 1


async def test_after_a_restart_it_is_still_the_same_order() -> None:  # FAILURES 5
    log = MemoryLog()
    async with living(log) as (_, client):
        first = (await client.post("/orders", content=text())).json()
    async with living(log) as (house, client):
        assert (await client.post("/orders", content=text())).json() == {**first, "replayed": True}
        assert problem(await client.post("/orders", content=text(price=51))) == (422, "client_order_id_reused")
        assert house.risk.asked == []
    assert len(log.commits) == 1


async def test_a_full_intake_turns_away_and_says_when_to_come_back() -> None:
    async with living(in_flight_max=2) as (house, client):
        house.risk.let.clear()
        asking = [asyncio.create_task(client.post("/orders", content=text(client_order_id=f"a-{n}"))) for n in range(2)]
        await house.under_way(2)
        turned_away = await client.post("/orders", content=text(client_order_id="a-9"))
        assert problem(turned_away) == (429, "overloaded")
        assert int(turned_away.headers["retry-after"]) > 0
        assert (await client.get("/orders")).json()["orders"] == []
        house.risk.let.set()
        assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200, 200]
        assert (await client.post("/orders", content=text(client_order_id="a-9"))).json()["status"] == "submitted"
        assert len(house.log.commits) <= 3
        assert len(house.risk.asked) == 3


async def test_without_a_journal_nothing_is_accepted_and_nothing_comes_later() -> None:  # FAILURES 6
    async with living() as (house, client):
        known = (await client.post("/orders", content=text(client_order_id="a-0"))).json()["order_id"]
        house.log.down = True
        lost = await client.post("/orders", content=text())
        assert problem(lost) == (503, "journal_unavailable")
        assert (lost.json()["outcome"], lost.headers["retry-after"]) == ("not_accepted", "1")
        refused = [
            await client.post("/orders", content=text(client_order_id="a-2")),
            await client.delete(f"/orders/{known}"),
            await client.delete("/orders?account=alice"),
            await client.get(f"/orders/{known}"),
            await client.get(f"/orders/{known}/events"),
            await client.get("/orders"),
        ]
        assert [(problem(answer), answer.json()["outcome"]) for answer in refused] == [((503, "journal_unavailable"), "not_accepted")] * 6
        house.log.down = False
        await house.recovered()
        assert [order["client_order_id"] for order in (await client.get("/orders")).json()["orders"]] == ["a-0"]
        assert len(house.log.commits) == 1
        assert "replayed" not in (await client.post("/orders", content=text())).json()


async def test_an_unknown_outcome_is_found_out_by_asking_again() -> None:  # FAILURES 1, 10
    async with living() as (house, client):
        house.log.acks_to_lose = 1
        lost = await client.post("/orders", content=text())
        assert problem(lost) == (503, "outcome_unknown")
        assert (lost.json()["outcome"], lost.headers["retry-after"]) == ("unknown", "1")
        await house.recovered()
        again = (await client.post("/orders", content=text())).json()
        assert (again["status"], again["replayed"], again["seq"]) == ("submitted", True, 1)
        assert len(house.log.commits) == 1


async def test_a_stopping_oms_takes_nothing_new() -> None:  # FAILURES 73
    async with living() as (house, client):
        house.intake.stopping = True
        answer = await client.post("/orders", content=text())
        assert (problem(answer), answer.json()["outcome"]) == ((503, "journal_unavailable"), "not_accepted")
        assert house.log.commits == []


@pytest.mark.parametrize(("path", "code"), [("/positions/alice", "positions_unavailable"), ("/fills/alice", "fills_unavailable")])
async def test_a_projection_that_is_away_is_a_problem_of_its_own(path: str, code: str) -> None:
    async with living() as (house, client):
        house.positions.down = house.fills.down = True
        answer = await client.get(path)
        assert (problem(answer), answer.headers["retry-after"]) == ((503, code), "1")
        assert (await client.post("/orders", content=text())).json()["status"] == "submitted"


async def test_a_projection_that_is_behind_says_where_it_stands() -> None:  # FAILURES 25
    async with living() as (house, client):
        house.positions.seq = 5
        assert (await client.get("/positions/alice?min_seq=5")).headers["as-of-seq"] == "5"
        behind = await client.get("/positions/alice?min_seq=6")
        assert (problem(behind), behind.json()["as_of_seq"]) == ((503, "projection_behind"), 5)


async def test_an_order_asked_for_again_after_it_expired_gets_its_first_answer() -> None:  # FAILURES 5
    async with living() as (_, client):
        soon = rfc3339(SystemClock().now_ns() + 300_000_000)
        body = text(time_in_force="gtd", expire_at=soon)
        first = (await client.post("/orders", content=body)).json()
        await asyncio.sleep(0.4)
        assert (await client.post("/orders", content=body)).json() == {**first, "replayed": True}
        late = await client.post("/orders", content=text(client_order_id="new", time_in_force="gtd", expire_at=soon))
        assert problem(late) == (422, "expire_at_in_past")
