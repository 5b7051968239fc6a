"""Shared HTTP code: exact numbers, problem details, raw handlers in front of FastAPI, and a server with bounds."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

import msgspec
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from apps.http import limits
from apps.http.access import Access
from apps.http.alpaca_guard import AlpacaGuard
from apps.http.authority import Authority
from apps.http.docs_page import docs_routes
from apps.http.guard import guarded
from apps.http.limits import BODY_MAX, BoundedProtocol, Room
from apps.http.messages import Disconnected, Handler, header, read_body, send_json, send_problem
from apps.http.problem import CONTENT_TYPE, Refusal, not_offered, problem_body, problem_doc
from apps.http.query import known_query, parameters_of, read_query, refused, repeatable_of
from apps.http.tls import TlsListener
from apps.http.websocket import MESSAGE_MAX, PING_EVERY_S, BoundedWebSocket
from config.settings import CONNECTIONS_MAX
from domain.values import plain

__all__ = [
    "BODY_MAX",
    "Disconnected",
    "Exact",
    "Handler",
    "Listener",
    "Refusal",
    "application",
    "encode",
    "encoded_in_turns",
    "fast_path",
    "header",
    "number",
    "problem_body",
    "read_body",
    "send_json",
    "serve",
    "with_head",
]

T = TypeVar("T")

DRAIN_S: Final = 5.0
BACKLOG: Final = 1024
ENCODED_A_TURN: Final = 50
"""Items of a long list that are encoded without a break, some 5 us each."""

_CODES: Final = {400: "malformed"}
_INTERNAL: Final = Refusal(500, "internal", "internal error, logged under this request; retry with the same client_order_id")
_ANY_PROBLEM: Final = problem_doc("Problem details: 400 `malformed`, 404, 405, 408, 413, 431, 503; `code` names the problem.")
"""The default response of every route. Without it FastAPI would document its own 422, which `_on_validation_error` never returns."""


def number(value: Decimal) -> msgspec.Raw:
    """Return an exact JSON number without an exponent."""
    return msgspec.Raw(plain(value).encode())


def encode(value: object) -> bytes:
    """Encode dicts, lists and structs as JSON, with every Decimal as an exact number. Hot paths build structs with `number` instead."""
    return msgspec.json.encode(with_decimals(value, number))


async def encoded_in_turns(items: Sequence[T], view: Callable[[T], object]) -> list[msgspec.Raw]:
    """Return the view of each item as JSON, ENCODED_A_TURN at a time, with the event loop free for other work in between."""
    found: list[msgspec.Raw] = []
    for first in range(0, len(items), ENCODED_A_TURN):
        found += (msgspec.Raw(msgspec.json.encode(view(item))) for item in items[first : first + ENCODED_A_TURN])
        await asyncio.sleep(0)
    return found


def with_decimals(value: Any, written: Callable[[Decimal], msgspec.Raw | str]) -> Any:
    """Return a value as dicts and lists, with each Decimal as `written` returns it."""
    if isinstance(value, Decimal):
        return written(value)
    if isinstance(value, Mapping):
        return {key: with_decimals(item, written) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [with_decimals(item, written) for item in value]
    if isinstance(value, msgspec.Struct):
        return with_decimals(msgspec.structs.asdict(value), written)
    return value


BODILESS: Final = "bodiless"
"""In the scope of a HEAD request, which its handler gets as GET: a response without an end must end at once."""


class Exact(Response):
    """The JSON response of a FastAPI route, for any value that `encode` takes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


def fast_path(app: Handler, routes: Mapping[tuple[str, str], Handler], mounts: Mapping[str, Handler] = MappingProxyType({})) -> Handler:
    """Put a few raw handlers in front of an application: FastAPI costs four times as much for a POST.

    Each accepts the query parameters of its documented twin in the application; without a twin, none.
    `mounts` are applications of their own: each serves every path that begins with its name and a slash.
    """
    twins = {
        (method, context.path): (parameters_of(context.original_route), repeatable_of(context.original_route))
        for context in (iter_route_contexts(app.routes) if isinstance(app, FastAPI) else ())
        if isinstance(context.original_route, APIRoute)
        for method in context.methods or ()
    }
    below = [(f"{base}/", mount) for base, mount in mounts.items()]
    known = {route: twins.get(route, (frozenset(), frozenset())) for route in routes}

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"]) if scope["type"] == "http" else ("", "")
        handler = routes.get(route)
        if handler is None:
            await next((mount for base, mount in below if scope["path"].startswith(base)), app)(scope, receive, send)
            return
        try:
            if scope["query_string"]:
                read_query(scope["query_string"], *known[route])
            await handler(scope, receive, send)
        except Refusal as refusal:
            await send_problem(send, refusal)
        except Disconnected:
            return
        except Exception:
            await send_problem(send, _INTERNAL)
            raise  # uvicorn logs it and closes the connection

    return front


