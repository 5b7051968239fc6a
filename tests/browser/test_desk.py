"""The desk in a real browser on a real stack, by its roles and names, as a screen reader has it. Run by `make desk-test`."""

import time
from typing import Final

import httpx
import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.desk_page import ACCOUNT, DeskPage, submitted
from tests.stack import LiveStack

STAYS_S: Final = 25.0
"""Longer than the page waits before it asks its worker again."""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make desk-test, which installs it")

SCREENS: Final = ("Trade", "Positions", "Risk", "Kill", "Venues", "Lifecycle", "Doubt", "Time travel", "Engine", "Alarms")
COLUMNS: Final = (
    *("Time", "Account", "Symbol", "Side", "Type", "Quantity", "Price"),
    *("Status", "Filled", "Leaves", "Average", "Reason", "List", "Seq"),
)
GRIDS: Final = {"#positions": ("Positions",), "#doubt": ("Orders in doubt",), "#time": ("Orders as of", "Positions as of")}
TABLES: Final = {"#venues": ("Venues", "Quotes"), "#lifecycle": ("Orders by state",), "#engine": ("Services",)}
TOO_LARGE: Final = "100"
"""BTC: more than the limit of one order."""


def test_the_shell_says_paper_the_connection_and_every_screen(desk: DeskPage) -> None:
    words = desk.text("status", "Connection")
    assert "live" in words
    assert "seq" in words
    mode = "document.querySelector('.mode').innerText"
    desk.until(lambda: desk.page.evaluate(mode) == "PAPER", lambda: f"PAPER, not {desk.page.evaluate(mode)}")
    navigation = desk.one("navigation", "Screens")
    for screen in SCREENS:
        assert len(desk.found("link", screen, navigation)) == 1, screen


def test_an_order_typed_by_keyboard_is_filled_and_appears_in_the_grid(desk: DeskPage) -> None:
    desk.write_order("0.012", "47000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "filled")
    row = desk.until_row("Orders", ACCOUNT, "BTCUSDT", "buy", "0.012", "filled")
    assert "47000" in row


def test_what_is_shown_of_an_order_is_what_the_service_says(stack: LiveStack, desk: DeskPage) -> None:
    """Digit for digit: no number went through a binary float."""
    price = "40000.12"
    order = submitted(stack, quantity="0.12345", price=price)
    desk.until_row("Orders", "0.12345", price, "routed")
    assert httpx.get(f"{stack.url('oms')}/orders/{order['order_id']}", timeout=10).text.count(price) == 1


def test_the_preview_shows_every_check_and_sends_nothing(stack: LiveStack, desk: DeskPage) -> None:
    before = httpx.get(f"{stack.url('oms')}/stats", timeout=10).json()["seq"]
    desk.write_order(TOO_LARGE, "45000", account="preview")
    desk.press("p", alt=True)
    desk.until_text("status", "Ticket result", "would be refused: order_size_limit")
    checks = desk.rows("Pre-trade checks", role="table")
    assert len(checks) > 5, checks
    assert any("100000" in row.replace(" ", "") for row in checks), checks
    found = httpx.get(f"{stack.url('oms')}/orders", params={"account": "preview"}, timeout=10).json()
    assert found["orders"] == []
    assert httpx.get(f"{stack.url('oms')}/stats", timeout=10).json()["seq"] >= before


def test_a_preview_of_other_terms_is_not_shown_as_one_of_these(stack: LiveStack, desk: DeskPage) -> None:
    busy = "document.querySelector('.previewed').ariaBusy === 'true'"
    desk.write_order(TOO_LARGE, "45000", account="previewed")
    desk.until(lambda: desk.found("table", "Pre-trade checks"), lambda: "the checks")
    with stack.frozen("risk"):
        desk.push("Post only", "checkbox")
        desk.until(lambda: desk.page.evaluate(busy), lambda: "a preview that is marked as old")
    desk.until(lambda: not desk.page.evaluate(busy), lambda: "the preview of these terms")
    desk.push("Post only", "checkbox")


def test_a_preview_is_shown_also_if_the_typing_before_it_asks_once_more(desk: DeskPage) -> None:
    slow = "asked => String(asked[0]).includes('/check') ? new Promise(done => setTimeout(done, 1500)) : Promise.resolve()"
    desk.page.evaluate(f"{{ const real = fetch, slow = {slow}; window.fetch = (...asked) => slow(asked).then(() => real(...asked)) }}")
    desk.write_order(TOO_LARGE, "45000", account="preview")
    desk.press("p", alt=True)
    desk.until_text("status", "Ticket result", "would be refused: order_size_limit")


def test_an_order_whose_outcome_is_unknown_is_asked_for_and_not_sent_again(stack: LiveStack, desk: DeskPage) -> None:
    """oms stops before it answers. When it is back, it is asked by the client_order_id; what was lost, only a person sends again."""
    desk.write_order("0.0071", "47000", account="unknown")
    with stack.frozen("oms"):
        desk.press("Enter")
        desk.until_row("Orders", "unknown", "0.0071", "sending")
        desk.until_text("status", "Ticket result", "outcome unknown")
    desk.until_filled()
    desk.until_row("Orders", "unknown", "0.0071", "filled")
    found = httpx.get(f"{stack.url('oms')}/orders", params={"account": "unknown"}, timeout=10).json()
    assert len(found["orders"]) == 1


def test_a_refused_order_shows_its_code(desk: DeskPage) -> None:
    desk.write_order(TOO_LARGE, "45000")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "rejected: order_size_limit")
    desk.until_row("Orders", "rejected", "order_size_limit", TOO_LARGE)


