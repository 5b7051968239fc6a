"""The page of the documentation: Swagger UI from this service alone, without an inline script and without another host.

Its files come from the wheel `fastapi-swagger`, which has those of Swagger UI unchanged and depends on FastAPI alone. No code of it runs.
"""

import asyncio
import html
from functools import cache, partial
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from apps.http.static_file import StaticFile

WHEEL: Final = "fastapi-swagger"
SWAGGER: Final = "fastapi_swagger/resources"
OWN: Final = Path(__file__).parent / "static"
PAGE: Final = "/docs"
FILES: Final = ("favicon-32x32.png", "start.js", "swagger-ui-bundle.js", "swagger-ui.css")
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI has its images in its style sheet, hence `data:`."""
_WITH_POLICY: Final = [(b"content-security-policy", POLICY)]


def docs_routes(title: str) -> list[Route]:
    """Return the routes of the page and of its files. The links are relative, so any prefix of a proxy works."""
    page = StaticFile("docs.html", (OWN / "docs.html").read_text("utf-8").replace("{title}", html.escape(title)).encode(), _WITH_POLICY)
    files = [Route(f"{PAGE}/{name}", _Loaded(name), methods=["GET"]) for name in FILES]
    return [Route(PAGE, page, methods=["GET"]), *files]


class _Loaded:
    """One file, read and compressed at its first request, in a thread: the loop serves orders, and most services are never asked."""

    def __init__(self, name: str) -> None:
        self._load = partial(_file, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = await asyncio.to_thread(self._load)
        await file(scope, receive, send)


@cache
def _file(name: str) -> StaticFile:
    """Return the file; the services of one process share it."""
    own = OWN / name
    path = own if own.exists() else Path(str(distribution(WHEEL).locate_file(f"{SWAGGER}/{name}")))
    return StaticFile(name, path.read_bytes(), _WITH_POLICY)
