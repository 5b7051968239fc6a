"""A trailing stop on a whole stack, whose exeq is killed between two steps: the stop price comes back, and never loosens."""

from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.flows.stepped_market import stepped
from tests.flows.test_life import soon
from tests.stack import LiveStack

BIDS: Final = (100, 103, 101, 106, 105, "100.9")
QUOTES: Final = [f"2026-04-20T18:3{minute}:00Z,OIL,{bid},10,107,10" for minute, bid in enumerate(BIDS)]


class Desk:
    """A client, the market, and one order."""

    def __init__(self, oms: httpx.Client, gateway: httpx.Client) -> None:
        self.oms, self.gateway = oms, gateway
        self.order_id = ""

    def advance(self) -> None:
        assert self.gateway.post("/quotes/advance", json={"rows": 1}).status_code == 200

    def submit(self) -> None:
        body = {"account": "alice", "symbol": "OIL", "side": "sell", "quantity": 2, "type": "trailing_stop", "trail_amount": 5}
        answer = self.oms.post("/orders", json=body)
        assert answer.json()["status"] == "submitted", answer.text
        self.order_id = str(answer.json()["order_id"])

    def order(self) -> dict[str, Any]:
        found: dict[str, Any] = self.oms.get(f"/orders/{self.order_id}").json()
        return found

    def stops_at(self, price: float) -> None:
        soon(lambda: self.order()["trail"]["stop_price"] == price or None, within_s=60)

    def steps(self) -> list[tuple[str, float, float]]:
        events = self.oms.get(f"/orders/{self.order_id}/events").json()["events"]
        return [(event["type"], event["stop_price"], event["best"]) for event in events if event.get("best")]


@pytest.mark.timeout(600)
def test_an_exeq_that_is_killed_between_two_steps_has_the_stop_price_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADE_INSTRUMENTS", str(tmp_path / "config" / "instruments.yaml"))
    stack = LiveStack(tmp_path / "data", *stepped(tmp_path, QUOTES))
    stack.topology = "services"
    stack.start()
    try:
        with stack.client() as oms, stack.client("live-gateway") as gateway:
            desk = Desk(oms, gateway)
            desk.advance()
            desk.submit()
            desk.stops_at(95)
            desk.advance()
            desk.stops_at(98)
            stack.kill("exeq")
            stack.await_ready()
            desk.advance()  # 101: below the best, above the stop price
            assert desk.order()["stop_price"] == 98
            desk.advance()
            desk.stops_at(101)
            desk.advance()  # 105
            desk.advance()
            filled = soon(lambda: order if (order := desk.order())["status"] == "filled" else None, within_s=60)
            assert (filled["average_price"], filled["stop_price"], filled["trail"]["best"]) == (100.9, 101, 106)
            assert desk.steps() == [
                ("StopTrailed", 95, 100),
                ("StopTrailed", 98, 103),
                ("StopTrailed", 101, 106),
                ("OrderTriggered", 101, 106),
            ]
        assert (verified := stack.trade("verify")).returncode == 0, verified.stdout + verified.stderr
    finally:
        stack.close()
