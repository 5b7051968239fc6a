"""Requests too large, too slow and too many, over raw sockets. FAILURES 57, 59, 60."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from apps.http import limits
from apps.http.access import Access
from apps.http.app import Disconnected, Listener, encode, fast_path, read_body, send_json, serve
from apps.http.security_headers import FIXED

LOCAL = "127.0.0.1"
GOOD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"


class Seen:
    """How the application under the bounds was called."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.left = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive)
        except Disconnected:
            self.left += 1
            raise
        self.bodies.append(body)
        await self.hold.wait()
        await send_json(send, 200, encode({"size": len(body)}))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def door(seen: Seen) -> AsyncIterator[Listener]:
    listener = await serve(fast_path(seen, {("POST", "/"): seen}), LOCAL, 0, Access(["x"]), None, connections_max=60, drain_sec=1)
    yield listener
    await listener.stop()


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "RECEIPT_DEADLINE_S", seconds)
        yield


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, object]]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 120)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 120) == b""


@contextlib.asynccontextmanager
async def connected(door: Listener) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(LOCAL, door.port)
    yield Wire(reader, writer)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def asked(door: Listener, seen: Seen, request: bytes) -> AsyncIterator[Wire]:
    """A connection with a request that has reached the application."""
    before = len(seen.bodies)
    async with connected(door) as wire:
        await wire.send(request)
        while len(seen.bodies) == before:
            assert not wire.reader.at_eof()
            await asyncio.sleep(0.001)
        yield wire


