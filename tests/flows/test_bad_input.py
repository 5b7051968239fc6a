"""Bad input on the real stack: the exact answer to each row of the API page's table, no answer of 500, and nothing in the journal."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import nats
import psutil
import pytest

from domain.values import order_id_of
from tests.flows.doors import PROBLEM, Doors, recorded
from tests.flows.test_life import filled, soon
from tests.stack import SERVICES, LiveStack

ORDER: dict[str, Any] = {"account": "bad", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}
"""It rests: the simulated quotes stay near 45 000."""


@pytest.fixture
def doors(running: LiveStack) -> Iterator[Doors]:
    opened = Doors(running)
    yield opened
    opened.close()


MALFORMED: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"nothing", None),
    (b"[]", None),
    (b"\xff\xfe", None),
    (b'\xef\xbb\xbf{"symbol":"BTCUSDT","side":"buy","quantity":1}', None),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":NaN}', None),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1e999999}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":"Infinity"}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":-1}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":%s}' % (b"9" * 400), "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":0.0000000000001}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":true}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"price":%s}' % (b"[" * 30_000 + b"]" * 30_000), None),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"x":%s}' % (b"[" * 30_000 + b"]" * 30_000), "/x"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"quantity":2}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"account":"a","\\u0061ccount":"b"}', "/account"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"status":"filled"}', "/status"),
    (b'{"symbol":"BTCUSDT","side":"buy"}', "/quantity"),
    (b'{"symbol":"BTCUSDT","side":"hold","quantity":1}', "/side"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"account":"a.b"}', "/account"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"account":""}', "/account"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"client_order_id":"a b"}', "/client_order_id"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"priority":10}', "/priority"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"time_in_force":"gtd","expire_at":"soon"}', "/expire_at"),
]


def test_what_is_not_an_order_is_400_with_a_pointer(running: LiveStack, doors: Doors) -> None:  # FAILURES 55, 57, 58, 69
    before = recorded(running)
    for body, pointer in MALFORMED:
        assert doors.refused("POST", "/orders", content=body) == (400, "malformed", pointer), body[:80]
    for key in ("", "a b", "a" * 65, "a.b"):
        assert doors.refused("POST", "/orders", json=ORDER, headers={"Idempotency-Key": key}) == (400, "malformed", None)
    assert recorded(running) == before


NOT_TRADABLE: list[tuple[dict[str, Any], str]] = [
    ({"symbol": "NOPE"}, "unknown_symbol"),
    ({"symbol": "BTCUSDТ"}, "unknown_symbol"),
    ({"symbol": "orders.>"}, "unknown_symbol"),
    ({"type": "limit", "price": None}, "price_required"),
    ({"type": "market"}, "price_not_allowed"),
    ({"type": "stop", "price": None}, "stop_price_required"),
    ({"stop_price": "40000"}, "stop_price_not_allowed"),
    ({"quantity": 0}, "quantity_not_positive"),
    ({"quantity": "0.000001"}, "quantity_off_lot"),
    ({"quantity": "9" * 18}, "quantity_too_large"),
    ({"price": 0}, "price_not_positive"),
    ({"price": "40000.001"}, "price_off_tick"),
    ({"type": "stop", "price": None, "stop_price": "0.0"}, "stop_price_not_positive"),
    ({"type": "stop_limit", "stop_price": "40000.001"}, "stop_price_off_tick"),
    ({"quantity": "0.0001"}, "notional_too_small"),
    ({"time_in_force": "gtd"}, "expire_at_required"),
    ({"expire_at": "2099-01-01T00:00:00Z"}, "expire_at_not_allowed"),
    ({"time_in_force": "gtd", "expire_at": "2020-01-01T00:00:00Z"}, "expire_at_in_past"),
]


def test_what_cannot_trade_is_422_by_name(running: LiveStack, doors: Doors) -> None:
    before = recorded(running)
    for changes, code in NOT_TRADABLE:
        assert doors.refused("POST", "/orders", json={**ORDER, **changes}) == (422, code, None)
    assert recorded(running) == before


UNKNOWN = "0" * 32


def test_what_is_not_there_is_404_and_what_is_not_offered_405(running: LiveStack, doors: Doors) -> None:
    before = recorded(running)
    for order_id in (UNKNOWN, "x", "..", "*", "a.b", "%00", "x" * 5000):
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            assert doors.refused(method, f"/orders/{quote(order_id, safe='')}{path}") == (404, "order_not_found", None)
    for path in ("/", "/orders/", "//orders", "/ORDERS", "/orders/x/y", "/nothing", "/metrics", "/positions", "/fills/", "/order\x7fs"):
        assert doors.refused("GET", quote(path)) == (404, "not_found", None)
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
        for path in ("/orders", "/orders/x", "/positions/bad", "/fills/bad", "/diagram", "/health", "/ready", "/stats"):
            assert doors.refused(method, path) == (405, "method_not_allowed", None)
    assert doors.ask("HEAD", "/orders").status_code == 405
    assert recorded(running) == before


def test_a_state_that_does_not_allow_it_is_409(running: LiveStack, doors: Doors) -> None:
    order_id = doors.submit(**{**ORDER, "price": "45900"}).json()["order_id"]
    filled(running, order_id)
    answer = doors.ask("DELETE", f"/orders/{order_id}")
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "illegal_transition", "filled")


PARAMETERS = [
    ("/orders?account=a.b", "/account"),
    ("/orders?account=", "/account"),
    ("/orders?symbol=%00", "/symbol"),
    ("/orders?client_order_id=a%20b", "/client_order_id"),
    ("/orders?status=FILLED", "/status"),
    ("/orders?limit=0", "/limit"),
    ("/orders?limit=1001", "/limit"),
    ("/orders?limit=1e3", "/limit"),
    ("/orders?limit=" + "9" * 5000, "/limit"),
    ("/orders?cursor=-1", "/cursor"),
    ("/orders?cursor=%D9%A1x", "/cursor"),
    ("/positions/bad?min_seq=-1", "/min_seq"),
    ("/positions/bad?min_seq=NaN", "/min_seq"),
    ("/fills/bad?since=yesterday", "/since"),
    ("/fills/bad?since=", "/since"),
    ("/fills/bad?symbol='", "/symbol"),
    ("/fills/bad?limit=-1", "/limit"),
    ("/diagram?format=png", "/format"),
    ("/diagram?counts=maybe", "/counts"),
]


@pytest.mark.parametrize(("path", "pointer"), PARAMETERS, ids=lambda value: str(value)[:40])
def test_a_parameter_that_is_none_is_400_with_a_pointer(doors: Doors, path: str, pointer: str) -> None:
    assert doors.refused("GET", path) == (400, "malformed", pointer)


def test_cancelling_without_an_account_cancels_nothing(running: LiveStack, doors: Doors) -> None:
    before = recorded(running)
    assert doors.refused("DELETE", "/orders") == (400, "malformed", "/account")
    assert doors.refused("DELETE", "/orders?account=") == (400, "malformed", "/account")
    assert doors.refused("DELETE", "/orders?account=*") == (400, "malformed", "/account")
    assert doors.refused("DELETE", "/orders?account=bad&side=all") == (400, "malformed", "/side")
    assert doors.ask("DELETE", "/orders?account=nobody").json() == {"cancelled": 0, "pending": 0}
    assert recorded(running) == before


# Sizes and raw sockets. The finer corpus is in tests/apps/test_bounds.py.


def spoken(stack: LiveStack, data: bytes, pause_s: float = 0.0, more: bytes = b"") -> tuple[int, bytes]:
    """Status and whole answer of bytes put on the wire as they are."""
    host, port = stack.url("oms").removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(data)
        if pause_s:
            time.sleep(pause_s)
            wire.sendall(more)
        answer = b""
        while chunk := wire.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer


HEAD = b"POST /orders HTTP/1.1\r\nhost: x\r\n"
WIRE = [
    ("a body of 64 kB and one byte", HEAD + b"content-length: 65537\r\n\r\n" + b"x" * 65537, 413, b"body_too_large"),
    ("a body of 10 MB announced", HEAD + b"content-length: 10000000\r\n\r\n", 413, b"body_too_large"),
    ("1000 headers", HEAD + b"a: b\r\n" * 1000 + b"\r\n", 431, b"head_too_large"),
    ("a header of 70 kB", HEAD + b"a: " + b"x" * 70_000 + b"\r\n\r\n", 431, b"head_too_large"),
    ("a long address", b"GET /orders?account=" + b"x" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, b"head_too_large"),
    ("no HTTP", b"hello\r\n\r\n", 400, b"malformed"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"malformed"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"malformed"),
    ("an unknown method", b"FOO /orders HTTP/1.1\r\nhost: x\r\n\r\n", 400, b"malformed"),
    ("no version", b"GET /orders\r\n\r\n", 400, b"malformed"),
    ("a NUL in the address", b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n", 400, b"malformed"),
    ("a NUL in a header", HEAD + b"a: \x00\r\n\r\n", 400, b"malformed"),
    ("a header in two lines", HEAD + b"idempotency-key: a\r\n b: c\r\n\r\n", 400, b"malformed"),
    ("two lengths", HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400, b"malformed"),
    ("length and chunks", HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, b"malformed"),
    ("a chunk without a size", HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", 400, b"malformed"),
]


@pytest.mark.parametrize(("_name", "data", "status", "code"), WIRE, ids=[row[0] for row in WIRE])
def test_what_is_too_large_or_no_http_is_refused_and_closed(
    running: LiveStack, _name: str, data: bytes, status: int, code: bytes
) -> None:  # FAILURES 59, 62
    found, answer = spoken(running, data)
    assert (found, code in answer, PROBLEM.encode() in answer) == (status, True, True), answer[:300]


@pytest.mark.timeout(30)
def test_a_body_that_does_not_come_is_not_waited_for(running: LiveStack) -> None:  # FAILURES 60
    began = time.monotonic()
    status, answer = spoken(running, HEAD + b"content-length: 100\r\n\r\n{", 2.0, b'"symbol":')
    assert (status, b"request_timeout" in answer) == (408, True)
    assert 4.5 < time.monotonic() - began < 8


async def test_two_hundred_large_bodies_at_once_take_no_memory(running: LiveStack) -> None:  # FAILURES 59
    process = psutil.Process(running.pid("oms"))
    before = process.memory_info().rss
    host, port = running.url("oms").removeprefix("http://").split(":")

    async def pour() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 16)
        answer = await reader.read()
        writer.close()
        return answer

    answers = await asyncio.gather(*(pour() for _ in range(200)))
    assert all(answer.startswith(b"HTTP/1.1 413") for answer in answers)
    assert process.memory_info().rss - before < 50_000_000


# Injections.

NASTY = [
    *(
        "'; DROP TABLE fills; --",
        "' OR '1'='1",
        '" OR ""="',
        "a' UNION SELECT 1 --",
        "$1",
        "1); SELECT pg_sleep(5); --",
        "fills",
        "a,b=c 1",
    ),
    *("a.b", "*", ">", "orders.>", "$JS.API.STREAM.DELETE.OMS_JOURNAL", "_INBOX.x", "oms.journal.0", "a b", "a\tb", "\r\nPUB x 0\r\n\r\n"),
    *("a:b", "position:x:BTCUSDT", "projection:positions", "\r\nFLUSHALL\r\n", "{a}", "KEYS[1]", "a\x00b", "\x00", "\n", "%0d%0a", "%2e"),
    *(
        "../../etc/passwd",
        "..",
        "\\",
        "/",
        "<script>",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "аlice",
        "\u202eecila",
        "e\u0301",
        "😀",
        "\ufeff",
        "é",
    ),
    *("x" * 65, "x" * 2000, "", " "),
]


def test_no_name_reaches_a_subject_a_key_or_a_query(running: LiveStack, doors: Doors) -> None:  # FAILURES 61, 62, 63, 64
    """Each name in each place: refused, unknown or nothing found. The connections behind the doors are the same afterwards."""
    before, connections = recorded(running), nats_connections(running)
    for name in NASTY:
        inside = quote(name, safe="")
        for path in (f"/positions/{inside}", f"/fills/{inside}", f"/orders/{inside}", f"/orders/{inside}/events"):
            assert doors.ask("GET", path).status_code in (400, 404)
        for path, parameter in (("/fills/bad", "symbol"), ("/orders", "account"), ("/orders", "symbol"), ("/orders", "client_order_id")):
            answer = doors.ask("GET", path, params={parameter: name})
            assert answer.status_code == (200 if name in ("fills", "/") and parameter != "account" else 400) or name == "fills", (
                path,
                name,
            )
            assert answer.status_code == 400 or answer.json() in ({"orders": [], "next": None}, {"fills": []})
        assert doors.ask("DELETE", f"/orders/{inside}").status_code in (404, 405)
        assert doors.ask("DELETE", "/orders", params={"account": name}).status_code == (200 if name == "fills" else 400)
        if name != "fills":
            assert doors.submit(**{**ORDER, "account": name}).status_code == 400
            assert doors.submit(**ORDER, client_order_id=name).status_code == 400
        assert doors.submit(**{**ORDER, "symbol": name}).status_code == 422
    assert doors.asked > 400
    assert recorded(running) == before
    assert nats_connections(running) == connections
    assert running.query("SELECT count() FROM tables() WHERE table_name IN ('fills', 'order_events')") == [[2]]


def nats_connections(stack: LiveStack) -> dict[str, int]:
    """Each service's connection to NATS by its number: another number is another connection."""
    monitor = f"http://127.0.0.1:{8222 + stack.offset}/connz"
    return {each["name"]: each["cid"] for each in httpx.get(monitor).json()["connections"] if each.get("name") in SERVICES}


