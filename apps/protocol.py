"""uvicorn's HTTP protocol with bounds: how large a request may be, how long it may take to arrive, how many may be connected."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from apps.problem import CONTENT_TYPE, problem_body

HEAD_MAX: Final = 64 * 1024
BODY_MAX: Final = 64 * 1024
URL_MAX: Final = 8 * 1024
HEADERS_MAX: Final = 100
RECEIPT_DEADLINE_S: Final = 5.0
LINGER_S: Final = 1.0
"""After a refusal we read on for a moment, or the client would see a reset instead of the answer."""

SLICE: Final = 16 * 1024
"""The parser is fed this much at a time, so that no bound is passed by more."""


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

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. After a refusal it is closed."""

    def __init__(self, *args: Any, connections_max: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections_max = connections_max
        self._head_bytes = 0
        self._body_bytes = 0
        self._in_head = True
        self._receiving = False
        self._refusal: Refused | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(HeadWithBody(transport))  # type: ignore[arg-type]
        if len(self.connections) > self.connections_max:
            self._refuse((503, "too_many_connections", f"{self.connections_max} connections are open already"))
            return
        self._start_deadline()

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            return
        self._unset_keepalive_if_required()
        for part in _slices(data):
            self._receiving = True
            refusal = self._feed(part)
            if refusal:
                self._refuse(refusal)
                return
        if not self._receiving:
            self._stop_deadline()
        elif self._deadline is None:
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
            self._refusal = self._refusal or (431, "head_too_large", f"a request head has {HEAD_MAX} bytes at most")
        return self._refusal

    # Parser callbacks. An exception here would become "this is not HTTP", so a refusal is noted and acted on after the slice.
    def on_message_begin(self) -> None:
        self._receiving = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL_MAX:
            self._refusal = self._refusal or (431, "head_too_large", f"an address has {URL_MAX} bytes at most")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS_MAX:
            self._refusal = self._refusal or (431, "head_too_large", f"a request has {HEADERS_MAX} headers at most")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._body_bytes = 0
        if self._announced_body() > BODY_MAX:
            self._refuse_body()
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

    def _announced_body(self) -> int:
        """Content-Length; the parser has made sure that it is a number, and the only one."""
        return next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def _refuse_body(self) -> None:
        self._refusal = self._refusal or (413, "body_too_large", f"a body has {BODY_MAX} bytes at most")

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(RECEIPT_DEADLINE_S, self._deadline_passed)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _deadline_passed(self) -> None:
        if self._answering():
            self._start_deadline()  # we are the slow ones: the next request waits behind our answer
        elif not self._receiving:
            self.transport.close()  # nothing was ever asked
        else:
            self._refuse((408, "request_timeout", f"a request must arrive within {RECEIPT_DEADLINE_S:g} s"))

    def _answering(self) -> bool:
        """A request is here in full and its answer is not out yet."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _refuse(self, refusal: Refused) -> None:
        """Say why and close. An answer that is still under way to the same client goes out first, and ours is left unsaid."""
        self._refusal = refusal
        self._stop_deadline()
        if self._answering():
            self.cycle.keep_alive = False
            self.pipeline.clear()
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
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def _slices(data: bytes) -> Iterable[bytes]:
    return (data,) if len(data) <= SLICE else (data[at : at + SLICE] for at in range(0, len(data), SLICE))
