"""`GET /search` over OpenSearch and `POST /query` over ClickHouse: read-only, bounded, over all accounts."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from adapters.clickhouse_query import QUERY_CHARS_MAX, QUERY_ROWS_MAX, QUERY_TIME_MAX_S, ClickHouseQueries, QueryRefused
from adapters.opensearch import OpenSearch
from adapters.opensearch_search import SEARCH_CHARS_MAX, SEARCH_ROWS_MAX, SearchRefused, search
from apps.http.app import Exact, Refusal
from apps.http.body import read_object
from apps.http.order_view import order_view
from apps.http.problem import malformed, problem_doc
from domain.ports import Unavailable

SEARCH_ROWS: Final = 20
STATUS_OF: Final = {"query_invalid": 400, "query_not_allowed": 403, "query_too_large": 422, "query_too_long": 422}

SEARCH_DOC: Final[dict[str, Any]] = {
    "responses": {
        200: {"description": "`orders` as in GET /orders of oms, newest first; `found`: how many; `complete`: whether all were counted."},
        400: problem_doc("`search_invalid`: the text cannot be read as a search"),
        501: problem_doc("`search_absent`: this service runs without search"),
        503: problem_doc("`unavailable`: the server does not answer; with Retry-After"),
    }
}
QUERY_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["sql"],
                        "additionalProperties": False,
                        "properties": {"sql": {"type": "string", "maxLength": QUERY_CHARS_MAX}},
                        "example": {"sql": "SELECT account, count() AS orders FROM orders GROUP BY account"},
                    }
                }
            },
        }
    },
    "responses": {
        200: {"description": "`columns` with name and type, and `rows`. Numbers are exact."},
        400: problem_doc("`malformed`; `query_invalid`: with the `position` of a syntax error, counted from 1"),
        403: problem_doc("`query_not_allowed`: not a SELECT over the tables of this system"),
        422: problem_doc(f"`query_too_large`: beyond {QUERY_ROWS_MAX} rows or the memory; `query_too_long`: over {QUERY_TIME_MAX_S} s"),
        501: problem_doc("`analytics_absent`: this service runs without analytics"),
        503: problem_doc("`unavailable`: the server does not answer; with Retry-After"),
    },
}


def router(server: OpenSearch | None, queries: ClickHouseQueries | None) -> APIRouter:
    """Build the routes. None: this service runs without that part."""
    routes = APIRouter()

    @routes.get("/search", summary="Find orders by their words and fields", **SEARCH_DOC)
    async def search_orders(
        q: Annotated[str, Query(min_length=1, max_length=SEARCH_CHARS_MAX, description="Words, or field:value; all must match.")],
        limit: Annotated[int, Query(ge=1, le=SEARCH_ROWS_MAX)] = SEARCH_ROWS,
    ) -> Response:
        """Return the newest of the orders that have every word."""
        if server is None:
            raise Refusal(501, "search_absent", "sink-alt runs without search")
        try:
            found = await search(server, q, limit)
        except SearchRefused as refused:
            raise Refusal(400, "search_invalid", str(refused), pointer="?q", within="query") from None
        except Unavailable as trouble:
            raise _away(trouble) from trouble
        return Exact({"orders": [order_view(order) for order in found.orders], "found": found.found, "complete": found.complete})

    @routes.post("/query", summary="Ask the analytic tables in SQL", **QUERY_DOC)
    async def query_tables(request: Request) -> Response:
        """Return the answer to one SELECT."""
        sql = read_object(await request.body(), ("sql",)).get("sql")
        if type(sql) is not str:
            raise malformed("sql must be a string", "/sql")
        if queries is None:
            raise Refusal(501, "analytics_absent", "sink-alt runs without analytics")
        try:
            found = await queries.ask(sql)
        except QueryRefused as refused:
            position: dict[str, Any] = {} if refused.position is None else {"position": refused.position}
            raise Refusal(STATUS_OF[refused.code], refused.code, str(refused), pointer="/sql", **position) from None
        except Unavailable as trouble:
            raise _away(trouble) from trouble
        return Exact({"columns": [{"name": name, "type": kind} for name, kind in found.columns], "rows": found.rows})

    return routes


def _away(trouble: Unavailable) -> Refusal:
    return Refusal(503, "unavailable", str(trouble), headers={"Retry-After": "1"})
