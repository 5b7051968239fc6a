"""Nothing that changes or shows an account is reachable without a key that says so, and no tenant sees what is another's."""

import re
import time
from typing import Any, Final

from apps.http.docs_page import FILES, PAGE
from apps.http.route_scopes import OPEN, TABLES
from domain.access.scopes import AccessScope, mask_of
from domain.values import order_id_of
from tests.flows.access.bert import Bert, questions, standing
from tests.flows.access.conftest import ALONE_MAX_USD
from tests.flows.access.tenants import ABSENT, ANNA, BERT, NOPE, NOT_YOURS, House, Made, as_json, bearer, plain, rank_score, raw, shown
from tests.routes import ENDLESS
from tests.stack import SERVICES

OPEN_PAGES: Final = ("/health", "/ready", PAGE, *(f"{PAGE}/{name}" for name in FILES), "/openapi.json")
SIMILAR: Final = 6.0
"""Standard deviations of a rank test. Equal distributions exceed it once in a billion runs."""


# Routes and their scopes


def table_of(service: str) -> dict[tuple[str, str], int | None]:
    """The rows by route, spelled as OpenAPI does."""
    return {(method, path.replace(":path}", "}")): row for (method, path), row in TABLES[service].items()}


def unlisted(service: str) -> set[tuple[str, str]]:
    """The routes that no description has: pages for people, and what desk passes on, which the other services describe."""
    pages = {("GET", path) for path in ("/openapi.json", PAGE, *(f"{PAGE}/{name}" for name in FILES))}
    desk = {
        (method, path)
        for method, path in table_of(service)
        if path.startswith("/api/") or path == "/" or path.endswith((".css", ".js", ".svg"))
    }
    return pages | desk if service == "desk" else pages


def concrete(path: str) -> str:
    """An address of the route at which there is nothing. Of the stream, which has no end: a query that it refuses."""
    return f"{ENDLESS}?kinds=nothing" if path == ENDLESS else re.sub(r"{\w+}", "nothing", path)


def open_pages(service: str) -> set[str]:
    """The pages that need no key. At desk also the page, which has no data, and its door."""
    desk = {path for _, path in unlisted("desk") if not path.startswith("/api/")} | {"/session"}
    return {*OPEN_PAGES, *desk} if service == "desk" else set(OPEN_PAGES)


def test_every_route_has_a_row_and_every_row_a_route(house: House) -> None:
    for service in SERVICES:
        paths = house.done(service, "GET", "/openapi.json")["paths"]
        routes = {(method.upper(), path) for path, operations in paths.items() for method in operations}
        assert routes | unlisted(service) == set(table_of(service)), service


UNKNOWN: Final = (
    "/",
    "/nothing",
    "/health/",
    "//health",
    "/HEALTH",
    "/health%0A",
    "/health/../stats",
    "/%2e%2e/stats",
    "/docs/x",
    "/health;x",
)


def test_without_a_key_there_are_a_few_pages_and_nothing_else(house: House) -> None:
    for service in SERVICES:
        for (method, path), row in table_of(service).items():
            answer = house.ask(service, method, concrete(path))
            expected: tuple[int, ...] = (200, 503) if row is OPEN else (401,)
            if path in open_pages(service) - set(OPEN_PAGES):
                expected = (200, 204, 400, 401, 403, 404)  # the page has no such file; without a key no user is signed in
            assert answer.status_code in expected, (service, method, path, answer.status_code)
        assert {path for (_, path), row in table_of(service).items() if row is OPEN} == open_pages(service)
        for path in UNKNOWN[service == "desk" :]:  # desk has a page at /
            for method in ("GET", "POST", "HEAD", "OPTIONS", "TRACE", "DELETE", "PURGE"):
                assert house.ask(service, method, path).status_code == 401, (service, method, path)


def test_open_pages_tell_nothing_of_orders_and_accounts(house: House, bert: Bert) -> None:
    for service in SERVICES:
        for path in OPEN_PAGES:
            text = house.ask(service, "GET", path).text
            own = (BERT, "bert-", bert.filled, bert.resting, bert.key.key_id)
            assert [trace for trace in own if trace in text] == [], (service, path)
        for path in ("/health", "/ready"):
            assert re.search(r"\d", house.ask(service, "GET", path).text) is None, (service, path)


def test_a_key_of_one_scope_opens_exactly_the_routes_of_its_rows(house: House) -> None:
    keys = {scope: house.key("acct-scopes", scope) for scope in AccessScope}
    for service in SERVICES:
        for (method, path), row in table_of(service).items():
            for scope, key in keys.items():
                sent: dict[str, Any] = {"json": {}} if method in ("POST", "PUT", "PATCH") and not path.endswith("/verify") else {}
                answer = house.ask(service, method, concrete(path), key.headers, **sent)
                missing = answer.status_code == 403 and answer.json()["code"] == "scope_missing"
                if (service, path) == ("desk", "/session"):
                    continue  # it judges the key in its body, or the cookie
                assert answer.status_code != 401, (service, method, path, scope)
                if path.startswith("/api/"):
                    continue  # the scope is that of the service behind it, which judges it
                assert missing == (row is not OPEN and not mask_of([scope]) & row), (service, method, path, scope, answer.text)