def test_an_error_is_at_its_field_and_nothing_is_sent(desk: DeskPage) -> None:
    desk.write_order("0.01", "45000.001")
    desk.press("Enter")
    desk.until_text("status", "Ticket result", "price_off_tick")
    assert desk.ask(desk.one("textbox", "Price"), "function () { return this.ariaInvalid }") == "true"


def test_the_columns_sort_and_say_how(desk: DeskPage) -> None:
    for column in COLUMNS:
        assert len(desk.found("columnheader", column)) == 1, column
    header = desk.one("columnheader", "Quantity")
    desk.ask(header, "function () { this.querySelector('button').click() }")
    assert desk.ask(header, "function () { return this.ariaSort }") == "descending"


def test_the_filter_matches_all_words_and_counts(stack: LiveStack, desk: DeskPage) -> None:
    submitted(stack, account="filter-a", quantity="0.002")
    submitted(stack, account="filter-a", quantity="0.003", symbol="ETHUSDT", price="2000")
    submitted(stack, account="filter-b", quantity="0.004")
    desk.press("l", alt=True)
    desk.fill("searchbox", "Filter orders", "filter-a btcusdt")
    grid = desk.one("grid", "Orders")
    desk.until(lambda: desk.ask(grid, "function () { return this.ariaRowCount }") == "2", lambda: f"one order: {desk.rows('Orders')}")
    assert "0.002" in desk.rows("Orders")[0]
    desk.fill("searchbox", "Filter orders", "no-such-order")
    desk.until(lambda: desk.ask(grid, "function () { return this.ariaRowCount }") == "1", lambda: f"no order: {desk.rows('Orders')}")


def test_an_order_that_is_opened_after_another_one_shows_nothing_of_that_one(stack: LiveStack, desk: DeskPage) -> None:
    """Also while its answer does not come: a cancel would be for the other order."""
    first, second = (submitted(stack, account="behind", quantity=quantity, price="40000") for quantity in ("0.0023", "0.0024"))
    desk.until_row("Orders", "0.0024", "routed")
    desk.go(f"#order/{first['order_id']}")
    desk.until_text("list", "Timeline", "0.0023")
    with stack.frozen("oms"):
        desk.go(f"#order/{second['order_id']}")
        desk.until_text("region", "Order details", "0.0024")
        assert "0.0023" not in desk.text("region", "Order details")
    desk.until_text("list", "Timeline", "0.0024")


