"""Lists of orders at the desk in a real browser: brackets and alternatives from the ticket, and the blotter. Run by `make desk-test`."""

import json
from typing import Any

import httpx
import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.desk_page import DeskPage
from tests.browser.test_desk_sessions import key_of
from tests.stack import LiveStack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make desk-test, which installs it")


def lists_of(stack: LiveStack, account: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{stack.url('oms')}/order-lists", params={"account": account}, timeout=10).json()["lists"]
    return found


def only_list(stack: LiveStack, account: str) -> dict[str, Any]:
    (found,) = lists_of(stack, account)
    return found


def write_bracket(desk: DeskPage, account: str, quantity: str, price: str, take_profit: str = "52000", stop_loss: str = "35000") -> None:
    """Fill in a bracket; the focus is in its last field."""
    desk.write_order(quantity, price, account)
    if not desk.found("textbox", "Take profit"):
        desk.push("Bracket", "checkbox")
    desk.fill("textbox", "Take profit", take_profit)
    desk.fill("textbox", "Stop loss", stop_loss)


def click_role(desk: DeskPage, role: str) -> None:
    """Click on the role of the first order with it."""
    cell = (
        f"[...document.querySelectorAll('[aria-label=Orders] .grid-body .c-group_id')].find(one => one.textContent === {json.dumps(role)})"
    )
    desk.page.evaluate(f"{cell}.click()")


def test_a_bracket_is_typed_and_its_exits_wait_until_the_list_is_opened_and_cancelled(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "bracket", "0.0211", "40000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "submitted")
    desk.fill("searchbox", "Filter orders", "bracket")
    desk.until_row("Orders", "bracket", "buy", "0.0211", "routed", "entry")
    desk.until_row("Orders", "bracket", "sell", "limit", "risk_checked", "waits for entry", "take_profit")
    desk.until_row("Orders", "bracket", "sell", "stop", "risk_checked", "waits for entry", "stop_loss")
    click_role(desk, "stop_loss")
    desk.one("region", "List details")
    found = only_list(stack, "bracket")
    assert desk.page.evaluate("location.hash") == f"#list/{found['list_id']}?q=bracket"
    assert [row.split()[0] for row in desk.rows("Orders of the list", role="table")] == ["entry", "take_profit", "stop_loss"]
    assert "0.0211" in desk.until_text("list", "Story", "asks to buy")
    desk.press("x", alt=True)
    desk.one("alertdialog", "Confirm cancel of list")
    desk.push("Confirm cancel")
    desk.until_row("Orders", "entry", "cancelled")
    desk.until_row("Orders", "stop_loss", "cancelled")
    desk.until(lambda: only_list(stack, "bracket")["reason"] == "cancelled", lambda: "a list that has ended")
    desk.until_text("region", "List details", "done: cancelled")
    assert not desk.found("button", "Cancel list")
    desk.press("Escape")
    desk.until(lambda: not desk.found("region", "List details"), lambda: "no list")
    desk.until(lambda: "stop_loss" in desk.focused(), lambda: f"the focus on the row, not on {desk.focused()!r}")


def test_the_preview_shows_the_checks_of_every_order_and_which_one_would_be_refused(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "foreseen", "0.0212", "45000")
    desk.press("p", alt=True)
    desk.until_text("status", "Ticket result", "would pass")
    for name in ("Pre-trade checks", "Pre-trade checks: take_profit", "Pre-trade checks: stop_loss"):
        desk.page.evaluate("document.querySelectorAll('.leg-checks').forEach(one => { one.open = true })")
        assert len(desk.rows(name, role="table")) > 5, name
    sent = desk.page.evaluate("document.querySelector('[aria-label=Request]').textContent")
    assert sent.startswith("POST /order-lists\n")
    body = json.loads(sent.partition("\n")[2])
    assert (body["type"], [leg["role"] for leg in body["orders"]]) == ("bracket", ["entry", "take_profit", "stop_loss"])
    desk.fill("textbox", "Take profit", "52000000")
    desk.press("p", alt=True)
    desk.until_text("status", "Ticket result", "would be refused: order_size_limit (take_profit)")
    assert lists_of(stack, "foreseen") == []


def test_an_error_of_an_exit_is_at_its_field_and_nothing_is_sent(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "offtick", "0.0213", "45000", stop_loss="35000.001")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "stop_price_off_tick")
    assert desk.ask(desk.one("textbox", "Stop loss"), "function () { return this.ariaInvalid }") == "true"
    assert lists_of(stack, "offtick") == []


def test_a_bracket_whose_outcome_is_unknown_is_asked_for_and_taken_once(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "lost", "0.0214", "47000")
    with stack.frozen("oms"):
        desk.press("Enter")
        desk.until_row("Orders", "lost", "0.0214", "sending", "entry")
        desk.until_text("status", "Ticket result", "outcome unknown")
    desk.until_filled()
    assert len(only_list(stack, "lost")["orders"]) == 3


def test_a_double_click_and_a_key_that_is_held_down_send_once(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "twice", "0.0215", "40000")
    place = "function () { this.scrollIntoView(); const box = this.getBoundingClientRect(); return [box.x + box.width / 2, box.y + 9] }"
    at = desk.ask(desk.one("button", "Send order"), place)
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            desk.page.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=count)
        desk.until_text("status", "Ticket result", "submitted")
    desk.ask(desk.one("textbox", "Stop loss"), "function () { this.focus() }")
    enter = {"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r", "autoRepeat": True}
    desk.page.call("Input.dispatchKeyEvent", **enter)
    desk.fill("searchbox", "Filter orders", "twice")
    desk.until(lambda: desk.shown_orders() == 3, lambda: f"three orders, not {desk.shown_orders()}")
    assert len(lists_of(stack, "twice")) == 1


