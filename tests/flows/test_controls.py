"""The kill switch drill and limits on a whole stack, as an operator does it from the command line."""

import re
import time

from tests.stack import LiveStack

WITHIN_S = 120.0
BY = ("--reason", "a drill", "--who")
ORDER = ("order", "submit", "buy", "0.001", "BTCUSDT")


def until_cancelled(stack: LiveStack, order_id: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    with stack.client() as oms:
        while (status := oms.get(f"/orders/{order_id}").json()["status"]) != "cancelled":
            assert time.monotonic() < deadline, status
            time.sleep(0.05)


def test_the_drill_from_the_first_throw_to_the_last_arming(fresh: LiveStack) -> None:  # FAILURES 41, 42
    with fresh.client() as oms:
        resting = oms.post("/orders", json={"symbol": "BTCUSDT", "side": "buy", "quantity": 0.001, "price": 40000}).json()["order_id"]
    thrown = fresh.trade("kill", "all", *BY, "ann")
    assert (thrown.returncode, thrown.stdout) == (0, "Killed: all. exeq acknowledged, oms acknowledged.\n"), thrown.stderr
    refused = fresh.trade(*ORDER)
    assert (refused.returncode, "killed" in refused.stdout + refused.stderr) == (1, True)
    until_cancelled(fresh, resting)
    with fresh.client() as oms:
        ended = oms.get(f"/orders/{resting}").json()
    assert (ended["reason"], ended["source"]) == ("killed", "risk_control")
    asked = fresh.trade("arm", "all", *BY, "ann")
    token = re.search(r"--token (\w+)", asked.stdout)
    assert token, asked.stdout + asked.stderr
    alone = fresh.trade("arm", "all", "--token", token.group(1), *BY, "ann")
    assert (alone.returncode, "second_person_required" in alone.stderr) == (1, True)
    assert fresh.trade("arm", "all", "--token", token.group(1), *BY, "eve").returncode == 0
    assert fresh.trade(*ORDER).returncode == 0
    local = fresh.trade("kill", "account:main", "--local", *BY, "ann")
    assert (local.returncode, local.stdout) == (0, "Killed: account:main. exeq acknowledged.\n"), local.stderr
    deadline = time.monotonic() + WITHIN_S
    while "account:main" not in fresh.trade("risk", "controls").stdout:
        assert time.monotonic() < deadline
    assert fresh.trade(*ORDER).returncode == 1


def test_limits_set_from_the_command_line_hold_for_the_next_order_and_survive_a_restart(fresh: LiveStack) -> None:
    done = fresh.trade("risk", "limits", "set", "main", "--max-order-size-usd", "10", *BY, "ann")
    assert done.returncode == 0, done.stderr
    refused = fresh.trade(*ORDER)
    assert (refused.returncode, "limit 10 USD" in refused.stdout + refused.stderr) == (1, True)
    fresh.kill("risk")
    time.sleep(1)
    fresh.await_ready()
    again = fresh.trade(*ORDER)
    assert "order_size_limit" in again.stdout + again.stderr
    shown = fresh.trade("risk", "history").stdout
    assert "main: defaults -> max_order_size_usd 10" in shown
    assert fresh.trade("risk", "limits", "set", "main", "--unset", "max_order_size_usd", *BY, "eve").returncode == 0
    assert fresh.trade(*ORDER).returncode == 0