def test_no_door_of_the_stack_answers_500(running: LiveStack) -> None:  # FAILURES 61, 64
    """Every GET of every service with every name in every parameter that its OpenAPI page lists."""
    before, connections = recorded(running), nats_connections(running)
    for service in SERVICES:
        doors = Doors(running, service)
        for path, operations in doors.ask("GET", "/openapi.json").json()["paths"].items():
            for parameter in operations.get("get", {}).get("parameters", []):
                if parameter["name"] == "min_seq":
                    continue  # it waits
                for name in NASTY:
                    filled_in = path.replace(f"{{{parameter['name']}}}", quote(name, safe=""))
                    params = {parameter["name"]: name} if parameter["in"] == "query" else None
                    doors.ask("GET", re.sub(r"{\w+}", "x", filled_in), params=params)
        doors.close()
    after = recorded(running)
    assert (after.seq, after.orders, after.reservations) == (before.seq, before.orders, before.reservations)
    assert nats_connections(running) == connections


async def test_subjects_on_the_bus_are_made_of_plain_names(running: LiveStack, doors: Doors) -> None:  # FAILURES 61
    client = await nats.connect(running.url("nats"))
    subjects: set[str] = set()

    async def hear(message: Any) -> None:
        subjects.add(message.subject)

    await client.subscribe(">", cb=hear)
    await client.flush()
    accounts = ("a" * 64, "A-z_0", "-", "_", "null")
    for account in accounts:
        answer = await asyncio.to_thread(doors.submit, **{**ORDER, "account": account, "price": "45900"})
        assert answer.json()["status"] == "submitted"
        await asyncio.to_thread(filled, running, answer.json()["order_id"])
    await asyncio.sleep(0.5)
    await client.close()
    plain = re.compile(r"(\$JS|\$SYS|_INBOX)\..*|[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*")
    assert [subject for subject in subjects if not plain.fullmatch(subject)] == []
    for account in accounts:
        assert {f"orders.{account}.new", f"fills.{account}", f"positions.{account}"} <= subjects