TRICKS: Final = ("{}%0A", "{}%0a", "/{}", "{}/", "{}//", "{}%00", "{}%20", "{};x", "/.{}", "/x/..{}", "/%2e{}", "{}%0D%0A")


def test_an_address_that_only_looks_like_another_reaches_no_handler(house: House) -> None:
    """Starlette takes an address and a newline for the address: a key that reads could make keys."""
    reader = house.key("acct-tricks", "read").headers
    routes: list[tuple[str, str, dict[str, Any]]] = [
        ("risk", "/access/keys", {"account": "acct-tricks", "scopes": ["trade"]}),
        ("risk", "/risk/kill", {"scope": "all", "reason": "x"}),
    ]
    routes += [("oms", "/orders", {"symbol": "BTCUSDT"}), ("exeq", "/kill", {"scope": "all", "reason": "x"})]
    for service, path, body in routes:
        for trick in TRICKS:
            answers = raw(house.port(service), plain("POST", trick.format(path), reader, as_json(body)))
            assert [status in (403, 404, 405) for status, _ in answers] == [True], (service, path, trick, answers)
    assert house.done("risk", "GET", "/risk/controls")["killed"] == []


def test_what_surrounds_a_request_gives_it_no_more_rights(house: House, anna: Made) -> None:
    port, key = house.port("oms"), anna.headers
    wrong = bearer(f"{anna.key_id}.x")
    trusted = ("x-forwarded-for: 127.0.0.1", "x-forwarded-user: operator", "forwarded: for=127.0.0.1", "x-original-url: /health")
    for request, statuses in (
        (plain("GET", "/orders", {}, b"", *trusted), [401]),
        (plain("GET", "http://127.0.0.1/health/../orders", {}), [401]),
        (plain("GET", "http://127.0.0.1/orders", {}), [401]),
        (plain("GET", "http://elsewhere.example/orders", {}, b"", "host: elsewhere.example"), [421]),
        (plain("GET", "/orders", key, version="1.0").replace(b"host: 127.0.0.1\r\n", b""), [421]),
        (plain("OPTIONS", "*", {}), [401]),
        (plain("GET", "/orders", {}, b"", "connection: upgrade", "upgrade: websocket", "sec-websocket-key: eA=="), [401]),
        (plain("GET", "/orders", {}, b"", "connection: upgrade", "upgrade: h2c"), [401]),
        (plain("POST", "/orders", {}, b"{}", "x-http-method-override: GET"), [401]),
        (plain("GET", "/health", key) + plain("GET", "/orders", {}), [200, 401]),
        (plain("GET", "/orders", key) + plain("GET", "/orders", wrong) + plain("GET", "/orders", {}), [200, 401, 401]),
    ):
        assert [status for status, _ in raw(port, request, count=len(statuses))] == statuses, request
    assert raw(port, plain("GET", "/orders", {"authorization": f"Bearer {anna.key_id}.{anna.secret}\x00"}))[0][0] == 400


def test_a_request_hidden_in_a_body_is_never_one_of_its_own(house: House, anna: Made) -> None:
    hidden = plain("GET", "/access/me", anna.headers)
    for more in (("connection: upgrade", "upgrade: websocket"), ("connection: upgrade", "upgrade: h2c"), ("expect: 100-continue",)):
        request = plain("POST", "/orders", {}, hidden, *more)
        for pieces in ([request], [request[: -len(hidden)], hidden]):
            answered = raw(house.port("oms"), *pieces)
            assert [status for status, _ in answered if status != 100] == [401], (more, len(pieces), answered)
    both = plain("POST", "/orders", {}, hidden, "transfer-encoding: chunked")
    assert [status for status, _ in raw(house.port("oms"), both)] in ([400], [401, 400])


# Two tenants


def test_what_is_anothers_is_answered_like_what_does_not_exist(house: House, anna: Made, bert: Bert) -> None:
    operating = house.key(ANNA, "trade", "read", "ops", owner="ann-owner")
    house.submit(anna.headers, client_order_id="annas")
    before = standing(house, bert)
    for service, method, path, foreign, absent, body in questions(bert):
        for key in (anna, operating):
            answers = []
            for name in (foreign, absent):
                sent: dict[str, Any] = (
                    {"content": as_json(body).replace(b"@", name.encode()), "headers": {"content-type": "application/json"}} if body else {}
                )
                answers.append(shown(house.ask(service, method, path.replace("@", name), key.headers, **sent), name))
            if service == "exeq" and key is operating:
                continue  # an operator sees the routes of all accounts
            assert answers[0] == answers[1], (service, method, path)
            told = answers[0][1] + str(answers[0][2])
            assert [trace for trace in bert.traces if trace in told and trace not in path] == [], (service, method, path)
    assert standing(house, bert) == before


