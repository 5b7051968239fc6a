"""Who may call the Alpaca facade: always a key, one refusal for whatever is wrong with it, and rate headers on every answer."""

import base64
import time
from typing import Final

import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from apps.http.alpaca_guard import PUBLIC_BURST
from apps.http.messages import send_problem
from apps.http.problem import Refusal
from apps.http.route_scopes import ALPACA, PUBLIC, TABLES
from config.alpaca_section import NATIVE
from config.settings import OmsSettings
from tests.apps.alpaca_house import SECRET, trading
from tests.apps.test_alpaca_orders import LIMIT

NOT_LET_IN: Final = {"code": 40110000, "message": "request is not authorized"}
RATES: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id")


@pytest.mark.parametrize("path", ["/v2/account", "/v2/orders", "/v2/clock", "/v2/nope", "/"])
async def test_without_a_good_key_every_path_has_the_same_answer(path: str) -> None:
    async with trading() as (house, client):
        wrong = {"APCA-API-KEY-ID": client.headers["APCA-API-KEY-ID"], "APCA-API-SECRET-KEY": SECRET[:-1]}
        for headers in ({}, wrong, {"Authorization": "Basic x"}, {"APCA-API-KEY-ID": "PK"}):
            async with house.http(headers) as stranger:
                answer = await stranger.get(path)
                assert (answer.status_code, answer.json()) == (401, NOT_LET_IN)
                assert all(name in answer.headers for name in RATES)


async def test_a_key_is_taken_in_every_header_that_clients_use() -> None:
    async with trading() as (house, client):
        key_id = client.headers["APCA-API-KEY-ID"]
        basic = base64.b64encode(f"{key_id}:{SECRET}".encode()).decode()
        for value in (f"Basic {basic}", f"Bearer {key_id}.{SECRET}"):
            async with house.http({"Authorization": value}) as same:
                assert (await same.get("/v2/orders")).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "method", "path", "needs"),
    [
        (("read",), "POST", "/v2/orders", "trade"),
        (("read",), "DELETE", "/v2/orders", "cancel"),
        (("read",), "DELETE", "/v2/positions/BTC/USDT", "trade"),
        (("cancel",), "POST", "/v2/orders", "trade"),
        (("cancel",), "GET", "/v2/orders", "read"),
        (("trade",), "GET", "/v2/account", "read"),
    ],
)
async def test_a_key_without_the_scope_is_forbidden_by_the_exact_word(scopes: tuple[str, ...], method: str, path: str, needs: str) -> None:
    async with trading(*scopes) as (house, client):
        answer = await client.request(method, path, json=LIMIT if method == "POST" else None)
        assert (answer.status_code, answer.json()) == (403, {"code": 40310000, "message": "forbidden.", "needs": needs})
        assert all(name in answer.headers for name in RATES)
        assert house.oms.host.head.seq == 0


async def test_a_key_that_only_cancels_may_cancel() -> None:
    async with trading("cancel") as (_house, client):
        assert (await client.delete("/v2/orders")).status_code == 207


async def test_a_key_of_all_accounts_has_no_account_here() -> None:
    async with trading() as (house, _client), house.http(house.key("*", "audit")) as auditor:
        answer = await auditor.get("/v2/orders")
        assert (answer.status_code, answer.json()["message"]) == (403, "forbidden.")


async def test_the_rate_is_shown_and_held() -> None:
    async with trading() as (house, _client), house.http(house.key("alice", "read", rate=3)) as client:
        house.rates.stop()
        left = []
        for _ in range(3):
            answer = await client.get("/v2/orders")
            assert answer.headers["x-ratelimit-limit"] == "3"
            assert abs(int(answer.headers["x-ratelimit-reset"]) - time.time()) < 60
            left.append(answer.headers["x-ratelimit-remaining"])
        assert left == ["2", "1", "0"]
        answer = await client.get("/v2/orders")
        assert (answer.status_code, answer.json()) == (429, {"code": 42910000, "message": "rate limit exceeded"})
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-ratelimit-remaining"] == "0"


