"""Crude oil in April 2020 on a whole stack: orders, fills, positions, risk and the journal of an instrument whose price goes below zero."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import redis

from tests.flows.stepped_market import stepped
from tests.flows.test_life import soon
from tests.stack import LiveStack

D: Final = Decimal
GROUP: Final = "tick: 0.01, lot: 1, quantity_max: 1000, notional_min: 0, currency: USD"
INSTRUMENTS: Final = f"""currencies: {{USD: 1}}
groups:
  - {{symbols: [CL], {GROUP}, negative_prices: true}}
  - {{symbols: [PLAIN], {GROUP}}}
"""
SERVICES: Final = {"oms": "risk_service: {timeout_sec: 1}", "risk": "risk_checks: {var_lookback_days: 30}"}
QUOTES: Final = [
    "2020-04-20T18:30:00Z,CL,-37.63,10,-37.60,10",
    "2020-04-20T18:31:00Z,CL,-35.90,10,-35.80,10",
    "2020-04-20T18:32:00Z,CL,-41.50,10,-41.40,10",
    "2020-04-20T18:33:00Z,CL,-0.02,10,0,10",
]
CLOSES: Final = [20, 18, *(17 + n % 2 for n in range(26)), -37, 10, 9]
"""The largest fall is from 18 to -37."""


def configured(tmp_path: Path) -> tuple[str, ...]:
    """The options of `trade up`."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=len(CLOSES) - place) for place in range(len(CLOSES))]
    rows = [f"{day},CL,{close}" for day, close in zip(days, CLOSES, strict=True)]
    (tmp_path / "closes.csv").write_text("\n".join(["date,symbol,close", *rows]))
    return stepped(tmp_path, QUOTES, INSTRUMENTS, SERVICES)


def exact(answer: httpx.Response) -> Any:
    return json.loads(answer.text, parse_float=Decimal)


class Day:
    def __init__(self, stack: LiveStack, oms: httpx.Client, gateway: httpx.Client, risk: httpx.Client) -> None:
        self.stack, self.oms, self.gateway, self.risk = stack, oms, gateway, risk

    def advance(self) -> None:
        assert self.gateway.post("/quotes/advance", json={"rows": 1}).status_code == 200

    def submit(self, **terms: object) -> str:
        answer = self.oms.post("/orders", json={"account": "alice", "symbol": "CL", **terms})
        assert answer.json()["status"] == "submitted", answer.text
        return str(answer.json()["order_id"])

    def rests(self, order_id: str, **terms: object) -> None:
        def look() -> bool | None:
            orders = exact(self.gateway.get("/venues/PAPER_A/orders"))["orders"]
            return any(o["order_id"] == order_id and terms.items() <= o.items() for o in orders) or None

        soon(look, within_s=60)

    def fills(self, order_id: str, average: str) -> None:
        def look() -> Any:
            found = exact(self.oms.get(f"/orders/{order_id}"))
            return found if found["status"] == "filled" else None

        assert soon(look, within_s=60)["average_price"] == D(average)

    def position(self, account: str, quantity: int) -> Any:
        def look() -> Any:
            found = exact(self.oms.get(f"/positions/{account}")).get("CL")
            return found if found and found["quantity"] == quantity else None

        return soon(look, within_s=60)


def test_orders_below_zero_are_filled_held_measured_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADE_INSTRUMENTS", str(tmp_path / "config" / "instruments.yaml"))
    stack = LiveStack(tmp_path / "data", *configured(tmp_path)).start()
    try:
        loaded = stack.trade("prices", "load", str(tmp_path / "closes.csv"))
        assert loaded.returncode == 0, loaded.stderr
        with stack.client() as oms, stack.client("live-gateway") as gateway, stack.client("risk") as risk:
            day = Day(stack, oms, gateway, risk)
            traded(day)
            refused_elsewhere(day)
            positions_agree(day)
            fills_agree(day)
            risk_agrees(day)
        assert (verified := stack.trade("verify")).returncode == 0, verified.stdout + verified.stderr
    finally:
        stack.close()


def traded(day: Day) -> None:
    day.advance()
    usable = soon(lambda: day.risk.get("/stats").json()["price_history"]["usable"] or None, within_s=60)
    assert usable == ["CL"]
    day.fills(day.submit(side="buy", quantity=5, price="-37.60"), "-37.60")
    asked = day.stack.trade("order", "submit", "sell", "3", "CL", "--price", "-36.00", "--account", "alice", "--json")
    assert asked.returncode == 0, asked.stderr
    resting = str(json.loads(asked.stdout)["order_id"])
    stop = day.submit(side="sell", quantity=2, type="stop", stop_price=-40)
    day.rests(resting, price=D("-36.00"))
    day.rests(stop)
    assert day.oms.patch(f"/orders/{stop}", json={"stop_price": -41}).status_code == 202
    day.rests(stop, stop_price=-41)
    day.advance()
    day.fills(resting, "-36.00")
    day.advance()
    day.fills(stop, "-41.50")
    day.fills(day.submit(account="bob", side="buy", quantity=2), "-41.40")
    day.advance()
    day.fills(day.submit(side="buy", quantity=1, price=0), "0")


def refused_elsewhere(day: Day) -> None:
    for price, status, code in ((-1, 400, "malformed"), (0, 422, "price_not_positive")):
        answer = day.oms.post("/orders", json={"account": "alice", "symbol": "PLAIN", "side": "buy", "quantity": 1, "price": price})
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def positions_agree(day: Day) -> None:
    held = day.position("alice", 1)
    names = ("average_price", "last_price", "realised_pnl", "fees", "unrealised_pnl")
    # 3 x (-36 + 37.60) + 2 x (-41.50 + 37.60); fees on 188, 83 and 0 as a taker, on 108 as a maker.
    assert [held[name] for name in names] == [0, 0, D("-3"), D("0.188") + D("0.083") + D("0.0216"), D("-0.01")]
    bought = day.position("bob", 2)
    assert [bought[name] for name in names] == [D("-41.4"), D("-41.4"), 0, D("0.0828"), D("82.78")]
    with redis.Redis.from_url(day.stack.url("valkey"), db=5, decode_responses=True) as valkey:
        stored: Any = valkey.hgetall("position:bob:CL")
        assert {name: D(stored[name]) for name in ("average_price", "last_price", "cost")} == {
            "average_price": D("-41.4"),
            "last_price": D("-41.4"),
            "cost": D("-82.8"),
        }


def fills_agree(day: Day) -> None:
    rows = soon(lambda: found if len(found := exact(day.oms.get("/fills/alice"))["fills"]) == 4 else None, within_s=60)
    assert [(row["side"], row["quantity"], row["price"], row["fee"]) for row in reversed(rows)] == [
        ("buy", 5, D("-37.60"), D("0.188")),
        ("sell", 3, -36, D("0.0216")),
        ("sell", 2, D("-41.50"), D("0.083")),
        ("buy", 1, 0, 0),
    ]


def risk_agrees(day: Day) -> None:
    """At a mid of -0.01: the size of the value is small, value at risk counts the quantity."""
    for account, equity, quantity in (("alice", D("99996.6974"), 1), ("bob", D("100082.6972"), 2)):
        found = exact(day.risk.get("/risk/portfolio", params={"account": account}))
        assert (found["equity"], found["gross_exposure"], found["var"]) == (equity, D("0.01") * quantity, 55 * quantity)
        assert found["symbols"]["CL"]["value"] == D("-0.01") * quantity
