"""A bracket on the real servers: oms asks risk once, the exits follow the entry, and the stop sleeps in exeq."""

from tests.flows.test_life import answer_once
from tests.stack import LiveStack

WITHIN_S = 60.0


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
        resting = answer_once(
            http, path, lambda found: [each["status"] for each in found["orders"]] == ["filled", "routed", "queued"], WITHIN_S
        )
        assert [each["leaves_quantity"] for each in resting["orders"]] == [0, 0.01, 0.01]
        assert http.delete(path, params={"exits": "cancel"}).status_code in (200, 202)
        ended = answer_once(http, path, lambda found: found["reason"] is not None, WITHIN_S)
        assert (ended["status"], [each["status"] for each in ended["orders"]]) == ("done", ["filled", "cancelled", "cancelled"])
        assert [each["type"] for each in http.get(f"{path}/events").json()["events"]][-1] == "ListEnded"
