"""Users who sign in and out at the desk in a real browser, whose tabs share one cookie and one stream. Run by `make desk-test`."""

import json

import pytest

from tests.browser.chromium import PROGRAM, Browser
from tests.browser.desk_page import ACCOUNT, DeskPage, submitted
from tests.stack import LiveStack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make desk-test, which installs it")


def key_of(stack: LiveStack, account: str, owner: str, scopes: str = "trade,read") -> str:
    made = json.loads(stack.trade("key", "create", "--account", account, "--scopes", scopes, "--owner", owner, "--json").stdout)
    return f"{made['key_id']}.{made['secret']}"


def test_a_session_is_renewed_by_use_and_its_end_asks_for_the_key_and_keeps_what_was_typed(stack: LiveStack, desk: DeskPage) -> None:
    key = key_of(stack, ACCOUNT, "erin")
    desk.sign_in(key)
    try:
        desk.one("button", "Sign out erin")
        desk.later(6)
        desk.write_order("0.0123", "41000")
        is_last = "import('./session.js').then(({session}) => session.isLast)"  # desk's own clock is behind: for it the end did not move
        desk.until(lambda: desk.page.evaluate(is_last), lambda: "a renewal that was answered")
        desk.later(13.5)
        desk.until_text("status", "Session", "The key is needed then.")
        desk.later(5)
        desk.until(lambda: not desk.found("status", "Session"), lambda: "no word of an end that desk does not know")
        assert not desk.found("dialog", "Sign in")
        desk.sign_out()
        desk.until_text("dialog", "Sign in", "What you typed is kept.")
        desk.fill("textbox", "API key", key)
        desk.press("Enter")
        desk.until(lambda: not desk.found("dialog", "Sign in"), lambda: "no form to sign in")
        assert desk.ask(desk.one("textbox", "Quantity"), "function () { return this.value }") == "0.0123"
        desk.later(6)
        desk.press("Tab")
        desk.until(lambda: desk.page.evaluate(is_last), lambda: "a renewal of the new session")
        assert len(desk.cookies()) == 1
    finally:
        desk.sign_out()


def test_another_user_is_shown_nothing_of_the_one_before(stack: LiveStack, first_tab: DeskPage, desk: DeskPage) -> None:
    submitted(stack, account="before", quantity="0.0131", price="47000")
    desk.sign_in(key_of(stack, "before", "erin"))
    try:
        desk.until_row("Orders", "before", "0.0131")
        assert desk.shown_orders() == 1
        desk.sign_out()
        desk.until_text("dialog", "Sign in", "Your session ended")
        desk.fill("textbox", "API key", key_of(stack, "after", "frank"))
        desk.until_loaded(lambda: desk.press("Enter"))  # nothing of the page of erin is kept
        desk.one("button", "Sign out frank")
        desk.until_text("status", "Connection", "live")
        assert desk.shown_orders() == 0
    finally:
        desk.sign_out()
    first_tab.show()
    first_tab.until(lambda: first_tab.shown_orders() > 0, lambda: "orders of all accounts, as access is open")


def test_a_key_that_is_revoked_leaves_no_order_in_any_tab(stack: LiveStack, browser: Browser, first_tab: DeskPage, desk: DeskPage) -> None:
    submitted(stack, account="revoked", quantity="0.0141", price="47000")
    key = key_of(stack, "revoked", "grace")
    desk.sign_in(key)
    try:
        desk.until_row("Orders", "revoked", "0.0141")
        stack.trade("key", "revoke", key.partition(".")[0])
        desk.one("dialog", "Sign in")
        for tab in (desk, first_tab, DeskPage(browser, f"{stack.url('desk')}/")):
            tab.show()
            tab.one("dialog", "Sign in")
            assert tab.shown_orders() == 0
    finally:
        desk.sign_out()
