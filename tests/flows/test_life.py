"""An order lives: the user's own example, followed hop by hop on the real servers."""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import nats
import pytest
import redis

from adapters import bus
from tests.stack import LiveStack

T = TypeVar("T")
EXAMPLE = {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000, "type": "limit"}


def soon(look: Callable[[], T | None], within_s: float = 8.0) -> T:
    """What `look` finds, once it finds something: what is false, empty or zero is nothing."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def answer_once(http: httpx.Client, path: str, is_so: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
    """What GET answers, once it is as awaited."""
    deadline = time.monotonic() + within_s
    while True:
        found: dict[str, Any] = http.get(path).json()
        if is_so(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def filled(stack: LiveStack, order_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        with stack.client() as http:
            order: dict[str, Any] = http.get(f"/orders/{order_id}").json()
        return order if order["status"] == "filled" else None

    return soon(look)


async def heard_while(stack: LiveStack, subject: str, act: Callable[[], T]) -> tuple[list[dict[str, Any]], T]:
    """What travels on a subject while something is done, and a second after it."""
    client = await nats.connect(stack.url("nats"))
    heard: list[dict[str, Any]] = []

    async def hear(message: Any) -> None:
        heard.append(json.loads(message.data))

    await client.subscribe(subject, cb=hear)
    await bus.flush(client)
    done = await asyncio.to_thread(act)
    await asyncio.sleep(1.0)
    await client.close()
    return heard, done


async def test_subscribers_receive_the_updates_and_reports_of_an_order_and_others_cost_nothing(running: LiveStack) -> None:
    def submit_and_wait() -> dict[str, Any]:
        with running.client() as http:
            answer = http.post("/orders", json={**EXAMPLE, "account": "listened"}).json()
            return filled(running, answer["order_id"])

    for subject, kinds in (("fills.listened", ["accepted", "fill"]), ("oms.orders.listened.*", ["filled"])):
        heard, order = await heard_while(running, subject, submit_and_wait)
        assert {message["order_id"] for message in heard} == {order["order_id"]}
        told = [message.get("report", message.get("status")) for message in heard]
        assert told[-len(kinds) :] == kinds

    def counts() -> list[dict[str, Any]]:
        found = []
        for service, name in (("desk", "drop_copy"), ("exeq", "orders_announced"), ("live-gateway", "fills_announced")):
            with running.client(service) as http:
                found.append(http.get("/stats").json()[name])
        return found

    await asyncio.to_thread(submit_and_wait)  # the end of the listeners is noticed with the next that could be told
    assert soon(lambda: all(not each["subscribed"] for each in counts()) or None)
    before = counts()
    await asyncio.to_thread(submit_and_wait)
    assert soon(lambda: all(now["skipped"] > then["skipped"] for now, then in zip(counts(), before, strict=True)) or None)
    assert [each["published"] for each in counts()] == [each["published"] for each in before]


async def test_the_users_example_becomes_a_fill_a_position_and_a_row(running: LiveStack) -> None:
    def submit_and_wait() -> dict[str, Any]:
        with running.client() as http:
            answer = http.post("/orders", json={**EXAMPLE, "account": "user"}).json()
            assert answer["status"] == "submitted"
            return filled(running, answer["order_id"])

    heard, order = await heard_while(running, "positions.user", submit_and_wait)
    order_id = order["order_id"]
    with running.client() as http:
        timeline = http.get(f"/orders/{order_id}/events").json()["events"]
        assert [event["type"] for event in timeline] == [
            "OrderSubmitted",
            "OrderRiskChecked",
            "OrderQueued",
            "OrderRouted",
            "RouteAcknowledged",
            "OrderFilled",
        ]
        assert [event["status"] for event in timeline] == ["new", "risk_checked", "queued", "routed", "routed", "filled"]
        made = {check["name"] for check in timeline[1]["checks"]}
        assert made == {"price_collar", "order_size_limit", "position_limit", "concentration_limit", "buying_power", "var_limit"}
        assert len(timeline[3]["candidates"]) >= 2
        positions = http.get("/positions/user", params={"min_seq": order["seq"]})
    assert (positions.json()["BTCUSDT"]["quantity"], positions.json()["BTCUSDT"]["currency"]) == (0.1, "USDT")
    assert int(positions.headers["As-Of-Seq"]) >= order["seq"]

    with running.client("risk") as http:
        decision = http.get(f"/risk/decisions/{order_id}").json()
        history = http.get("/stats").json()["price_history"]
    assert (decision["approved"], decision["checks"], decision["reference"]) == (True, timeline[1]["checks"], 45000)
    assert [price["name"] for price in decision["prices"]] == ["mid"]
    assert (history["scenarios"], history["simulated"], history["to"]) == (30, ["BTCUSDT", "ETHUSDT", "SOLUSDT"], decision["closes_to"])

    with running.client("exeq") as http:
        assert http.get(f"/routes/{order_id}").json()["legs"][0]["venue"] == order["routes"][0]["venue"]

    valkey = redis.Redis.from_url(running.url("valkey"), db=5, decode_responses=True)
    assert valkey.hget("position:user:BTCUSDT", "quantity") == "0.1"
    assert Decimal(str(valkey.hget("position:user:BTCUSDT", "last_price"))) <= 45000
    valkey.close()

    assert [(h["account"], h["symbol"], h["quantity"]) for h in heard] == [("user", "BTCUSDT", 0.1)]
    assert {"price", "timestamp", "average_price", "realised_pnl", "currency", "seq"} <= set(heard[0])
    with running.client() as http:
        fills = soon(lambda: http.get("/fills/user").json()["fills"] or None)
    assert {fill["currency"] for fill in fills} == {"USDT"}

    rows = soon(lambda: running.query(f"SELECT account, side, quantity, price, seq FROM fills WHERE order_id = '{order_id}'") or None)
    assert [(account, side, Decimal(quantity)) for account, side, quantity, _, _ in rows] == [("user", "buy", Decimal("0.1"))]
    recent = running.query("SELECT count() FROM fills WHERE timestamp > dateadd('m', -10, now())")
    assert recent[0][0] >= 1


def test_the_same_from_the_command_line(running: LiveStack) -> None:
    done = running.trade(
        *("order", "submit", "--account", "cli", "--symbol", "BTCUSDT", "--side", "buy", "--type", "limit"),
        *("--quantity", "0.1", "--price", "45000", "--json"),
    )
    assert done.returncode == 0, done.stderr
    order = filled(running, json.loads(done.stdout)["order_id"])
    with running.client() as http:
        http.get("/positions/cli", params={"min_seq": order["seq"]})
    shown = running.trade("positions", "cli")
    assert shown.returncode == 0, shown.stderr
    assert "BTCUSDT" in shown.stdout
    assert " 0.1" in shown.stdout
    assert "BTCUSDT" in soon(lambda: ((out := running.trade("fills", "cli").stdout) and "BTCUSDT" in out and out) or None)


@pytest.mark.parametrize(
    ("type_", "terms"),
    [
        ("market", {}),
        ("limit", {"price": "45900"}),
        ("stop", {"stop_price": "40000"}),
        ("stop_limit", {"stop_price": "40000", "price": "45900"}),
    ],
)
def test_every_type_of_order_lives(running: LiveStack, type_: str, terms: dict[str, str]) -> None:
    order = {"account": "types", "symbol": "BTCUSDT", "side": "buy", "type": type_, "quantity": "0.001", **terms}
    with running.client() as http:
        answer = http.post("/orders", json=order).json()
    assert answer["status"] == "submitted", answer
    assert filled(running, answer["order_id"])["cum_quantity"] == 0.001


def test_a_resting_order_is_cancelled_at_the_venue(running: LiveStack) -> None:
    with running.client() as http:
        order = {"account": "cancels", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}
        order_id = http.post("/orders", json=order).json()["order_id"]
        soon(lambda: http.get(f"/orders/{order_id}").json()["routes"] or None)
        first = http.delete(f"/orders/{order_id}")
        assert first.status_code in (200, 202)
        soon(lambda: http.get(f"/orders/{order_id}").json()["status"] == "cancelled" or None)
        again = http.delete(f"/orders/{order_id}")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")


def test_all_of_an_account_are_cancelled_at_once(running: LiveStack) -> None:
    with running.client() as http:
        for price in ("40000", "40001", "40002"):
            http.post("/orders", json={"account": "many", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": price})
        answer = http.delete("/orders", params={"account": "many"}).json()
        assert answer["cancelled"] + answer["pending"] == 3
        soon(lambda: not http.get("/orders", params={"account": "many"}).json()["orders"][0]["leaves_quantity"] or None)


def test_a_filled_order_cannot_be_cancelled(running: LiveStack) -> None:
    with running.client() as http:
        order_id = http.post("/orders", json={**EXAMPLE, "account": "late", "quantity": "0.001"}).json()["order_id"]
        filled(running, order_id)
        refused = http.delete(f"/orders/{order_id}")
        assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "illegal_transition", "filled")
        assert http.get(f"/orders/{order_id}").json()["status"] == "filled"
        assert http.get(f"/orders/{order_id}/events").json()["events"][-1]["type"] == "OrderFilled", "a refused request is no fact"


def test_risk_refuses_with_its_numbers(running: LiveStack) -> None:
    with running.client() as http:
        order = {**EXAMPLE, "account": "big", "quantity": "3", "client_order_id": "too-big"}
        answer = http.post("/orders", json=order).json()
        assert (answer["status"], answer["reason"]) == ("rejected", "order_size_limit")
        assert answer["detail"] == {"found": "135000", "limit": "100000", "unit": "USD"}
        again = http.post("/orders", json=order).json()
        assert again == {**answer, "replayed": True}


def test_the_machine_is_drawn_with_live_counts(running: LiveStack) -> None:
    with running.client() as http:
        assert "stateDiagram" in http.get("/diagram").text
        svg = http.get("/diagram", params={"format": "svg", "counts": "1"})
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in svg.text


def test_a_previewed_order_then_goes_where_the_preview_said_for_what_the_preview_found(running: LiveStack) -> None:
    order = {"account": "previews", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.01"}
    with running.client() as http, running.client("risk") as risk, running.client("exeq") as exeq:
        listed = {each["symbol"]: each for each in http.get("/instruments").json()["instruments"]}
        assert (listed["BTCUSDT"]["tick"], listed["BTCUSDT"]["venues"]) == (0.01, ["PAPER_A", "PAPER_B"])
        checked = risk.post("/check?explain=all", json=order).json()
        assert (checked["approved"], {check["outcome"] for check in checked["checks"]} <= {"passed", "not_applicable"}) == (True, True)
        route = exeq.post("/routes/preview", json=order).json()
        submitted = http.post("/orders", json={**order, "client_order_id": "previewed"}).json()
        filled(running, submitted["order_id"])
        events = {event["type"]: event for event in http.get(f"/orders/{submitted['order_id']}/events").json()["events"]}
        assert (events["OrderRouted"]["legs"][0]["venue"], events["OrderRouted"]["policy"]) == (route["choice"], route["policy"])
        assert [seen["venue"] for seen in events["OrderRouted"]["candidates"]] == [seen["venue"] for seen in route["candidates"]]
        recorded = [check["name"] for check in events["OrderRiskChecked"]["checks"]]
        assert [check["name"] for check in checked["checks"] if check["found"]] == recorded
        picture = http.get("/diagram?format=json&counts=1").json()
        assert next(each["count"] for each in picture["states"] if each["state"] == "filled") > 0
        assert set(exeq.get("/reconciliation").json()) == {"last_pass", "last_failure", "passes", "failed", "running", "began_at"}


def test_all_services_answer_their_health_word_for_word(running: LiveStack) -> None:
    for name in ("oms", "risk", "exeq", "live-gateway", "projector"):
        with running.client(name) as http:
            assert http.get("/health").text.replace(" ", "") == '{"status":"healthy"}'
            assert http.get("/ready").status_code == 200
            assert http.get("/stats").json()["service"] == name
            assert http.get("/openapi.json").status_code == 200
    logs = "".join(path.read_text() for path in (running.data_dir / "logs").glob("*.jsonl"))
    for sentence in ("Connected to NATS", "Connected to Redis", "Connected to QuestDB"):
        assert sentence in logs


def test_real_closes_are_loaded_from_the_command_line_and_the_old_ones_told_from_the_missing(running: LiveStack) -> None:
    for _ in range(2):
        loaded = running.trade("prices", "load", "tests/data/daily_closes.csv")
        assert loaded.returncode == 0, loaded.stderr
        assert "SPY" in loaded.stdout

    def history() -> dict[str, str] | None:
        with running.client("risk") as http:
            unusable: dict[str, str] = http.get("/stats").json()["price_history"]["unusable"]
        return unusable if unusable["SPY"] == "old" else None

    assert soon(history)["ETHUSD"] == "missing"
    if "questdb" in running.urls:
        assert running.query("SELECT count() FROM daily_closes WHERE symbol = 'SPY'") == [[504]]
    with running.client() as http:
        answer = http.post("/orders", json={"account": "old", "symbol": "SPY", "side": "buy", "quantity": "1", "price": "200"}).json()
    assert (answer["status"], answer["reason"], answer["detail"]["found"]) == ("rejected", "no_price_history", "SPY old")


def test_one_close_of_a_simulated_symbol_is_named_short_stops_nothing_and_is_taken_back(running: LiveStack, tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("date,symbol,close\n2014-12-31,ETHUSDT,2500\n")
    loaded = running.trade("prices", "load", str(file))
    assert loaded.returncode == 0
    assert "ETHUSDT is short: 1 of the 31 real closes" in loaded.stderr

    def remarks(wanted: list[str]) -> bool:
        with running.client("risk") as http:
            found = http.get("/stats").json()["price_history"]["remarks"].get("ETHUSDT", [])
        return [remark for remark in found if remark.startswith("simulated")] == wanted

    assert soon(lambda: remarks(["simulated: only 1 of the 31 real closes that are needed"]) or None)
    with running.client() as http:
        order = {"account": "short", "symbol": "ETHUSDT", "side": "buy", "quantity": "0.01", "price": "2300"}
        assert http.post("/orders", json=order).json()["status"] == "submitted"
    taken_back = running.trade("prices", "forget", "ETHUSDT", "--source", "one.csv")
    assert (taken_back.returncode, taken_back.stdout) == (0, "Closes of ETHUSDT removed: 1\n")
    assert soon(lambda: remarks([]) or None)
    assert running.trade("prices", "forget", "ETHUSDT").returncode == 1