def test_nothing_of_bert_is_in_any_page_that_anna_may_read(house: House, anna: Made, bert: Bert) -> None:
    house.done("risk", "POST", "/risk/kill", json={"scope": f"account:{BERT}", "reason": "bert-kill"})
    for service in SERVICES:
        for (method, path), row in table_of(service).items():
            if method != "GET" or row is OPEN:
                continue
            if path == ENDLESS:
                continue  # tests/flows/access/test_streams.py
            answer = house.ask(service, "GET", path.replace("{account}", ANNA).replace("{symbol}", "BTCUSDT"), anna.headers)
            told = answer.text + str(answer.headers)
            public = ("ETHUSDT",) if path == "/instruments" else ()  # the catalogue is the same for all
            assert [trace for trace in bert.traces if trace in told and trace not in public] == [], (service, path)
    assert [each["account"] for each in house.done("risk", "GET", "/risk/portfolio", anna.headers)["accounts"]] == [ANNA]
    assert {each["account"] for each in house.done("oms", "GET", "/orders", anna.headers)["orders"]} == {ANNA}
    arm(house, f"account:{BERT}")


def arm(house: House, scope: str) -> None:
    """Armed again by two owners."""
    one, two = (house.key("*", "risk", owner=owner).headers for owner in ("first-owner", "second-owner"))
    token = house.done("risk", "POST", "/risk/arm", one, json={"scope": scope, "reason": "x"})["token"]
    house.done("risk", "POST", "/risk/arm", two, json={"scope": scope, "reason": "x", "token": token})


def test_a_cursor_of_berts_fills_shows_anna_her_own(house: House, anna: Made, bert: Bert) -> None:
    house.submit(bert.key.headers, symbol="ETHUSDT", quantity="0.01", price=None, client_order_id="bert-second")
    deadline = time.monotonic() + 30
    while (page := house.done("oms", "GET", f"/fills/{BERT}?limit=1", bert.key.headers))["next"] is None:
        assert time.monotonic() < deadline, "the fills never came"
        time.sleep(0.05)
    told = house.done("oms", "GET", f"/fills/{ANNA}?cursor={page['next']}", anna.headers)
    assert {fill["account"] for fill in told["fills"]} <= {ANNA}


PAIRS: Final = 250


def test_the_time_of_an_answer_does_not_tell_whether_an_order_exists(house: House, anna: Made, bert: Bert) -> None:
    """Interleaved, so that what else this machine does falls on both."""
    times: dict[str, list[float]] = {bert.resting: [], ABSENT: []}
    for number in range(PAIRS):
        for name in (bert.resting, ABSENT) if number % 2 else (ABSENT, bert.resting):
            began = time.perf_counter()
            assert house.ask("oms", "GET", f"/orders/{name}", anna.headers).status_code == 404
            times[name].append(time.perf_counter() - began)
    assert abs(rank_score(*times.values())) < SIMILAR


def test_a_body_that_names_another_account_changes_nothing_and_without_one_it_is_the_keys(house: House, anna: Made, bert: Bert) -> None:
    before = standing(house, bert)
    for name in (BERT, NOPE):
        order = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000", "account": name}
        assert house.refused("oms", "POST", "/orders", anna.headers, json=order) == NOT_YOURS
        assert house.refused("risk", "POST", "/check", anna.headers, json=order) == NOT_YOURS
        assert house.refused("exeq", "POST", "/routes/preview", anna.headers, json=order) == NOT_YOURS
    assert standing(house, bert) == before
    mine = house.submit(anna.headers, client_order_id="without-account")
    assert mine["order_id"] == order_id_of(ANNA, "without-account")
    assert house.done(
        "risk", "POST", "/check", anna.headers, json={"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}
    )


# Limits


def test_two_owners_raise_a_limit_above_the_size_that_one_may(house: House) -> None:
    one, other = (house.key("*", "risk", owner=owner).headers for owner in ("fay", "gus"))
    path = "/risk/limits?account=acct-raised"
    version = house.done("risk", "GET", path, one)["version"]
    wanted = {"version": version, "max_order_size_usd": ALONE_MAX_USD + 1, "reason": "a large client"}
    proposed = house.done("risk", "PUT", "/risk/limits/acct-raised", one, json=wanted)
    assert house.done("risk", "GET", path, one)["max_order_size_usd"] < ALONE_MAX_USD, "nothing is in force"
    assert [each["account"] for each in house.done("risk", "GET", "/risk/controls", one)["proposals"]] == ["acct-raised"]
    token = {"token": proposed["token"]}
    assert house.refused("risk", "PUT", "/risk/limits/acct-raised", one, json=wanted | token) == (403, "second_person_required")
    house.done("risk", "PUT", "/risk/limits/acct-raised", other, json=wanted | token)
    assert house.done("risk", "GET", path, one)["max_order_size_usd"] == ALONE_MAX_USD + 1
    history = house.done("risk", "GET", "/risk/controls/history?limit=2", one)["controls"]
    assert [(each["type"], each["who"]) for each in history] == [("LimitsChanged", "gus"), ("LimitsProposed", "fay")]