REFUSED = [
    ("an announced body", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 65537\r\n\r\n", 413, "body_too_large"),
    ("a body of 10 MB", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n" + b"x" * 10_000_000, 413, "body_too_large"),
    (
        "many chunks",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n",
        413,
        "body_too_large",
    ),
    ("one header of 70 kB", b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 70_000, 431, "head_too_large"),
    ("a header of 1 MB", b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 1_000_000 + b"\r\n\r\n", 431, "head_too_large"),
    ("1000 headers", b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 1000 + b"\r\n", 431, "head_too_large"),
    ("an address of 9 kB", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, "head_too_large"),
    ("an endless address", b"GET /" + b"x" * 100_000, 431, "head_too_large"),
    ("empty lines forever", b"\r\n" * 40_000, 431, "head_too_large"),
    ("not HTTP", b"\x16\x03\x01\x02\x00 hello", 400, "malformed"),
    ("two lengths", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400, "malformed"),
    ("a length that is no number", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400, "malformed"),
    (
        "length and chunks",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "malformed",
    ),
    ("a header that is no header", b"GET / HTTP/1.1\r\nhost x\r\n\r\n", 400, "malformed"),
    ("an address beyond ASCII", b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", 400, "malformed"),
]


@pytest.mark.parametrize(("_name", "request_bytes", "status", "code"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_too_large_or_malformed_is_refused_and_closed(
    door: Listener, seen: Seen, _name: str, request_bytes: bytes, status: int, code: str
) -> None:  # FAILURES 59
    async with connected(door) as wire:
        if code == "body_too_large" and b"chunked" in request_bytes:
            head, chunk = request_bytes[:-4104], request_bytes[-4104:]
            request_bytes = head + chunk * 20
        await wire.send(request_bytes)
        found, problem = await wire.answer()
        assert (found, problem["code"], problem["status"]) == (status, code, status)
        assert await wire.closed()
    assert seen.bodies == []


async def test_a_body_at_the_bound_is_taken(door: Listener, seen: Seen) -> None:
    async with connected(door) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 65536\r\n\r\n" + b"x" * 65536)
        assert await wire.answer() == (200, {"size": 65536})
        await wire.send(GOOD)
        assert await wire.answer() == (200, {"size": 2})


async def test_a_connection_carries_many_requests_also_pipelined_and_in_pieces(door: Listener) -> None:
    async with connected(door) as wire:
        await wire.send(GOOD * 50)
        for _ in range(50):
            assert await wire.answer() == (200, {"size": 2})
        for byte in GOOD:
            await wire.send(bytes([byte]))
        assert await wire.answer() == (200, {"size": 2})


async def test_more_than_a_head_of_pipelined_requests_is_not_a_large_head(door: Listener) -> None:
    many = 2000
    async with connected(door) as wire:
        sending = asyncio.create_task(wire.send(GOOD * many))
        assert len(GOOD) * many > limits.HEAD_MAX
        for _ in range(many):
            assert await wire.answer() == (200, {"size": 2})
        await sending


async def test_an_answer_under_way_goes_out_before_the_connection_is_closed(door: Listener, seen: Seen) -> None:
    seen.hold.clear()
    async with connected(door) as wire:
        await wire.send(GOOD)
        await asyncio.sleep(0.05)
        await wire.send(b"nonsense\r\n\r\n")
        await asyncio.sleep(0.05)
        seen.hold.set()
        assert await wire.answer() == (200, {"size": 2})
        assert await wire.closed()


async def test_slow_requests_are_ended_and_good_ones_are_served_meanwhile(door: Listener, seen: Seen) -> None:  # FAILURES 60
    with deadline(1.5):
        async with contextlib.AsyncExitStack() as stack:
            in_head = [await stack.enter_async_context(connected(door)) for _ in range(25)]
            in_body = [await stack.enter_async_context(connected(door)) for _ in range(25)]
            for wire in in_body:
                await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
            trickles = [asyncio.create_task(_trickle(wire, b"GET / HTTP/1.1\r\nhost: " + b"x" * 1000)) for wire in in_head]
            trickles += [asyncio.create_task(_trickle(wire, b"x" * 999)) for wire in in_body]
            served_before = len(seen.bodies)
            for _ in range(20):
                async with connected(door) as good:
                    await good.send(GOOD)
                    assert await good.answer() == (200, {"size": 2})
            assert not any(wire.reader.at_eof() for wire in in_head + in_body), "the slow ones were still there meanwhile"
            answers = [await wire.answer() for wire in in_head + in_body]
            for task in trickles:
                task.cancel()
    assert {(status, str(problem["code"])) for status, problem in answers} == {(408, "request_timeout")}
    assert len(seen.bodies) - served_before == 20
    assert seen.left == 25, "the handlers that waited for a body were told"


async def _trickle(wire: Wire, request: bytes) -> None:
    for byte in request:
        await wire.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def test_a_connection_that_asks_nothing_is_closed(door: Listener) -> None:  # FAILURES 60
    with deadline(0.1):
        async with connected(door) as wire:
            assert await wire.closed()


async def test_a_slow_answer_is_not_a_slow_request(door: Listener, seen: Seen) -> None:
    seen.hold.clear()
    with deadline(0.1):
        async with connected(door) as wire:
            await wire.send(GOOD + GOOD[:10])
            await asyncio.sleep(0.4)
            seen.hold.set()
            assert await wire.answer() == (200, {"size": 2})
            assert (await wire.answer())[0] == 408


async def test_the_longest_idle_connection_gives_way_to_a_new_one(door: Listener) -> None:  # FAILURES 60
    async with contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(door)) for _ in range(60)]
        await idle[0].send(GOOD)
        assert await idle[0].answer() == (200, {"size": 2}), "asked just now, it is the youngest"
        late = await stack.enter_async_context(connected(door))
        await late.send(GOOD)
        assert await late.answer() == (200, {"size": 2})
        assert await idle[1].closed()
        for wire in (idle[0], *idle[2:]):
            await wire.send(GOOD)
            assert await wire.answer() == (200, {"size": 2})


async def test_a_request_that_is_not_here_in_full_gives_way_after_the_idle_ones(door: Listener, seen: Seen) -> None:
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(door)) for _ in range(59)]
        for wire in slow:
            await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf")
        idle = await stack.enter_async_context(connected(door))
        await idle.send(GOOD)
        await idle.answer()
        first = await stack.enter_async_context(connected(door))
        await first.send(GOOD[:20])
        assert await idle.closed()
        late = await stack.enter_async_context(connected(door))
        await late.send(GOOD)
        assert await late.answer() == (200, {"size": 2})
        status, problem = await slow[0].answer()
        assert (status, problem["code"]) == (503, "too_many_connections")
        await first.send(GOOD[20:])
        assert await first.answer() == (200, {"size": 2})
        for wire in slow[1:]:
            await wire.send(b"x" * 996)
            assert await wire.answer() == (200, {"size": 1000})
        assert seen.left == 1, "its handler was told"


async def test_health_and_cancels_have_room_of_their_own_when_all_connections_are_answered(door: Listener, seen: Seen) -> None:
    async with contextlib.AsyncExitStack() as stack:
        seen.hold.clear()
        busy = [await stack.enter_async_context(asked(door, seen, GOOD)) for _ in range(60)]
        late = await stack.enter_async_context(connected(door))
        await late.send(GOOD)
        status, problem = await late.answer()
        assert (status, problem["code"]) == (503, "too_many_connections")
        assert await late.closed()
        urgent = [b"GET /health?x", b"GET /ready", b"DELETE /orders/x", b"POST /kill", b"POST /risk/kill"]
        lines = [line + b" HTTP/1.1\r\nhost: x\r\n\r\n" for line in urgent]
        beyond = [await stack.enter_async_context(asked(door, seen, line)) for line in lines]
        headed = await stack.enter_async_context(asked(door, seen, b"HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n"))
        seen.hold.set()
        for wire in busy:
            assert await wire.answer() == (200, {"size": 2})
        for wire in beyond:
            assert await wire.answer() == (200, {"size": 0})
        assert (await headed.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_the_room_beyond_the_bound_is_bounded(door: Listener, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "URGENT_MAX", 3)
    async with contextlib.AsyncExitStack() as stack:
        seen.hold.clear()
        cancel = b"DELETE / HTTP/1.1\r\nhost: x\r\n\r\n"
        busy = [await stack.enter_async_context(asked(door, seen, cancel)) for _ in range(63)]
        late = await stack.enter_async_context(connected(door))
        status, problem = await late.answer()
        assert (status, problem["code"]) == (503, "too_many_connections")
        seen.hold.set()
        for wire in busy:
            assert await wire.answer() == (200, {"size": 0})
        for wire in busy[1:]:
            wire.writer.close()
            await wire.writer.wait_closed()
        async with connected(door) as wire:
            await wire.send(GOOD)
            assert await wire.answer() == (200, {"size": 2}), "a place is free again"


async def test_a_client_whose_idle_connection_was_shed_connects_again(door: Listener) -> None:
    async with (
        httpx.AsyncClient(base_url=f"http://{LOCAL}:{door.port}", headers={"host": "x"}) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(3):
            assert (await client.post("/", content=b"hi")).json() == {"size": 2}
            crowd = [await stack.enter_async_context(connected(door)) for _ in range(60)]
            await crowd[-1].send(GOOD)
            assert await crowd[-1].answer() == (200, {"size": 2})


FOREIGN = b"POST / HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 4\r\n\r\n"


async def test_the_body_of_a_refused_request_is_skipped_and_the_connection_stays(door: Listener, seen: Seen) -> None:
    async with connected(door) as wire:
        await wire.send(FOREIGN + b"bo")
        status, problem = await wire.answer()
        assert (status, problem["code"]) == (421, "host_unknown")
        await wire.send(b"dy" + GOOD)
        assert await wire.answer() == (200, {"size": 2})
    assert seen.bodies == [b"hi"]


async def test_the_rest_of_a_refused_request_that_does_not_come_gets_no_second_answer(door: Listener) -> None:
    with deadline(0.1):
        async with connected(door) as wire:
            await wire.send(FOREIGN)
            assert (await wire.answer())[0] == 421
            assert await wire.closed()


async def test_an_upgrade_is_not_offered_and_the_body_of_the_request_is_not_taken_for_another_one(door: Listener, seen: Seen) -> None:
    async with connected(door) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % len(GOOD))
        await wire.send(GOOD)
        assert await wire.answer() == (200, {"size": 0})
        await wire.send(GOOD)
        assert await wire.closed()
    assert seen.bodies == [b""]


async def test_an_answer_without_a_body_goes_out_all_the_same(door: Listener) -> None:
    async with connected(door) as wire:
        await wire.send(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 120)
        await wire.send(GOOD)
        assert await wire.answer() == (200, {"size": 2}), "and nothing of it is left in front of the next one"


async def test_a_client_that_waits_for_leave_to_send_a_body_gets_it(door: Listener) -> None:
    async with connected(door) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 120) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"hi")
        assert await wire.answer() == (200, {"size": 2})


def test_a_head_leaves_with_its_body_and_an_interim_one_by_itself() -> None:
    sent: list[bytes] = []

    class Sends:
        write = staticmethod(sent.append)

    transport = limits.HeadWithBody(Sends())  # type: ignore[arg-type]
    for piece in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"body", b"HTTP/1.1 204 No Content\r\n\r\n"):
        transport.write(piece)
    transport.flush()
    transport.flush()
    assert sent == [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + FIXED + b"\r\nbody",
        b"HTTP/1.1 204 No Content\r\n" + FIXED + b"\r\n",
    ]


async def test_stopping_answers_what_is_in_flight_and_takes_nothing_new(door: Listener, seen: Seen) -> None:  # FAILURES 73
    seen.hold.clear()
    async with connected(door) as busy, connected(door) as idle:
        await busy.send(GOOD)
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(door.stop())
        await asyncio.sleep(0.2)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOCAL, door.port)
        assert await idle.closed()
        seen.hold.set()
        assert await busy.answer() == (200, {"size": 2})
        await stopping