def application(title: str, *routers: APIRouter) -> FastAPI:
    """Build a FastAPI application that returns every error as problem details and refuses undeclared query parameters."""
    app = FastAPI(
        title=title,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        responses={"default": _ANY_PROBLEM},
        dependencies=[Depends(known_query)],
    )
    app.router.routes.extend(docs_routes(title))
    for route in app.routes:
        if isinstance(route, Route):
            route.app = _without_query(route.app)  # /docs and /openapi.json have no dependencies
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_exception)
    return app


def _without_query(app: Handler) -> Handler:
    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        read_query(scope["query_string"], ())
        await app(scope, receive, send)

    return front


def with_head(app: Handler) -> Handler:
    """Answer HEAD as GET, without the body (RFC 9110, 9.3.2), wherever the application answers GET."""

    def front(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return app(scope, receive, send)

        async def bodiless(message: MutableMapping[str, Any]) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        return app({**scope, "method": "GET", BODILESS: True}, receive, bodiless)

    return front


def _response(refusal: Refusal) -> Response:
    return Response(refusal.body(), refusal.status, refusal.headers, CONTENT_TYPE.decode())


async def _on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code) or HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    if error.status_code in (404, 405):
        return _response(not_offered(request.method, _offered(request)))
    return _response(Refusal(error.status_code, code, str(error.detail), headers=error.headers))


def _offered(request: Request) -> list[str]:
    """Return every method of every route at this address: Starlette names those of the first route only. GET implies HEAD."""
    found: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        if context.matches(request.scope)[0] is not Match.NONE:
            found |= set(context.methods or ())
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()[0]
    where, *path = found["loc"]
    if where == "query":
        return _response(refused(str(path[0]), found["msg"]))
    return _response(Refusal(400, "malformed", found["msg"], pointer="".join(f"/{_pointer_part(part)}" for part in path), within=where))


def _pointer_part(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


async def _on_exception(_: Request, __: Exception) -> Response:
    return _response(_INTERNAL)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the chassis has its own. It closes the room's idle connections ten times a second.

    With `tls` its listener bounds handshakes too.
    """

    def __init__(self, config: uvicorn.Config, room: Room, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._room = room
        self._tls = tls
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._tls is None or sockets is None:
            await super().startup(sockets)
        else:
            listeners = [
                TlsListener(each, self._tls, self._connection, self._room.connections_max, limits.RECEIPT_DEADLINE_S, limits.LINGER_S)
                for each in sockets
            ]
            self.servers = cast(list[asyncio.base_events.Server], listeners)
            self.started = True
        self.listening.set()

    def _connection(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        return cast(asyncio.Protocol, protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state))

    async def on_tick(self, counter: int) -> bool:
        self._room.close_idle(asyncio.get_running_loop().time() - limits.IDLE_MAX_S)
        return await super().on_tick(counter)


class Listener:
    """One open port."""

    def __init__(self, server: _Server, task: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._task = task
        self.port = port

    async def stop(self) -> None:
        """Accept no new connection, close idle ones, answer requests in flight, then close the rest."""
        self._server.should_exit = True
        await self._task
        # a TLS client that does not answer the end of the connection would keep it, and with it the event loop
        for connection in tuple(self._server.server_state.connections):
            connection.transport.abort()


async def serve(
    app: Handler,
    host: str,
    port: int,
    access: Access,
    authority: Authority | None,
    *,
    tls: ssl.SSLContext | None = None,
    connections_max: int = CONNECTIONS_MAX,
    drain_sec: float = DRAIN_S,
    alpaca: AlpacaGuard | None = None,
    websocket_paths: Collection[str] = (),
) -> Listener:
    """Serve on the running loop, over TLS if given a context; port 0 takes any free one. OSError if the port cannot be bound.

    `authority`: None for a port that needs no key, which is the one of the metrics.
    `alpaca`: judges the requests of the facade, if the service has one.
    `websocket_paths`: where the application takes websockets; their handler finds out who calls.
    """
    bound = socket.create_server((host, port), backlog=BACKLOG, family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setblocking(False)
    room = Room(connections_max, websocket_paths)
    config = uvicorn.Config(
        cast(Any, guarded(with_head(app), access, authority, alpaca)),
        http=cast(Any, partial(BoundedProtocol, room=room)),
        loop="none",
        ws=cast(Any, partial(BoundedWebSocket, room=room)) if websocket_paths else "none",
        ws_max_size=MESSAGE_MAX,
        ws_ping_interval=PING_EVERY_S,
        ws_ping_timeout=PING_EVERY_S,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=cast(int, drain_sec),  # a number of seconds; uvicorn's annotation says int
    )
    server = _Server(config, room, tls)
    task = asyncio.create_task(server.serve(sockets=[bound]), name=f"http:{port}")
    await server.listening.wait()
    return Listener(server, task, bound.getsockname()[1])
