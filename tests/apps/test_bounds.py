"""Requests too large, too slow and too many, over raw sockets. FAILURES 57, 59, 60."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from starlette.types import Receive, Scope, Send

from apps import protocol
from apps.http import Disconnected, Listener, encode, fast_path, read_body, send_json, serve

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
    listener = await serve(fast_path(seen, {("POST", "/"): seen}), LOCAL, 0, connections_max=60, drain_sec=1)
    yield listener
    await listener.stop()


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "RECEIPT_DEADLINE_S", seconds)
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
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""


@contextlib.asynccontextmanager
async def connected(door: Listener) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(LOCAL, door.port)
    yield Wire(reader, writer)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


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
    ("empty lines for ever", b"\r\n" * 40_000, 431, "head_too_large"),
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
        assert len(GOOD) * many > protocol.HEAD_MAX
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


async def test_one_connection_too_many_is_told_so_and_a_place_is_free_again_later(door: Listener) -> None:  # FAILURES 60
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(60):
            await stack.enter_async_context(connected(door))
        await asyncio.sleep(0.05)
        async with connected(door) as late:
            status, problem = await late.answer()
            assert (status, problem["code"]) == (503, "too_many_connections")
    await asyncio.sleep(0.1)
    async with connected(door) as wire:
        await wire.send(GOOD)
        assert await wire.answer() == (200, {"size": 2})


async def test_an_upgrade_that_is_not_offered_is_answered_as_it_stands(door: Listener) -> None:
    async with connected(door) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert await wire.answer() == (200, {"size": 0})


async def test_an_answer_without_a_body_goes_out_all_the_same(door: Listener) -> None:
    async with connected(door) as wire:
        await wire.send(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 10)
        await wire.send(GOOD)
        assert await wire.answer() == (200, {"size": 2}), "and nothing of it is left in front of the next one"


async def test_who_waits_for_leave_to_send_a_body_is_given_it(door: Listener) -> None:
    async with connected(door) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"hi")
        assert await wire.answer() == (200, {"size": 2})


def test_a_head_leaves_with_its_body_and_an_interim_one_by_itself() -> None:
    sent: list[bytes] = []

    class Sends:
        write = staticmethod(sent.append)

    transport = protocol.HeadWithBody(Sends())  # type: ignore[arg-type]
    for piece in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"body", b"HTTP/1.1 204 No Content\r\n\r\n"):
        transport.write(piece)
    transport.flush()
    transport.flush()
    assert sent == [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbody", b"HTTP/1.1 204 No Content\r\n\r\n"]


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
