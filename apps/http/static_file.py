"""Files that are answered from memory: compressed once, with an ETag, so that a browser asks again and receives them once."""

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from starlette.types import Receive, Scope, Send

from apps.http.messages import header

TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".png": b"image/png",
    ".svg": b"image/svg+xml",
}
"""Content types by the end of a file's name. A browser guesses none: every answer has `nosniff`."""
TAG_CHARACTERS: Final = 32
WORTH_IT: Final = 0.9
"""A compressed form is kept if it has less than this share of the bytes."""
_REVALIDATED: Final = (b"cache-control", b"no-cache")
"""Kept by the browser, and asked for again each time: a new release is seen at once."""


class StaticFile:
    """One file, as an ASGI application for GET."""

    def __init__(self, name: str, content: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """`headers`: those of every answer besides the usual ones. ValueError if the name has no known ending."""
        kind = TYPES.get(PurePath(name).suffix)
        if kind is None:
            raise ValueError(f"{name}: a file of this kind is not served; known are {', '.join(TYPES)}")
        tag = hashlib.sha256(content).hexdigest()[:TAG_CHARACTERS].encode()
        always = [(b"content-type", kind), (b"vary", b"accept-encoding"), _REVALIDATED, *headers]
        self._plain = content, b'"%b"' % tag, always
        packed = gzip.compress(content, mtime=0)
        smaller = len(packed) < len(content) * WORTH_IT
        self._packed = (packed, b'"%b-gzip"' % tag, [*always, (b"content-encoding", b"gzip")]) if smaller else self._plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content, tag, headers = self._packed if _takes_gzip(header(scope, b"accept-encoding")) else self._plain
        if _has(header(scope, b"if-none-match"), tag):
            status, content = 304, b""
            headers = [each for each in headers if each[0] not in (b"content-type", b"content-encoding")]
        else:
            status, headers = 200, [*headers, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"etag", tag)]})
        await send({"type": "http.response.body", "body": content})


def _takes_gzip(accepted: str | None) -> bool:
    """Return whether Accept-Encoding names gzip with a weight above zero (RFC 9110, 12.5.3)."""
    for entry in (accepted or "").lower().split(","):
        coding, _, weight = entry.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.rstrip("0.") != "" if weight else True
    return False


def _has(known: str | None, tag: bytes) -> bool:
    """Return whether If-None-Match has this tag; it is compared weakly (RFC 9110, 13.1.2)."""
    listed = [each.strip().removeprefix("W/") for each in (known or "").split(",")]
    return "*" in listed or tag.decode() in listed