# One order for one client_order_id.

ROUNDS = 20
AT_ONCE = 50


async def test_fifty_at_once_are_one_order_and_one_reservation(running: LiveStack) -> None:  # FAILURES 3
    account = "fifty"
    async with httpx.AsyncClient(base_url=running.url("oms"), timeout=10, limits=httpx.Limits(max_connections=AT_ONCE)) as http:
        for round_ in range(ROUNDS):
            order = {**ORDER, "account": account, "client_order_id": f"f-{round_}"}
            answers = [answer.json() for answer in await asyncio.gather(*(http.post("/orders", json=order) for _ in range(AT_ONCE)))]
            assert {a["order_id"] for a in answers} == {order_id_of(account, f"f-{round_}")}
            assert len({(a["status"], a["seq"]) for a in answers}) == 1
            assert sorted(a.get("replayed", False) for a in answers) == [False] + [True] * (AT_ONCE - 1)
        orders = (await http.get("/orders", params={"account": account})).json()["orders"]
        assert len(orders) == ROUNDS
        working = [order for order in orders if order["status"] != "rejected"]  # risk may have had no time on a busy machine
        assert len(working) >= ROUNDS / 2

        def reserved() -> float:
            view = httpx.get(f"{running.url('risk')}/risk/portfolio", params={"account": account}).json()
            return float(view["symbols"]["BTCUSDT"]["open_buy_quantity"])

        await asyncio.to_thread(soon, lambda: round(reserved() - len(working) * 0.001, 9) == 0 or None)
        await http.delete("/orders", params={"account": account})
        await asyncio.to_thread(soon, lambda: reserved() == 0 or None)


