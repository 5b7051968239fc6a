"""The page's files: what browsers get of them, how it is kept, and that nothing in them is of another host."""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from apps.desk.pages import DIRECTORY, ENDINGS, POLICY, Pages
from apps.http.route_scopes import OPEN_ROUTE, TABLES, RouteScopes
from apps.http.static_file import StaticFile
from tests.apps.desk_house import LOCAL, desk_house, raw

TEXTS: Final = (*ENDINGS, ".html")
FILES: Final = [path for path in sorted(DIRECTORY.rglob("*")) if path.suffix in TEXTS]
OWN: Final = [path for path in FILES if "vendor" not in path.parts]
VENDOR: Final = DIRECTORY / "vendor"
NAMESPACES: Final = re.compile(r"http://www\.w3\.org/(2000/svg|1999/xlink|1999/xhtml|1998/Math/MathML)")
LOADED: Final = re.compile(
    r"""(?:\b(?:src|href|action|poster|data)\s*=\s*|\burl\(\s*|@import\s+|\bfrom\s*|\bimport\s*\(?\s*)['"]?\s*((?:[a-z][a-z0-9+.-]*:)?//[^'"\s)]+)""",
    re.I,
)
INLINE: Final = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style\b|\sstyle\s*=|\son[a-z]+\s*=|javascript:", re.I)


def test_the_page_has_files() -> None:
    assert (DIRECTORY / "index.html").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DIRECTORY).as_posix())
def test_no_file_loads_anything_of_another_host(path: Path) -> None:
    assert LOADED.findall(NAMESPACES.sub("", path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(DIRECTORY).as_posix())
def test_no_file_of_ours_names_another_host_or_builds_a_script_from_text(path: Path) -> None:
    text = NAMESPACES.sub("", path.read_text("utf-8"))
    assert re.findall(r"\b(?:https?|wss?):", text) == []
    assert re.findall(r"\beval\(|new Function\(|\bdocument\.write|\.(?:inner|outer)HTML\b|insertAdjacentHTML", text) == []


def test_the_index_has_no_script_or_style_in_it_and_relative_links_only() -> None:
    text = (DIRECTORY / "index.html").read_text("utf-8")
    assert INLINE.findall(text) == []
    links = re.findall(r"\b(?:src|href|action)=[\"']([^\"']*)", text)
    assert [link for link in links if link.startswith("/") or ":" in link] == []
    assert [link for link in links if link and not (DIRECTORY / link).is_file()] == []


def test_what_is_vendored_is_what_the_manifest_says() -> None:
    vendored = {path.relative_to(VENDOR).as_posix(): path for path in VENDOR.rglob("*") if path.is_file() and path.suffix in ENDINGS}
    rows = json.loads((VENDOR / "MANIFEST.json").read_text("utf-8")) if VENDOR.exists() else []
    assert {row["file"]: row["sha256"] for row in rows if row["file"] in vendored} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in vendored.items()
    }
    for row in rows:
        assert (VENDOR / row["file"]).is_file()
        assert all(row[name] for name in ("name", "version", "licence"))


def test_every_file_that_browsers_get_has_its_row_and_shadows_no_other() -> None:
    routes = RouteScopes(TABLES["desk"])
    pages = Pages()
    assert len(pages.by_path) == len(FILES)
    assert {path for path in pages.by_path if routes.find("GET", path) != OPEN_ROUTE} == set()
    assert {path for _, path in TABLES["desk"]} & set(pages.by_path) == {"/"}


async def test_every_file_is_answered_with_its_type_and_a_policy_without_exceptions() -> None:
    async with desk_house() as house, house.client() as client:
        for path in Pages().by_path:
            answer = await client.get(path)
            kind = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}.get(Path(path).suffix, "text/html")
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind), path
            for name, value in (
                ("content-security-policy", POLICY.decode()),
                ("cache-control", "no-cache"),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
            ):
                assert answer.headers.get_list(name) == [value], (path, name)
            assert "set-cookie" not in answer.headers
        assert b"unsafe" not in POLICY


async def test_the_page_is_open_and_nothing_beside_it_is() -> None:
    async with desk_house() as house, house.client() as client:
        assert (await client.get("/?from=a-bookmark")).status_code == 200
        assert (await client.head("/")).status_code == 200
        assert (await client.post("/")).status_code == 401
        for path in ("/nothing", "/index.html", "/vendor/MANIFEST.json", "/vendor/", "/.js", "/vendor/x/y.js", "/health/", "/HEALTH"):
            assert (await client.get(path)).status_code == 401, path
        assert (await client.get("/nothing.js")).status_code == 404
        for refused in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert (await client.get("/", headers=refused)).status_code in (403, 421)


@pytest.mark.parametrize(
    "path",
    ["/../pages.js", "/%2e%2e/pages.js", "/vendor/..%2f..%2f..%2fapp.js", "/vendor/%2e%2e/index.js", "//etc/passwd.js", "/..%5cx.js"],
)
async def test_no_path_reaches_a_file_that_is_not_of_the_page(path: str) -> None:
    async with desk_house() as house:
        assert (await raw(house, f"GET {path} HTTP/1.1\nhost: {LOCAL}"))[0] in (401, 404)


# One file, as it is kept


async def answered(file: StaticFile, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(file)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        client.headers.clear()
        return await client.get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})


TEXT: Final = b"export const much = 1;\n" * 100


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("identity", False),
        ("", False),
        ("xgzip", False),
    ],
)
async def test_a_file_is_compressed_for_clients_that_accept_it(accepted: str, packed: bool) -> None:
    file = StaticFile("a.js", TEXT)
    answer = await answered(file, accept_encoding=accepted)
    assert answer.content == TEXT
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    assert int(answer.headers["content-length"]) == (len(gzip.compress(TEXT, mtime=0)) if packed else len(TEXT))
    assert answer.headers["vary"] == "accept-encoding"


async def test_a_file_that_does_not_get_smaller_stays_as_it_is() -> None:
    assert "content-encoding" not in (await answered(StaticFile("a.js", b"1"), accept_encoding="gzip")).headers


async def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    file = StaticFile("a.js", TEXT, [(b"content-security-policy", b"default-src 'none'")])
    for encoding in ("gzip", "identity"):
        tag = (await answered(file, accept_encoding=encoding)).headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await answered(file, accept_encoding=encoding, if_none_match=known)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert "content-security-policy" in again.headers
        assert (await answered(file, accept_encoding=encoding, if_none_match='"x"')).status_code == 200
    assert (await answered(StaticFile("a.js", TEXT + b" "))).headers["etag"] != (await answered(file)).headers["etag"]


async def test_a_file_that_the_browser_has_is_not_sent_again_by_a_listener() -> None:
    async with desk_house() as house, house.client() as client:
        first = await client.get("/")
        again = await client.get("/", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers.get_list("cache-control")) == (304, b"", ["no-cache"])
        assert (await client.get("/")).status_code == 200  # on the same connection


def test_a_file_of_an_unknown_kind_is_not_served() -> None:
    with pytest.raises(ValueError, match="not served"):
        StaticFile("a.exe", b"")
