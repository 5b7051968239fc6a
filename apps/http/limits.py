"""uvicorn's HTTP protocol with bounds: how large a request may be, how long it may take to arrive, how many may be connected."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from apps.http.problem import CONTENT_TYPE, problem_body

HEAD_MAX: Final = 64 * 1024
BODY_MAX: Final = 64 * 1024
URL_MAX: Final = 8 * 1024
HEADERS_MAX: Final = 100
RECEIPT_DEADLINE_S: Final = 5.0
IDLE_MAX_S: Final = 30.0
"""How long a connection is kept on which nothing is asked any more."""
LINGER_S: Final = 1.0
"""After a refusal we read on for a moment, or the client would see a reset instead of the answer."""

SLICE: Final = 16 * 1024
"""The parser is fed this much at a time, so that no bound is passed by more."""


URGENT_MAX: Final = 64
"""Connections beyond the bound, on which only health and what stops trading are answered."""

URGENT: Final = frozenset((("GET", b"/health"), ("GET", b"/ready"), ("POST", b"/kill"), ("POST", b"/risk/kill")))
"""Answered beside every DELETE (cancels) on a connection beyond the bound; HEAD as GET."""

Refused = tuple[int, str, str]
"""Status, code and detail."""

INTERIM: Final = b"HTTP/1.1 100"
"""The one head that has no body behind it and must not wait for one."""


class HeadWithBody:
    """A transport that keeps an answer's head until its body comes: uvicorn writes each by itself, and each would be a segment."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.endswith(b"\r\n\r\n") and not data.startswith(INTERIM):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """The answer is complete; the head of one without a body is still here."""
        if self._head:
            self.write(b"")

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Room:
    """The connections of one port that have no request in flight, the longest without one first. They give way to a new connection."""

    def __init__(self, connections_max: int) -> None:
        self.connections_max = connections_max
        self.shed = 0
        self._idle: OrderedDict[BoundedProtocol, float] = OrderedDict()
        self._receiving: OrderedDict[BoundedProtocol, float] = OrderedDict()

    def waits(self, connection: "BoundedProtocol", *, receiving: bool) -> None:
        """This one has nothing in flight from now on; `receiving` when a part of a request has come."""
        (self._receiving if receiving else self._idle)[connection] = connection.loop.time()

    def leave(self, connection: "BoundedProtocol") -> None:
        """It is asked something, or it is gone."""
        self._idle.pop(connection, None)
        self._receiving.pop(connection, None)

    def close_idle(self, before: float) -> None:
        """Close those that have been idle since a time of the loop. A timer for each connection would have to be set at each answer."""
        while (first := next(iter(self._idle.items()), None)) is not None and first[1] <= before:
            first[0].give_way()

    def make(self) -> bool:
        """Close one that waits: an idle one, else one whose request is not here in full. False when all others are being answered."""
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
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(HeadWithBody(transport))  # type: ignore[arg-type]
        over = len(self.connections) - self._room.connections_max
        if over > 0 and not self._room.make():
            self._beyond = True
            if over > URGENT_MAX:
                self._refuse(self._too_many())
                return
        self._room.waits(self, receiving=False)
        self._start_deadline()

    def on_response_complete(self) -> None:
        """In the place of uvicorn's, which would set a timer: the room closes what is idle for too long."""
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
        """Close for a new connection. Nothing that was asked here has been begun."""
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
            pass  # no upgrade is offered: the request is answered as it stands
        except httptools.HttpParserError:
            self._refusal = self._refusal or (400, "malformed", "this is not HTTP")
        if self._in_head and self._head_bytes > HEAD_MAX:
            self._refuse_head(f"a request head has {HEAD_MAX} bytes at most")
        return self._refusal

    # Parser callbacks. An exception here would become "this is not HTTP", so a refusal is noted and acted on after the slice.
    def on_message_begin(self) -> None:
        self._receiving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._body_bytes = 0
        if len(self.url) > URL_MAX:
            self._refuse_head(f"an address has {URL_MAX} bytes at most")
        if len(self.headers) > HEADERS_MAX:
            self._refuse_head(f"a request has {HEADERS_MAX} headers at most")
        for name, value in self.headers:
            if name == b"content-length" and int(value) > BODY_MAX:  # the parser has made sure that it is a number, and the only one
                self._refuse_body()
        if self._beyond and not self._urgent():
            self._refusal = self._refusal or self._too_many()
        if not self._refusal:
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

    def _urgent(self) -> bool:
        """Answered beyond the bound as well. Once others have left, this connection is one like any other."""
        if len(self.connections) <= self._room.connections_max:
            self._beyond = False
            return True
        method = self.parser.get_method().decode("ascii")
        return method == "DELETE" or ("GET" if method == "HEAD" else method, self.url.partition(b"?")[0]) in URGENT

    def _too_many(self) -> Refused:
        return (503, "too_many_connections", f"{self._room.connections_max} connections are open already")

    def _refuse_head(self, detail: str) -> None:
        self._refusal = self._refusal or (431, "head_too_large", detail)

    def _refuse_body(self) -> None:
        self._refusal = self._refusal or (413, "body_too_large", f"a body has {BODY_MAX} bytes at most")

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(RECEIPT_DEADLINE_S, self._deadline_passed)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _deadline_passed(self) -> None:
        if self.answering():
            self._start_deadline()  # we are the slow ones: the next request waits behind our answer
        elif not self._receiving:
            self.transport.close()  # nothing was ever asked
        else:
            self._refuse((408, "request_timeout", f"a request must arrive within {RECEIPT_DEADLINE_S:g} s"))

    def answering(self) -> bool:
        """A request is here in full and its answer is not out yet."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _answered_early(self) -> bool:
        """This request was answered before its body was here, and the rest of it is skipped."""
        return self._receiving and self.cycle is not None and self.cycle.response_complete and self.cycle.scope is self.scope

    def _refuse(self, refusal: Refused) -> None:
        """Say why and close. An answer that is still under way to the same client goes out first, and ours is left unsaid."""
        self._refusal = refusal
        self._stop_deadline()
        if self.answering():
            self.cycle.keep_alive = False
            self.pipeline.clear()
            return
        if self._answered_early():
            self._end()  # a second answer would belong to no request
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
        head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (CONTENT_TYPE, len(body))
        self.transport.write(STATUS_LINE[status] + head + body)
        self._end()

    def _end(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def _slices(data: bytes) -> Iterable[bytes]:
    return (data,) if len(data) <= SLICE else (data[at : at + SLICE] for at in range(0, len(data), SLICE))