CHANGES: list[dict[str, Any]] = [
    {"symbol": "ETHUSDT"},
    {"side": "sell"},
    {"quantity": "0.002"},
    {"price": "40000.01"},
    {"type": "stop_limit", "stop_price": "50000"},
    {"time_in_force": "ioc"},
    {"time_in_force": "gtd", "expire_at": "2099-01-01T00:00:00Z"},
    {"priority": 5},
]


def test_a_used_id_with_another_body_is_422_and_the_first_order_untouched(running: LiveStack, doors: Doors) -> None:  # FAILURES 4
    order = {**ORDER, "account": "reuse", "client_order_id": "once"}
    first = doors.submit(**order).json()
    soon(lambda: doors.ask("GET", f"/orders/{first['order_id']}").json()["status"] in ("routed", "rejected") or None)
    before, shown = recorded(running), doors.ask("GET", f"/orders/{first['order_id']}").json()
    for change in CHANGES:
        answer = doors.submit(**{**order, **change})
        assert (answer.status_code, answer.json()["code"]) == (422, "client_order_id_reused")
        assert answer.json()["order_id"] == first["order_id"]
    assert doors.submit(**order).json() == {**first, "replayed": True}
    assert doors.submit(**{**order, "quantity": 0.001, "price": 40000, "type": "limit"}).json() == {**first, "replayed": True}
    assert doors.ask("GET", f"/orders/{first['order_id']}").json() == shown
    assert recorded(running) == before
    doors.ask("DELETE", f"/orders/{first['order_id']}")


