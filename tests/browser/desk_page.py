"""The desk as a person with a keyboard and a screen reader has it: everything is found by its role and its name."""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from tests.browser.chromium import Browser, Page
from tests.stack import LiveStack

ARRIVES_S: Final = 20.0
POLL_S: Final = 0.05
ACCOUNT: Final = "desk"

ALT: Final = 1
"""CDP's bit for the Alt key."""
KEYS: Final = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "Backspace": ("Backspace", 8, ""),
}
"""By key: its code, its number, and the text that it types."""


def submitted(stack: LiveStack, **terms: Any) -> dict[str, Any]:
    """Send an order beside the page."""
    order = {"account": ACCOUNT, "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000", **terms}
    answer: dict[str, Any] = httpx.post(f"{stack.url('oms')}/orders", json=order, timeout=10).raise_for_status().json()
    return answer


class DeskPage:
    """One tab with the desk in it."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page: Page = browser.page(url)
        self.page.call("DOM.enable")
        self.page.call("Accessibility.enable")
        self.show()

    # --- find -----------------------------------------------------------------------------------------------------------------------------

    def found(self, role: str, name: str, within: str = "") -> list[str]:
        """Return the objects with this role and exactly this name; below those of the object `within` if it is given."""
        root = {"objectId": within} if within else {"nodeId": self.page.call("DOM.getDocument")["root"]["nodeId"]}
        nodes = self.page.call("Accessibility.queryAXTree", **root, role=role, accessibleName=name)["nodes"]
        ids = [node["backendDOMNodeId"] for node in nodes if not node["ignored"]]
        return [self.page.call("DOM.resolveNode", backendNodeId=each)["object"]["objectId"] for each in ids]

    def one(self, role: str, name: str) -> str:
        """Wait for the one object with this role and name."""
        found: list[str] = []

        def is_one() -> bool:
            found[:] = self.found(role, name)
            return len(found) == 1

        self.until(is_one, lambda: f"one {role} {name!r}, not {len(found)}")
        return found[0]

    def ask(self, of: str, function: str) -> Any:
        """Return what a function of the page makes of an object, which is its `this`."""
        answer = self.page.call("Runtime.callFunctionOn", objectId=of, functionDeclaration=function, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, role: str, name: str) -> str:
        found: str = self.ask(self.one(role, name), "function () { return this.innerText }")
        return found

    def rows(self, grid: str, role: str = "grid") -> list[str]:
        """Return the texts of the rows of a grid or table that are in view, without that of the headers."""
        script = "function () { return [...this.querySelectorAll('[role=row], tr')].slice(1).filter(row => row.isConnected).sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map(row => row.innerText.replace(/\\s+/g, ' ')) }"  # noqa: E501
        found: list[str] = self.ask(self.one(role, grid), script)
        return found

    def focused(self) -> str:
        """Return the text, or the name, of what has the focus."""
        script = (
            "document.activeElement.closest('[role=row]')?.innerText ?? document.activeElement.ariaLabel ?? document.activeElement.name"
        )
        found: str = self.page.evaluate(f"String({script})")
        return found

    # --- act ------------------------------------------------------------------------------------------------------------------------------

    def press(self, key: str, *, alt: bool = False) -> None:
        code, number, text = KEYS.get(key) or (f"Key{key.upper()}", ord(key.upper()), key)
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": ALT if alt else 0}
        self.page.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text and not alt else {}))
        self.page.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        for letter in text:
            self.page.call("Input.dispatchKeyEvent", type="char", text=letter)

    def fill(self, role: str, name: str, text: str) -> None:
        """Go to a field and type over what is in it."""
        field = self.one(role, name)
        self.ask(field, "function () { this.focus(); this.select() }")
        self.press("Backspace")
        self.type(text)

    def push(self, name: str, role: str = "button") -> None:
        self.ask(self.one(role, name), "function () { this.click() }")

    def go(self, address: str) -> None:
        self.page.evaluate(f"location.hash = {json.dumps(address)}")

    def write_order(self, quantity: str, price: str, account: str = ACCOUNT) -> None:
        """Fill in the ticket from its first field, by keyboard."""
        self.press("t", alt=True)
        self.fill("combobox", "Account", account)
        self.press("Tab")
        self.type("BTCUSDT")
        self.fill("textbox", "Quantity", quantity)
        self.press("Tab")
        self.type(price)

    def sign_in(self, key: str) -> None:
        """Sign in beside the page, connect again as the form does, and load the page again."""
        post = {"method": "POST", "headers": {"Content-Type": "application/json", "X-Trade-Desk": "1"}, "body": json.dumps({"key": key})}
        assert self.page.evaluate(f"fetch('session', {json.dumps(post)}).then(one => one.status)") == 200
        self.page.evaluate("import('./desk.js').then(({reconnect}) => reconnect())")
        self.reload()

    def sign_out(self) -> None:
        """Sign out beside the page, as another tab does."""
        self.page.evaluate("fetch('session', {method: 'DELETE', headers: {'X-Trade-Desk': '1'}}).then(() => 0)")

    def cookies(self) -> list[str]:
        """Return the names of all cookies of the browser, for whichever address they are."""
        return [each["name"] for each in self.page.call("Network.getAllCookies")["cookies"]]

    def later(self, minutes: float) -> None:
        """Put the clock of the page forward, not that of desk."""
        self.page.evaluate(f"{{ const now = performance.now.bind(performance); performance.now = () => now() + {minutes} * 60000 }}")

    def shown_orders(self) -> int:
        """Return how many orders the blotter has, also behind a dialog."""
        return int(self.page.evaluate("document.querySelector('[role=grid][aria-label=Orders]').ariaRowCount")) - 1

    def reload(self) -> None:
        """Load the page again, and wait until the new one is there."""
        self.until_loaded(lambda: self.page.call("Page.reload"))

    def until_loaded(self, act: Callable[[], object]) -> None:
        """Do what makes the page load again, and wait until the new one is there."""
        self.page.evaluate("window.isOld = true")
        act()
        self.until(self._is_new, lambda: "the new page")

    def show(self) -> None:
        """Bring the tab to the front. The others draw nothing."""
        self.page.call("Page.bringToFront")

    def close(self) -> None:
        self.page.call("Page.close")

    def _is_new(self) -> bool:
        with contextlib.suppress(AssertionError):  # the old page has gone in the middle of the question
            return bool(self.page.evaluate("window.isOld === undefined && document.readyState === 'complete'"))
        return False

    # --- wait -----------------------------------------------------------------------------------------------------------------------------

    def until(self, holds: Callable[[], object], what: Callable[[], str]) -> None:
        deadline = time.monotonic() + ARRIVES_S
        while not holds():
            assert time.monotonic() < deadline, f"expected {what()}"
            time.sleep(POLL_S)

    def until_filled(self) -> None:
        """Wait until an order of unknown outcome has been asked for. If it was lost, send it again as a person does."""
        self.until(
            lambda: "filled" in self.text("status", "Ticket result") or self.found("button", "Send again, same id"),
            lambda: f"an outcome: {self.text('status', 'Ticket result')}",
        )
        if self.found("button", "Send again, same id"):
            self.push("Send again, same id")
        self.until_text("status", "Ticket result", "filled")

    def until_text(self, role: str, name: str, part: str) -> str:
        """Wait until a text has a part, and return it whole."""
        self.until(lambda: part in self.text(role, name), lambda: f"{part!r} in {role} {name!r}: {self.text(role, name)!r}")
        return self.text(role, name)

    def until_row(self, grid: str, *parts: str) -> str:
        """Wait until a row of a grid has all parts, and return its text."""

        def matching() -> list[str]:
            return [row for row in self.rows(grid) if all(part in row for part in parts)]

        self.until(matching, lambda: f"a row with {parts} in {grid}: {self.rows(grid)[:5]}")
        return matching()[0]
