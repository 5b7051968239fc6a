"""A request as its signature covers it: the address as it was sent, and a body that is read before its handler reads it again."""

from starlette.types import Message, Receive, Scope


def target_of(scope: Scope) -> str:
    """Return the path and query of a request as the caller sent them."""
    query = scope["query_string"]
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, then what the connection gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
