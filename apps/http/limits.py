"""uvicorn's HTTP protocol with bounds on the size of a request, its time to arrive, and the number of connections."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from apps.http.problem import CONTENT_TYPE, problem_body
from apps.http.security_headers import ALWAYS, FIXED

HEAD_MAX: Final = 64 * 1024
BODY_MAX: Final = 64 * 1024
URL_MAX: Final = 8 * 1024
HEADERS_MAX: Final = 100
RECEIPT_DEADLINE_S: Final = 5.0
IDLE_MAX_S: Final = 30.0
"""How long a connection without requests is kept open."""
LINGER_S: Final = 1.0
"""After a refusal the connection stays open this long, or the client would see a reset instead of the response."""

SLICE: Final = 16 * 1024
"""Bytes passed to the parser at a time, so that no bound is exceeded by more."""


URGENT_MAX: Final = 64
"""Connections beyond the bound. Only health checks and requests that stop trading are answered on them."""

URGENT: Final = frozenset(
    (
        ("GET", b"/health"),
        ("GET", b"/ready"),
        ("POST", b"/kill"),
        ("POST", b"/risk/kill"),
        ("POST", b"/api/exeq/kill"),
        ("POST", b"/api/risk/risk/kill"),
    )
)
"""Requests answered on a connection beyond the bound, besides every DELETE (cancels); HEAD as GET."""

Refused = tuple[int, str, str]
"""Status, code and detail."""

TRANSPORT: Final = "transport"
"""The extension of a request with its connection's transport: a stream looks how much its client has not taken."""

INTERIM: Final = b"HTTP/1.1 100"
"""The one head that is sent at once, because no body follows it."""
_HEAD_STARTS: Final = b"HTTP/1.1 "
_END: Final = b"\r\n\r\n"
_FIXED_AND_END: Final = FIXED + b"\r\n"
_ALWAYS_AND_END: Final = ALWAYS + b"\r\n"
_KEPT: Final = b"\r\ncache-control: "


class HeadWithBody:
    """A transport that holds a response's head until its body, and adds the fixed headers to it.

    uvicorn writes head and body separately, and each would be a TCP segment.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD_STARTS) and data.endswith(_END) and not data.startswith(INTERIM):
            self._head = data[:-2] + (_ALWAYS_AND_END if _KEPT in data else _FIXED_AND_END)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send the held head of a complete response that has no body."""
        if self._head:
            self.write(b"")

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    @property
    def bare(self) -> asyncio.Transport:
        """The transport itself, for a connection that is no longer HTTP."""
        return self._transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Room:
    """The connections of one port without a request in flight, longest idle first. They are closed to admit a new connection."""

    def __init__(self, connections_max: int, websocket_paths: Collection[str] = ()) -> None:
        """`websocket_paths`: where a request may become a websocket. Anywhere else its wish for one is ignored."""
        self.connections_max = connections_max
        self.websocket_paths = frozenset(path.encode("ascii") for path in websocket_paths)
        self.websockets = 0
        """Open websockets. They are not among the connections that are bounded here: their handler has a bound of its own."""
        self.shed = 0
        self._idle: OrderedDict[BoundedProtocol, float] = OrderedDict()
        self._receiving: OrderedDict[BoundedProtocol, float] = OrderedDict()

    def waits(self, connection: "BoundedProtocol", *, receiving: bool) -> None:
        """Note that this connection has no request in flight; `receiving` if part of a request has arrived."""
        (self._receiving if receiving else self._idle)[connection] = connection.loop.time()

    def leave(self, connection: "BoundedProtocol") -> None:
        """Note that this connection has a request in flight, or is closed."""
        self._idle.pop(connection, None)
        self._receiving.pop(connection, None)

    def close_idle(self, before: float) -> None:
        """Close connections idle since a loop time, or longer. A timer for each connection would have to be set at each response."""
        while (first := next(iter(self._idle.items()), None)) is not None and first[1] <= before:
            first[0].give_way()

    def make(self) -> bool:
        """Close one waiting connection: an idle one, else one whose request is incomplete. False if all others are being answered."""
        for waiting in (self._idle, self._receiving):
            found = next((each for each in waiting if not each.answering()), None)
            if found is not None:
                self.shed += 1
                found.give_way()
                return True
        return False


