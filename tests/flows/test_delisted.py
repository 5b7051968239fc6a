"""A symbol that traded is taken out of the catalogue between two starts of a whole stack: docs/operations.md, "Changing what is traded"."""

import shutil
from pathlib import Path
from typing import Any, Final

import httpx

from tests.flows.test_life import soon
from tests.stack import PATIENT, LiveStack

ACCOUNT: Final = "delisting"


def catalogue(directory: Path, *symbols: str) -> None:
    """Instruments in USDT at one paper venue, quoted by the simulated market."""
    group = "tick: 0.01, lot: 0.001, quantity_max: 1000000, notional_min: 5, currency: USDT"
    (directory / "instruments.yaml").write_text(
        f"currencies: {{USD: 1, USDT: 1}}\ngroups:\n  - {{symbols: [{', '.join(symbols)}], {group}}}\n"
    )
    quoted = "".join(f"  {symbol}: {{start: 2000, swing_pct: 0.1, size: 100}}\n" for symbol in symbols)
    (directory / "venues.yaml").write_text(f"venues:\n  PAPER_A:\n    fees: {{maker_bps: 2, taker_bps: 10}}\nsimulated_quotes:\n{quoted}")


def submitted(http: httpx.Client, **terms: object) -> str:
    body = {"account": ACCOUNT, "side": "buy", "quantity": "0.01", **terms}
    return str(http.post("/orders", json=body).json()["order_id"])


def reaches(http: httpx.Client, order_id: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = http.get(f"/orders/{order_id}").json()
        return found if found["status"] == status else None

    return soon(look, within_s=60)


def test_what_traded_stays_readable_and_what_rests_can_be_cancelled_when_its_symbol_is_gone(tmp_path: Path) -> None:
    config = shutil.copytree(PATIENT, tmp_path / "config")
    catalogue(config, "BTCUSDT", "ETHUSDT")
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite", "--config-dir", str(config)).start()
    try:
        with stack.client() as http:
            filled, resting = submitted(http, symbol="ETHUSDT"), submitted(http, symbol="ETHUSDT", price="1900")
            reaches(http, filled, "filled")
            reaches(http, resting, "routed")
        stack.stop()
        catalogue(config, "BTCUSDT")
        stack.start()
        with stack.client() as http:
            held = soon(lambda: http.get(f"/positions/{ACCOUNT}").json().get("ETHUSDT"))
            assert (held["quantity"], held["currency"]) == (0.01, "USDT")
            assert {fill["currency"] for fill in http.get(f"/fills/{ACCOUNT}").json()["fills"]} == {"USDT"}
            assert reaches(http, filled, "filled")["symbol"] == "ETHUSDT"
            refused = http.post("/orders", json={"account": ACCOUNT, "symbol": "ETHUSDT", "side": "sell", "quantity": "0.01"})
            assert (refused.status_code, refused.json()["code"]) == (422, "unknown_symbol")
            assert http.delete(f"/orders/{resting}").status_code in (200, 202)
            reaches(http, resting, "cancelled")
            reaches(http, submitted(http, account="other", symbol="BTCUSDT"), "filled")
        assert stack.trade("verify").returncode == 0
    finally:
        stack.close()
