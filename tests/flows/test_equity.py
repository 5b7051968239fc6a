"""What an account was worth, in a whole stack with QuestDB: it trades, and its history shows it natively and to a client of Alpaca."""

import json
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from tests.flows.test_alpaca import ORDER, until
from tests.stack import LiveStack


def test_an_account_that_trades_has_a_history(running: LiveStack) -> None:
    key = json.loads(running.trade("key", "create", "--account", "equity-flow", "--scopes", "trade,read", "--json").stdout)
    headers = {"APCA-API-KEY-ID": key["key_id"], "APCA-API-SECRET-KEY": key["secret"]}

    def samples() -> list[dict[str, Any]]:
        with running.client() as oms:
            answer = oms.get("/equity/equity-flow")
        assert answer.status_code == 200, answer.text
        return list(msgspec.json.decode(answer.content, type=dict[str, Any])["samples"])

    assert samples() == [], "nothing is written of an account that never traded"
    with httpx.Client(base_url=f"{running.url('oms').rstrip('/')}/alpaca/v2", headers=headers, timeout=60) as client:
        placed = client.post("/orders", json=ORDER)
        assert placed.status_code == 200, placed.text
        newest = until(lambda: next((sample for sample in samples() if sample["long"]), None))
        amounts = {name: Decimal(str(newest[name])) for name in ("equity", "cash", "long", "short")}
        assert amounts["short"] == 0
        assert abs(amounts["equity"] - amounts["cash"] - amounts["long"]) < Decimal("0.000001")
        assert 90_000 < amounts["cash"] < 98_500 < amounts["equity"] < 101_000
        history = client.get("/account/portfolio/history", params={"period": "1D", "timeframe": "1Min"}).json()
        assert len(history["timestamp"]) == len(history["equity"]) == len(history["profit_loss"]) >= 1
        assert all(99_000 < equity < 101_000 for equity in history["equity"])
        client.delete("/positions/BTC/USDT")
    shown = running.trade("equity", "equity-flow", "--interval", "1d")
    assert shown.stdout.split()[:5] == ["timestamp", "equity", "cash", "long", "short"]
