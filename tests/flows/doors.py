"""Asking a stack's doors: nothing may answer 500, and whatever is no success is a problem that says what it is."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.stack import LiveStack

PROBLEM: Final = "application/problem+json"
QUIET_S: Final = 0.3

ORDER: Final[dict[str, Any]] = {"account": "bad", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}
"""It rests: the simulated quotes stay near 45 000."""
UNKNOWN: Final = "0" * 32


class Doors:
    """One client of one service. Counts what it asked."""

    def __init__(self, stack: LiveStack, name: str = "oms") -> None:
        self._http = httpx.Client(base_url=stack.url(name), timeout=60)
        self.asked = 0

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        answer = self._http.request(method, path, **how)
        self.asked += 1
        assert answer.status_code != 500, (method, path, how, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            sound(answer)
        return answer

    def submit(self, **order: Any) -> httpx.Response:
        return self.ask("POST", "/orders", json=order)

    def refused(self, method: str, path: str, **how: Any) -> tuple[int, str, str | None]:
        """Status, code and pointer of a problem."""
        answer = self.ask(method, path, **how)
        body = answer.json()
        return answer.status_code, body.get("code"), body.get("pointer")


def sound(answer: httpx.Response) -> None:
    """Problem details as RFC 9457 wants them, not long, and nothing of our inside in them."""
    body = answer.json()
    assert answer.headers["content-type"] == PROBLEM, answer.text
    assert (body["type"], body["status"]) == ("about:blank", answer.status_code)
    assert body["title"]
    assert body["code"]
    assert body["detail"]
    assert len(answer.content) < 1000 + len(str(answer.request.url)), answer.text
    assert "Traceback" not in answer.text


def accepted(doors: Doors, **order: Any) -> dict[str, Any]:
    """The answer to an order that risk let pass. On a busy machine it may have had no time for the first one."""
    for _ in range(20):
        answer: dict[str, Any] = doors.submit(**order).json()
        if answer["status"] == "submitted":
            return answer
        assert answer["reason"] in ("risk_timeout", "risk_error"), answer
    raise AssertionError("risk never had the time")


@dataclass(frozen=True)
class Recorded:
    """What would change if something had become an order."""

    seq: int
    orders: dict[str, int]
    risk_checks: int
    reservations: Any


def recorded(stack: LiveStack) -> Recorded:
    """As it is when nothing moves any more."""
    last = _recorded(stack)
    deadline = time.monotonic() + 10
    while True:
        time.sleep(QUIET_S)
        now = _recorded(stack)
        if now == last:
            return now
        assert time.monotonic() < deadline, "there is trading here: it does not become quiet"
        last = now


def _recorded(stack: LiveStack) -> Recorded:
    oms = httpx.get(f"{stack.url('oms')}/stats").json()
    risk = httpx.get(f"{stack.url('risk')}/stats").json()
    asked = risk["checks"] - risk["dry"]  # oms's own health asks about an order of no account
    return Recorded(oms["seq"], oms["orders"], asked, json.dumps(risk["reservations"]))
