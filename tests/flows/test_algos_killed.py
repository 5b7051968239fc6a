"""Parents on a whole stack, whose exeq is killed between two slices: it continues with the next one, and verify finds every slice right."""

from pathlib import Path
from time import time_ns
from typing import Any, Final

import httpx
import pytest

from domain.values import rfc3339
from tests.flows.stepped_market import stepped
from tests.flows.test_life import soon
from tests.stack import LiveStack

QUOTES: Final = ["2026-04-20T18:30:00Z,OIL,9.99,90000,10,90000"]
WITHIN_S: Final = 60.0
SECOND: Final = 1_000_000_000


class AlgoClient:
    """A client and its parents."""

    def __init__(self, oms: httpx.Client) -> None:
        self.oms = oms

    def submit(self, name: str, **body: Any) -> str:
        asked = {"account": "alice", "client_algo_id": name, "symbol": "OIL", "side": "buy", **body}
        answer = self.oms.post("/algos", json=asked)
        assert answer.json().get("status") == "submitted", answer.text
        assert self.oms.post("/algos", json=asked).json() == answer.json() | {"replayed": True}
        return str(answer.json()["algo_id"])

    def get(self, algo_id: str, what: str = "") -> dict[str, Any]:
        answer = self.oms.get(f"/algos/{algo_id}{what}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def until(self, algo_id: str, **expected: Any) -> dict[str, Any]:
        """Return the parent once it has at least these numbers, and these words."""

        def looks() -> dict[str, Any] | None:
            found = self.get(algo_id)
            fits = [found[name] == value if isinstance(value, str) else found[name] >= value for name, value in expected.items()]
            return found if all(fits) else None

        return soon(looks, within_s=WITHIN_S)

    def children(self, algo_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.oms.get("/orders", params={"group_id": algo_id, "limit": 1000}).json()["orders"]
        return found


@pytest.mark.timeout(600)
def test_an_exeq_that_is_killed_between_two_slices_continues_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADE_INSTRUMENTS", str(tmp_path / "config" / "instruments.yaml"))
    stack = LiveStack(tmp_path / "data", *stepped(tmp_path, QUOTES))
    stack.topology = "services"
    stack.start()
    try:
        with stack.client() as oms, stack.client("live-gateway") as gateway:
            assert gateway.post("/quotes/advance", json={"rows": 1}).status_code == 200
            client = AlgoClient(oms)
            params = {"interval_sec": 0.5, "child": "far", "on_end": "complete", "seed": 7}
            end_at = rfc3339(time_ns() + 3600 * SECOND)
            twap = client.submit("twap", quantity=7200, strategy="twap", end_at=end_at, params=params)
            client.until(twap, cum_quantity=3)
            stack.kill("exeq")
            stack.await_ready()
            killed_at = client.get(twap)["slices_done"]
            client.until(twap, slices_done=killed_at + 3)
            amended = oms.patch(f"/algos/{twap}", json={"end_at": rfc3339(time_ns() + 6 * SECOND)})
            assert amended.status_code == 200, amended.text
            iceberg = client.submit("iceberg", quantity=6, strategy="iceberg", limit_price=10, params={"display_quantity": 2})
            ended = client.until(iceberg, status="done")
            assert (ended["reason"], ended["cum_quantity"], ended["children"], ended["average_price"]) == ("filled", 6, 3, 10)
            ended = client.until(twap, status="done")
            assert (ended["reason"], ended["cum_quantity"], ended["working_quantity"]) == ("filled", 7200, 0)
            slices = client.get(twap, "/slices")["slices"]
            assert [each["n"] for each in slices] == list(range(1, len(slices) + 1))
            assert sum(each["cum_quantity"] for each in slices) == 7200
            children = client.children(twap)
            assert sorted(child["order_id"] for child in children) == sorted(each["order_id"] for each in slices if each["quantity"])
            report = client.get(twap, "/report")
            assert (report["cum_quantity"], report["average_price"], report["taker_pct"], report["refusals"]) == (7200, 10, 100, 0)
            assert report["to_arrival"] == {"benchmark": 9.995, "bps": 5.0025, "money": 36}
            stack.kill("oms")
            stack.await_ready()
            assert client.get(twap, "/report") == report
            assert client.get(twap) == ended
        assert (verified := stack.trade("verify")).returncode == 0, verified.stdout + verified.stderr
    finally:
        stack.close()