class BoundedProtocol(HttpToolsProtocol):
    """One connection. After a refusal it is closed."""

    def __init__(self, *args: Any, room: Room, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = room
        self._beyond = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._in_head = True
        self._receiving = False
        self._refusal: Refused | None = None
        self._ended = False
        self._upgrades = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(HeadWithBody(transport))  # type: ignore[arg-type]
        over = self._over()
        if over > 0 and not self._room.make():
            self._beyond = True
            if over > URGENT_MAX:
                self._refuse(self._too_many())
                return
        self._room.waits(self, receiving=False)
        self._start_deadline()

    def on_response_complete(self) -> None:
        """Replace uvicorn's method, which would set a timer: the room closes connections that are idle for too long."""
        self.transport.flush()  # type: ignore[attr-defined]
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not self._receiving:
            self._room.waits(self, receiving=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.leave(self)
        self._stop_deadline()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close to admit a new connection. No request here has reached a handler."""
        self._room.leave(self)
        self.connections.discard(self)  # its place is free at once, not when the transport has closed
        if self._receiving:
            self._refuse(self._too_many())
        else:
            self._stop_deadline()
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            return
        self._room.leave(self)
        for part in _slices(data):
            if self._ended:
                break
            self._receiving = True
            refusal = self._feed(part)
            if refusal:
                self._refuse(refusal)
                return
        if not self._receiving:
            self._stop_deadline()
            return
        self._room.waits(self, receiving=True)
        if self._deadline is None:
            self._start_deadline()

    def _feed(self, part: bytes) -> Refused | None:
        if self._in_head:
            self._head_bytes += len(part)
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            # Where no websocket is served the request is answered without an upgrade. The parser ends it before its body, and would take
            # that for another request, so nothing more is read from this connection as HTTP.
            self._ended = True
            if self._upgrades and not self._refusal:
                self._become_websocket()
            elif self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._refusal = self._refusal or (400, "malformed", "not a valid HTTP request")
        if self._in_head and self._head_bytes > HEAD_MAX:
            self._refuse_head(f"the request head must not exceed {HEAD_MAX} bytes")
        return self._refusal

    # Parser callbacks. An exception here would become "not a valid HTTP request", so a refusal is kept and sent after the slice.
    def on_message_begin(self) -> None:
        self._receiving = True
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: cast(Any, self.transport)}

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._body_bytes = 0
        if len(self.url) > URL_MAX:
            self._refuse_head(f"the address must not exceed {URL_MAX} bytes")
        if len(self.headers) > HEADERS_MAX:
            self._refuse_head(f"a request must not have more than {HEADERS_MAX} headers")
        for name, value in self.headers:
            if name == b"content-length" and int(value) > BODY_MAX:  # the parser has checked that it is a number and not repeated
                self._refuse_body()
        if self._beyond and not self._urgent():
            self._refusal = self._refusal or self._too_many()
        if not self._refusal:
            self._upgrades = self._asks_for_websocket()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > BODY_MAX:
            self._refuse_body()
        if not self._refusal:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._receiving = False
        self._in_head = True
        self._head_bytes = 0
        self._stop_deadline()
        if not self._refusal:
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        """Return what was decided when the head had arrived: uvicorn asks again and again."""
        return self._upgrades

    def _asks_for_websocket(self) -> bool:
        """Return whether the request may become a websocket: at a path that serves them, and behind no unfinished answer."""
        return (
            self.url.partition(b"?")[0] in self._room.websocket_paths
            and self.url.isascii()
            and self.parser.should_upgrade()
            and self._get_upgrade() == b"websocket"
            and (self.parser.get_method(), self.parser.get_http_version()) == (b"GET", "1.1")
            and (self.cycle is None or self.cycle.response_complete)
        )

    def _become_websocket(self) -> None:
        """Give the connection to uvicorn's websocket protocol, without what is only right for HTTP: deadlines, and the held head."""
        self._stop_deadline()
        self.transport = cast(HeadWithBody, self.transport).bare
        self.handle_websocket_upgrade()

    def _over(self) -> int:
        """Return how many connections there are beyond the bound."""
        return len(self.connections) - self._room.websockets - self._room.connections_max

    def _urgent(self) -> bool:
        """Return whether the request is answered beyond the bound. Below the bound again, the connection is like any other."""
        if self._over() <= 0:
            self._beyond = False
            return True
        method = self.parser.get_method().decode("ascii")
        return method == "DELETE" or ("GET" if method == "HEAD" else method, self.url.partition(b"?")[0]) in URGENT

    def _too_many(self) -> Refused:
        return (503, "too_many_connections", f"{self._room.connections_max} connections are open already")

    def _refuse_head(self, detail: str) -> None:
        self._refusal = self._refusal or (431, "head_too_large", detail)

    def _refuse_body(self) -> None:
        self._refusal = self._refusal or (413, "body_too_large", f"the body must not exceed {BODY_MAX} bytes")

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(RECEIPT_DEADLINE_S, self._deadline_passed)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _deadline_passed(self) -> None:
        if self.answering():
            self._start_deadline()  # the service is slow, not the client: the next request waits behind this response
        elif not self._receiving:
            self.transport.close()  # no request has arrived
        else:
            self._refuse((408, "request_timeout", f"a request must arrive within {RECEIPT_DEADLINE_S:g} s"))

    def answering(self) -> bool:
        """Return whether a request has arrived in full and its response is not complete."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _answered_early(self) -> bool:
        """Return whether this request was answered before its body had arrived, so that the rest of the body is skipped."""
        return self._receiving and self.cycle is not None and self.cycle.response_complete and self.cycle.scope is self.scope

    def _refuse(self, refusal: Refused) -> None:
        """Send the refusal and close. If a response to the same client is still in progress, finish that instead."""
        self._refusal = refusal
        self._stop_deadline()
        if self.answering():
            self.cycle.keep_alive = False
            self.pipeline.clear()
            return
        if self._answered_early():
            self._end()  # a second response would belong to no request
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the handler waits for a body that will not come
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        self._answer(*refusal)

    def _answer(self, status: int, code: str, detail: str) -> None:
        body = problem_body(status, code, detail)
        head = FIXED + b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (CONTENT_TYPE, len(body))
        self.transport.write(STATUS_LINE[status] + head + body)
        self._end()

    def _end(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def _slices(data: bytes) -> Iterable[bytes]:
    return (data,) if len(data) <= SLICE else (data[at : at + SLICE] for at in range(0, len(data), SLICE))
