"""Websockets on an HTTP port: a connection that a slow or silent client cannot keep, and the way from the port to its handler."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from apps.http.limits import BODY_MAX, LINGER_S, Room
from apps.http.messages import Handler, send_problem
from apps.http.problem import Refusal, not_offered
from apps.http.security_headers import FIXED

MESSAGE_MAX: Final = BODY_MAX
"""Bytes of one message of a client."""
FRAGMENTS_MAX: Final = 1024
"""Frames of one message: those without content do not count in its bytes."""
PING_EVERY_S: Final = 20.0
"""How often the client is asked for a sign of life, and how long it may take to give it."""
CLOSE_S: Final = 10.0
"""How long a client that was sent the end of the connection may take to read it."""

NOT_TEXT: Final = 1007
"""The close code for a text message that is not UTF-8."""
TOO_BIG: Final = 1009
"""The close code for a message beyond a bound."""

_FIXED: Final = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in FIXED.splitlines())]
_HTTP: Final = "http."


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One websocket. Its end never waits for the client, whatever the client has not read yet."""

    def __init__(self, *args: Any, room: Room, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = room
        self._ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._room.websockets += 1

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated:
            # The head comes in one piece, and the library found more in it than it takes. uvicorn does not end the connection then.
            self.handshake_initiated = self.handshake_complete = True
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.websockets -= 1
        if self._ending is not None:
            self._ending.cancel()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        """Take another frame of a message. One with too many ends the connection."""
        if len(self.frames) < FRAGMENTS_MAX:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.send_close(TOO_BIG)
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client has not taken what was sent before: the answers would pile up in memory."""
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(answer)

    def send_receive_event_to_app(self) -> None:
        """Pass a message to the handler. One that is not UTF-8 ends the connection; uvicorn would log each with a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(b"".join(self.frames)):
            self.conn.send_close(NOT_TEXT)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def shutdown(self) -> None:
        super().shutdown()
        self._abort_in(LINGER_S)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_in(LINGER_S)

    async def send(self, message: Any) -> None:
        """Send a message of the handler. It waits until the client has taken most of what was sent before; the end does not wait."""
        closes = message["type"] == "websocket.close"
        if closes:
            self.writable.set()
        await super().send(message)
        if closes:
            self._abort_in(CLOSE_S)

    def _abort_in(self, seconds: float) -> None:
        """Give up what the client has not read after this time: a transport that is only closed would wait for it without end."""
        if self._ending is None:
            self._ending = self.loop.call_later(seconds, self.transport.abort)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def answerable(send: Send) -> Send:
    """Return a `send` by which a handshake can be refused like a request: its HTTP answer becomes that of the handshake."""

    async def sending(message: Message) -> None:
        if message["type"].startswith(_HTTP):
            message = {**message, "type": "websocket." + message["type"]}
            if "headers" in message:
                message["headers"] = [*message["headers"], *_FIXED]
        await send(message)

    return sending


def with_websockets(app: Handler, routes: Mapping[str, Handler]) -> Handler:
    """Pass websockets to the handlers of these paths; the application gets everything else."""

    async def opened(scope: Scope, receive: Receive, send: Send) -> None:
        handler = routes.get(scope["path"])
        try:
            if handler is None:
                raise not_offered("GET", ())
            await handler(scope, receive, send)
        except Refusal as refusal:
            await send_problem(send, refusal)

    def front(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (opened if scope["type"] == "websocket" else app)(scope, receive, send)

    return front if routes else app
