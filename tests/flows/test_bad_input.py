"""Bad input on the real stack: the exact answer to each row of the API page's table, no answer of 500, and nothing in the journal."""

import asyncio
import socket
import time
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from tests.flows.doors import ORDER, PROBLEM, UNKNOWN, Doors, accepted, recorded
from tests.flows.test_life import filled
from tests.stack import LiveStack

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
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"client_order_id":"a\\tb"}', "/client_order_id"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"priority":10}', "/priority"),
    (b'{"symbol":"BTCUSDT","side":"buy","quantity":1,"time_in_force":"gtd","expire_at":"soon"}', "/expire_at"),
]


def test_what_is_not_an_order_is_400_with_a_pointer(running: LiveStack, doors: Doors) -> None:  # FAILURES 55, 57, 58, 69
    before = recorded(running)
    for body, pointer in MALFORMED:
        assert doors.refused("POST", "/orders", content=body) == (400, "malformed", pointer), body[:80]
    for key in ("", "a\tb", "a" * 129):
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


def test_what_is_not_there_is_404_and_what_is_not_offered_405(running: LiveStack, doors: Doors) -> None:
    before = recorded(running)
    for order_id in (UNKNOWN, "x", "*", "a.b", "%00", "\x00", "x" * 5000):
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            assert doors.refused(method, f"/orders/{quote(order_id, safe='')}{path}") == (404, "order_not_found", None)
    for path in ("/", "/orders/", "//orders", "/ORDERS", "/orders/x/y", "/nothing", "/metrics", "/positions", "/fills/", "/order\x7fs"):
        assert doors.refused("GET", quote(path)) == (404, "not_found", None)
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
        for path in ("/orders", "/orders/x", "/positions/bad", "/fills/bad", "/diagram", "/health", "/ready", "/stats"):
            if (method, path) != ("PATCH", "/orders/x"):
                assert doors.refused(method, path) == (405, "method_not_allowed", None)
    assert doors.refused("PATCH", "/orders/x") == (400, "malformed", None)
    assert recorded(running) == before


def test_a_state_that_does_not_allow_it_is_409(running: LiveStack, doors: Doors) -> None:
    order_id = accepted(doors, **{**ORDER, "price": "45900"})["order_id"]
    filled(running, order_id)
    answer = doors.ask("DELETE", f"/orders/{order_id}")
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "illegal_transition", "filled")


def test_a_sequence_that_is_not_there_yet_is_422_and_one_before_the_order_404(doors: Doors) -> None:
    order = doors.submit(**{**ORDER, "account": "past"}).json()
    path = f"/orders/{order['order_id']}"
    assert doors.refused("GET", f"{path}?at_seq={'9' * 30}") == (422, "seq_not_reached", None)
    if order["seq"] > 1:
        assert doors.refused("GET", f"{path}?at_seq=1") == (404, "order_not_found", None)
    assert doors.ask("GET", f"{path}?at_seq={order['seq']}").json()["order_id"] == order["order_id"]
    doors.ask("DELETE", "/orders?account=past")


PARAMETERS = [
    ("/orders?account=a.b", "?account"),
    ("/orders?account=", "?account"),
    ("/orders?symbol=%00", "?symbol"),
    ("/orders?client_order_id=a%09b", "?client_order_id"),
    ("/orders?status=FILLED", "?status"),
    ("/orders?limit=0", "?limit"),
    ("/orders?limit=1001", "?limit"),
    ("/orders?limit=1e3", "?limit"),
    ("/orders?limit=" + "9" * 5000, "?limit"),
    ("/orders?cursor=-1", "?cursor"),
    ("/orders?cursor=%D9%A1x", "?cursor"),
    ("/orders?cursor=1-x", "?cursor"),
    ("/orders?cursor=%D9%A1-00000000000000000000000000000000", "?cursor"),
    ("/orders?cursor=" + "9" * 30 + "-" + "0" * 32, "?cursor"),
    ("/orders/x?at_seq=0", "?at_seq"),
    ("/orders/x?at_seq=1.5", "?at_seq"),
    ("/positions/bad?min_seq=-1", "?min_seq"),
    ("/positions/bad?min_seq=NaN", "?min_seq"),
    ("/fills/bad?since=yesterday", "?since"),
    ("/fills/bad?since=", "?since"),
    ("/fills/bad?symbol='", "?symbol"),
    ("/fills/bad?limit=-1", "?limit"),
    ("/diagram?format=png", "?format"),
    ("/diagram?counts=maybe", "?counts"),
]


@pytest.mark.parametrize(("path", "pointer"), PARAMETERS, ids=lambda value: str(value)[:40])
def test_a_value_that_is_no_parameter_is_400_with_a_pointer(doors: Doors, path: str, pointer: str) -> None:
    assert doors.refused("GET", path) == (400, "malformed", pointer)


def test_a_cursor_from_beyond_the_end_of_time_is_the_newest_page(doors: Doors) -> None:
    newest = doors.ask("GET", "/orders?limit=5").json()
    for at in ("9" * 19, "9223372036854775807", "9223372036854775808"):
        assert doors.ask("GET", f"/orders?limit=5&cursor={at}-{'f' * 32}").json() == newest
    assert doors.ask("GET", f"/orders?cursor=0-{UNKNOWN}").json() == {"orders": [], "next": None}


def test_cancelling_without_an_account_cancels_nothing(running: LiveStack, doors: Doors) -> None:
    before = recorded(running)
    assert doors.refused("DELETE", "/orders") == (400, "malformed", "?account")
    assert doors.refused("DELETE", "/orders?account=") == (400, "malformed", "?account")
    assert doors.refused("DELETE", "/orders?account=*") == (400, "malformed", "?account")
    assert doors.refused("DELETE", "/orders?account=bad&side=all") == (400, "malformed", "?side")
    assert doors.ask("DELETE", "/orders?account=absent").json() == {"cancelled": 0, "pending": 0}
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


HEAD = b"POST /orders HTTP/1.1\r\nhost: localhost\r\n"
WIRE = [
    ("a body of 64 kB and one byte", HEAD + b"content-length: 65537\r\n\r\n" + b"x" * 65537, 413, b"body_too_large"),
    ("a body of 10 MB announced", HEAD + b"content-length: 10000000\r\n\r\n", 413, b"body_too_large"),
    ("1000 headers", HEAD + b"a: b\r\n" * 1000 + b"\r\n", 431, b"head_too_large"),
    ("a header of 100 kB", HEAD + b"a: " + b"x" * 100_000 + b"\r\n\r\n", 431, b"head_too_large"),
    ("a long address", b"GET /orders?account=" + b"x" * 9000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 431, b"head_too_large"),
    ("no HTTP", b"hello\r\n\r\n", 400, b"malformed"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"malformed"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"malformed"),
    ("an unknown method", b"FOO /orders HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, b"malformed"),
    ("a NUL in the address", b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, b"malformed"),
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


@pytest.mark.timeout(900)
def test_a_body_that_does_not_come_is_not_waited_for(running: LiveStack) -> None:  # FAILURES 60
    began = time.monotonic()
    status, answer = spoken(running, HEAD + b"content-length: 100\r\n\r\n{", 2.0, b'"symbol":')
    assert (status, b"request_timeout" in answer) == (408, True)
    assert time.monotonic() - began > 4.5


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
