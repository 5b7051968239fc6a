"""A bracket on the real servers: oms asks risk once, the exits follow the entry, and the stop sleeps in exeq."""

import time
from collections.abc import Callable
from typing import Any

from tests.stack import LiveStack

WITHIN_S = 60.0


def soon(look: Callable[[], dict[str, Any]], is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + WITHIN_S
    while not is_so(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_a_bracket_lives_and_is_cancelled(running: LiveStack) -> None:
    with running.client() as http:
        body = {
            "account": "lists",
            "client_list_id": "b-1",
            "type": "bracket",
            "orders": [
                {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.01, "type": "market"},
                {"role": "take_profit", "price": 46000},
                {"role": "stop_loss", "stop_price": 43000},
            ],
        }
        answer = http.post("/order-lists", json=body).json()
        assert answer["status"] == "submitted", answer
        assert http.post("/order-lists", json=body).json() == answer | {"replayed": True}
        path = f"/order-lists/{answer['list_id']}"

        def look() -> dict[str, Any]:
            found: dict[str, Any] = http.get(path).json()
            return found

        resting = soon(look, lambda found: [each["status"] for each in found["orders"]] == ["filled", "routed", "queued"])
        assert [each["leaves_quantity"] for each in resting["orders"]] == [0, 0.01, 0.01]
        assert http.delete(path, params={"exits": "cancel"}).status_code in (200, 202)
        ended = soon(look, lambda found: found["reason"] is not None)
        assert (ended["status"], [each["status"] for each in ended["orders"]]) == ("done", ["filled", "cancelled", "cancelled"])
        assert [each["type"] for each in http.get(f"{path}/events").json()["events"]][-1] == "ListEnded"
