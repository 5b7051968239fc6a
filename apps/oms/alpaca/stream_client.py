"""One connection of the stream: who it is, what it listens to, and how it ends."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import structlog
from starlette.types import Receive, Send

from apps.http.authority import Authority
from apps.http.caller import Caller
from apps.http.credentials import Secret
from apps.oms.alpaca.stream_messages import Authenticate, Listen, NotUnderstood, authorization, now_listening, understood
from apps.oms.alpaca.update_source import NoSuchSequence, UpdateListener, UpdateSource
from apps.runtime.chassis import cancelled
from domain.ports import Unavailable

AUTHENTICATE_S: Final = 10.0
"""How long a connection may take to show its key."""
LOOK_EVERY_S: Final = 0.25
"""How often the key is checked again: it may be revoked or expire."""
SEND_S: Final = 10.0
"""How long a client that reads earlier updates may take for one: others wait for its place."""

REASON_MAX: Final = 100
"""Characters of a reason: the frame of an end has room for 123 bytes."""

POLICY: Final = 1008
INTERNAL: Final = 1011
TRY_LATER: Final = 1013
"""Codes of the end of a connection (RFC 6455, and the registry for 1013)."""

TOO_SLOW: Final = "too slow"
NOT_MADE: Final = "an update could not be made"

log = structlog.get_logger()
Admit = Callable[[Secret], Caller]
"""Returns who a key belongs to and counts its connection; StreamEnd if it may not listen."""


class StreamEnd(Exception):
    """The end of a connection, with its code and the reason that the client is sent. `refused`: its key was not accepted."""

    def __init__(self, code: int, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.refused = refused


class StreamClient:
    """One connection, from its handshake to its end."""

    def __init__(self, source: UpdateSource, authority: Authority, admit: Admit, receive: Receive, send: Send) -> None:
        self._source = source
        self._authority = authority
        self._admit = admit
        self._receive = receive
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        self._listener: UpdateListener | None = None
        self._ended: asyncio.Future[StreamEnd] = asyncio.get_running_loop().create_future()
        self.caller: Caller | None = None

    async def run(self) -> StreamEnd | None:
        """Serve until the client has gone or the connection ends. Return how it ended; None if the client closed it."""
        await self._receive()
        await self._send({"type": "websocket.accept"})
        reading = asyncio.ensure_future(self._read())
        watching = asyncio.ensure_future(self._watch())
        parts: tuple[asyncio.Future[Any], ...] = (reading, watching, self._ended)
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, watching):
                await cancelled(task)
            await self._stop()
        end = self._ended.result() if self._ended.done() else _result(reading) or _result(watching)
        if end is not None:
            with contextlib.suppress(OSError):  # the client has gone meanwhile
                if end.refused:
                    await self._send_text(authorization(granted=False))
                await self._send({"type": "websocket.close", "code": end.code, "reason": end.reason})
        return end

    @property
    def ending(self) -> bool:
        """Return whether the connection is to end, and has not yet gone."""
        return self._ended.done()

    def end(self, end: StreamEnd) -> None:
        if not self.ending:
            self._ended.set_result(end)

    async def _read(self) -> StreamEnd | None:
        """Follow the messages of the client. Return None when it has gone."""
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                said = understood(message.get("text") or message.get("bytes") or b"")
                if isinstance(said, Authenticate):
                    await self._authenticate(said)
                else:
                    await self._listen(said)
        except StreamEnd as end:
            return end
        except NotUnderstood as error:
            return StreamEnd(POLICY, str(error)[:REASON_MAX])
        except OSError:
            return None
        return None

    async def _authenticate(self, said: Authenticate) -> None:
        """Admit the key. A connection has one; the same may be shown again."""
        if said.sent is None or (self.caller is not None and said.sent.key_id != self.caller.key_id):
            raise StreamEnd(POLICY, "unauthorized", refused=True)
        if self.caller is None:
            self.caller = self._admit(said.sent)
        await self._send_text(authorization(granted=True))

    async def _listen(self, said: Listen) -> None:
        """Listen to these streams only. What becomes durable from the answer on is sent after it."""
        if self.caller is None:
            raise StreamEnd(POLICY, "unauthorized", refused=True)
        await self._stop()
        if not said.streams:
            await self._send_text(now_listening(said.streams))
            return
        listener = self._listener = UpdateListener(
            self.caller.account,
            on_overrun=lambda: self.end(StreamEnd(TRY_LATER, TOO_SLOW)),
            on_lost=lambda: self.end(StreamEnd(INTERNAL, NOT_MADE)),
        )
        if said.since_seq is None:
            await self._source.attach(listener)
        await self._send_text(now_listening(said.streams))
        self._sending = asyncio.ensure_future(self._send_updates(listener, said.since_seq))

    async def _stop(self) -> None:
        if self._sending is not None:
            await cancelled(self._sending)
        if self._listener is not None:
            self._source.detach(self._listener)
        self._sending = self._listener = None

    async def _send_updates(self, listener: UpdateListener, since: int | None) -> None:
        """Send updates until cancelled, or until the client cannot have them all."""
        try:
            if since is not None:
                await self._send_earlier(listener, since)
            while True:
                await self._send_text(await listener.next())
        except NoSuchSequence as error:
            self.end(StreamEnd(POLICY, str(error)))
        except (Unavailable, TimeoutError) as trouble:
            log.warning("a stream ends before all earlier updates are sent", reason=str(trouble) or "its client takes nothing")
            self.end(StreamEnd(TRY_LATER, "the journal does not answer" if isinstance(trouble, Unavailable) else TOO_SLOW))
        except OSError:
            return  # the client has gone
        except Exception:  # the edge of a connection: its client must not wait for updates that do not come
            log.exception(NOT_MADE)
            self.end(StreamEnd(INTERNAL, NOT_MADE))

    async def _send_earlier(self, listener: UpdateListener, since: int) -> None:
        async with contextlib.aclosing(self._source.earlier(listener, since)) as frames:
            async for frame in frames:
                async with asyncio.timeout(SEND_S):
                    await self._send_text(frame)

    async def _watch(self) -> StreamEnd:
        """Return when the key was not shown in time, or may no longer read."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AUTHENTICATE_S
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.caller is None:
                if loop.time() >= deadline:
                    return StreamEnd(POLICY, "not authenticated in time")
            elif not self._authority.still_admits(self.caller):
                return StreamEnd(POLICY, "unauthorized")

    async def _send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})


def _result(task: asyncio.Future[StreamEnd] | asyncio.Future[StreamEnd | None]) -> StreamEnd | None:
    return None if task.cancelled() else task.result()
