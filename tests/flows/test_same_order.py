"""One order for one client_order_id: at once, with another body, after a restart, and when its outcome was unknown."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from domain.values import order_id_of
from tests.flows.doors import ORDER, UNKNOWN, Doors, recorded
from tests.flows.test_life import soon
from tests.live import frozen
from tests.stack import CHECKOUT, LiveStack

ROUNDS = 20
AT_ONCE = 50


async def test_fifty_at_once_are_one_order_and_one_reservation(running: LiveStack) -> None:  # FAILURES 3
    account = "fifty"
    async with httpx.AsyncClient(base_url=running.url("oms"), timeout=60, limits=httpx.Limits(max_connections=AT_ONCE)) as http:
        for round_ in range(ROUNDS):
            order = {**ORDER, "account": account, "client_order_id": f"f-{round_}"}
            answers = [answer.json() for answer in await asyncio.gather(*(http.post("/orders", json=order) for _ in range(AT_ONCE)))]
            assert {a["order_id"] for a in answers} == {order_id_of(account, f"f-{round_}")}
            assert len({(a["status"], a["seq"]) for a in answers}) == 1
            assert sorted(a.get("replayed", False) for a in answers) == [False] + [True] * (AT_ONCE - 1)
        orders = (await http.get("/orders", params={"account": account})).json()["orders"]
        assert len(orders) == ROUNDS
        working = sum(order["status"] != "rejected" for order in orders)  # risk may have had no time on a busy machine
        assert working

        def reserved(orders: int) -> bool | None:
            view = httpx.get(f"{running.url('risk')}/risk/portfolio", params={"account": account}).json()
            quantity = view["symbols"].get("BTCUSDT", {}).get("open_buy_quantity", 0)
            return round(quantity * 1000) == orders or None

        await asyncio.to_thread(soon, lambda: reserved(working))
        await http.delete("/orders", params={"account": account})
        await asyncio.to_thread(soon, lambda: reserved(0))


CHANGES: list[dict[str, Any]] = [
    {"symbol": "ETHUSDT"},
    {"side": "sell"},
    {"quantity": "0.002"},
    {"price": "40000.01"},
    {"type": "stop_limit", "stop_price": "50000"},
    {"time_in_force": "ioc"},
    {"time_in_force": "gtd", "expire_at": "2099-01-01T00:00:00Z"},
    {"priority": 5},
]


def test_a_used_id_with_another_body_is_422_and_the_first_order_untouched(running: LiveStack, doors: Doors) -> None:  # FAILURES 4
    order = {**ORDER, "account": "reuse", "client_order_id": "once"}
    first = doors.submit(**order).json()  # also if risk had no time: what is answered is answered
    soon(lambda: doors.ask("GET", f"/orders/{first['order_id']}").json()["status"] in ("routed", "rejected") or None)
    before, shown = recorded(running), doors.ask("GET", f"/orders/{first['order_id']}").json()
    for change in CHANGES:
        answer = doors.submit(**{**order, **change})
        assert (answer.status_code, answer.json()["code"]) == (422, "client_order_id_reused")
        assert answer.json()["order_id"] == first["order_id"]
    assert doors.submit(**order).json() == {**first, "replayed": True}
    assert doors.submit(**{**order, "quantity": 0.001, "price": 40000, "type": "limit"}).json() == {**first, "replayed": True}
    assert doors.ask("GET", f"/orders/{first['order_id']}").json() == shown
    assert recorded(running) == before
    doors.ask("DELETE", f"/orders/{first['order_id']}")


# With the journal away.


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack for the two scenes that end a stack's peace."""
    started = LiveStack(
        tmp_path_factory.mktemp("troubled") / "data", "--fills", "sqlite", "--config-dir", str(CHECKOUT / "config/backend")
    ).start()
    yield started
    started.close()


def test_after_a_restart_of_everything_it_is_the_same_order(troubled: LiveStack) -> None:  # FAILURES 5
    orders = [{**ORDER, "account": "again", "client_order_id": f"r-{n}", "price": str(40000 + n)} for n in range(10)]
    doors = Doors(troubled)
    first = [doors.submit(**order).json() for order in orders]
    doors.close()
    troubled.restart()
    doors = Doors(troubled)
    assert [doors.submit(**order).json() for order in orders] == [{**answer, "replayed": True} for answer in first]
    assert doors.submit(**{**orders[0], "quantity": "0.002"}).json()["code"] == "client_order_id_reused"
    assert len(doors.ask("GET", "/orders?account=again").json()["orders"]) == 10
    doors.close()


def test_with_nats_frozen_the_answer_is_503_and_asking_again_finds_out(troubled: LiveStack) -> None:  # FAILURES 6
    doors = Doors(troubled)
    order = {**ORDER, "account": "frozen"}
    nats_server = psutil.Process(troubled.pid("nats"))
    frozen(nats_server.pid)
    try:
        answers = []
        for number in range(4):
            began = time.monotonic()
            answers.append(doors.submit(**order, client_order_id=f"z-{number}"))
            assert time.monotonic() - began < 25.0
            assert doors.ask("DELETE", f"/orders/{UNKNOWN}").status_code in (404, 503)
    finally:
        nats_server.resume()
    assert {answer.status_code for answer in answers} == {503}
    said = [(answer.json()["code"], answer.json()["outcome"]) for answer in answers]
    assert set(said) <= {("outcome_unknown", "unknown"), ("journal_unavailable", "not_accepted")}
    assert all(answer.headers["retry-after"] == "1" for answer in answers)
    troubled.await_ready()
    found = {each["client_order_id"] for each in doors.ask("GET", "/orders?account=frozen").json()["orders"]}
    assert found <= {f"z-{n}" for n, (_, outcome) in enumerate(said) if outcome == "unknown"}, "a ghost: it was said not to be accepted"
    for number in range(4):
        again = doors.submit(**order, client_order_id=f"z-{number}").json()
        assert again.get("replayed", False) == (f"z-{number}" in found)
    assert len(doors.ask("GET", "/orders?account=frozen").json()["orders"]) == 4
    doors.close()
