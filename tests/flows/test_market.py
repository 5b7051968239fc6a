"""`trade up --market config`: a stack starts without its venue, the venue comes, orders fill at its prices, and the venue goes."""

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.children import started
from tests.flows.test_metrics import MARKET, asked, existing, pages
from tests.ports import free_ports
from tests.stack import CHECKOUT, PATIENT, LiveStack

PATIENCE_S: Final = 120.0
SIMULATED: Final = Decimal(45_000)
"""Where the simulated market of a stack without venues trades BTCUSDT; the venue simulator trades it at 50 000."""


def until(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if found := holds():
                return found
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


@contextmanager
def venue(port: int, output: Path) -> Iterator[None]:
    """Binance's simulator on this port, as a process of its own."""
    command = [sys.executable, "-m", "tests.venues", "--kind", "binance_spot", "--port", str(port), "--rate", "5", "--symbols", "BTCUSDT"]
    with output.open("ab") as file:
        process: subprocess.Popen[bytes] = started(command, cwd=CHECKOUT, stdout=file, stderr=file)
    try:
        until(lambda: str(port).encode() in output.read_bytes(), f"the venue listens: {output.read_text()}")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def market(tmp_path: Path, port: int) -> Iterator[LiveStack]:
    """A stack whose only venue does not listen yet. That the fixture returns shows that a start waits for no venue."""
    home = tmp_path / "config"
    shutil.copytree(PATIENT, home)
    address = f"127.0.0.1:{port}"
    listed = {"BINANCE": {"kind": "binance_spot", "ws_url": f"ws://{address}", "rest_url": f"http://{address}", "symbols": ["BTCUSDT"]}}
    (home / "gateway").mkdir()
    (home / "gateway" / "config.yaml").write_text(yaml.safe_dump({"venues": listed}))
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite", "--market", "config", "--config-dir", str(home)).start()
    yield stack
    stack.close()


def test_a_stack_trades_on_the_quotes_of_its_venue_once_the_venue_is_there(market: LiveStack, port: int, tmp_path: Path) -> None:
    gateway, normalizer, oms = market.url("gateway"), market.url("normalizer"), market.url("oms")

    def state() -> str:
        return str(httpx.get(f"{gateway}/venues").json()["BINANCE"]["state"])

    # given a stack without its venue: that is said, and nothing else is the worse for it
    assert "quotes come from BINANCE (gateway/config.yaml), not from a simulation" in market.output.read_text()
    ready = httpx.get(f"{gateway}/ready")
    assert (ready.status_code, ready.json()["reason"]) == (503, "venues: no venue reached")
    assert state() != "live"
    assert httpx.get(f"{oms}/ready").status_code == 200
    assert "no venue reached" in market.trade("status").stdout

    with venue(port, tmp_path / "venue.out"):
        # when the venue is there, its books are valid
        until(lambda: state() == "live", "the gateway has reached the venue")
        book = until(lambda: _valid_book(normalizer), "its book is valid")
        (bid, _), (ask, _) = book["bids"][0], book["asks"][0]
        assert 0 < bid < ask
        assert book["seq"] > 0

        # then an order fills at its price, not at the simulated one
        filled = until(lambda: _filled(oms), "an order is filled")
        assert abs(filled - ask) < ask * Decimal("0.01")
        assert abs(filled - SIMULATED) > SIMULATED * Decimal("0.05")

        # and a larger order is routed by the levels behind it
        levels = until(lambda: _levels_compared(market.url("exeq")), "venues are compared by the levels of the market's book")
        assert all(cheaper[0] < dearer[0] for cheaper, dearer in pairwise(levels))

        # and every series that an alarm or a dashboard asks of these services exists
        wanted = {name for name in asked() if name.startswith(MARKET) and not name.startswith("sink_")}
        assert wanted - existing(pages(market, ("gateway", "normalizer"))) == set()
        assert market.trade("status").returncode == 0

    # and when the venue is gone again, its marks end: the order is refused, and nothing is filled at an old price
    until(lambda: state() == "down", "the gateway has noticed")
    assert until(lambda: _refused(oms), "without a price an order is refused") in ("no_reference_price", "stale_price")


def _valid_book(normalizer: str) -> dict[str, Any] | None:
    """The book with the best price of each side, if it is valid."""
    answer = httpx.get(f"{normalizer}/books/BINANCE/BTCUSDT", params={"depth": 1})
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)
    return found if answer.status_code == 200 and found["valid"] else None


def _submitted(oms: str, **terms: object) -> dict[str, Any]:
    body = {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.001, "client_order_id": uuid.uuid4().hex, **terms}
    return dict(httpx.post(f"{oms}/orders", json=body, timeout=30).json())


def _filled(oms: str) -> Decimal | None:
    """Submit an order; return the price at which it was filled, None if it was not."""
    answer = _submitted(oms, type="limit", price=51_000)
    if answer.get("status") != "submitted":
        return None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        order = httpx.get(f"{oms}/orders/{answer['order_id']}").json()
        if order["status"] == "filled":
            return Decimal(str(order["average_price"]))
        time.sleep(0.1)
    return None


def _levels_compared(exeq: str) -> list[list[Decimal]] | None:
    """Preview an order for twice what a venue's touch shows; return the levels of a venue that were compared, None if there were none."""

    def candidates(quantity: Decimal) -> Any:
        body = {"symbol": "BTCUSDT", "side": "buy", "quantity": str(quantity), "account": "main"}
        answer = httpx.post(f"{exeq}/routes/preview", json=body, timeout=30)
        return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal).get("candidates", [])

    shown = [each["size"] for each in candidates(Decimal("0.001")) if each["size"]]
    found = [each for each in candidates(2 * min(shown)) if each["depth_seq"]] if shown else []
    return found[0]["levels"] if found and len(found[0]["levels"]) > 1 else None


def _refused(oms: str) -> str | None:
    """Submit an order that needs the market's price; return why it was refused, None if it was not."""
    answer = _submitted(oms, type="market")
    return str(answer["reason"]) if answer.get("status") == "rejected" and answer.get("reason") != "risk_timeout" else None