def test_limits_of_one_account_are_never_shown_as_those_of_another(stack: LiveStack, desk: DeskPage) -> None:
    for account in ("limits-a", "limits-b"):
        submitted(stack, account=account, quantity="0.002", price="40000")
    desk.go("#risk?account=limits-a")
    desk.one("table", "Limits")
    with stack.frozen("risk"):
        desk.go("#risk?account=limits-b")
        chosen = "function () { return this.value }"
        desk.until(lambda: desk.ask(desk.one("combobox", "Account"), chosen) == "limits-b", lambda: "the other account")
        assert not desk.found("table", "Limits")
        assert not desk.found("meter", "Buying power")
    desk.one("table", "Limits")


def test_arrows_and_enter_open_an_order_and_escape_gives_the_focus_back(stack: LiveStack, desk: DeskPage) -> None:
    first, second = (submitted(stack, account="opened", quantity=quantity, price="47000") for quantity in ("0.0021", "0.0022"))
    desk.until_row("Orders", "0.0022", "filled")
    desk.press("o", alt=True)
    desk.press("ArrowDown")
    chosen = desk.focused()
    assert "0.0021" in chosen
    desk.press("Enter")
    desk.one("region", "Order details")
    timeline = desk.until_text("list", "Timeline", "Trade")
    assert "risk" in timeline.lower()
    assert len(desk.rows("Decision record", role="table")) > 3
    assert any("PAPER" in row for row in desk.rows("Routing comparison", role="table"))
    desk.one("image", "Path")
    assert desk.page.evaluate("location.hash") == f"#order/{first['order_id']}"
    desk.press("Escape")
    desk.until(lambda: not desk.found("region", "Order details"), lambda: "no order details")
    desk.until(lambda: desk.focused() == chosen, lambda: f"the focus on {chosen!r}, not {desk.focused()!r}")
    assert second["order_id"] != first["order_id"]


def test_the_chosen_order_is_cancelled_with_one_key_and_a_confirmation(stack: LiveStack, desk: DeskPage) -> None:
    order = submitted(stack, account="cancelled", quantity="0.0031", price="40000")
    desk.until_row("Orders", "0.0031", "routed")
    desk.press("o", alt=True)
    desk.press("x", alt=True)
    desk.one("alertdialog", "Confirm cancel")
    desk.press("Enter")
    desk.until_row("Orders", "0.0031", "cancelled")
    assert httpx.get(f"{stack.url('oms')}/orders/{order['order_id']}", timeout=10).json()["status"] == "cancelled"


@pytest.mark.parametrize(("address", "role", "name"), [
    *((address, "grid", name) for address, names in GRIDS.items() for name in names),
    *((address, "table", name) for address, names in TABLES.items() for name in names),
    *(("#risk?account=desk", "meter", name) for name in ("Buying power", "VaR", "Concentration", "Position limit")),
    ("#lifecycle", "image", "Life of an order"),
    ("#doubt", "table", "Reconciliation differences"),
    ("#time", "slider", "As of sequence"),
    ("#engine", "status", "Journal"),
    ("#alarms", "log", "Alarms"),
])  # fmt: skip
def test_each_screen_has_what_it_promises(desk: DeskPage, address: str, role: str, name: str) -> None:
    desk.go(address)
    desk.one(role, name)


def test_positions_are_those_of_the_service(stack: LiveStack, desk: DeskPage) -> None:
    submitted(stack, account="holder", quantity="0.0041", price="47000")
    desk.go("#positions?account=holder")
    row = desk.until_row("Positions", "holder", "BTCUSDT", "0.0041")
    held = httpx.get(f"{stack.url('oms')}/positions/holder", timeout=10).json(parse_float=str)["BTCUSDT"]
    assert held["average_price"] in row


def test_the_past_is_shown_as_it_was(stack: LiveStack, desk: DeskPage) -> None:
    order = submitted(stack, account="past", quantity="0.0051", price="47000")
    desk.until_row("Orders", "0.0051", "filled")
    desk.go(f"#time?seq={order['seq']}")
    desk.until_text("status", "Connection", f"as of {order['seq']}")
    row = desk.until_row("Orders as of", "0.0051")
    assert "filled" not in row
    desk.push("Back to live")
    desk.until_text("status", "Connection", "live")


