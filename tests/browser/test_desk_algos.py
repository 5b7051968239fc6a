"""Algos at the desk in a real browser: their rows, one that is opened, paused, resumed and cancelled. Run by `make desk-test`."""

from typing import Any

import httpx
import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.desk_page import DeskPage
from tests.stack import LiveStack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make desk-test, which installs it")


def started(stack: LiveStack, name: str, **terms: Any) -> str:
    """Start an algo that buys far below the market, so that its order rests."""
    asked = {"account": "worker", "client_algo_id": name, "symbol": "BTCUSDT", "side": "buy", "quantity": 0.6, "limit_price": 20000}
    answer = httpx.post(f"{stack.url('oms')}/algos", json=asked | terms, timeout=10)
    assert answer.json().get("status") == "submitted", answer.text
    return str(answer.json()["algo_id"])


def iceberg(stack: LiveStack, name: str) -> str:
    return started(stack, name, strategy="iceberg", params={"display_quantity": 0.2})


def click_algo(desk: DeskPage, name: str) -> None:
    cells = "[...document.querySelectorAll('[aria-label=Algos] .grid-body .c-client_algo_id')]"
    desk.page.evaluate(f"{cells}.find(one => one.textContent === '{name}').click()")


def test_an_algo_is_opened_paused_resumed_and_cancelled(stack: LiveStack, desk: DeskPage) -> None:
    algo_id = iceberg(stack, "slow-1")
    desk.go("#algos")
    desk.until_row("Algos", "worker", "slow-1", "buy", "iceberg", "0.6", "0.2", "working")
    click_algo(desk, "slow-1")
    desk.one("region", "Algo details")
    assert desk.page.evaluate("location.hash") == f"#algos/{algo_id}"
    desk.until(lambda: desk.rows("Orders of the algo", role="table"), lambda: "an order of the algo")
    desk.push("Pause")
    desk.until_row("Algos", "slow-1", "paused")
    desk.until(lambda: desk.found("button", "Resume"), lambda: "a button that resumes it")
    desk.push("Resume")
    desk.until_row("Algos", "slow-1", "working")
    desk.push("Cancel algo")
    desk.one("alertdialog", "Confirm cancel of algo")
    desk.push("Confirm cancel")
    desk.until_row("Algos", "slow-1", "cancelled")
    desk.until(lambda: not desk.found("button", "Cancel algo"), lambda: "no more button to cancel it")
    assert httpx.get(f"{stack.url('oms')}/algos/{algo_id}", timeout=10).json()["status"] == "cancelled"


def test_an_order_of_an_algo_leads_to_its_algo_and_back(stack: LiveStack, desk: DeskPage) -> None:
    algo_id = iceberg(stack, "slow-2")
    desk.fill("searchbox", "Filter orders", algo_id)
    desk.until(lambda: desk.shown_orders() == 1, lambda: "only the order of this algo")
    desk.until_row("Orders", "buy", "0.2", "routed", "child")
    desk.page.evaluate("document.querySelector('[aria-label=Orders] .grid-body .c-group_id').click()")
    desk.one("region", "Algo details")
    assert desk.page.evaluate("location.hash").startswith(f"#algos/{algo_id}")
    desk.until(lambda: desk.found("button", "Open"), lambda: "a button that opens the order")
    desk.push("Open")
    desk.one("region", "Order details")
    desk.push("Open algo")
    desk.one("region", "Algo details")
