"""The page of the documentation needs no other host, no inline script and no exception in its policy."""

import re
from collections.abc import AsyncIterator
from importlib.metadata import requires
from typing import Final

import httpx
import pytest
from fastapi import APIRouter

from apps.http.access import Access
from apps.http.app import application, serve
from apps.http.docs_page import FILES, PAGE, POLICY, WHEEL
from apps.http.route_scopes import EVERYWHERE, OPEN
from apps.runtime.probes import PATHS

TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".png": "image/png"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter()
    router.add_api_route("/lines", lambda: None)
    listener = await serve(application("<test> & co", router), "127.0.0.1", 0, Access(), None)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", timeout=60) as found:
        yield found
    await listener.stop()


async def test_the_page_loads_its_own_files_and_has_no_script_or_style_in_it(client: httpx.AsyncClient) -> None:
    answer = await client.get(PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    links = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert sorted(links) == sorted(f"docs/{name}" for name in FILES)  # relative, so that a prefix in front does no harm
    assert re.findall(r"<script>|<style|\sstyle=|\son\w+=|https?:|//", answer.text) == []
    assert "<title>&lt;test&gt; &amp; co: API</title>" in answer.text


async def test_each_file_is_there_with_the_same_policy(client: httpx.AsyncClient) -> None:
    for path in (PAGE, *(f"{PAGE}/{name}" for name in FILES)):
        answer = await client.get(path)
        assert answer.status_code == 200, path
        assert answer.content
        assert answer.headers["content-type"].partition(";")[0] == TYPES.get(path[path.rfind(".") :], "text/html")
        for name, value in (
            ("content-security-policy", POLICY.decode()),
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ):
            assert answer.headers.get_list(name) == [value], (path, name)
        assert (await client.head(path)).headers["etag"] == answer.headers["etag"]
        assert (await client.get(f"{path}?x=1")).json()["pointer"] == "?x"
        assert (await client.post(path)).status_code == 405
    assert b"unsafe" not in POLICY
    assert (await client.get(f"{PAGE}/other.js")).status_code == 404


async def test_the_program_of_the_page_is_swagger_ui_and_asks_no_validator(client: httpx.AsyncClient) -> None:
    bundle = await client.get(f"{PAGE}/swagger-ui-bundle.js")
    assert re.search(r'PACKAGE_VERSION:"5\.\d+\.\d+"', bundle.text)
    assert bundle.headers["content-encoding"] == "gzip"
    start = (await client.get(f"{PAGE}/start.js")).text
    assert "validatorUrl: null" in start
    assert 'url: "openapi.json"' in start
    style = (await client.get(f"{PAGE}/swagger-ui.css")).text
    assert re.findall(r"url\((?!['\"]?data:)|@import", style) == []


def test_every_service_answers_them_without_a_key_also_while_it_starts() -> None:
    paths = {PAGE, *(f"{PAGE}/{name}" for name in FILES)}
    assert {path for (_, path), row in EVERYWHERE.items() if row is OPEN and path.startswith(PAGE)} == paths
    assert paths <= set(PATHS)


def test_the_wheel_of_the_files_brings_no_other_library() -> None:
    assert [re.split(r"\W", each)[0] for each in requires(WHEEL) or ()] == ["fastapi"]
