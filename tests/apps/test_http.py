"""HTTP manners on a real socket: exact numbers, problem details, raw handlers in front of FastAPI."""

from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import msgspec
import pytest
from fastapi import APIRouter
from starlette.types import Receive, Scope, Send

from apps.http.access import Access
from apps.http.app import Exact, Listener, Refusal, application, encode, fast_path, header, number, read_body, send_json, serve


class Line(msgspec.Struct):
    symbol: str
    quantity: Decimal


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_body(receive)
    if body == b"refuse":
        raise Refusal(422, "price_off_tick", "the price is not on the tick", headers={"X-Why": "tick"}, pointer="/price")
    if body == b"break":
        raise RuntimeError("a bug")
    await send_json(send, 200, encode({"size": len(body), "key": header(scope, b"idempotency-key")}))


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/lines/{count}")
    async def lines(count: int) -> Exact:
        return Exact([Line("BTCUSDT", Decimal("1E-8"))] * count, headers={"As-Of-Seq": "7"})

    @router.get("/refused")
    async def refused() -> Exact:
        raise Refusal(404, "order_not_found", "there is no order x", order_id="x")

    @router.get("/broken")
    async def broken() -> Exact:
        raise RuntimeError("a bug")

    @router.post("/echo")
    async def twin(body: dict[str, int]) -> Exact:
        return Exact(body)

    return router


@pytest.fixture
async def door() -> AsyncIterator[Listener]:
    listener = await serve(fast_path(application("test", routes()), {("POST", "/echo"): echo}), "127.0.0.1", 0, Access(), None)
    yield listener
    await listener.stop()


@pytest.fixture
async def client(door: Listener) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", timeout=60) as client:
        yield client


def test_numbers_are_written_exactly_and_never_with_an_exponent() -> None:
    value = {
        "a": Decimal("1E-8"),
        "b": [Decimal("45000.00"), (Decimal("1E+3"),)],
        "c": Line("X", Decimal("-0")),
        "d": number(Decimal("0.10")),
    }
    assert encode(value) == b'{"a":0.00000001,"b":[45000,[1000]],"c":{"symbol":"X","quantity":0},"d":0.1}'


async def test_a_route_answers_exact_json(client: httpx.AsyncClient) -> None:
    answer = await client.get("/lines/1")
    assert answer.text == '[{"symbol":"BTCUSDT","quantity":0.00000001}]'
    assert (answer.headers["content-type"], answer.headers["as-of-seq"]) == ("application/json", "7")


async def test_a_raw_handler_stands_in_front_of_its_documented_twin(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", content=b"x" * 1000, headers={"Idempotency-Key": "k"})
    assert answer.json() == {"size": 1000, "key": "k"}
    assert "/echo" in (await client.get("/openapi.json")).json()["paths"]


def problem(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


async def test_a_refusal_in_a_raw_handler_is_answered_with_its_fields(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", content=b"refuse")
    assert problem(answer) == (422, "price_off_tick")
    assert (answer.json()["pointer"], answer.headers["x-why"]) == ("/price", "tick")


async def test_a_refusal_in_a_route_is_answered_with_its_fields(client: httpx.AsyncClient) -> None:
    answer = await client.get("/refused")
    assert problem(answer) == (404, "order_not_found")
    assert answer.json()["order_id"] == "x"


async def test_addresses_and_methods_that_are_not_offered(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nothing")) == (404, "not_found")
    assert problem(await client.get("/lines/1/")) == (404, "not_found")
    answer = await client.delete("/lines/1")
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


async def test_a_parameter_of_the_wrong_type_is_malformed_and_pointed_at(client: httpx.AsyncClient) -> None:
    answer = await client.get("/lines/many")
    assert problem(answer) == (400, "malformed")
    assert (answer.json()["within"], answer.json()["pointer"]) == ("path", "/count")


async def test_a_bug_is_answered_without_its_details(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    for answer in (await client.get("/broken"), await client.post("/echo", content=b"break")):
        assert problem(answer) == (500, "internal")
        assert "a bug" not in answer.text
    assert [record.message.strip() for record in caplog.records if record.levelname == "ERROR"] == ["Exception in ASGI application"] * 2


async def test_no_answer_may_be_kept_framed_or_taken_for_another_type(door: Listener, client: httpx.AsyncClient) -> None:
    answers = [await client.get(path) for path in ("/lines/1", "/refused", "/broken", "/nothing", "/openapi.json")]
    answers += [
        await client.post("/echo", content=b"refuse"),
        await client.post("/echo", content=b"x", headers={"content-type": "text/plain"}),
        await client.get("/lines/1", headers={"host": "evil.example"}),
        await client.post("/echo", content=b"x" * 70_000),  # answered by the connection itself
    ]
    assert {answer.status_code for answer in answers} == {200, 404, 413, 415, 421, 422, 500}
    for answer in answers:
        for name, value in (("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")):
            assert answer.headers.get_list(name) == [value], (answer.url, name)


async def test_two_servers_cannot_share_a_port(door: Listener) -> None:
    with pytest.raises(OSError, match="in use"):
        await serve(application("test"), "127.0.0.1", door.port, Access(), None)
