"""Bodies and paths that no honest program sends, to every route that its OpenAPI lists: refused or taken, never an error of ours."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from apps.http.app import Handler
from tests import routes
from tests.apps.test_routes import asked, exeq, gateway, oms, risk

DEEP: Final = 20_000
VALUES: Final = {
    "half of a surrogate pair": b'"\\ud800"',
    "the other half, amid letters": b'"a\\udfffb"',
    "half of a pair as bytes": b'"\xed\xa0\x80"',
    "a zero": b'"\\u0000"',
    "a zero as a byte": b'"\x00"',
    "not UTF-8": b'"\xff\xfe"',
    "an override of direction": b'"\\u202e"',
    "a long text": b'"' + b"x" * 50_000 + b'"',
    "many digits": b"9" * 5000,
    "many digits in a text": b'"' + b"9" * 5000 + b'"',
    "a large exponent": b"1e999999999",
    "a large exponent in a text": b'"1e999999999"',
    "a small exponent": b"-1e-999999999",
    "beyond 64 bits": b"18446744073709551616",
    "no number": b"NaN",
    "infinity": b"-Infinity",
    "infinity in a text": b'"Infinity"',
    "a deep list": b"[" * DEEP + b"]" * DEEP,
    "a deep list without an end": b"[" * DEEP,
    "a deep object": b'{"a":' * (DEEP // 2) + b"1" + b"}" * (DEEP // 2),
    "an object": b"{}",
    "a list of lists": b"[[],{},[null]]",
    "null": b"null",
    "true": b"true",
    "an invalid time": b'"0000-00-00T99:99:99Z"',
    "a time beyond all": b'"9999-12-31T23:59:59.999999999+23:59"',
}
SEGMENTS: Final = ("%00", "%ed%a0%80", "%ff", "%c0%af", "..%2f..", "%0d%0a", "9" * 3000, "%u0000", "a%20b", "%F0%9F%92%A9", "*", "'--")

SERVICES: Final = [oms, risk, exeq, gateway]


@pytest.fixture(params=SERVICES, ids=lambda service: service.__name__)
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    service: Callable[[Path], AbstractAsyncContextManager[Handler]] = request.param
    async with service(tmp_path) as app, asked(app) as client:
        yield client


def bodies(document: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, address, and the properties of the body of each route that takes one."""
    for method, address, known in routes.addresses(document):
        path = next(path for path, _ in _of(document, address))
        content = document["paths"][path].get(method.lower(), {}).get("requestBody", {}).get("content", {})
        for media in content.values():
            needed = "&".join(f"{name}={routes.NAMES[name]}" for name, required in known.items() if required)
            yield method, f"{address}?{needed}" if needed else address, dict(_properties(document, media.get("schema", {})))


def _of(document: Any, address: str) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        if next(routes.addresses({"paths": {path: {"get": {}}}}))[1] == address:
            yield path, methods


def _properties(document: Any, schema: Any) -> Iterator[tuple[str, Any]]:
    if reference := schema.get("$ref"):
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    for part in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        yield from _properties(document, part)
    yield from schema.get("properties", {}).items()


def good(properties: dict[str, Any]) -> dict[str, bytes]:
    """A value for each property that its schema may accept, so that a reader does not stop at an earlier one."""
    usual = {**routes.NAMES, "side": "buy", "quantity": 1, "price": 45000, "scope": "all", "who": "ann", "reason": "test", "type": "limit"}
    return {name: json.dumps(usual[name]).encode() for name in properties if name in usual}


async def survives(door: httpx.AsyncClient, method: str, url: str, body: bytes, what: str) -> None:
    answer = await door.request(method, url, content=body, headers={"content-type": "application/json"})
    assert answer.status_code != 500, (method, url, what)
    assert b"Traceback" not in answer.content
    if answer.status_code >= 400:
        assert answer.json()["code"], (method, url, what)


async def test_every_body_is_read_or_refused(door: httpx.AsyncClient) -> None:  # OWASP API 8
    document = (await door.get("/openapi.json")).json()
    found = list(bodies(document))
    assert found
    for method, url, properties in found:
        assert properties, (method, url)
        for what, value in VALUES.items():
            await survives(door, method, url, value, what)
            await survives(door, method, url, b"{" + value + b":1}", f"{what}, as a name")
            for name in properties:
                fields = {**good(properties), name: value}
                await survives(door, method, url, _object(fields), f"{what}, in {name}")
            await survives(door, method, url, _object({**good(properties), "other": value}), f"{what}, in a field that there is not")


def _object(fields: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items()) + b"}"


async def test_every_path_is_read_or_refused(door: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (await door.get("/openapi.json")).json()
    usual = dict(routes.NAMES)
    for segment in SEGMENTS:
        for name in usual:
            monkeypatch.setitem(routes.NAMES, name, segment)
        for method, address, _ in routes.addresses(document):
            if segment in address:
                await survives(door, method, address, b"", segment)
                await survives(door, method, address, b"{}", segment)
