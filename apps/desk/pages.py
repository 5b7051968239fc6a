"""The page: its files, read once at the start, with a policy that permits nothing of another host and no inline script or style."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.routing import Route

from apps.http.static_file import StaticFile

DIRECTORY: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
ENDINGS: Final = (".css", ".js", ".svg")
"""Files besides the index that browsers get. The others are for developers: types, licences, the manifest."""
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; "
    b"font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


class Pages:
    """The page's files in memory, a route for each. No path is ever made of a request, so none leads elsewhere."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        """Read and compress the files. OSError, also without an index.html."""
        index = StaticFile(INDEX, (directory / INDEX).read_bytes(), HEADERS)
        files = {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if path.suffix in ENDINGS}
        self.by_path = {"/": index} | {f"/{name}": StaticFile(name, path.read_bytes(), HEADERS) for name, path in files.items()}

    def router(self) -> APIRouter:
        """Return the routes. They are raw, and no part of openapi.json."""
        return APIRouter(routes=[Route(path, file, methods=["GET"], include_in_schema=False) for path, file in self.by_path.items()])
