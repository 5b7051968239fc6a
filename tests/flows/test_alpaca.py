"""The Alpaca facade of a whole stack: a real order, what it leaves in the account, and a key that is revoked."""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import httpx

from tests.stack import LiveStack

ORDER: Final = {"symbol": "BTC/USDT", "qty": "0.05", "side": "buy", "type": "market", "time_in_force": "gtc"}
SETTLES_S: Final = 120.0


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SETTLES_S
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return result


def test_an_order_fills_and_the_account_position_and_trades_agree(running: LiveStack) -> None:
    made = running.trade("key", "create", "--account", "alpaca-flow", "--scopes", "trade,read", "--json")
    key = json.loads(made.stdout)
    headers = {"APCA-API-KEY-ID": key["key_id"], "APCA-API-SECRET-KEY": key["secret"]}
    with httpx.Client(base_url=f"{running.url('oms').rstrip('/')}/alpaca/v2", headers=headers, timeout=60) as client:
        before = client.get("/account").json()
        assert (before["account_number"], before["equity"], before["cash"]) == ("alpaca-flow", "100000", "100000")
        placed = client.post("/orders", json=ORDER)
        assert (placed.status_code, placed.json()["status"]) == (200, "accepted")
        address = f"/orders/{placed.json()['id']}"
        order = until(lambda: (found := client.get(address).json())["status"] == "filled" and found)

        (position,) = client.get("/positions").json()
        assert (position["symbol"], position["qty"], position["qty_available"]) == ("BTC/USDT", "0.05", "0.05")
        assert position["avg_entry_price"] == order["filled_avg_price"]
        fills = client.get("/account/activities/FILL").json()
        assert {fill["order_id"] for fill in fills} == {order["id"]}
        assert fills[0]["cum_qty"] == "0.05"
        account = until(lambda: (found := client.get("/account").json())["long_market_value"] != "0" and found)
        assert Decimal(account["cash"]) + Decimal(account["long_market_value"]) == Decimal(account["equity"])

        with running.client() as oms:
            native = oms.get(f"/orders/{order['id'].replace('-', '')}").json()
        assert (native["account"], native["status"], native["cum_quantity"]) == ("alpaca-flow", "filled", 0.05)
        closing = client.delete("/positions/BTC/USDT").json()
        assert (closing["qty"], closing["side"]) == ("0.05", "sell")
        until(lambda: not client.get("/positions").json())

        assert client.patch("/account/configurations", json={"suspend_trade": True}).json()["suspend_trade"] is True
        assert client.post("/orders", json=ORDER).json()["message"] == "new orders are rejected by user request"
        assert client.patch("/account/configurations", json={"suspend_trade": False}).json()["suspend_trade"] is False

        assert running.trade("key", "revoke", key["key_id"]).returncode == 0
        answer = client.get("/orders")
        assert (answer.status_code, answer.json()) == (401, {"code": 40110000, "message": "request is not authorized"})