async def test_requests_of_pages_and_foreign_hosts_are_refused_in_alpacas_form() -> None:
    async with trading() as (_house, client):
        foreign = await client.get("/v2/orders", headers={"Origin": "http://evil.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, 40310000)
        host = await client.get("/v2/orders", headers={"Host": "evil.example"})
        assert (host.status_code, host.json()["reason"]) == (421, "host_unknown")
        text = await client.post("/v2/orders", content=b"{}", headers={"content-type": "text/plain"})
        assert (text.status_code, text.json()["reason"]) == (415, "json_wanted")


async def test_a_service_that_stops_says_so_in_alpacas_form() -> None:
    async def stopping(scope: Scope, receive: Receive, send: Send) -> None:
        await send_problem(send, Refusal(503, "stopping", "oms is stopping", headers={"Retry-After": "1"}, outcome="not_accepted"))

    async with trading() as (house, client), house.http(dict(client.headers), app=stopping) as late:
        answer = await late.post("/v2/orders", json=LIMIT)
        assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (503, 50310000, "not_accepted")
        assert answer.headers["content-type"] == "application/json"
        assert all(name in answer.headers for name in RATES)


async def test_what_is_not_served_is_named() -> None:
    async with trading() as (_house, client):
        for method, path in (("GET", "/v2/watchlists"), ("PUT", "/v2/orders"), ("GET", "/v2/stocks/meta/exchanges")):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()) == (404, {"code": 40410000, "message": f"{method} {path} is not served here"})
            assert answer.headers["x-ratelimit-limit"] == "1000"


async def test_the_facade_ends_where_its_base_ends() -> None:
    async with trading() as (_house, client):
        assert (await client.get("http://127.0.0.1/alpacas/v2/orders")).status_code == 404
        native = await client.get("http://127.0.0.1/orders")
        assert native.status_code == 200
        assert "orders" in native.json()


async def test_market_data_needs_no_key_but_has_a_rate_and_refuses_a_wrong_key() -> None:
    async with trading() as (house, _client), house.http() as anyone:
        house.rates.stop()
        statuses = [(await anyone.get("/v1beta3/crypto/us/latest/quotes?symbols=BTC/USDT")).status_code for _ in range(PUBLIC_BURST + 1)]
        assert statuses == [200] * PUBLIC_BURST + [429]
        async with house.http({"APCA-API-KEY-ID": "PK", "APCA-API-SECRET-KEY": "x"}) as stranger:
            assert (await stranger.get("/v1beta3/crypto/us/latest/quotes")).json() == NOT_LET_IN


async def test_every_row_of_the_table_has_a_handler_and_every_handler_a_row() -> None:
    async with trading() as (house, client):
        for method, path in ALPACA:
            address = (
                path.replace("{order_id}", "0" * 32).replace("{asset:path}", "BTC/USDT").replace("{loc}", "us").replace("{type}", "FILL")
            )
            answer = await client.request(method, address, json={} if method in ("POST", "PATCH") else None)
            assert "is not served here" not in answer.text, (method, path)
        assert set(house.routes) == set(ALPACA)
        assert {path for (_, path), row in ALPACA.items() if row is not None and row & PUBLIC} == {
            *(f"/v1beta3/crypto/{{loc}}/latest/{name}" for name in ("quotes", "orderbooks", "bars", "trades")),
            *(f"/v1beta3/crypto/{{loc}}/{name}" for name in ("bars", "trades", "quotes", "snapshots")),
            *(f"/v2/stocks/{name}" for name in ("quotes/latest", "bars/latest", "trades/latest", "snapshots")),
            *(f"/v2/stocks/{{symbol}}/{name}" for name in ("quotes/latest", "bars/latest", "trades/latest", "snapshot")),
            *(f"/v2/stocks/{place}{name}" for place in ("", "{symbol}/") for name in ("bars", "trades", "quotes", "auctions")),
        }


def test_the_base_is_configured_and_never_covers_the_native_api() -> None:
    def base(**alpaca: object) -> str | None:
        return OmsSettings.model_validate({"alpaca": alpaca}).alpaca_base()

    assert (base(), base(base="/broker/alpaca"), base(enabled=False)) == ("/alpaca", "/broker/alpaca", None)
    for wrong in ("", "/", "alpaca", "/alpaca/", "/a//b", "/orders", "/positions/x"):
        with pytest.raises(ValidationError):
            base(base=wrong)
    assert {path.split("/")[1] for _, path in TABLES["oms"]} == NATIVE
