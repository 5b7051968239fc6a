"""The feed of one venue: one connection attempt at a time, a pause that grows, and a new connection before the old one is too old."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final

import structlog

from apps.gateway.epochs import Epochs
from apps.gateway.link import NO_CREDENTIALS, Bounds, Credentials, Link, Socket
from apps.gateway.raw_writer import RawWriter
from apps.gateway.rest_fetch import RestFetcher
from apps.runtime.chassis import cancelled
from apps.runtime.log_limit import LogLimit
from domain.execution.token_bucket import SECOND_NS
from domain.market.back_off import pause_ns
from domain.market.venues.feed import Opening, VenueScript
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

STEADY_NS: Final = 60 * SECOND_NS
"""A connection that lived this long was good: the next pause is the shortest again."""
REPLACE_EVERY_S: Final = 60.0
"""Between two attempts to replace an old connection; it stays open meanwhile."""
STOP_LOOK_S: Final = 0.01
LOG_EVERY_NS: Final = 60 * SECOND_NS
RECONNECT_DISTANCE_NS: Final = 5 * SECOND_NS
"""Age that a connection reaches before it is made again on request."""

Dial = Callable[[str], Awaitable[Socket]]
"""Opens a connection to an address. Raises Unavailable."""


class FeedState(StrEnum):
    CONNECTING = "connecting"
    """The first attempt is under way, or a connection is open and nothing has come yet."""
    LIVE = "live"
    STALE = "stale"
    """A connection is open, and the venue has been silent for longer than `stale_after_sec`."""
    DOWN = "down"
    """The last attempt failed, or the last connection ended; the next attempt follows by itself."""


class Listing:
    """What a venue is asked for: our symbols, its names, and how deep its books are wanted."""

    def __init__(self, kind: str, symbols: Mapping[str, str], depth: int) -> None:
        self.kind = kind
        self.symbols = symbols
        """Our name -> the venue's."""
        self.depth = depth

    def opening(self, url: str) -> Opening:
        return Opening(kind=self.kind, url=url, symbols={name: ours for ours, name in self.symbols.items()}, depth=self.depth)


class VenueFeed:
    """Keeps one venue connected for as long as the service runs."""

    def __init__(
        self,
        name: str,
        listing: Listing,
        script: Callable[[], VenueScript],
        dial: Dial,
        fetcher: RestFetcher,
        writer: RawWriter,
        epochs: Epochs,
        clock: Clock,
        bounds: Bounds,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        """`script` makes the script of a new connection."""
        self.name = name
        self.listing = listing
        self.writer = writer
        self.fetcher = fetcher
        self.link: Link | None = None
        self.epoch = 0
        self.connections = 0
        self.failures = 0
        """Attempts that failed since the last good connection."""
        self.last_error = ""
        self._frames_before = 0
        self._last_frame_at = 0
        self._script = script
        self._dial = dial
        self._epochs = epochs
        self._clock = clock
        self._bounds = bounds
        self._credentials = credentials
        self._next: Socket | None = None
        self._seldom = LogLimit(LOG_EVERY_NS)
        self._stopped = False

    @property
    def frames(self) -> int:
        """Messages received from the venue."""
        return self._frames_before + (self.link.frames if self.link else 0)

    @property
    def last_frame_at(self) -> int:
        """Nanoseconds UTC; 0 if nothing was ever received."""
        return (self.link.last_frame_at if self.link else 0) or self._last_frame_at

    @property
    def reconnects(self) -> int:
        return max(self.connections - 1, 0)

    @property
    def state(self) -> FeedState:
        if self.link is None:
            return FeedState.DOWN if self.failures else FeedState.CONNECTING
        if self.link.quiet_ns > self._bounds.stale_ns:
            return FeedState.STALE
        return FeedState.LIVE if self.link.frames else FeedState.CONNECTING

    async def run(self) -> None:
        """Connect, and connect again, until stopped."""
        try:
            while not self._stopped:
                await self._once()
        finally:
            if self._next is not None:
                await self._next.close()

    async def stop(self) -> None:
        """Close the connection, and make no other. Returns once its `close` frame is with the writer."""
        self._stopped = True
        while self.link is not None:
            self.link.end("gateway stops")
            await asyncio.sleep(STOP_LOOK_S)

    def resync(self, symbol: str) -> str:
        """Bring the book of a symbol back; return what happens. Raises Unavailable without a connection."""
        return self._open_link().resync(symbol)

    def reconnect(self, reason: str) -> str:
        """Make the connection again; return what happens. Raises Unavailable without one."""
        return self._open_link().end_at_age(RECONNECT_DISTANCE_NS, f"asked to: {reason}")

    def _open_link(self) -> Link:
        if self.link is None:
            raise Unavailable(f"{self.name} is {self.state}; a new connection brings every book back")
        return self.link

    async def _once(self) -> None:
        """Make one attempt, and run the connection that comes of it."""
        script = self._script()
        try:
            socket, self._next = self._next or await self._dial(script.url()), None
        except Unavailable as trouble:
            await self._pause(f"cannot connect: {trouble}")
            return
        if self._stopped:
            await socket.close()
            return
        epoch = self._epochs.next()
        opening = self.listing.opening(script.url())
        link = Link(opening, script, socket, self.writer, self.fetcher, self._clock, self._bounds, self._credentials)
        self.link, self.epoch = link, epoch
        self.connections += 1
        log.info("Connected to a venue", venue=self.name, url=script.url().partition("?")[0], epoch=epoch)
        replacing = asyncio.create_task(self._replace(link, script.url()))
        try:
            reason = await link.run(epoch)
        finally:
            await cancelled(replacing)
            self._frames_before += link.frames
            self._last_frame_at = link.last_frame_at or self._last_frame_at
            self.link = None
        if link.age_ns > STEADY_NS and link.frames:
            self.failures = 0
        if self._next is None and not self._stopped:
            await self._pause(f"connection ended: {reason}")

    async def _replace(self, link: Link, url: str) -> None:
        """Open the next connection before this one is too old, and end this one only then."""
        await asyncio.sleep(self._bounds.age_ns / SECOND_NS)
        while self._next is None:
            try:
                self._next = await self._dial(url)
            except Unavailable as trouble:
                self.last_error = f"cannot replace an old connection: {trouble}"
                await asyncio.sleep(REPLACE_EVERY_S)
        link.end("replaced: the connection is old")

    async def _pause(self, trouble: str) -> None:
        self.failures += 1
        self.last_error = trouble
        pause = pause_ns(self.failures, f"{self.name} {self._clock.now_ns()}") / SECOND_NS
        if (held := self._seldom.now()) is not None:
            log.warning("A venue is away", venue=self.name, reason=trouble, next_attempt_s=round(pause, 2), held_back=held)
        await asyncio.sleep(pause)
