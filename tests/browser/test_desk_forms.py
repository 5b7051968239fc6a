"""Orders with a rule of their own from the desk's ticket, in a real browser. Run by `make desk-test`."""

import json

import httpx
import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.desk_page import DeskPage
from tests.stack import LiveStack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make desk-test, which installs it")


def choose(desk: DeskPage, name: str, value: str) -> None:
    """Choose a value of a list, by its name in the API."""
    script = f"function () {{ this.value = {json.dumps(value)}; this.dispatchEvent(new Event('change', {{ bubbles: true }})) }}"
    desk.ask(desk.one("combobox", name), script)


def command_of(desk: DeskPage) -> str:
    """The command that submits the open order once more. It is there when oms has answered."""
    shown = "function () { return this.querySelector('.copies code')?.textContent ?? '' }"
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [desk.ask(desk.one("region", "Order details"), shown)]
        return bool(found[0])

    desk.until(is_there, lambda: "the command")
    return found[0]


def test_an_iceberg_shows_one_part_at_a_time_and_an_error_is_at_its_field(stack: LiveStack, desk: DeskPage) -> None:
    desk.write_order("0.5", "40000", "iceberg")
    desk.fill("textbox", "Display quantity", "0.7")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "display_quantity_too_large")
    assert desk.ask(desk.one("textbox", "Display quantity"), "function () { return this.ariaInvalid }") == "true"
    desk.fill("textbox", "Display quantity", "0.1")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "submitted")
    (found,) = httpx.get(f"{stack.url('oms')}/orders", params={"account": "iceberg"}, timeout=10).json(parse_float=str)["orders"]
    assert found["display_quantity"] == "0.1"
    desk.go(f"order/{found['order_id']}")
    desk.until_text("region", "Order details", "Shown at a time\n0.1")
    command = "trade order submit BTCUSDT buy 0.5 --account iceberg --type limit --price 40000 --time-in-force gtc --display-quantity 0.1"
    assert command_of(desk) == command


def test_an_order_for_the_close_of_a_market_that_never_closes_is_refused_at_its_field(stack: LiveStack, desk: DeskPage) -> None:
    desk.write_order("0.01", "40000", "closing")
    choose(desk, "Time in force", "cls")
    desk.ask(desk.one("textbox", "Price"), "function () { this.focus() }")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "no_session")
    assert desk.ask(desk.one("combobox", "Time in force"), "function () { return this.ariaInvalid }") == "true"
    assert httpx.get(f"{stack.url('oms')}/orders", params={"account": "closing"}, timeout=10).json()["orders"] == []


def test_a_trailing_stop_is_previewed_and_its_stop_price_is_shown_as_it_moves(stack: LiveStack, desk: DeskPage) -> None:
    desk.write_order("0.02", "47000", "trailing")
    desk.push("Sell", "radio")
    choose(desk, "Type", "trailing_stop")
    desk.press("p", alt=True)
    desk.until_text("status", "Ticket result", "How far behind the market?")
    desk.fill("textbox", "Trail, in price", "30.001")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "trail_amount_off_tick")
    assert desk.ask(desk.one("textbox", "Trail, in price"), "function () { return this.ariaInvalid }") == "true"
    desk.fill("textbox", "Trail, in price", "3000")
    desk.press("p", alt=True)
    desk.until_text("status", "Ticket result", "would pass")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "submitted")
    (found,) = httpx.get(f"{stack.url('oms')}/orders", params={"account": "trailing"}, timeout=10).json(parse_float=str)["orders"]
    assert (found["type"], found["trail"]["trail_trigger"]) == ("trailing_stop", "touch")

    def shown() -> bool:
        now = httpx.get(f"{stack.url('oms')}/orders/{found['order_id']}", timeout=10).json(parse_float=str, parse_int=str)
        return any(now["stop_price"] and now["stop_price"] in row for row in desk.rows("Orders"))

    desk.until(shown, lambda: "its stop price of now")
    desk.go(f"order/{found['order_id']}")
    desk.until_text("region", "Order details", "3000 behind the touch")
    terms = "--account trailing --type trailing_stop --time-in-force gtc --trail-amount 3000 --trail-trigger touch"
    assert command_of(desk) == f"trade order submit BTCUSDT sell 0.02 {terms}"
