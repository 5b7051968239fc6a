"""A venue that opens in a moment, on a whole stack: what waits for the opening outlives every process, and trades then."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from domain.values import from_rfc3339
from tests.flows.test_life import soon
from tests.stack import PATIENT, LiveStack

VENUES: Final = """simulated_quotes:
  BTCUSDT: {start: 45000, swing_pct: 0.05, size: 2}
venues:
  PAPER_A:
    fees: {maker_bps: 2, taker_bps: 10}
"""
LEAST_S: Final = 10
"""How far ahead the opening is at least. It is further on a machine on which the stack takes long to begin."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    config = tmp_path / "config"
    config.mkdir()
    for service in PATIENT.iterdir():
        (config / service.name).symlink_to(service)
    (config / "venues.yaml").write_text(VENUES)
    live = LiveStack(tmp_path / "data", "--config-dir", str(config))
    yield live
    live.close()


def opens_after(stack: LiveStack, config: Path, seconds: int) -> int:
    """The venue opens then, for an hour: nanoseconds UTC. Every service is killed and comes back with these hours."""
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    end = begin + timedelta(hours=1)
    hours = f'    calendar: {{opens: "{begin:%H:%M:%S}", closes: "{end:%H:%M:%S}"}}\n'
    (config / "venues.yaml").write_text(VENUES + hours)
    for name in ("unit", "live-gateway"):
        stack.kill(name)
    stack.await_ready()
    return int(begin.timestamp()) * 10**9


def test_an_order_for_the_opening_outlives_kill_9_and_trades_after_it(stack: LiveStack, tmp_path: Path) -> None:
    began = time.monotonic()
    stack.start()
    opening = opens_after(stack, tmp_path / "config", LEAST_S + 2 * int(time.monotonic() - began))
    with stack.client() as oms:
        order = {"account": "alice", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "time_in_force": "opg"}
        answer = soon(lambda: submitted(oms, order), within_s=60)
        address = f"/orders/{answer['order_id']}"
        waiting = oms.get(address).json()
        assert (waiting["status"], waiting["emulated"]) == ("queued", True)
        assert from_rfc3339(waiting["release_at"]) == opening
        stack.kill("unit")
        stack.await_ready()
    with stack.client() as oms:
        soon(lambda: oms.get(address).json()["status"] == "filled" or None, within_s=300)
        story = oms.get(f"{address}/events").json()["events"]
        at = {event["type"]: from_rfc3339(event["at"]) for event in story}
        assert [event["type"] for event in story].count("OrderReleased") == 1
        assert opening <= at["OrderReleased"] <= at["OrderRouted"] <= at["OrderFilled"]
        assert stack.trade("verify").returncode == 0


def submitted(oms: httpx.Client, order: dict[str, str]) -> Any:
    """The answer, once risk has a price again."""
    found = oms.post("/orders", json=order)
    return found.json() if found.json().get("status") == "submitted" else None
