"""The desk where it is not at home: below a prefix of a reverse proxy, and in a browser without shared workers. Run by `make desk-test`."""

import os
import signal
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from tests.browser.chromium import PROGRAM, Browser
from tests.browser.desk_page import DeskPage, submitted
from tests.browser.prefix_proxy import PrefixProxy
from tests.browser.test_desk_sessions import key_of
from tests.stack import LiveStack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make desk-test, which installs it")

PREFIX: Final = "/tools/desk/"
SCREENS: Final = ("positions", "risk", "kill", "venues", "lifecycle", "doubt", "time", "engine", "alarms", "trade")


@pytest.fixture(scope="module")
def proxy(stack: LiveStack) -> Iterator[PrefixProxy]:
    with PrefixProxy(urlsplit(stack.url("desk")).port or 0, PREFIX) as started:
        yield started


def streams(stack: LiveStack) -> int:
    """How many streams desk has open."""
    stats: dict[str, Any] = httpx.get(f"{stack.url('desk')}/stats", timeout=10).json()
    return int(stats["streams"]["open"])


def test_below_a_prefix_the_page_is_live_trades_shows_every_screen_and_asks_for_nothing_outside(
    stack: LiveStack, browser: Browser, proxy: PrefixProxy
) -> None:
    desk = DeskPage(browser, proxy.url)
    desk.until_text("status", "Connection", "live")
    desk.write_order("0.0311", "47000", "prefixed")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "filled")
    desk.until_row("Orders", "prefixed", "0.0311", "filled")
    for screen in SCREENS:
        desk.go(screen)
        desk.until_text("status", "Connection", "live")
    proxy.cut()
    submitted(stack, account="prefixed", quantity="0.0312", price="47000")
    desk.until_row("Orders", "prefixed", "0.0312", "filled")
    desk.until_text("status", "Connection", "live")
    assert desk.page.evaluate("import('./desk.js').then(({connection}) => connection.gaps)") == 0
    assert [line for line in proxy.outside if line != "GET /favicon.ico"] == []
    desk.close()


def test_below_a_prefix_a_session_is_of_the_prefix_and_ends_there(stack: LiveStack, browser: Browser, proxy: PrefixProxy) -> None:
    submitted(stack, account="below", quantity="0.0313", price="47000")
    desk = DeskPage(browser, proxy.url)
    desk.sign_in(key_of(stack, "below", "ivan"))
    try:
        desk.one("button", "Sign out ivan")
        desk.until_row("Orders", "below", "0.0313")
        assert desk.shown_orders() == 1
        (cookie,) = desk.page.call("Network.getCookies", urls=[proxy.url])["cookies"]
        assert (cookie["path"], cookie["httpOnly"]) == (PREFIX.rstrip("/"), True)
        assert desk.page.call("Network.getCookies", urls=[f"http://127.0.0.1:{proxy.port}/"])["cookies"] == []
    finally:
        desk.sign_out()
    assert desk.page.call("Network.getCookies", urls=[proxy.url])["cookies"] == []
    desk.close()


@pytest.fixture
def alone(stack: LiveStack, browser: Browser) -> Iterator[DeskPage]:
    """A tab of a browser without shared workers."""
    page = DeskPage(browser, f"{stack.url('desk')}/")
    without_workers(page)
    yield page
    page.close()


def without_workers(page: DeskPage) -> None:
    page.page.call("Page.enable")
    page.page.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.SharedWorker")
    page.reload()
    page.until_text("status", "Connection", "live")


def test_without_shared_workers_each_tab_has_a_stream_of_its_own_and_gives_it_back(
    stack: LiveStack, browser: Browser, first_tab: DeskPage, alone: DeskPage
) -> None:
    before = streams(stack)
    other = DeskPage(browser, f"{stack.url('desk')}/")
    without_workers(other)
    other.until(lambda: streams(stack) == before + 1, lambda: f"one stream more than {before}, not {streams(stack)}")
    for n in range(1, 4):
        submitted(stack, account="several", quantity=f"0.032{n}", price="47000")
        for tab in (other, alone):
            tab.show()
            tab.until_row("Orders", "several", f"0.032{n}", "filled")
    other.close()
    first_tab.show()
    first_tab.until(lambda: streams(stack) == before, lambda: f"{before} streams, not {streams(stack)}")


def test_without_shared_workers_a_desk_that_dies_is_found_again_with_what_was_missed(stack: LiveStack, alone: DeskPage) -> None:
    submitted(stack, account="again", quantity="0.0331", price="47000")
    alone.until_row("Orders", "again", "0.0331", "filled")
    frozen = stack.pid("desk")
    os.kill(frozen, signal.SIGSTOP)
    try:
        alone.until_text("status", "Connection", "stale")
        submitted(stack, account="again", quantity="0.0332", price="47000")
    finally:
        os.kill(frozen, signal.SIGKILL)
        os.kill(frozen, signal.SIGCONT)
    stack.await_ready()
    alone.until_row("Orders", "again", "0.0332", "filled")
    alone.until_text("status", "Connection", "live")
    assert alone.page.evaluate("import('./desk.js').then(({connection}) => connection.gaps)") == 0


def test_without_shared_workers_another_user_is_shown_nothing_of_the_one_before(stack: LiveStack, alone: DeskPage) -> None:
    submitted(stack, account="first", quantity="0.0341", price="47000")
    alone.sign_in(key_of(stack, "first", "judy"))
    try:
        alone.one("button", "Sign out judy")
        alone.until_row("Orders", "first", "0.0341")
        alone.sign_out()
        alone.until_text("dialog", "Sign in", "Your session ended")
        alone.fill("textbox", "API key", key_of(stack, "second", "ken"))
        alone.until_loaded(lambda: alone.press("Enter"))
        alone.one("button", "Sign out ken")
        alone.until_text("status", "Connection", "live")
        assert alone.shown_orders() == 0
    finally:
        alone.sign_out()
