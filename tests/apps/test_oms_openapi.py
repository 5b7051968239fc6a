"""The OpenAPI document of oms: true of the raw door, complete, and valid."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi.openapi.models import OpenAPI

from apps.oms.openapi import SUBMIT_SCHEMA
from apps.oms.submit_body import SubmitBody
from domain.values import CLIENT_ORDER_ID, IDENTIFIER, WRITTEN
from tests.apps.oms_house import OmsHouse, living
from tests.apps.submits import text

ROUTES = {
    "post /orders": {"200", "400", "413", "422", "429", "503", "default"},
    "get /orders": {"200", "503", "default"},
    "delete /orders": {"200", "422", "503", "default"},
    "get /orders/{order_id}": {"200", "404", "422", "503", "default"},
    "patch /orders/{order_id}": {"200", "202", "400", "404", "409", "422", "503", "default"},
    "delete /orders/{order_id}": {"200", "202", "404", "409", "503", "default"},
    "get /orders/{order_id}/events": {"200", "404", "503", "default"},
    "post /order-lists": {"200", "400", "422", "429", "503", "default"},
    "get /order-lists": {"200", "503", "default"},
    "get /order-lists/{list_id}": {"200", "404", "503", "default"},
    "get /order-lists/{list_id}/events": {"200", "404", "503", "default"},
    "delete /order-lists/{list_id}": {"200", "202", "404", "409", "503", "default"},
    "post /algos": {"200", "400", "409", "422", "429", "503", "default"},
    "get /algos": {"200", "503", "default"},
    "get /algos/{algo_id}": {"200", "404", "503", "default"},
    "get /algos/{algo_id}/slices": {"200", "404", "503", "default"},
    "get /algos/{algo_id}/events": {"200", "404", "503", "default"},
    "get /algos/{algo_id}/report": {"200", "404", "429", "503", "default"},
    "post /algos/{algo_id}/pause": {"200", "404", "409", "503", "default"},
    "post /algos/{algo_id}/resume": {"200", "404", "409", "503", "default"},
    "patch /algos/{algo_id}": {"200", "400", "404", "409", "422", "503", "default"},
    "delete /algos/{algo_id}": {"200", "202", "404", "409", "503", "default"},
    "get /positions/{account}": {"200", "422", "503", "default"},
    "get /fills/{account}": {"200", "503", "default"},
    "get /equity/{account}": {"200", "503", "default"},
    "get /diagram": {"200", "default"},
    "get /instruments": {"200", "default"},
    "post /orders/{order_id}/settle": {"200", "202", "400", "403", "404", "409", "422", "503", "default"},
    "post /admin/verify": {"200", "403", "409", "503", "default"},
}
NUMBERS = ("quantity", "notional", "price", "stop_price")


@pytest.fixture
async def document() -> Any:
    async with living() as (_, client):
        return (await client.get("/openapi.json")).json()


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def submit_schema(document: Any) -> Any:
    return document["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]["schema"]


def words(schema: Any, document: Any) -> tuple[set[str], set[Any], tuple[Any, Any]]:
    """Types, enum values and bounds of a field, however they are nested."""
    if "$ref" in schema:
        schema = document["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    kinds = schema.get("type", [])
    types = {kinds} if isinstance(kinds, str) else set(kinds)
    enums = set(schema.get("enum", []))
    bounds = (schema.get("minimum"), schema.get("maximum"))
    for part in schema.get("anyOf", []):
        more_types, more_enums, more_bounds = words(part, document)
        types, enums = types | more_types, enums | more_enums
        bounds = more_bounds if bounds == (None, None) else bounds
    return types | {{str: "string", int: "integer", type(None): "null"}[type(value)] for value in enums}, enums - {None}, bounds


def test_the_documented_body_is_the_body_that_is_read() -> None:
    read = msgspec.json.schema(SubmitBody)
    body = read["$defs"]["SubmitBody"]
    assert SUBMIT_SCHEMA["properties"].keys() == body["properties"].keys()
    assert set(SUBMIT_SCHEMA["required"]) == set(body["required"])
    assert SUBMIT_SCHEMA["additionalProperties"] is body["additionalProperties"] is False
    for name, documented in SUBMIT_SCHEMA["properties"].items():
        if name not in NUMBERS:  # those are raw text to the parser: see below
            assert words(documented, read) == words(body["properties"][name], read), name


def test_documented_patterns_are_the_grammars_that_are_held() -> None:
    properties = SUBMIT_SCHEMA["properties"]
    assert properties["account"]["pattern"] == f"^{IDENTIFIER.pattern}$"
    assert properties["client_order_id"]["pattern"] == f"^{CLIENT_ORDER_ID.pattern}$"
    for name in NUMBERS:
        types = [(each["type"], each.get("pattern"), each.get("minimum")) for each in properties[name]["oneOf"]]
        if name in ("quantity", "notional"):
            assert types[:2] == [("number", None, 0), ("string", f"^{WRITTEN.pattern}$", None)]
        else:
            assert types == [("number", None, None), ("string", f"^-?{WRITTEN.pattern}$", None), ("null", None, None)]


async def test_the_documented_example_is_an_order() -> None:
    async with living() as (_, client):
        example = {**SUBMIT_SCHEMA["example"], "quantity": 1}  # the test's desk trades whole coins
        assert (await client.post("/orders", json=example)).json()["status"] == "submitted"


async def test_a_documented_answer_is_what_is_answered() -> None:
    async with living() as (house, client):
        schema = house_schema(house)
        for _ in range(2):
            answer = (await client.post("/orders", content=text())).json()
            assert set(schema["required"]) <= answer.keys() <= schema["properties"].keys()


def house_schema(house: OmsHouse) -> Any:
    operation = house.application.openapi()["paths"]["/orders"]["post"]
    return operation["responses"]["200"]["content"]["application/json"]["schema"]


def test_every_route_is_listed_with_its_answers(document: Any) -> None:
    assert {route: set(operation["responses"]) for route, operation in operations(document)} == ROUTES


def test_every_answer_that_is_no_success_is_a_problem(document: Any) -> None:
    for route, operation in operations(document):
        for status, response in operation["responses"].items():
            assert response["description"], (route, status)
            if not status.startswith("2"):
                schema = response["content"]["application/problem+json"]["schema"]
                assert set(schema["required"]) == {"type", "title", "status", "code", "detail"}, (route, status)
    assert "HTTPValidationError" not in str(document), "FastAPI's own 422 is never answered"


def test_the_document_is_valid(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for route, operation in operations(document):
        assert operation["description"], route
        named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", route)), route
    for reference in re.findall(r"'\$ref': '#/([^']+)'", str(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]


async def test_documented_bounds_of_parameters_are_held(document: Any) -> None:
    async with living() as (_, client):
        for route, operation in operations(document):
            method, path = route.split()
            for parameter in operation.get("parameters", []):
                if (method, parameter["in"]) == ("get", "query"):
                    await _out_of_bounds(client, re.sub(r"{\w+}", "alice", path), parameter)


async def _out_of_bounds(client: httpx.AsyncClient, path: str, parameter: Any) -> None:
    """A value that no parameter of ours may have is malformed and pointed at."""
    answer = await client.get(path, params={parameter["name"]: "a\x00 b"})
    found = answer.json()
    assert (answer.status_code, found["code"], found["pointer"]) == (400, "malformed", f"?{parameter['name']}")
