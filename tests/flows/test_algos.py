"""A twap on the real servers: oms asks risk about it once, exeq makes its slices, and the venues trade them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.flows.test_life import answer_once
from tests.stack import LiveStack

WITHIN_S = 90.0


def test_a_twap_trades_to_its_end(running: LiveStack) -> None:
    with running.client() as http:
        body = {
            "account": "algos",
            "client_algo_id": "t-1",
            "symbol": "BTCUSDT",
            "side": "buy",
            "quantity": 0.012,
            "strategy": "twap",
            "end_at": (datetime.now(UTC) + timedelta(seconds=6)).isoformat(),
            "params": {"interval_sec": 0.5, "child": "market", "catch_up": "next", "on_end": "complete", "seed": 7},
        }
        answer = http.post("/algos", json=body).json()
        assert (answer["status"], answer["seed"]) == ("submitted", 7), answer
        assert http.post("/algos", json=body).json() == answer | {"replayed": True}
        path = f"/algos/{answer['algo_id']}"
        done = answer_once(http, path, lambda found: found["status"] not in ("accepted", "working"), WITHIN_S)
        assert (done["status"], done["reason"], done["cum_quantity"], done["leaves_quantity"]) == ("done", "filled", 0.012, 0), done
        slices = http.get(f"{path}/slices").json()["slices"]
        assert sum(Decimal(str(each["cum_quantity"])) for each in slices) == Decimal("0.012")
        assert [each["n"] for each in slices] == list(range(1, len(slices) + 1))
        orders = http.get("/orders", params={"group_id": answer["algo_id"]}).json()["orders"]
        assert {(each["role"], each["status"]) for each in orders} == {("child", "filled")}
