"""One connection to a venue, from its `open` frame to its `close` frame: what is sent, fetched and received becomes frames in order."""

import asyncio
import json
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from apps.gateway.raw_writer import RawWriter
from apps.gateway.rest_errands import Backfill, RestErrands
from apps.gateway.rest_fetch import Fetched, RestFetcher
from apps.runtime.chassis import cancelled
from domain.execution.token_bucket import SECOND_NS, TokenBucket
from domain.market.venues.feed import KEY_PLACEHOLDER, SECRET_PLACEHOLDER, Fetch, FrameKind, Opening, Send, VenueScript
from domain.market.venues.history import history
from domain.market.venues.instruments import ListedSymbol, instrument_list
from domain.ports import Clock, Unavailable

SENDS_PER_S: Final = 4
"""Messages to a venue; the strictest limit of a supported venue is 5 a second."""
SENDS_BURST: Final = 4
ACTIONS_MAX: Final = 4096
"""Messages to send and requests to make that wait for their turn."""
LOOK_EVERY_S: Final = 0.25
KEEPALIVE_AFTER_NS: Final = 15 * SECOND_NS
RESYNC_DISTANCE_NS: Final = 2 * SECOND_NS
"""Between two resyncs of a symbol."""
REASON_MAX: Final = 200
NOT_FOUND: Final = (400, 404)
"""Replies that refuse a snapshot for good: the symbol may not be listed any more."""


class Socket(Protocol):
    """An open websocket. Port: adapters.venue_socket.VenueSocket."""

    async def read(self, take: Callable[[str], None]) -> str: ...
    async def send(self, text: str) -> None: ...
    async def close(self) -> None: ...


class LinkOwner(Protocol):
    """Who keeps the connections of a venue. Port: apps.gateway.venue_feed.VenueFeed."""

    def listed(self, name: str, listed: ListedSymbol | None) -> None:
        """Take what the venue's list says of one of its symbols; None: it does not list it."""
        ...

    def refused(self, name: str) -> None:
        """Take that the venue refuses something of one of its symbols."""
        ...


class Credentials(NamedTuple):
    """The key of an account at a venue, and its secret."""

    key: str
    secret: str


NO_CREDENTIALS: Final = Credentials("", "")


class Bounds(NamedTuple):
    """Without a message for `stale_ns` a connection is stale, for `mute_ns` it ends. At `age_ns` a new one takes its place.

    `instruments_every_ns`: how often each symbol is looked up in the venue's list; 0: never.
    """

    stale_ns: int
    mute_ns: int
    age_ns: int
    instruments_every_ns: int = 0