# With the journal away.


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack for the two scenes that end a stack's peace."""
    started = LiveStack(tmp_path_factory.mktemp("troubled") / "data", "--fills", "sqlite").start()
    yield started
    started.close()


def test_after_a_restart_of_everything_it_is_the_same_order(troubled: LiveStack) -> None:  # FAILURES 5
    orders = [{**ORDER, "account": "again", "client_order_id": f"r-{n}", "price": str(40000 + n)} for n in range(10)]
    doors = Doors(troubled)
    first = [doors.submit(**order).json() for order in orders]
    doors.close()
    troubled.restart()
    doors = Doors(troubled)
    assert [doors.submit(**order).json() for order in orders] == [{**answer, "replayed": True} for answer in first]
    assert doors.submit(**{**orders[0], "quantity": "0.002"}).json()["code"] == "client_order_id_reused"
    assert len(doors.ask("GET", "/orders?account=again").json()["orders"]) == 10
    doors.close()


def test_with_nats_frozen_the_answer_is_503_and_asking_again_finds_out(troubled: LiveStack) -> None:  # FAILURES 6
    doors = Doors(troubled)
    order = {**ORDER, "account": "frozen"}
    nats_server = psutil.Process(troubled.pid("nats"))
    nats_server.suspend()
    try:
        answers = []
        for number in range(4):
            began = time.monotonic()
            answers.append(doors.submit(**order, client_order_id=f"z-{number}"))
            assert time.monotonic() - began < 4.0
            assert doors.ask("DELETE", f"/orders/{UNKNOWN}").status_code in (404, 503)
    finally:
        nats_server.resume()
    assert {answer.status_code for answer in answers} == {503}
    said = [(answer.json()["code"], answer.json()["outcome"]) for answer in answers]
    assert set(said) <= {("outcome_unknown", "unknown"), ("journal_unavailable", "not_accepted")}
    assert all(answer.headers["retry-after"] == "1" for answer in answers)
    troubled.await_ready()
    found = {each["client_order_id"] for each in doors.ask("GET", "/orders?account=frozen").json()["orders"]}
    assert found <= {f"z-{n}" for n, (_, outcome) in enumerate(said) if outcome == "unknown"}, "a ghost: it was said not to be accepted"
    for number in range(4):
        again = doors.submit(**order, client_order_id=f"z-{number}").json()
        assert again.get("replayed", False) == (f"z-{number}" in found)
    assert len(doors.ask("GET", "/orders?account=frozen").json()["orders"]) == 4
    doors.close()
