"""GET /search and POST /query: what is absent is named, what is refused has its code, and the answers are exact."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from adapters.clickhouse_query import QueryAnswer, QueryRefused
from apps.http.app import application
from apps.http.route_scopes import OPERATE, TABLES
from apps.sink.reads import router
from domain.access.scopes import AccessScope, bits
from domain.ports import Unavailable


class Answers:
    """Stands for the engine: one answer or refusal."""

    def __init__(self, outcome: QueryAnswer | Exception) -> None:
        self.outcome = outcome
        self.asked: list[str] = []

    async def ask(self, sql: str) -> QueryAnswer:
        self.asked.append(sql)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def asked(queries: Any, body: object) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application("sink", router(None, queries))), base_url="http://test") as http:
        return await http.post("/query", json=body)


@pytest.fixture
async def bare() -> AsyncIterator[httpx.AsyncClient]:
    """A service without either part."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application("sink", router(None, None))), base_url="http://test") as http:
        yield http


async def test_an_absent_part_is_named(bare: httpx.AsyncClient) -> None:
    search, query = await bare.get("/search?q=alice"), await bare.post("/query", json={"sql": "SELECT 1"})
    assert (search.status_code, search.json()["code"]) == (501, "search_absent")
    assert (query.status_code, query.json()["code"]) == (501, "analytics_absent")


@pytest.mark.parametrize("path", ["/search", "/search?q=", "/search?q=a&limit=0", "/search?q=a&limit=501", "/search?q=a&sort=x"])
async def test_a_search_that_is_not_one_is_refused(bare: httpx.AsyncClient, path: str) -> None:
    assert (await bare.get(path)).status_code == 400


@pytest.mark.parametrize("body", [{}, {"sql": 1}, {"sql": None}, {"sql": "SELECT 1", "more": 2}, []])
async def test_a_body_that_is_no_query_is_refused(bare: httpx.AsyncClient, body: object) -> None:
    refused = await bare.post("/query", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")


async def test_an_answer_has_its_columns_and_exact_numbers() -> None:
    engine = Answers(QueryAnswer([("quantity", "Decimal(38, 12)")], [[Decimal("123456789012345678.000000000001")], [None]]))
    answer = await asked(engine, {"sql": "SELECT quantity FROM fills"})
    assert answer.text == '{"columns":[{"name":"quantity","type":"Decimal(38, 12)"}],"rows":[[123456789012345678.000000000001],[null]]}'
    assert engine.asked == ["SELECT quantity FROM fills"]


async def test_bad_sql_is_answered_with_its_position() -> None:
    refused = await asked(Answers(QueryRefused("query_invalid", "Syntax error", 21)), {"sql": "SELECT count() FORM orders"})
    assert refused.status_code == 400
    assert {name: refused.json()[name] for name in ("code", "position", "pointer")} == {
        "code": "query_invalid",
        "position": 21,
        "pointer": "/sql",
    }


def test_both_routes_need_a_scope_that_reads_every_account() -> None:
    routes = {(method, route.path) for route in router(None, None).routes if isinstance(route, APIRoute) for method in route.methods or ()}
    assert {route: TABLES["sink-alt"][route] for route in routes} == {("GET", "/search"): OPERATE, ("POST", "/query"): OPERATE}
    assert not OPERATE & bits(AccessScope.READ, AccessScope.TRADE, AccessScope.CANCEL)


async def test_a_client_of_an_engine_that_is_away_reads_that_it_may_retry() -> None:
    refused = await asked(Answers(Unavailable("ClickHouse: away")), {"sql": "SELECT 1"})
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "unavailable", "1")