def test_a_cancel_keeps_the_exits_of_a_position_unless_they_are_cancelled_too(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "exits", "0.0216", "47000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "filled")
    desk.push("Open the list", "link")
    desk.until(lambda: "routed" in desk.rows("Orders of the list", role="table")[1], lambda: "a take profit at work")
    desk.push("Cancel list")
    desk.push("Confirm cancel")
    desk.until(lambda: not desk.found("alertdialog", "Confirm cancel of list"), lambda: "an answer")
    desk.until_text("list", "Story", "cancel")
    assert [order["status"] for order in only_list(stack, "exits")["orders"]] == ["filled", "routed", "queued"]
    desk.push("Cancel list")
    desk.push("Cancel the exits too: the position stays without them", "radio")
    desk.push("Confirm cancel")
    desk.until_text("region", "List details", "done: cancelled")
    assert [order["status"] for order in only_list(stack, "exits")["orders"]] == ["filled", "cancelled", "cancelled"]


def test_what_should_be_looked_at_in_a_list_is_marked_at_its_orders_and_in_the_list(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "flagged", "0.0217", "47000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "filled")
    desk.push("Open the list", "link")
    desk.until(lambda: "routed" in desk.rows("Orders of the list", role="table")[1], lambda: "a take profit at work")
    desk.push("Cancel stop_loss")
    desk.one("alertdialog", "Confirm cancel")
    desk.press("Enter")
    desk.until_text("list", "Flags", "unpaired")
    desk.fill("searchbox", "Filter orders", "flagged")
    desk.until_row("Orders", "flagged", "routed", "unpaired", "take_profit")
    desk.push("Cancel take_profit")
    desk.one("alertdialog", "Confirm cancel")
    desk.press("Enter")
    desk.until_text("region", "List details", "alert: ")
    desk.until_text("list", "Flags", "unprotected")
    chip = "[...document.querySelectorAll('.chip')].find(one => one.textContent.includes('lists in alert'))"
    desk.until(lambda: desk.page.evaluate(f"Boolean({chip})"), lambda: "a count of lists in alert")
    desk.page.evaluate(f"{chip}.click()")
    desk.until(lambda: "list=alert" in desk.page.evaluate("location.hash"), lambda: "the filter in the address")
    desk.until(lambda: desk.shown_orders() == 3, lambda: f"the orders of this list, not {desk.shown_orders()}")


def test_a_limit_and_a_stop_of_which_one_is_to_trade_are_one_list(stack: LiveStack, desk: DeskPage) -> None:
    desk.write_order("0.0218", "52000", "oco")
    kind = "function () { this.value = 'oco'; this.dispatchEvent(new Event('change', { bubbles: true })) }"
    desk.ask(desk.one("combobox", "Type"), kind)
    desk.push("Sell", "radio")
    desk.fill("textbox", "Stop price", "35000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "submitted")
    desk.fill("searchbox", "Filter orders", "0.0218 oco")
    found = only_list(stack, "oco")
    assert (found["type"], [order["type"] for order in found["orders"]]) == ("oco", ["limit", "stop"])
    desk.fill("searchbox", "Filter orders", found["list_id"])
    desk.until(lambda: desk.shown_orders() == 2, lambda: f"both orders, not {desk.shown_orders()}")


def test_a_key_that_only_reads_sees_lists_and_no_button_that_changes_them(stack: LiveStack, desk: DeskPage) -> None:
    write_bracket(desk, "looked", "0.0219", "40000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "submitted")
    list_id = only_list(stack, "looked")["list_id"]
    desk.sign_in(key_of(stack, "looked", "heidi", "read"))
    try:
        desk.one("button", "Sign out heidi")
        desk.go(f"list/{list_id}")
        desk.until_text("list", "Story", "asks to buy")
        for name in ("Cancel list", "Cancel entry", "Cancel stop_loss", "Cancel shown…", "Send order"):
            assert not desk.found("button", name), name
        desk.press("x", alt=True)
        assert not desk.found("alertdialog", "Confirm cancel of list")
        desk.push("Open entry")
        desk.until_text("list", "Timeline", "asks to buy")
        assert not desk.found("button", "Cancel order")
        assert not desk.found("form", "Replace order")
        desk.one("button", "Open list")
    finally:
        desk.sign_out()
