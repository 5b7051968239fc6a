"""Debian's Chromium without a window, driven over two pipes by the DevTools protocol (Page, Runtime and Target of its stable version).

A pipe needs no WebSocket library, no driver of the browser's version, and no port that other programs of the machine could use.
"""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Self

from tests.children import started

PROGRAM: Final = shutil.which("chromium")
ANSWER_TIMEOUT_S: Final = 60.0
PIECE: Final = 64 * 1024
QUIET: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
)
AT_FDS_3_AND_4: Final = 'exec "${@:3}" 3<&"$1" 4>&"$2"'
"""The browser reads commands from descriptor 3 and writes to 4."""


class Browser:
    """One browser with an empty profile in `home`. It resolves the names in `names` to these addresses, and no others."""

    def __init__(self, home: Path, names: dict[str, str]) -> None:
        assert PROGRAM is not None
        rules = [*(f"MAP {name} {address}" for name, address in names.items()), "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        flags = [*QUIET, f"--user-data-dir={home / 'profile'}", f"--host-resolver-rules={', '.join(rules)}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium refuses to run its sandbox as root
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        with (home / "chromium.out").open("wb") as output:
            self._process = started(
                ["bash", "-c", AT_FDS_3_AND_4, "bash", str(commands), str(answers), PROGRAM, "--remote-debugging-pipe", *flags],
                pass_fds=(commands, answers),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        os.close(commands)
        os.close(answers)
        self._sent = 0
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        os.close(self._commands)  # a browser that lost its commands ends too
        os.close(self._answers)
        try:
            self._process.wait(ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def page(self, url: str) -> "Page":
        """Open an address in a tab of its own and wait until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        went = self.call("Page.navigate", session, url=url)
        assert "errorText" not in went, (url, went)
        page = Page(self, session)
        page.evaluate("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))")
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Events are not awaited by anything here, and dropped."""
        self._sent += 1
        command = {"id": self._sent, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while (message := self._message(deadline)).get("id") != self._sent:
            pass
        assert "error" not in message, (method, message)
        result: dict[str, Any] = message["result"]
        return result

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            readable, _, _ = select.select([self._answers], [], [], max(deadline - time.monotonic(), 0))
            assert readable, "the browser does not answer"
            piece = os.read(self._answers, PIECE)
            assert piece, "the browser has ended"
            self._received += piece
        first, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message


class Page:
    """One loaded page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command for this page and return its result."""
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, script: str) -> Any:
        """Run a script as the page would, and return its value; that of a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")
