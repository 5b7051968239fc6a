"""The gateway when a service is full, slow, silent or away: nothing is sent twice, and each answer says what may have happened."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from apps.desk import peer as peers
from apps.desk.peer import Peer
from apps.http.messages import send_json
from tests.apps.desk_house import LOCAL, ORDER, DeskHouse, bearer, desk_house, said


async def test_cancels_have_a_bucket_and_room_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "IN_FLIGHT_MAX", 1)
    held = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await held.wait()
        await send_json(send, 200, b"{}")

    async with desk_house() as house, house.client(**bearer(house.key("erin", rate=1, burst=2))) as client:
        house.oms.does = waits
        reading = asyncio.create_task(client.get("/api/oms/orders"))
        while not house.oms.asked:
            await asyncio.sleep(0.01)
        busy = await client.get("/api/oms/orders")
        assert (said(busy), busy.headers["retry-after"], busy.json()["service"]) == ((503, "gateway_busy"), "1", "oms")
        assert said(await client.get("/api/oms/orders")) == (429, "rate_limited")
        assert [(await client.delete(f"/api/oms/orders/o{number}")).status_code for number in range(5)] == [200] * 5
        held.set()
        assert (await reading).status_code == 200
        assert house.peers["oms"].in_flight == 0


async def test_one_caller_cannot_take_all_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "IN_FLIGHT_OF_A_CALLER_MAX", 1)
    held = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await held.wait()
        await send_json(send, 200, b"{}")

    async with desk_house() as house, house.client() as client:
        house.oms.does = waits
        erin, bob = bearer(house.key("erin")), bearer(house.key("bob"))
        first = asyncio.create_task(client.get("/api/oms/orders", headers=erin))
        while not house.oms.asked:
            await asyncio.sleep(0.01)
        assert said(await client.get("/api/oms/orders", headers=erin)) == (503, "gateway_busy")
        other = asyncio.create_task(client.get("/api/oms/orders", headers=bob))
        await asyncio.sleep(0.05)
        held.set()
        assert [(await task).status_code for task in (first, other)] == [200, 200]


@contextlib.asynccontextmanager
async def away(house: DeskHouse, url: str) -> AsyncIterator[None]:
    """Put oms at an address where something else is."""
    own, house.peers["oms"] = house.peers["oms"], Peer("oms", url, True)
    yield
    await house.peers["oms"].close()
    house.peers["oms"] = own


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_service_that_is_not_there_is_named(method: str) -> None:
    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        with socket.create_server((LOCAL, 0)) as free:
            url = f"http://{LOCAL}:{free.getsockname()[1]}"
        async with away(house, url):
            answer = await client.request(method, "/api/oms/orders", json=ORDER if method == "POST" else None)
            assert said(answer) == (503, "service_unavailable")
            assert (answer.headers["retry-after"], answer.json()["service"], answer.json()["outcome"]) == ("1", "oms", "not_accepted")
            assert house.gateway.failed["service_unavailable"] == 1


@pytest.mark.parametrize(
    ("method", "problem"), [("GET", (503, "service_unavailable")), ("POST", (504, "outcome_unknown")), ("DELETE", (504, "outcome_unknown"))]
)
@pytest.mark.parametrize("ending", ["silence", "cut", "cut in the head"])
async def test_a_change_whose_answer_does_not_come_has_an_unknown_outcome_and_is_not_sent_again(
    method: str, problem: tuple[int, str], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ANSWER_S", 0.3)
    requests: list[bytes] = []

    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        if ending == "silence":
            await reader.read()
        elif ending == "cut in the head":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-")
        writer.close()

    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        server = await asyncio.start_server(ends, LOCAL, 0)
        async with server, away(house, f"http://{LOCAL}:{server.sockets[0].getsockname()[1]}"):
            answer = await client.request(method, "/api/oms/orders", json=ORDER if method == "POST" else None)
            assert said(answer) == problem
            assert answer.json()["outcome"] == ("unknown" if problem[0] == 504 else "not_accepted")
            assert answer.json()["service"] == "oms"
            assert len(requests) == 1


async def test_a_long_answer_streams_and_one_that_breaks_off_is_not_mistaken_for_a_whole_one() -> None:
    reached = asyncio.Event()

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b"[1", "more_body": True})
        await reached.wait()
        if scope["query_string"] == b"account=broken":
            raise OSError("broken off")
        await send({"type": "http.response.body", "body": b",2]"})

    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        house.oms.does = streams
        async with client.stream("GET", "/api/oms/orders") as answer:
            parts = answer.aiter_raw()
            assert await anext(parts) == b"[1"  # while the service still writes
            reached.set()
            assert b"".join([part async for part in parts]) == b",2]"
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/api/oms/orders?account=broken")
        assert house.gateway.failed["cut_off"] == 1
        assert house.peers["oms"].in_flight == 0


async def test_a_client_that_goes_away_frees_its_place() -> None:
    async with desk_house() as house, house.client(**bearer(house.key())) as client:

        async def streams(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(200):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        house.oms.does = streams
        async with client.stream("GET", "/api/oms/orders") as answer:
            await anext(answer.aiter_raw())
        deadline = time.monotonic() + 10
        while house.peers["oms"].in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert house.peers["oms"].in_flight == 0
