"""The facade's application: finds the handler of a request, and answers every refusal in Alpaca's words."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from starlette.types import Receive, Scope, Send

from apps.http.alpaca_words import RETRY_AFTER, UNAVAILABLE, AlpacaRefusal, in_alpaca_words, not_served
from apps.http.caller import caller_of
from apps.http.messages import Disconnected, raw_headers, read_body, send_json
from apps.http.problem import Refusal
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, read_parameters

log = structlog.get_logger()

AlpacaHandler = Callable[[AlpacaRequest], Awaitable[AlpacaReply]]
Routes = Mapping[tuple[str, str], AlpacaHandler]
"""Handlers by method and path below the base; `{name}` in a path is one segment, `{name:path}` all that follows."""

_PARAMETER: Final = re.compile(r"\{\w+(:path)?\}")
_UNKNOWN_OUTCOME: Final = "internal error, logged under this request; ask orders:by_client_order_id before you repeat it"


class AlpacaApp:
    """Serves the requests that AlpacaGuard admitted."""

    def __init__(self, base: str, routes: Routes) -> None:
        self._base = len(base)
        self._literal = {route: handler for route, handler in routes.items() if "{" not in route[1]}
        self._patterns = [(method, _pattern(path), handler) for (method, path), handler in routes.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except AlpacaRefusal as refusal:
            await send_json(send, refusal.status, refusal.body(), raw_headers(refusal.headers))
        except Disconnected:
            return
        else:
            if answer.status == 204:
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})
            else:
                await send_json(send, answer.status, answer.body)

    async def _answer(self, scope: Scope, receive: Receive) -> AlpacaReply:
        method, path = scope["method"], scope["path"][self._base :]
        handler, rest = self._found(method, path)
        try:
            query = read_parameters(scope["query_string"]) if scope["query_string"] else {}
            body = await read_body(receive) if method in ("POST", "PATCH") else b""
            return await handler(AlpacaRequest(caller_of(scope), rest, query, body, scope["headers"]))
        except (AlpacaRefusal, Disconnected):
            raise
        except Refusal as refusal:
            raise in_alpaca_words(refusal) from None
        except Exception:  # the edge of the facade: a status of 500 or 504 would make some clients send an order again
            log.exception("a request of the Alpaca facade failed", method=method, path=path)
            raise AlpacaRefusal(503, UNAVAILABLE, _UNKNOWN_OUTCOME, headers=RETRY_AFTER, outcome="unknown") from None

    def _found(self, method: str, path: str) -> tuple[AlpacaHandler, str]:
        """Return the handler, and the last parameter of the path. AlpacaRefusal 404."""
        if (handler := self._literal.get((method, path))) is not None:
            return handler, ""
        for asked, pattern, handler in self._patterns:
            if asked == method and (found := pattern.fullmatch(path)) is not None:
                return handler, found.groups()[-1]
        raise not_served(method, path)


def _pattern(path: str) -> re.Pattern[str]:
    """Return the expression of a path with parameters."""
    parts, at = [], 0
    for found in _PARAMETER.finditer(path):
        parts += [re.escape(path[at : found.start()]), "(.+)" if found.group(1) else "([^/]+)"]
        at = found.end()
    return re.compile("".join([*parts, re.escape(path[at:])]), re.DOTALL)