def test_a_kill_takes_two_steps_and_to_arm_two_people(stack: LiveStack, desk: DeskPage) -> None:
    scope = "account:desk-kill"
    desk.press("k", alt=True)
    desk.one("region", "Kill switch")
    desk.fill("textbox", "Your name", "ann")
    desk.fill("combobox", "Scope", scope)
    desk.fill("textbox", "Reason", "a test")
    desk.push("Kill")
    desk.one("alertdialog", "Confirm kill")
    assert scope in desk.text("alertdialog", "Confirm kill")
    desk.push("Keep trading")
    assert httpx.get(f"{stack.url('risk')}/risk/controls", timeout=10).json()["killed"] == []
    desk.push("Kill")
    desk.push("Confirm kill")
    desk.until_text("status", "Kill switch state", f"killed: {scope}")
    desk.push("Arm")
    desk.until_text("status", "Kill switch state", "waiting for a second person")
    desk.fill("textbox", "Your name", "bea")
    desk.push("Arm")
    desk.until_text("status", "Kill switch state", "armed")
    assert httpx.get(f"{stack.url('risk')}/risk/controls", timeout=10).json()["killed"] == []


def test_a_state_of_the_drawing_opens_its_orders_by_keyboard(stack: LiveStack, desk: DeskPage) -> None:
    submitted(stack, account="drawn", quantity="0.0071", price="47000")
    desk.go("#lifecycle")
    link = "[...document.querySelectorAll('.box-link')].find(one => one.ariaLabel.startsWith('filled: '))"
    desk.until(lambda: desk.page.evaluate(f"{link}?.ariaLabel.startsWith('filled: 0 ') === false"), lambda: "filled orders in the drawing")
    assert len(desk.found("link", desk.page.evaluate(f"{link}.ariaLabel"))) == 1
    desk.page.evaluate(f"{link}.focus()")
    desk.press("Enter")
    desk.until_row("Orders", "0.0071", "filled")
    assert desk.page.evaluate("location.hash") == "#trade?state=filled"


def test_an_overfill_is_an_alarm_by_the_journal_also_for_a_page_that_is_opened_later(stack: LiveStack, desk: DeskPage) -> None:
    order = submitted(stack, account="unruly", quantity="0.0081", price="40000")
    desk.until_row("Orders", "0.0081", "routed")
    order_id = order["order_id"]
    venue = httpx.get(f"{stack.url('oms')}/orders/{order_id}", timeout=10).json()["routes"][0]["venue"]
    fault = {"fault": "overfill", "order_id": order_id, "price": "40000"}
    httpx.post(f"{stack.url('live-gateway')}/venues/{venue}/faults", json=fault, timeout=10).raise_for_status()
    desk.go("#alarms")
    desk.until_text("log", "Alarms", "beyond its quantity")
    desk.until_text("log", "Alarms", "Account unruly was stopped")
    desk.reload()
    assert "overfill" in desk.until_text("log", "Alarms", "beyond its quantity")
    links = f"document.querySelectorAll('.alarms a[href=\"#order/{order_id}\"]').length"
    assert desk.page.evaluate(links) >= 1


def test_the_venues_are_compared_now_and_the_page_says_what_was_found(desk: DeskPage) -> None:
    desk.go("#doubt")
    desk.push("Reconcile now")
    desk.until_text("status", "Reconciliation result", "Compared: ")
    desk.one("button", "Reconcile now")


def test_what_changed_between_two_sequences_is_listed_field_by_field(stack: LiveStack, desk: DeskPage) -> None:
    order = submitted(stack, account="differs", quantity="0.0091", price="47000")
    desk.until_row("Orders", "0.0091", "filled")
    end = httpx.get(f"{stack.url('oms')}/stats", timeout=10).json()["seq"]
    desk.go(f"#time?seq={end}&from={order['seq']}")
    desk.until_text("status", "Difference", f"From seq {order['seq']} to {end}: 0 new and 1 changed orders; 1 positions moved.")
    row = desk.until_row("Changed orders", "differs", "→ filled")
    assert "filled 0 → 0.0091" in row
    desk.until_row("Changed positions", "differs", "0.0091")
    desk.until_row("Positions as of", "differs", "0.0091")
    desk.fill("textbox", "Since sequence", "0")
    desk.press("Enter")
    desk.until_text("status", "Difference", f"A sequence from 1 to {end}.")


