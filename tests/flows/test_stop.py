"""Ctrl-C and SIGTERM under load: an orderly end, nothing acknowledged is lost, and the next start carries on."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.flows.audit import audit
from tests.flows.test_life import soon
from tests.flows.traffic import ACCOUNTS, RISK_WAS_SILENT, Traffic
from tests.stack import LiveStack

ORDERS: Final = 300
A_SECOND: Final = 150.0
STOPPED_WITHIN_S: Final = 60.0


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One data directory that is stopped and started again and again, as a unit and as services by themselves."""
    started = LiveStack(tmp_path_factory.mktemp("stopped") / "data", "--fills", "sqlite")
    started.topology = "services"
    yield started.start()
    started.close()


def resting(stack: LiveStack, account: str) -> str:
    """An order that waits at its venue for a price that does not come."""
    order = {"account": account, "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}

    def submit() -> str | None:
        with stack.client() as http:
            answer = http.post("/orders", json=order).json()
        return answer["order_id"] if answer["status"] == "submitted" else None

    order_id = soon(submit)
    soon(lambda: next((route["venue_order_id"] for route in shown(stack, order_id)["routes"] if route["venue_order_id"]), None))
    return order_id


def shown(stack: LiveStack, order_id: str) -> dict[str, Any]:
    with stack.client() as http:
        order: dict[str, Any] = http.get(f"/orders/{order_id}").json()
    return order


def cancelled(stack: LiveStack, order_id: str) -> bool | None:
    with contextlib.suppress(httpx.TransportError):
        return shown(stack, order_id).get("status") == "cancelled" or None
    return None


@pytest.mark.parametrize(("number", "then"), [(signal.SIGINT, "unit"), (signal.SIGTERM, "services")])
async def test_stopped_in_the_middle_of_the_traffic_it_ends_well_and_carries_on(
    stopped: LiveStack, number: signal.Signals, then: str
) -> None:
    """FAILURES 5, 73. The clients go on asking through the stop, until the next start has answered them all."""
    traffic = Traffic(stopped, number.name)
    await traffic.seed()
    left = await asyncio.to_thread(resting, stopped, f"{number.name}-resting")
    flowing = asyncio.create_task(traffic.flow(ORDERS, A_SECOND))
    await traffic.moving()
    began = time.monotonic()
    assert await asyncio.to_thread(stopped.stop, number) == 0
    assert time.monotonic() - began < STOPPED_WITHIN_S
    assert "killed" not in stopped.said().rpartition("stopping (")[2], "all went of themselves"
    answered = sum(bool(asked.answer) for asked in traffic.asked)
    assert 4 < answered < len(traffic.asked) + 1
    stopped.topology = then
    await asyncio.to_thread(stopped.start)
    await flowing
    assert traffic.tries_in_vain, "no client noticed: it proves nothing"
    assert traffic.refusals() <= set(RISK_WAS_SILENT)
    settled = await audit(stopped, traffic)
    assert settled.filled > ACCOUNTS, "nothing but the seeds was filled: it proves nothing"

    assert shown(stopped, left)["status"] == "routed"
    with stopped.client() as http:
        assert http.delete(f"/orders/{left}").status_code in (200, 202)
    soon(lambda: cancelled(stopped, left))


@pytest.mark.parametrize("name", ["exeq", "live-gateway"])
def test_a_cancel_that_could_not_be_sent_is_sent_later(stopped: LiveStack, name: str) -> None:  # FAILURES 36
    order_id = resting(stopped, f"cancel-{name}")
    stopped.kill(name)
    with stopped.client() as http:
        assert http.delete(f"/orders/{order_id}").status_code == 202
    stopped.await_ready()
    soon(lambda: cancelled(stopped, order_id), within_s=15)
