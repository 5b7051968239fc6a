"""`trade verify`, `POST /admin/verify` and the past, on the whole stack: planted differences are found, and repaired ones verify again."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from config.loading import BACKEND
from tests.flows.test_life import soon
from tests.flows.test_replay import sentences, traded
from tests.stack import LiveStack

KEY = "position:ann:BTCUSDT"
CHECKS = ["journal", "orders", "order store", "positions", "fills", "oms", "controls", "access"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """ann and bob have traded, and ann has an order that waits. Verification over HTTP is allowed. Every scene leaves it whole."""
    home = tmp_path_factory.mktemp("verify")
    config = home / "config" / "oms" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text((BACKEND / "oms" / "config.yaml").read_text().replace("verify: disabled", "verify: enabled"))
    started = LiveStack(home / "data", "--fills", "sqlite", "--config-dir", str(home / "config")).start()
    try:
        for account, side, quantity in (("ann", "buy", "0.2"), ("bob", "buy", "0.1"), ("ann", "sell", "0.05")):
            traded(started, account, side, quantity)
        with started.client() as http:
            waits = {"account": "ann", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "price": "40000"}
            assert http.post("/orders", json=waits).json()["status"] == "submitted"
        soon(lambda: verified(started)["complete"] or None)
        yield started
    finally:
        started.close()


def verified(stack: LiveStack, code: int | None = None) -> dict[str, Any]:
    """The report of `trade verify --json`."""
    done = stack.trade("verify", "--json")
    assert code is None or done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def asked(stack: LiveStack) -> dict[str, Any]:
    """The report of oms."""
    answer = httpx.post(f"{stack.url('oms')}/admin/verify", timeout=60)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def test_a_stack_that_is_whole_verifies(stack: LiveStack) -> None:
    done = stack.trade("verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:12].rstrip() for line in done.stdout.splitlines()] == CHECKS
    assert all(line[13:].startswith("OK: ") for line in done.stdout.splitlines()), done.stdout
    report = verified(stack, 0)
    assert report["complete"]
    assert report["checks"][0]["counts"]["high_water_mark"] > 0
    by_oms = asked(stack)
    assert by_oms["complete"]
    assert by_oms["checks"] == report["checks"], "both look at the same things, and nothing happens meanwhile"


def test_a_changed_position_is_found_by_both_and_corrected(stack: LiveStack) -> None:
    with contextlib.closing(redis.Redis.from_url(stack.url("valkey"), db=5, decode_responses=True)) as valkey:
        valkey.hset(KEY, "quantity", "7")
    done = stack.trade("verify")
    assert done.returncode == 1
    assert "positions: ann BTCUSDT quantity: 0.15 by the journal, 7 in Valkey" in sentences(done.stderr)
    assert asked(stack)["first_difference"] == "positions: ann BTCUSDT quantity: 0.15 by the journal, 7 in Valkey"
    assert stack.trade("replay", "positions", "--write").returncode == 0
    assert verified(stack, 0)["ok"]


def test_a_missing_fill_and_a_tampered_order_are_found(stack: LiveStack) -> None:
    fills, orders = stack.data_dir / "fills.db", stack.data_dir / "orders.db"
    with planted(fills, "DELETE FROM fills WHERE account = 'bob'"):
        assert "in the journal and not in the table" in verified(stack, 1)["first_difference"]
    with planted(orders, "UPDATE orders SET symbol = 'ETHUSDT' WHERE account = 'bob'"):
        assert "order store: the row of order" in verified(stack, 1)["first_difference"]
    assert verified(stack, 0)["complete"]


@contextlib.contextmanager
def planted(file: Path, statement: str) -> Iterator[None]:
    """The table with one thing wrong; afterwards as it was."""
    table = statement.split()[2] if statement.startswith("DELETE") else statement.split()[1]
    with contextlib.closing(sqlite3.connect(file, timeout=5)) as connection:
        before = connection.execute(f"SELECT * FROM {table}").fetchall()
        with connection:
            assert connection.execute(statement).rowcount
        try:
            yield
        finally:
            marks = ",".join("?" * len(before[0]))
            with connection:
                connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", before)


def test_it_verifies_while_it_trades_and_the_trading_does_not_wait(stack: LiveStack) -> None:
    over = threading.Event()
    waited: list[float] = []

    def trade() -> None:
        with stack.client() as http:
            while not over.is_set():
                began = time.monotonic()
                order = {"account": "eve", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "45900"}
                assert http.post("/orders", json=order).status_code == 200
                waited.append(time.monotonic() - began)
                time.sleep(0.01)

    trading = threading.Thread(target=trade)
    trading.start()
    try:
        for report in (verified(stack, 0), asked(stack), verified(stack, 0)):
            assert report["complete"], report
    finally:
        over.set()
        trading.join()
    assert len(waited) > 20
    assert sorted(waited)[len(waited) // 2] < 2.0, "far from what it takes, and far from a verification"


def test_one_verification_at_a_time(stack: LiveStack) -> None:
    codes: list[int] = []

    def ask() -> None:
        codes.append(httpx.post(f"{stack.url('oms')}/admin/verify", timeout=60).status_code)

    together = [threading.Thread(target=ask) for _ in range(3)]
    for each in together:
        each.start()
    for each in together:
        each.join()
    assert sorted(codes) == [200, 409, 409]


def test_a_server_that_is_away_is_3(stack: LiveStack) -> None:
    done = stack.trade("verify", "--port-offset", str(stack.offset + 25))
    assert done.returncode == 3, done.stdout + done.stderr


def test_the_past_is_the_same_by_every_way(stack: LiveStack) -> None:
    with stack.client() as http:
        (waits,) = http.get("/orders", params={"account": "ann", "status": "routed"}).json()["orders"]
        timeline = http.get(f"/orders/{waits['order_id']}/events").json()["events"]
        end = waits["seq"]
        for seq in (1, *range(2, end, 3), end):
            answer = http.get("/positions/ann", params={"at_seq": seq})
            assert (answer.status_code, answer.headers["As-Of-Seq"]) == (200, str(seq)), answer.text
            replay = stack.trade("replay", "positions", "--to-seq", str(seq), "--account", "ann").stdout
            shown = [line.split()[1:3] for line in replay.splitlines()[1:]]
            assert [[symbol, str(view["quantity"])] for symbol, view in answer.json().items()] == shown
        now = http.get("/positions/ann").json()["BTCUSDT"]
        then = http.get("/positions/ann", params={"at_seq": end}).json()["BTCUSDT"]
        assert {name: now[name] for name in ("quantity", "average_price", "fees", "seq")} == {
            name: then[name] for name in ("quantity", "average_price", "fees", "seq")
        }
        beyond = http.get("/positions/ann", params={"at_seq": 10**9})
        assert (beyond.status_code, beyond.json()["code"]) == (422, "seq_not_reached")
    born = timeline[0]["seq"]
    printed = stack.trade("positions", "ann", "--at-seq", str(end), "--json").stdout
    assert json.loads(printed)["BTCUSDT"] == then
    assert json.loads(stack.trade("order", "show", waits["order_id"], "--at-seq", str(born), "--json").stdout)["version"] < waits["version"]
    assert stack.trade("order", "show", waits["order_id"], "--at-seq", str(born - 1)).returncode == 1
    refused = stack.trade("positions", "ann", "--at-seq", "1000000000")
    assert refused.returncode == 1
    assert "seq_not_reached" in refused.stderr