def test_engine_draws_the_last_hour_that_desk_has_kept(stack: LiveStack, desk: DeskPage) -> None:
    desk.until(lambda: httpx.get(f"{stack.url('desk')}/history", timeout=10).json()["samples"], lambda: "a sample of the last ten seconds")
    desk.go("#engine")
    drawn = "document.querySelector('.chart svg[aria-label^=\"Commits, last hour: \"] polyline')?.getAttribute('points') ?? ''"
    desk.until(lambda: desk.page.evaluate(drawn), lambda: "a line of commits")


def test_a_scrolled_blotter_holds_its_rows_and_counts_the_new_ones(stack: LiveStack, desk: DeskPage) -> None:
    for n in range(60):
        submitted(stack, account="scrolled", quantity=f"0.1{n:02}", price="10000")
    desk.fill("searchbox", "Filter orders", "scrolled")
    grid = desk.one("grid", "Orders")
    desk.until(lambda: desk.page.evaluate("location.hash").endswith("q=scrolled"), lambda: "the filter in the address")
    desk.until(lambda: desk.ask(grid, "function () { return this.ariaRowCount }") == "61", lambda: "sixty rows below the heading")
    in_view = "function () { const body = this.querySelector('.grid-body'); const top = body.getBoundingClientRect().top; return [...body.querySelectorAll('[role=row]')].find(row => row.getBoundingClientRect().bottom > top + 1 && row.getBoundingClientRect().top >= top - 1).innerText }"  # noqa: E501
    desk.ask(grid, "function () { this.querySelector('.grid-body').scrollTop = 520 }")
    desk.until(lambda: "0.139" in desk.ask(grid, in_view), lambda: "the twenty-first row first in view")
    before = desk.ask(grid, in_view)
    submitted(stack, account="scrolled", quantity="0.99", price="10000")
    desk.one("button", "1 new above")
    assert desk.ask(grid, in_view) == before
    desk.push("1 new above")
    desk.until_row("Orders", "0.99")


def test_only_rows_in_view_have_nodes_and_the_page_asks_no_other_host(desk: DeskPage) -> None:
    assert desk.page.evaluate("document.querySelectorAll('[role=row]').length") <= 200
    hosts = desk.page.evaluate("[...new Set(performance.getEntriesByType('resource').map(one => new URL(one.name).host))]")
    assert hosts == [desk.page.evaluate("location.host")]


def test_the_page_says_stale_while_the_desk_is_frozen_and_shows_afterwards_what_it_missed(stack: LiveStack, desk: DeskPage) -> None:
    """Without a reload."""
    with stack.frozen("desk"):
        words = desk.until_text("status", "Connection", "stale")
        assert "seq" in words
        assert desk.page.evaluate("document.body.dataset.connection") == "stale"
        submitted(stack, account="missed", quantity="0.0061", price="47000")
    desk.until_text("status", "Connection", "live")
    desk.until_row("Orders", "missed", "0.0061", "filled")


def test_a_browser_without_shared_workers_keeps_its_rows_while_the_desk_is_frozen(stack: LiveStack, desk: DeskPage) -> None:
    desk.page.call("Page.enable")
    desk.page.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.SharedWorker")
    desk.reload()
    submitted(stack, account="kept", quantity="0.0151", price="47000")
    desk.until_row("Orders", "kept", "0.0151", "filled")
    desk.page.evaluate("import('./desk.js').then(({store}) => { window.before = store.hello })")
    with stack.frozen("desk"):
        desk.later(STAYS_S / 60)
        is_again = "import('./desk.js').then(({store}) => store.hello !== window.before)"
        desk.until(lambda: desk.page.evaluate(is_again), lambda: "the state that was received, once more")
        assert desk.shown_orders() > 0
    desk.until_text("status", "Connection", "live")


def test_the_page_says_stale_while_nats_is_frozen_though_the_desk_answers(stack: LiveStack, desk: DeskPage) -> None:
    """What desk says of services and quotes does not make orders fresh."""
    desk.until_text("status", "Connection", "live")
    with stack.frozen("nats"):
        desk.until_text("status", "Connection", "stale")
        time.sleep(STAYS_S)
        assert desk.page.evaluate("document.body.dataset.connection") == "stale"
    desk.until_text("status", "Connection", "live")
