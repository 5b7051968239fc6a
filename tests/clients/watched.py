"""A session of `requests` that shows every answer to the oracle."""

from typing import Any
from urllib.parse import unquote, urlsplit

from tests.clients.spec import Oracle


def watch(session: Any, oracle: Oracle, base: str) -> None:
    """Look at every answer that a client's session gets from now on."""
    prefix = urlsplit(base).path

    def look(answer: Any, *_: Any, **__: Any) -> None:
        path = unquote(urlsplit(answer.url).path).removeprefix(prefix)
        oracle.look(answer.request.method, path, answer.status_code, answer.text)
        assert "X-RateLimit-Remaining" in answer.headers

    session.hooks["response"].append(look)
