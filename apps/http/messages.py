"""ASGI messages: reading a body with a bound, and sending JSON or a problem."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.types import Receive, Scope, Send

from apps.http.limits import BODY_MAX
from apps.http.problem import CONTENT_TYPE, Refusal

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON: Final = b"application/json"


class Disconnected(Exception):
    """The client disconnected before its request had arrived in full. No response can be sent."""


async def read_body(receive: Receive, limit: int = BODY_MAX) -> bytes:
    """Read the whole body. Refusal 413 beyond `limit` bytes; Disconnected if the client disconnects first."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise Refusal(413, "body_too_large", f"the body must not exceed {limit} bytes", headers={"connection": "close"})
        if not message.get("more_body", False):
            return b"".join(chunks) + chunk if chunks else chunk
        chunks.append(chunk)


async def send_json(send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (), content_type: bytes = _JSON) -> None:
    own = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this lower-case name; None if it is absent."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI sends them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def send_problem(send: Send, refusal: Refusal) -> None:
    await send_json(send, refusal.status, refusal.body(), raw_headers(refusal.headers), CONTENT_TYPE)
