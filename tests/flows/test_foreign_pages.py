"""Every route of every service, as a page of another site would ask it: refused before any handler, and nothing has changed.

The routes are those of each service's own openapi.json (the raw handlers have their twins there), and the metrics ports.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from apps.stack.credentials.users import CLI_KEY_FILE
from apps.stack.services import SECRETS
from tests.flows.doors import ORDER, Doors, recorded, sound
from tests.routes import ENDLESS
from tests.stack import SERVICES, LiveStack

EVIL: Final = "https://elsewhere.example"
JSON: Final = {"content-type": "application/json"}
TEXT: Final = {"content-type": "text/plain"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}

ARMING: Final = {"scope": "account:page", "reason": "page"}
ALGO: Final = {
    "symbol": "BTCUSDT",
    "side": "buy",
    "quantity": "0.1",
    "strategy": "iceberg",
    "limit_price": "40000",
    "params": {"display_quantity": "0.01"},
}
BODIES: Final[dict[tuple[str, str, str], dict[str, Any]]] = {
    ("oms", "POST", "/orders"): {**ORDER, "account": "page"},
    ("oms", "PATCH", "/orders/{order_id}"): {"price": "39000"},
    ("oms", "POST", "/orders/{order_id}/settle"): {"outcome": "cancelled", "who": "page", "reason": "page"},
    ("oms", "POST", "/order-lists"): {"account": "page", "client_list_id": "page", "type": "none", "orders": [ORDER, ORDER]},
    ("oms", "POST", "/algos"): {**ALGO, "account": "page", "client_algo_id": "page"},
    ("oms", "PATCH", "/algos/{algo_id}"): {"quantity": 2},
    ("oms", "POST", "/algos/{algo_id}/pause"): {"reason": "page"},
    ("oms", "POST", "/algos/{algo_id}/resume"): {"reason": "page"},
    ("risk", "POST", "/check"): {**ORDER, "account": "page", "order_id": "page"},
    ("risk", "POST", "/risk/kill"): ARMING,
    ("risk", "POST", "/risk/arm"): ARMING,
    ("risk", "POST", "/risk/symbols/{symbol}/block"): {"reason": "page"},
    ("risk", "POST", "/risk/symbols/{symbol}/unblock"): {"reason": "page"},
    ("risk", "POST", "/risk/accounts/{account}/suspend"): {"reason": "page"},
    ("risk", "POST", "/risk/accounts/{account}/resume"): {"reason": "page"},
    ("risk", "POST", "/risk/repeats/{account}/enable"): {"reason": "page"},
    ("risk", "PUT", "/risk/limits/{account}"): {"version": 1, "reason": "page", "max_order_size_usd": 1},
    ("risk", "POST", "/access/accounts"): {"account": "page"},
    ("risk", "POST", "/access/accounts/{account}/close"): {"reason": "page"},
    ("risk", "POST", "/access/keys"): {"account": "page", "scopes": ["read"]},
    ("risk", "POST", "/access/keys/{key_id}/revoke"): {"reason": "page"},
    ("risk", "POST", "/access/keys/{key_id}/rotate"): {"grace_sec": 0},
    ("risk", "POST", "/access/keys/{key_id}/limit"): {"rate": 1, "burst": 1},
    ("risk", "POST", "/access/keys/{key_id}/end-sessions"): {"reason": "page"},
    ("exeq", "POST", "/kill"): ARMING,
    ("exeq", "POST", "/routes/preview"): {**ORDER, "account": "page"},
    ("desk", "POST", "/session"): {"key": "PKABCDEFGHIJKLMNOP23.x"},
    ("live-gateway", "POST", "/quotes/advance"): {"rows": 1},
    ("live-gateway", "POST", "/venues/{venue}/faults"): {"fault": "freeze"},
}
"""A body for each route that takes one, good enough to change something were it let in."""


@dataclass(frozen=True)
class Route:
    http: httpx.Client
    service: str
    url: str
    method: str
    path: str
    fields: dict[str, Any] = field(default_factory=dict)
    key: dict[str, str] = field(default_factory=dict)
    """Of a route that is closed without one, also in open mode."""

    @property
    def body(self) -> dict[str, Any]:
        return BODIES[self.service, self.method, self.path] if self.fields else {}

    def ask(self, headers: dict[str, str], content: bytes | None = None, method: str | None = None) -> httpx.Response:
        given = {"symbol": "BTCUSDT", "account": "page", "venue": "PAPER_A"}
        path = re.sub(r"{(\w+)(?::path)?}", lambda found: given.get(found.group(1), "x"), self.path)
        sent = content if content is not None else json.dumps(self.body).encode() if self.fields else None
        return self.http.request(method or self.method, self.url + path, headers=headers | self.key, content=sent)


@pytest.fixture(scope="module")
def routes(shared_stack: LiveStack) -> Iterator[list[Route]]:
    with httpx.Client(timeout=20, trust_env=False) as http:
        yield list(found(shared_stack, http))


def found(stack: LiveStack, http: httpx.Client) -> Iterator[Route]:
    for service in SERVICES:
        url, operator = stack.url(service), command_line_key(stack)
        document = http.get(f"{url}/openapi.json").json()
        for path, operations in document["paths"].items():
            if path == ENDLESS:
                continue
            for method, operation in operations.items():
                schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                key = operator if path.startswith("/access/") else {}
                yield Route(http, service, url, method.upper(), path, schema.get("properties", {}), key)
        for path in ("/openapi.json", "/docs", "/nothing"):
            yield Route(http, service, url, "GET", path)
        metrics = stack.metrics_url(service)
        for path in ("/metrics", "/health", "/nothing"):
            yield Route(http, service, metrics, "GET", path)


def command_line_key(stack: LiveStack) -> dict[str, str]:
    return {"authorization": f"Bearer {(stack.data_dir / SECRETS / CLI_KEY_FILE).read_text().strip()}"}


@dataclass(frozen=True)
class Attack:
    headers: dict[str, str]
    status: int
    code: str
    needs_body: bool = False


PAGE: Final = {"origin": EVIL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
ATTACKS: Final = {
    "a page, by its own name": Attack({**PAGE, **TEXT, "host": "elsewhere.example"}, 421, "host_unknown"),
    "a name that was rebound": Attack({**JSON, "host": "elsewhere.example:8099", "sec-fetch-site": "same-origin"}, 421, "host_unknown"),
    "the name of a container": Attack({**JSON, "host": "oms:8099"}, 421, "host_unknown"),
    "a page, in plain text": Attack({**PAGE, **TEXT}, 403, "origin_refused"),
    "a page, as a form": Attack({**PAGE, **FORM}, 403, "origin_refused"),
    "a page, in JSON": Attack({**PAGE, **JSON}, 403, "origin_refused"),
    "a page, without a type": Attack(PAGE, 403, "origin_refused"),
    "a page of another port": Attack({**JSON, "origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"}, 403, "origin_refused"),
    "a page in a sandbox": Attack({**JSON, "origin": "null"}, 403, "origin_refused"),
    "a picture or a script": Attack({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", **JSON}, 403, "origin_refused"),
    "plain text of a program": Attack(TEXT, 415, "json_wanted", needs_body=True),
    "a form of our own page": Attack({**FORM, "sec-fetch-site": "same-origin"}, 415, "json_wanted", needs_body=True),
    "no type of our own page": Attack({"sec-fetch-site": "same-origin"}, 415, "json_wanted", needs_body=True),
}


def standing(stack: LiveStack) -> list[Any]:
    """Everything that a page could have changed."""
    risk, exeq = stack.url("risk"), stack.url("exeq")
    views = (f"{risk}/risk/controls", f"{risk}/risk/controls/history", f"{risk}/risk/limits?account=page", f"{exeq}/kill")
    keys = httpx.get(f"{risk}/access/keys", headers=command_line_key(stack), timeout=10).json()["keys"]
    ids = [key["key_id"] for key in keys if key["state"] == "live"]
    return [recorded(stack), ids, *(httpx.get(view, timeout=10).json() for view in views)]


def test_every_route_that_takes_a_body_is_tried_with_one(routes: list[Route]) -> None:
    assert {(route.service, route.method, route.path) for route in routes if route.fields} == set(BODIES)
    assert len(routes) > 70


@pytest.mark.timeout(300)
def test_a_page_of_elsewhere_changes_nothing_at_any_route(running: LiveStack, routes: list[Route]) -> None:
    before = standing(running)
    for route in routes:
        for name, attack in ATTACKS.items():
            if attack.needs_body and not route.fields:
                continue
            answer = route.ask(attack.headers)
            assert answer.status_code == attack.status, (route, name, answer.text)
            sound(answer)
            assert answer.json()["code"] == attack.code, (route, name)
            assert not permissive(answer), (route, name)
    assert standing(running) == before
    refused = running.metrics_page("oms")
    assert re.search(r'http_requests_refused_total\{code="host_unknown"\} [1-9]', refused)


def permissive(answer: httpx.Response) -> list[str]:
    """Headers by which a browser would let another site ask or read."""
    return [name for name in answer.headers if name.startswith("access-control")]


def test_no_browser_is_given_leave_to_ask_across_origins(routes: list[Route]) -> None:
    for route in routes:
        own = route.url
        preflight = {"access-control-request-method": route.method, "access-control-request-headers": "content-type"}
        for origin, status in ((EVIL, 403), (own, 405)):
            answer = route.ask({**preflight, "origin": origin}, b"", "OPTIONS")
            assert (answer.status_code in (status, 404), permissive(answer)) == (True, []), (route, answer.text)
        assert permissive(route.ask({"origin": own}, b"", "HEAD")) == []


def test_the_ways_in_that_stay_open(running: LiveStack) -> None:
    """The user's own curl (a form type, or none), our own page, a link that is followed."""
    url, body = running.url("risk"), json.dumps({**ORDER, "account": "page"}).encode()
    for headers in (FORM, {}, JSON, {**JSON, "origin": url, "sec-fetch-site": "same-origin"}, {**JSON, "host": "localhost"}):
        answer = httpx.post(f"{url}/check", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert httpx.get(f"{url}/docs", headers=link).status_code == 200


# The same table, for bodies that no answer could repeat.

HALF: Final = "\\ud800"
TEXTS: Final = (HALF, f"a{HALF}b", "\\udc00\\ud800", f"symbol:{HALF}")


def spoiled(body: dict[str, Any], name: str, text: str) -> bytes:
    """The body with this escape as the field's text."""
    return json.dumps({**body, name: "@@"}).replace('"@@"', f'"{text}"').encode()


@pytest.mark.timeout(300)
def test_half_of_a_surrogate_pair_is_malformed_in_every_field_of_every_route(running: LiveStack, routes: list[Route]) -> None:
    before = standing(running)
    for route in routes:
        for name in route.fields:
            for text in TEXTS:
                malformed(route, spoiled(route.body, name, text))
        if route.fields:
            malformed(route, json.dumps({**route.body, "@@": 1}).replace("@@", HALF).encode())
            malformed(route, f'"{HALF}"'.encode())
    assert standing(running) == before


@pytest.mark.timeout(300)
def test_a_key_that_comes_twice_is_malformed_at_every_route(running: LiveStack, routes: list[Route]) -> None:
    before = standing(running)
    for route in routes:
        for name, value in route.body.items():
            for again in (name, f"\\u{ord(name[0]):04x}{name[1:]}"):
                malformed(route, json.dumps(route.body)[:-1].encode() + f', "{again}": {json.dumps(value)}}}'.encode())
    assert standing(running) == before


def malformed(route: Route, body: bytes) -> None:
    answer = route.ask(JSON, body)
    assert answer.status_code == 400, (route, body, answer.text)
    sound(answer)
    assert answer.json()["code"] == "malformed", (route, body, answer.text)


def test_odd_letters_in_addresses_and_parameters_are_no_fault_of_ours(running: LiveStack, routes: list[Route]) -> None:
    """Halves of surrogate pairs, in escapes and in invalid UTF-8, overlong forms, and bytes that are no text."""
    odd = ("%ED%A0%80", "%ED%B0%80%ED%A0%80", "%C0%AF", "%FF%FE", "%F4%90%80%80", "%u d800".replace(" ", ""))
    services = {name: Doors(running, name) for name in SERVICES}
    for route in routes:
        if route.method != "GET" or route.url != running.url(route.service):
            continue
        for text in odd:
            services[route.service].ask("GET", re.sub(r"{\w+(?::path)?}", text, route.path))
            services[route.service].ask(
                "GET", f"{re.sub(r'{.*?}', 'x', route.path)}?account={text}&symbol={text}&limit={text}&{text}={text}"
            )
    for doors in services.values():
        doors.close()
