"""The gateway of the page: `/api/SERVICE/…` is passed on to that service, with the caller's own credentials and none of desk's.

The page has one origin this way, and no service needs CORS. Only routes that the service's own table has are passed on, so the address of a
request cannot lead anywhere else; the service judges each request again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPMethod
from typing import Final
from urllib.parse import quote

import httpx
import structlog
from fastapi import APIRouter
from prometheus_client.core import Metric
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from apps.desk.peer import Headers, Peer
from apps.http.authority import Authority
from apps.http.caller import caller_of
from apps.http.credentials import APCA_ID, APCA_SECRET, AUTHORIZATION
from apps.http.docs_page import PAGE
from apps.http.messages import Disconnected, read_body, send_problem
from apps.http.problem import Refusal, malformed, not_offered
from apps.http.route_scopes import STOPS, TABLES, RouteScopes, Row, Table
from apps.runtime import metrics

PREFIX: Final = "/api/"
METHODS: Final = (HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE)
HEADERS_PASSED: Final = frozenset((b"accept", b"content-type", b"idempotency-key", AUTHORIZATION, APCA_ID, APCA_SECRET))
"""Headers of a request that the service gets. All others (Cookie, Origin, X-Forwarded-For, Connection …) end here."""
KEPT_BACK: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"cache-control", b"x-content-type-options", b"x-frame-options", b"content-security-policy"),  # desk adds its own
        *(b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"),  # those of the key at desk
        *(b"date", b"server", b"set-cookie"),
    )
)
"""Headers of an answer that the caller does not get, besides those that start with `access-control-`."""
POLICY: Final = b"default-src 'none'; frame-ancestors 'none'; sandbox"
"""What a service answers is data, also if a browser opens it as a page of this origin."""

_VISIBLE: Final = re.compile(rb"[!-~]*")
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_CORS: Final = b"access-control-"
_SAFE: Final = "/:@!$&'()*+,;=~"

log = structlog.get_logger()


def offered(table: Table) -> Table:
    """Return the routes of a service that the gateway passes on: not its documentation, and of `/access` only what the caller is.

    Keys are made with `trade key`, and a session's token must never be in an answer that a page can read.
    """
    return {
        (method, path): row
        for (method, path), row in table.items()
        if not path.startswith(PAGE) and (not path.startswith("/access/") or path == "/access/me")
    }


class Gateway:
    """Passes requests on to the services it is given, and to no others."""

    def __init__(self, peers: Mapping[str, Peer], authority: Authority) -> None:
        """`peers`: the services by name. `authority`: desk's own, which knows the client's address."""
        self._peers = peers
        self._routes = {name: RouteScopes(offered(TABLES[name])) for name in peers}
        self._authority = authority
        self.passed: Counter[str] = Counter(dict.fromkeys(peers, 0))
        """Requests by service."""
        self.failed: Counter[str] = Counter()
        """Requests that a service did not answer, by the code of the problem."""

    def router(self) -> APIRouter:
        """Return the route. It is raw: a query is the service's to judge, and is not in openapi.json, which each service has itself."""
        return APIRouter(routes=[Route(PREFIX + "{service}/{path:path}", self, methods=list(METHODS), include_in_schema=False)])

    def stats(self) -> dict[str, object]:
        in_flight = {name: peer.in_flight for name, peer in self._peers.items()}
        return {"gateway": {"passed": dict(self.passed), "failed": dict(self.failed), "in_flight": in_flight}}

    def series(self) -> Iterator[Metric]:
        yield metrics.counter("desk_requests_passed_on", "Requests of the page passed on to a service", self.passed, "service")
        yield metrics.counter("desk_requests_failed", "Requests of the page that a service did not answer", self.failed, "code")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        try:
            await self._pass_on(scope, receive, answer)
        except Disconnected:
            return
        except Refusal as refusal:
            self.failed[refusal.code] += refusal.status >= 500
            if answer.started:
                log.warning("an answer was cut off", path=scope["path"], reason=refusal.detail)  # the listener closes the connection
            else:
                await send_problem(send, refusal)
        except (httpx.HTTPError, OSError) as error:
            self.failed["cut_off"] += 1
            log.warning("an answer was cut off", path=scope["path"], reason=str(error) or type(error).__name__)

    async def _pass_on(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        """Pass a request on. Refusal; httpx.HTTPError if the answer breaks off."""
        method = scope["method"]
        peer, path, row = self._target(method, scope["path"])
        query = scope["query_string"]
        if not _VISIBLE.fullmatch(query):
            raise malformed("the query has characters that must be escaped")
        target = quote(path, safe=_SAFE).encode("ascii") + (b"?" + query if query else b"")
        headers = self._headers(scope)
        body = await read_body(receive)
        self.passed[peer.name] += 1
        caller = caller_of(scope).key_id
        async with peer.asked(method, target, headers, body, caller=caller, urgent=bool(row and row & STOPS)) as found:
            await answer.relay(found, peer, method)

    def _target(self, method: str, path: str) -> tuple[Peer, str, Row]:
        """Return the service, the path there, and the row of its table. Refusal 404, 405.

        The path is that of the guard's check, decoded once, and is encoded again: the service decodes it to the same text.
        """
        name, slash, rest = path.removeprefix(PREFIX).partition("/")
        peer = self._peers.get(name)
        if peer is None or not slash or _UNPRINTABLE.search(rest) or {"", ".", ".."} & set(rest.split("/")):
            raise not_offered(method, ())
        found, row = self._routes[name].find(method, "/" + rest)
        if not found:
            raise not_offered(method, self._routes[name].methods("/" + rest))
        return peer, "/" + rest, row

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the headers for the service. Refusal 400."""
        passed = [(name, value) for name, value in scope["headers"] if name in HEADERS_PASSED]
        if not all(_VALUE.fullmatch(value) for _, value in passed):
            raise malformed("a header has characters that no header may have")
        address = self._authority.address(scope)
        forwarded = [(b"x-forwarded-for", address.encode("ascii"))] if address else []
        return [*passed, *forwarded, (b"accept-encoding", b"identity")]


class _Answer:
    """The answer to one request, as it comes from the service."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def relay(self, found: httpx.Response, peer: Peer, method: str) -> None:
        """Send the answer on, part by part. httpx.HTTPError if it breaks off; Refusal if it does so before the first part."""
        parts = found.aiter_raw()
        try:
            first = await anext(parts, b"")
        except httpx.HTTPError as error:
            raise peer.failed(method, error) from error
        self.started = True
        await self._send({"type": "http.response.start", "status": found.status_code, "headers": _kept(found.headers.raw)})
        await self._send({"type": "http.response.body", "body": first, "more_body": True})
        async for part in parts:
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})


def _kept(headers: Headers) -> list[tuple[bytes, bytes]]:
    lower = [(name.lower(), value) for name, value in headers]
    kept = [(name, value) for name, value in lower if name not in KEPT_BACK and not name.startswith(_CORS)]
    return [*kept, (b"content-security-policy", POLICY)]
