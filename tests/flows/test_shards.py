"""A stack of four shards: orders of every shard fill, all of it survives kill -9, and every view agrees with its journal."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apps.runtime.exit_codes import Exit
from domain.shards import Shards
from tests.stack import CHECKOUT, HANGS_S, POLL_S, LiveStack

SHARDS = Shards(4)
ACCOUNTS = tuple(f"acct-{number}" for number in range(8))
BOUGHT = "0.01"


def bought(stack: LiveStack, name: str) -> dict[str, str]:
    """One order of each account; their ids by account."""
    found = {}
    with stack.client() as oms:
        for account in ACCOUNTS:
            body = {"account": account, "symbol": "BTCUSDT", "side": "buy", "quantity": BOUGHT, "client_order_id": name}
            answer = oms.post("/orders", json=body)
            assert (answer.status_code, answer.json()["status"]) == (200, "submitted"), answer.text
            assert (answer.headers["Shard"], answer.json()["shard"]) == (str(SHARDS.of(account)), SHARDS.of(account))
            found[account] = answer.json()["order_id"]
    return found


def verified(stack: LiveStack) -> None:
    """Every view agrees with its journal. The orders have ended then, because nothing waits for a venue."""
    done = stack.trade("verify")
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    names = [line.split(" OK")[0].rstrip() for line in done.stdout.splitlines()]
    assert [name for name in names if name.startswith("journal")] == [f"journal {shard}" for shard in range(SHARDS.count)]
    assert [name for name in names if name.startswith(("controls", "access"))] == ["controls", "access"], "they are of all shards"


def ended(stack: LiveStack, orders: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The orders by account, once all of them have ended."""
    deadline = time.monotonic() + HANGS_S
    with stack.client() as oms:
        while True:
            found: dict[str, dict[str, Any]] = {account: oms.get(f"/orders/{order_id}").json() for account, order_id in orders.items()}
            if all(order["closed_at"] for order in found.values()):
                return found
            assert time.monotonic() < deadline, f"not all orders have ended:\n{stack.said()}"
            time.sleep(POLL_S)


def arrived(order: dict[str, Any]) -> bool:
    """Whether the order was filled. One that the kill caught between its route and its request never arrived, which the venue confirms."""
    assert order["status"] == "filled" or order["reason"] == "never_arrived", order
    return bool(order["status"] == "filled")


def refused_with(stack: LiveStack, *arguments: str) -> str:
    """What `trade up` says when it does not start in this data directory."""
    command = [sys.executable, "-m", "apps.stack", "--data-dir", str(stack.data_dir), *arguments]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=HANGS_S, check=False)
    assert ended.returncode == Exit.USAGE, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.timeout(900)
def test_orders_of_every_shard_fill_and_survive_a_kill(tmp_path: Path) -> None:
    assert {SHARDS.of(account) for account in ACCOUNTS} == set(range(SHARDS.count)), "every shard has an account"
    stack = LiveStack(tmp_path / "data", "--shards", str(SHARDS.count), "--fills", "sqlite").start()
    try:
        first = bought(stack, "before")
        stack.kill("unit")
        stack.await_ready()
        second = bought(stack, "after")
        before, after = ended(stack, first), ended(stack, second)
        assert all(order["status"] == "filled" for order in after.values())
        with stack.client() as oms:
            for account in ACCOUNTS:
                orders = [order for order in (before[account], after[account]) if arrived(order)]
                held = oms.get(f"/positions/{account}", params={"min_seq": max(order["seq"] for order in orders)})
                assert held.headers["Shard"] == str(SHARDS.of(account))
                assert held.json()["BTCUSDT"]["quantity"] == (0.01, 0.02)[len(orders) - 1]
            every = oms.get("/orders", params={"limit": 500}).json()["orders"]
        assert {order["order_id"] for order in every} == {*first.values(), *second.values()}
        assert {order["shard"] for order in every} == set(range(SHARDS.count))
        verified(stack)
        assert stack.trade("replay", "positions").returncode == Exit.DONE
        assert stack.trade("backup", str(tmp_path / "backup.gz")).returncode == Exit.DONE
        stack.stop()
        assert f"was created with {SHARDS.count} shards, and --shards is 2" in refused_with(stack, "--shards", "2")
    finally:
        stack.close()
