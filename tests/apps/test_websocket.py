"""Websockets on the bounded port: where a request becomes one, who may open it, and how it ends, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from apps.http import limits, websocket
from apps.http.access import Access
from apps.http.app import Listener, serve
from apps.http.problem import Refusal
from apps.http.tls import server_context
from apps.http.websocket import with_websockets
from tests.apps.authority_of_certificates import CertificateAuthority
from tests.apps.test_bounds import GOOD, LOCAL, Seen, Wire, connected, deadline
from tests.apps.test_tls import files

CONNECTIONS_MAX = 4
PATHS = ("/stream", "/refused", "/absent")
FLOOD = "x" * 1_000_000


class Echo:
    """A websocket handler: it repeats each message, floods on `flood`, and ends on `end`."""

    def __init__(self) -> None:
        self.opened = 0
        self.ended: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.opened += 1
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "end":
                await send({"type": "websocket.close", "code": 1013, "reason": "enough"})
                return
            if message["text"] == "flood":
                asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(send({"type": "websocket.close", "code": 1013})))
                while True:
                    await send({"type": "websocket.send", "text": FLOOD})
            await send({"type": "websocket.send", "text": message["text"]})
        self.ended.append(message["code"])


async def refused(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal(429, "too_many_streams", "no more", headers={"Retry-After": "5"})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def door(echo: Echo, seen: Seen) -> AsyncIterator[Listener]:
    app = with_websockets(seen, {"/stream": echo, "/refused": refused})
    listener = await serve(app, LOCAL, 0, Access(["x"]), None, connections_max=CONNECTIONS_MAX, drain_sec=1, websocket_paths=PATHS)
    yield listener
    await listener.stop()


def opened(door: Listener, path: str = "/stream", headers: Mapping[str, str] | None = None, **more: Any) -> connect:
    return connect(f"ws://{LOCAL}:{door.port}{path}", proxy=None, additional_headers=headers, **more)


async def said(client: ClientConnection, text: str) -> str:
    await client.send(text)
    return str(await asyncio.wait_for(client.recv(), 60))


def asks(path: str = "/stream", *, method: str = "GET", version: str = "1.1", more: str = "") -> bytes:
    """A handshake as bytes."""
    return (
        f"{method} {path} HTTP/{version}\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        f"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{more}\r\n"
    ).encode()


async def test_it_stays_open_longer_than_a_request_may_take_to_arrive(door: Listener) -> None:
    with deadline(0.1):
        async with opened(door) as client:
            assert await said(client, "hi") == "hi"
            await asyncio.sleep(0.3)
            assert await said(client, "still here") == "still here"


async def test_websockets_are_not_counted_among_the_connections_of_requests(door: Listener) -> None:
    many = [await opened(door) for _ in range(3 * CONNECTIONS_MAX)]
    for _ in range(2 * CONNECTIONS_MAX):
        async with connected(door) as wire:
            await wire.send(GOOD)
            assert await wire.answer() == (200, {"size": 2})
    for client in many:
        assert await said(client, "hi") == "hi", "none of them has given way to a request"
        await client.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        asks("/elsewhere"),
        asks("/stream/x"),
        asks("/%73tream"),
        asks(version="1.0"),
        asks(method="POST", more="content-length: 0\r\n"),
        asks().replace(b"upgrade: websocket", b"upgrade: h2c"),
        asks().replace(b"connection: Upgrade", b"connection: close"),
    ],
)
async def test_any_other_request_that_wishes_for_an_upgrade_is_answered_without_one(
    door: Listener, echo: Echo, request_bytes: bytes
) -> None:
    async with connected(door) as wire:
        await wire.send(request_bytes)
        assert await wire.answer() == (200, {"size": 0})
        assert await wire.closed()
    assert echo.opened == 0


async def test_behind_an_unfinished_answer_there_is_no_upgrade(door: Listener, seen: Seen, echo: Echo) -> None:
    seen.hold.clear()
    async with connected(door) as wire:
        await wire.send(GOOD + asks())
        while not seen.bodies:
            await asyncio.sleep(0.001)
        seen.hold.set()
        assert await wire.answer() == (200, {"size": 2})
        assert await wire.answer() == (200, {"size": 0})
    assert echo.opened == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Origin": "http://evil.example"}, 403, "origin_refused"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "origin_refused"),
        ({"Origin": "null"}, 403, "origin_refused"),
    ],
)
async def test_a_page_of_another_site_opens_none(door: Listener, echo: Echo, headers: dict[str, str], status: int, code: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with opened(door, headers=headers):
            pass
    response = refusal.value.response
    assert (response.status_code, json.loads(response.body or b"")["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.headers["x-content-type-options"], response.headers["cache-control"]) == ("nosniff", "no-store")
    assert echo.opened == 0


async def test_a_foreign_host_opens_none(door: Listener, echo: Echo) -> None:
    async with connected(door) as wire:
        await wire.send(asks().replace(b"host: x", b"host: evil.example"))
        assert (await wire.answer())[1]["code"] == "host_unknown"
        assert await wire.closed()
    assert echo.opened == 0


async def test_a_handler_refuses_like_one_of_a_request(door: Listener) -> None:
    for path, status, code in (("/refused", 429, "too_many_streams"), ("/absent", 404, "not_found")):
        with pytest.raises(InvalidStatus) as refusal:
            async with opened(door, path):
                pass
        assert (refusal.value.response.status_code, json.loads(refusal.value.response.body or b"")["code"]) == (status, code)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (asks().replace(b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400),
        (asks(more="a: " + "x" * 20_000 + "\r\n"), 431),
        (asks(more="".join(f"a{number}: b\r\n" for number in range(200))), 431),
    ],
)
async def test_an_invalid_handshake_is_refused_and_closed(door: Listener, echo: Echo, request_bytes: bytes, status: int) -> None:
    async with connected(door) as wire:
        await wire.send(request_bytes)
        head = await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 60)
        assert int(head.split()[1]) == status
        await asyncio.wait_for(wire.reader.read(), 60)
    assert echo.opened == 0


async def test_a_message_beyond_the_bound_ends_it(door: Listener) -> None:
    async with opened(door) as client:
        text = "x" * websocket.MESSAGE_MAX
        assert await said(client, text) == text
        with pytest.raises(ConnectionClosed) as end:
            await said(client, text + "x")
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 1009


async def test_a_message_in_too_many_frames_ends_it(door: Listener, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(door) as wire:
        await raw_websocket(wire)
        await wire.send(frame(b"x", opcode=0x01) + frame(b"", opcode=0x00) * (websocket.FRAGMENTS_MAX + 1))
        assert await asyncio.wait_for(wire.reader.readexactly(4), 60) == bytes([0x88, 2]) + (1009).to_bytes(2, "big")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_pings_of_a_client_that_reads_nothing_are_not_answered(door: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[websocket.BoundedWebSocket] = []
    monkeypatch.setattr(websocket.BoundedWebSocket, "start_keepalive", lambda server: made.append(server))
    async with connected(door) as wire:
        await raw_websocket(wire)
        (server,) = made
        server.pause_writing()
        server.data_received(frame(b"one", opcode=0x89))
        server.resume_writing()
        server.data_received(frame(b"two", opcode=0x89))
        assert await asyncio.wait_for(wire.reader.readexactly(5), 60) == b"\x8a\x03two"


async def test_a_text_that_is_not_utf_8_ends_it_without_a_line_in_the_log(door: Listener, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(door) as wire:
        await raw_websocket(wire)
        await wire.send(frame(b"\xff\xfe"))
        assert await asyncio.wait_for(wire.reader.read(), 60) == bytes([0x88, 2]) + (1007).to_bytes(2, "big")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_the_end_is_reported_with_its_code(door: Listener) -> None:
    async with opened(door) as client:
        with pytest.raises(ConnectionClosed) as end:
            await said(client, "end")
    assert end.value.rcvd is not None
    assert (end.value.rcvd.code, end.value.rcvd.reason) == (1013, "enough")


async def raw_websocket(wire: Wire) -> None:
    await wire.send(asks())
    assert (await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 60)).startswith(b"HTTP/1.1 101")


def frame(text: bytes, *, opcode: int = 0x81) -> bytes:
    """A frame of a client, masked with zeros: a whole text, unless said otherwise."""
    return bytes([opcode, 0x80 | len(text), 0, 0, 0, 0]) + text


async def test_a_client_that_reads_nothing_does_not_keep_its_connection(door: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_S", 0.1)
    reader, writer = await asyncio.open_connection(LOCAL, door.port, limit=1024)
    await raw_websocket(Wire(reader, writer))
    writer.write(frame(b"flood"))
    await asyncio.sleep(0.5)
    with pytest.raises(ConnectionError):
        await asked_without_end(writer)
    writer.close()


async def asked_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(frame(b"are you there"))
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_a_client_that_gives_no_sign_of_life_is_closed(echo: Echo, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.http.app.PING_EVERY_S", 0.05)
    app = with_websockets(seen, {"/stream": echo})
    door = await serve(app, LOCAL, 0, Access(["x"]), None, drain_sec=1, websocket_paths=PATHS)
    async with opened(door) as client, connected(door) as wire:
        await raw_websocket(wire)
        await asyncio.wait_for(wire.reader.read(), 60)
        assert await said(client, "a library answers pings itself") == "a library answers pings itself"
    await door.stop()


async def test_a_stop_ends_each_with_the_code_of_a_restart(door: Listener, echo: Echo) -> None:
    client = await opened(door)
    assert await said(client, "hi") == "hi"
    await asyncio.wait_for(door.stop(), 60)
    with pytest.raises(ConnectionClosed) as end:
        await asyncio.wait_for(client.recv(), 60)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 1012
    assert echo.ended == [1012]


async def test_it_works_over_tls(echo: Echo, seen: Seen, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    app = with_websockets(seen, {"/stream": echo})
    context = server_context(files(authority))
    door = await serve(app, LOCAL, 0, Access(["x"]), None, tls=context, drain_sec=1, websocket_paths=PATHS)
    async with connect(f"wss://localhost:{door.port}/stream", ssl=authority.trusted(), proxy=None) as client:
        assert await said(client, "hi") == "hi"
    await door.stop()


def test_nothing_of_it_is_there_where_no_path_is_named() -> None:
    seen = Seen()
    assert with_websockets(seen, {}) is seen
    assert limits.Room(1).websocket_paths == frozenset()
