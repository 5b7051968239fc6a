"""One connection to a venue, from its `open` frame to its `close` frame: what is sent, fetched and received becomes frames in order."""

import asyncio
import json
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from apps.gateway.raw_writer import RawWriter
from apps.gateway.rest_fetch import RestFetcher
from apps.runtime.chassis import cancelled
from domain.execution.token_bucket import SECOND_NS, TokenBucket
from domain.market.venues.feed import KEY_PLACEHOLDER, SECRET_PLACEHOLDER, Fetch, FrameKind, Opening, Send, VenueScript
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


class Socket(Protocol):
    """An open websocket. Port: adapters.venue_socket.VenueSocket."""

    async def read(self, take: Callable[[str], None]) -> str: ...
    async def send(self, text: str) -> None: ...
    async def close(self) -> None: ...


class Credentials(NamedTuple):
    """The key of an account at a venue, and its secret."""

    key: str
    secret: str


NO_CREDENTIALS: Final = Credentials("", "")


class Bounds(NamedTuple):
    """Without a message for `stale_ns` a connection is stale, for `mute_ns` it ends. At `age_ns` a new one takes its place."""

    stale_ns: int
    mute_ns: int
    age_ns: int


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
    ) -> None:
        self._opening = opening
        self._script = script
        self._socket = socket
        self._writer = writer
        self._fetcher = fetcher
        self._clock = clock
        self._bounds = bounds
        self._credentials = credentials
        self._names = {ours: name for name, ours in opening.symbols.items()}
        self._actions: asyncio.Queue[Send | Fetch] = asyncio.Queue(ACTIONS_MAX)
        self._bucket = TokenBucket(SENDS_PER_S, SENDS_BURST)
        self._fetches: dict[str, asyncio.Task[bool]] = {}
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
        self._put(FrameKind.OPEN, msgspec.json.encode(self._opening).decode())
        for action in self._script.opening():
            self._queue(action)
        reading = asyncio.create_task(self._socket.read(self._take))
        parts = [reading, asyncio.create_task(self._act()), asyncio.create_task(self._watch())]
        reason = "gateway stops"
        try:
            await asyncio.wait([*parts, self._end], return_when=asyncio.FIRST_COMPLETED)
            reason = self._end.result() if self._end.done() else next(part for part in parts if part.done()).result()
        finally:
            for handle in (*self._resyncs.values(), *([self._ends] if self._ends else [])):
                handle.cancel()
            for task in (*parts, *self._fetches.values()):
                await cancelled(task)
            self._put(FrameKind.CLOSE, reason[:REASON_MAX])
            await self._socket.close()
        return reason

    def resync(self, symbol: str) -> str:
        """Bring the book of one of our symbols back, soon; return what happens. One resync of a symbol is in flight at a time."""
        if symbol in self._resyncs:
            return "a resync waits already"
        if self._names[symbol] in self._fetches:
            return "a snapshot is on its way already"
        now = self._clock.monotonic_ns()
        due = max(self._resynced_at.get(symbol, now - RESYNC_DISTANCE_NS) + RESYNC_DISTANCE_NS, now)
        self._resyncs[symbol] = asyncio.get_running_loop().call_later((due - now) / SECOND_NS, self._resync, symbol)
        return "accepted"

    def _resync(self, symbol: str) -> None:
        del self._resyncs[symbol]
        self._resynced_at[symbol] = self._clock.monotonic_ns()
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

    def _fetched(self, name: str, done: asyncio.Task[bool]) -> None:
        self._fetches.pop(name, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            self.end(f"a fetch failed: {error!r}")

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
