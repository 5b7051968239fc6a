"""One stream: at most one message in flight. The next one is composed when the last one has left, so a slow client gets fewer of them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from apps.desk.events_source import EventsSource
from apps.desk.frames import Cursor, Frames, id_of, message
from apps.desk.kinds import ALGOS, EVENTS, LISTS, MARKS, ORDERS, SERVICES
from apps.desk.marks import BestQuotes
from apps.desk.query import StreamQuery
from apps.desk.rows import Row
from apps.desk.services import Services
from apps.http.caller import Caller
from apps.http.limits import TRANSPORT
from apps.http.problem import Refusal
from apps.http.route_scopes import OPERATE
from apps.journal.end import JournalEnd
from config.sections import StreamSection
from domain.ports import Journal, Unavailable

SNAPSHOT_ROWS: Final = 500
"""Orders in one message of a snapshot."""
FRAME_ROWS_MAX: Final = 5000
"""Orders in one frame. A client that is further behind is sent the whole state."""
ROUNDS_MAX: Final = 10
"""How often orders that change while others are sent are sent again before the message that ends it."""
KNOWN_NS: Final = 2_000_000_000
"""For how long after the journal was read to its end a heartbeat may say so."""
REACH_S: Final = 1.0
"""How long a stream waits for a sequence that its client has seen and this process has not."""
MARKS_EVERY_S: Final = 0.25
JOURNAL_UNAVAILABLE: Final = "journal_unavailable"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
]
_STATES: Final = frozenset((ORDERS, LISTS))
"""What is shown as it is now, of orders in memory."""
_QUIET: Final = b": the journal does not answer\n\n"


class Sources(msgspec.Struct):
    """What streams are composed from. `lag_ms`: how old the newest applied commit was when it was applied."""

    frames: Frames
    end: JournalEnd
    lag_ms: Callable[[], int]
    events: EventsSource
    marks: BestQuotes
    services: Services
    journal: Journal
    bounds: StreamSection


class ClientStream:
    """The state of one client: a cursor and two versions."""

    def __init__(self, sources: Sources, query: StreamQuery, caller: Caller, scope: Scope, send: Send) -> None:
        self.query = query
        self._sources = sources
        self._frames = sources.frames
        self._operator = bool(caller.mask & OPERATE)
        self._transport = scope.get("extensions", {}).get(TRANSPORT)
        self._send_message = send
        self._woken = asyncio.Event()
        self._ending: str | None = None
        self._sending_since: float | None = None
        self._unsent = 0
        self._cursor = Cursor(0)
        self._marks_version = 0
        self._services_version = 0
        self._heartbeat_s = sources.bounds.heartbeat_ms / 1000
        self._frame_s = sources.bounds.frame_ms / 1000

    def wake(self) -> None:
        self._woken.set()

    def end(self, reason: str) -> None:
        """End after the message in flight, with a `bye`."""
        self._ending = self._ending or reason
        self._woken.set()

    def abort(self) -> None:
        """Close the connection without waiting for the client."""
        if self._transport is not None:
            self._transport.abort()

    def takes_nothing_since(self, before: float) -> bool:
        """Return whether a message has waited since a loop time, and the client took no byte between two looks."""
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if self._sending_since is not None and unsent < self._unsent:
            self._sending_since = asyncio.get_running_loop().time()
        self._unsent = unsent
        return self._sending_since is not None and self._sending_since <= before

    async def run(self, receive: Receive, *, headers_only: bool) -> None:
        """Send until the client has gone or the stream ends. What is wrong with the point to resume from is found before the first byte."""
        try:
            reason = await self._where_to_begin()
        except Unavailable as trouble:
            raise Refusal(503, "journal_unavailable", str(trouble), headers={"Retry-After": "1"}) from trouble
        await self._send_message({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if not headers_only:
            sending, gone = asyncio.ensure_future(self._run_or_say_why(reason)), asyncio.ensure_future(_disconnected(receive))
            try:
                await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, gone):
                    task.cancel()
                results = await asyncio.gather(sending, gone, return_exceptions=True)
            if isinstance(results[0], Exception):
                raise results[0]
        await self._send_message({"type": "http.response.body", "body": b"", "more_body": False})

    async def _where_to_begin(self) -> str:
        """Set the cursor. Return why the whole state must be sent; empty if the client continues where it was."""
        resume, fold = self.query.resume, self._frames.fold
        if resume is None:
            return "new"
        if not await self._reached(resume.seq):
            return "unknown_history"
        if resume.chain and resume.chain != await self._chain_at(resume.seq):
            return "unknown_history"
        self._cursor.at(resume.seq)
        if (self._needs_orders() and resume.seq < fold.forgotten_seq) or self._lost_algos():
            return "too_old"
        return "too_old" if EVENTS not in self.query.kinds and self._is_far_behind() else ""

    def _needs_orders(self) -> bool:
        """Return whether orders of before must be in memory: to be shown, or to know the account of an event."""
        return not self.query.kinds.isdisjoint(_STATES) or (EVENTS in self.query.kinds and not self.query.every_account)

    def _rows_behind(self) -> Iterator[Row]:
        return self._frames.rows_behind(self.query, self._cursor.rows_seq) if ORDERS in self.query.kinds else iter(())

    def _is_far_behind(self) -> bool:
        """Return whether more orders changed than one frame may have."""
        return next(islice(self._rows_behind(), FRAME_ROWS_MAX, None), None) is not None

    def _lost_algos(self) -> bool:
        return ALGOS in self.query.kinds and self._cursor.rows_seq < self._frames.fold.algos.forgotten_seq

    def _lost_rows(self) -> bool:
        """Return whether an order or an algo may have changed since the cursor and left memory."""
        lost_orders = not self.query.kinds.isdisjoint(_STATES) and self._cursor.rows_seq < self._frames.fold.forgotten_seq
        return lost_orders or self._lost_algos()

    def _lost_accounts(self) -> bool:
        """Return whether an event after the cursor is read from the journal, and the order or algo that it is of may be forgotten."""
        fold = self._frames.fold
        forgotten_seq = max(fold.forgotten_seq, fold.algos.forgotten_seq)
        return not self.query.every_account and self._cursor.seq < min(fold.events_after, forgotten_seq)

    async def _reached(self, seq: int) -> bool:
        deadline = asyncio.get_running_loop().time() + REACH_S
        while self._frames.head().seq < seq:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(self._frame_s)
        return True

    async def _chain_at(self, seq: int) -> str:
        head = self._frames.head()
        if seq != head.seq:
            recorded = await self._sources.journal.read(seq) if seq else None
            if seq and recorded is None:
                return ""
            head = recorded.head if recorded is not None else type(head)()
        return id_of(head).partition(".")[2]

    async def _run_or_say_why(self, reason: str) -> None:
        try:
            await self._run(reason)
        except Unavailable:  # old events are read from the journal; the client resumes when it is back
            await self._send(_bye(JOURNAL_UNAVAILABLE))

    async def _run(self, reason: str) -> None:
        bounds = self._sources.bounds
        seq = self._frames.head().seq if reason else self._cursor.seq
        await self._send(self._frames.hello(self.query, seq, not reason, int(bounds.frame_ms), int(bounds.heartbeat_ms)))
        if reason:
            await self._snapshot(reason)
        loop = asyncio.get_running_loop()
        frame_at, marks_at, heartbeat_at = 0.0, 0.0, loop.time() + self._heartbeat_s
        while True:
            now = loop.time()
            if self._ending is not None:
                await self._send(_bye(self._ending))
                return
            if self._frames.changed(self.query, self._cursor):
                await self._catch_up()
                frame_at, heartbeat_at = loop.time(), loop.time() + self._heartbeat_s
            elif now >= heartbeat_at:
                await self._send(self._heartbeat())
                heartbeat_at = now + self._heartbeat_s
            if now >= marks_at:
                await self._say_marks()
                marks_at = now + MARKS_EVERY_S
            await self._say_services()
            await self._sleep(min(heartbeat_at, marks_at) if MARKS in self.query.kinds else heartbeat_at, frame_at + self._frame_s)

    async def _sleep(self, until: float, not_before: float) -> None:
        """Wait for a change, at most until a loop time; then until the next frame may be sent."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()
        if self._ending is None and (early := not_before - loop.time()) > 0:
            await asyncio.sleep(early)

    async def _snapshot(self, reason: str) -> None:
        """Send the whole state. Events continue after it."""
        frames, query = self._frames, self.query
        at = frames.head().seq
        rows = [row for each in frames.accounts(query) for row in each.newest(query.limit)][: query.limit] if ORDERS in query.kinds else []
        await self._send(frames.reset(query, reason, len(rows)))
        await self._send_ahead(rows, at)
        changed = list(self._rows_behind())
        last = frames.snapshot(query, changed) if changed else b""
        await self._send(last + frames.snapshot_end(query, self._cursor))

    async def _send_ahead(self, rows: Sequence[Row], at: int) -> None:
        """Send the orders of sequence `at` in messages without an id, then those that changed meanwhile, until few are left."""
        for _ in range(ROUNDS_MAX):
            for begin in range(0, len(rows), SNAPSHOT_ROWS):
                await self._send(self._frames.snapshot(self.query, rows[begin : begin + SNAPSHOT_ROWS]))
            self._cursor.rows_seq = at
            at, rows = self._frames.head().seq, list(self._rows_behind())
            if len(rows) <= SNAPSHOT_ROWS:
                return

    async def _catch_up(self) -> None:
        """Send what changed since the cursor: one frame, unless there are more events or orders than one may have."""
        if EVENTS in self.query.kinds:
            await self._catch_up_with_events()
        elif self._lost_rows() or self._is_far_behind():
            await self._snapshot("too_old")
        else:
            await self._send(self._frames.frame(self.query, self._cursor, self._frames.head()))

    async def _catch_up_with_events(self) -> None:
        """Send every event, or the whole state if the accounts of some are no longer known.

        Orders come with the last frame; if they are too many for it, most of them come before it.
        """
        frames, query, cursor = self._frames, self.query, self._cursor
        if self._is_far_behind():
            await self._send_ahead(list(self._rows_behind()), frames.head().seq)
        more = True
        while more and self._ending is None:
            events, at = await self._sources.events.after(query, cursor.seq)
            if self._lost_accounts():
                await self._snapshot("too_old")
                return
            more, lost = at != frames.head(), self._lost_rows()
            await self._send(frames.frame(query, cursor, at, events, more=more or lost))
            if lost and not more:
                await self._snapshot("too_old")

    def _heartbeat(self) -> bytes:
        """Return a heartbeat, or a comment while the end of the journal is not known: then its client must see that it is stale."""
        if not self._sources.end.known_within(KNOWN_NS):
            return _QUIET
        return self._frames.heartbeat(self._cursor, self._sources.end.seq, self._sources.lag_ms())

    async def _say_marks(self) -> None:
        marks = self._sources.marks
        if MARKS in self.query.kinds and marks.version != self._marks_version:
            found = marks.since(self._marks_version, self.query.formats)
            self._marks_version = marks.version
            await self._send(message("marks", msgspec.json.encode({"marks": found})))

    async def _say_services(self) -> None:
        services = self._sources.services
        if SERVICES in self.query.kinds and services.version != self._services_version:
            self._services_version = services.version
            await self._send(message("services", services.encoded(operator=self._operator)))

    async def _send(self, data: bytes) -> None:
        """Send a message and wait until the connection has room for the next one."""
        self._sending_since = asyncio.get_running_loop().time()
        await self._send_message({"type": "http.response.body", "body": data, "more_body": True})
        await self._send_message({"type": "http.response.body", "body": b"", "more_body": True})
        self._sending_since = None


def _bye(reason: str) -> bytes:
    return message("bye", msgspec.json.encode({"reason": reason}))


async def _disconnected(receive: Receive) -> None:
    """Wait until the client has gone. The first message is the empty body of the request."""
    while (await receive())["type"] != "http.disconnect":
        pass