class Link:
    """Runs one connection. Its frames go to the writer; credentials are only in what goes over the socket."""

    def __init__(
        self,
        opening: Opening,
        script: VenueScript,
        socket: Socket,
        writer: RawWriter,
        fetcher: RestFetcher,
        clock: Clock,
        bounds: Bounds,
        credentials: Credentials,
        owner: LinkOwner,
    ) -> None:
        self._opening = opening
        self._first = frozenset(opening.symbols)
        self._refused_unnamed = False
        self._was_asked = False
        """Whether the symbols are others than at the opening."""
        self._script = script
        self._socket = socket
        self._writer = writer
        self._fetcher = fetcher
        self._clock = clock
        self._bounds = bounds
        self._credentials = credentials
        self._owner = owner
        self._actions: asyncio.Queue[Send | Fetch] = asyncio.Queue(ACTIONS_MAX)
        self._bucket = TokenBucket(SENDS_PER_S, SENDS_BURST)
        self._fetches: dict[str, asyncio.Task[Fetched]] = {}
        self._errands = RestErrands(
            fetcher, history(opening.kind), instrument_list(opening.kind), lambda text: self._put(FrameKind.REST, text), owner.listed
        )
        self._resynced_at: dict[str, int] = {}
        self._resyncs: dict[str, asyncio.TimerHandle] = {}
        self._ends: asyncio.TimerHandle | None = None
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._opened_at = self._heard_at = self._kept_at = clock.monotonic_ns()
        self.frames = 0
        self.last_frame_at = 0
        """Receipt of the venue's last message, nanoseconds UTC."""

    @property
    def quiet_ns(self) -> int:
        """How long the venue has sent nothing."""
        return self._clock.monotonic_ns() - self._heard_at

    @property
    def age_ns(self) -> int:
        return self._clock.monotonic_ns() - self._opened_at

    @property
    def is_ended(self) -> bool:
        """Return whether the connection is being closed, or is closed: it fulfils no request any more."""
        return self._end.done()

    def end(self, reason: str) -> None:
        """Close the connection for this reason."""
        if not self._end.done():
            self._end.set_result(reason)

    def end_at_age(self, age_ns: int, reason: str) -> str:
        """Close the connection for this reason, once it is as old as `age_ns`; return what happens."""
        if self._ends is not None:
            return "the connection ends soon already"
        self._ends = asyncio.get_running_loop().call_later(max(age_ns - self.age_ns, 0) / SECOND_NS, self.end, reason)
        return "accepted"

    async def run(self, epoch: int) -> str:
        """Run until the connection ends, and return why."""
        self._writer.begin(epoch)
        self.tell()
        for action in self._script.opening():
            self._queue(action)
        reading = asyncio.create_task(self._socket.read(self._take))
        parts = [reading, *(asyncio.create_task(work()) for work in (self._act, self._watch, self._errands.run))]
        reason = "gateway stops"
        try:
            await asyncio.wait([*parts, self._end], return_when=asyncio.FIRST_COMPLETED)
            reason = self._end.result() if self._end.done() else next(part for part in parts if part.done()).result()
        finally:
            self.end(reason)
            for handle in (*self._resyncs.values(), *([self._ends] if self._ends else [])):
                handle.cancel()
            for task in (*parts, *self._fetches.values()):
                await cancelled(task)
            self._put(FrameKind.CLOSE, reason[:REASON_MAX])
            await self._socket.close()
        return reason

    def tell(self) -> None:
        """Write an `open` frame: what the connection is asked for from here on."""
        self._put(FrameKind.OPEN, msgspec.json.encode(self._opening).decode())

    def ask(self, opening: Opening, script: VenueScript) -> None:
        """Ask for other symbols on the open connection. The frames say so before the first message of a new one."""
        before, after = set(self._opening.symbols.values()), set(opening.symbols.values())
        actions = [action for symbol in sorted(before - after) for action in self._script.unsubscribe(symbol)]
        actions += [action for symbol in sorted(after - before) for action in script.subscribe(symbol)]
        self._opening, self._script, self._was_asked = opening, script, True
        for symbol in before - after:
            if (waiting := self._resyncs.pop(symbol, None)) is not None:
                waiting.cancel()
        self.tell()
        for action in actions:
            self._queue(action)

    def refused_others_with(self, name: str) -> bool:
        """Return whether the venue may have refused all symbols of a message because of this one, which is not listed."""
        return self._refused_unnamed and name in self._first

    def check(self, name: str) -> None:
        """Look one of the venue's symbols up in its list, soon."""
        self._errands.check(name)

    def backfill(self, job: Backfill) -> None:
        """Fetch trades of the past. The caller runs one at a time."""
        self._errands.backfill(job)

    def resync(self, symbol: str) -> str:
        """Bring the book of one of our symbols back, soon; return what happens. One resync of a symbol is in flight at a time."""
        if symbol in self._resyncs:
            return "a resync waits already"
        if any(self._opening.symbols.get(name) == symbol for name in self._fetches):
            return "a snapshot is on its way already"
        now = self._clock.monotonic_ns()
        due = max(self._resynced_at.get(symbol, now - RESYNC_DISTANCE_NS) + RESYNC_DISTANCE_NS, now)
        self._resyncs[symbol] = asyncio.get_running_loop().call_later((due - now) / SECOND_NS, self._resync, symbol)
        return "accepted"

    def _resync(self, symbol: str) -> None:
        del self._resyncs[symbol]
        self._resynced_at[symbol] = self._clock.monotonic_ns()
        if self._was_asked:
            self.tell()  # a reader that began in the middle knows only the first symbols
        for action in self._script.resync(symbol):
            self._queue(action)

    def _take(self, text: str) -> None:
        """Take a message of the venue. This is the hot path."""
        self._heard_at = self._clock.monotonic_ns()
        self.last_frame_at = now = self._clock.now_ns()
        self.frames += 1
        self._writer.put(FrameKind.FRAME, text, now)
        for send in self._script.answer(text):
            self._queue(send)
        if (name := self._script.refused(text)) is not None:
            self._refused(name)

    def _refused(self, name: str) -> None:
        """Look up what the venue refuses: it may not list it any more. An empty name is any of the symbols."""
        self._refused_unnamed |= not name
        for each in [name] if name in self._opening.symbols else self._opening.symbols if not name else ():
            self._owner.refused(each)

    def _put(self, kind: FrameKind, text: str) -> None:
        self._writer.put(kind, text, self._clock.now_ns())

    def _queue(self, action: Send | Fetch) -> None:
        try:
            self._actions.put_nowait(action)
        except asyncio.QueueFull:
            self.end(f"more than {ACTIONS_MAX} messages wait to be sent")

    async def _act(self) -> str:
        """Send and fetch in order; return why that is no longer possible."""
        while True:
            action = await self._actions.get()
            if isinstance(action, Fetch):
                self._begin_fetch(action)
                continue
            await asyncio.sleep(max(self._bucket.wait_ns(self._clock.monotonic_ns()), 0) / SECOND_NS)
            self._bucket.take(self._clock.monotonic_ns())
            self._put(FrameKind.SENT, action.text)
            try:
                await self._socket.send(_with_credentials(action.text, self._credentials))
            except Unavailable as trouble:
                return str(trouble)

    def _begin_fetch(self, fetch: Fetch) -> None:
        name = fetch.venue_symbol
        if name not in self._fetches:
            task = self._fetches[name] = asyncio.create_task(self._fetcher.fetch(fetch, lambda text: self._put(FrameKind.REST, text)))
            task.add_done_callback(lambda done: self._fetched(name, done))

    def _fetched(self, name: str, done: asyncio.Task[Fetched]) -> None:
        self._fetches.pop(name, None)
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self.end(f"a fetch failed: {error!r}")
        elif done.result().status in NOT_FOUND:
            self._owner.refused(name)

    async def _watch(self) -> str:
        """Return once the connection is mute or old; keep it alive until then."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            quiet = self.quiet_ns
            if quiet > self._bounds.mute_ns:
                return f"mute: nothing received for {quiet // SECOND_NS} s"
            now = self._clock.monotonic_ns()
            if min(quiet, now - self._kept_at) > KEEPALIVE_AFTER_NS and (send := self._script.keepalive()) is not None:
                self._kept_at = now
                self._queue(send)


def _with_credentials(text: str, credentials: Credentials) -> str:
    """Return a message with the account's key in place of the placeholders, which are inside JSON strings."""
    if KEY_PLACEHOLDER not in text and SECRET_PLACEHOLDER not in text:
        return text
    key, secret = (json.dumps(part)[1:-1] for part in credentials)
    return text.replace(KEY_PLACEHOLDER, key).replace(SECRET_PLACEHOLDER, secret)
