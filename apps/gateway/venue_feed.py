"""The feed of one venue: one connection attempt at a time, a pause that grows, and a new connection before the old one is too old."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

import structlog

from apps.gateway.epochs import Epochs
from apps.gateway.link import NO_CREDENTIALS, Bounds, Credentials, Link, Socket
from apps.gateway.raw_writer import RawWriter
from apps.gateway.rest_errands import Backfill, BackfillState
from apps.gateway.rest_fetch import RestFetcher
from apps.gateway.symbols import Instruments, Listing
from apps.runtime.chassis import cancelled
from apps.runtime.log_limit import LogLimit
from domain.execution.token_bucket import SECOND_NS
from domain.market.back_off import pause_ns
from domain.market.venues.feed import VenueScript
from domain.market.venues.history import SPAN_MAX, PastSpan, history
from domain.market.venues.instruments import ListedSymbol
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

STEADY_NS: Final = 60 * SECOND_NS
"""A connection that lived this long was good: the next pause is the shortest again."""
REPLACE_EVERY_S: Final = 60.0
"""Between two attempts to replace an old connection; it stays open meanwhile."""
STOP_LOOK_S: Final = 0.01
BACKFILL_LOOK_S: Final = 0.1
LOG_EVERY_NS: Final = 60 * SECOND_NS
CHECK_DISTANCE_NS: Final = 60 * SECOND_NS
"""Between two looks at the venue's list for one symbol, whatever the venue refuses."""
MISSED_AFTER_S: Final = 10.0
"""Age of a connection at which the trades that were missed before it are fetched: one that breaks sooner causes no requests."""
MISSED_OVERLAP_NS: Final = 2 * SECOND_NS
"""How far missed trades reach into both connections."""
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


class VenueFeed:
    """Keeps one venue connected for as long as the service runs."""

    def __init__(
        self,
        name: str,
        listing: Listing,
        script: Callable[[Listing], VenueScript],
        dial: Dial,
        fetcher: RestFetcher,
        writer: RawWriter,
        epochs: Epochs,
        clock: Clock,
        bounds: Bounds,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        """`script` makes the script of a connection. Raises ValueError for more symbols than one may have."""
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
        self.instruments = Instruments()
        self.backfill: Backfill | None = None
        """The last one that was asked for."""
        self._missed_since = 0
        """The last message before trades were missed, nanoseconds UTC; 0 if none are."""
        self._frames_before = 0
        self._last_frame_at = 0
        self._script = script
        self._dial = dial
        self._epochs = epochs
        self._clock = clock
        self._bounds = bounds
        self._credentials = credentials
        self._next: tuple[Socket, Listing] | None = None
        """The connection that takes over, and what its address asks for."""
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
                await self._next[0].close()

    async def stop(self) -> None:
        """Close the connection, and make no other. Returns once its `close` frame is with the writer."""
        self._stopped = True
        while self.link is not None:
            self.link.end("gateway stops")
            await asyncio.sleep(STOP_LOOK_S)

    def resync(self, symbol: str) -> str:
        """Bring the book of a symbol back; return what happens. Raises Unavailable without a connection."""
        if symbol not in self.listing.symbols:
            raise Unavailable(f"{self.name} does not list {symbol} any more")
        return self._open_link().resync(symbol)

    def is_asked_for(self, symbol: str) -> bool:
        return symbol in self.listing.symbols or symbol in self.instruments.gone

    def tell(self) -> None:
        """Write into the frames what the venue is asked for: a reader asked for something else."""
        if self.link is not None:
            self.link.tell()

    def subscribe(self, symbol: str, name: str) -> str:
        """Ask for one symbol more; return what happens. Raises ValueError if the venue's rules do not allow it."""
        if symbol in self.listing.symbols:
            return "it is asked for already"
        if name in self.listing.symbols.values():
            raise ValueError(f"another symbol is {name} there")
        listing = self.listing.plus(symbol, name)
        self._script(listing)
        self.instruments.gone.pop(symbol, None)
        return self._change(listing)

    def unsubscribe(self, symbol: str) -> str:
        """Ask for one symbol less; return what happens. Raises ValueError for the last one."""
        if self.instruments.gone.pop(symbol, None) is not None and symbol not in self.listing.symbols:
            return "it is not listed, and will not be asked for again"
        if len(self.listing.symbols) == 1:
            raise ValueError("it is the last symbol: take the venue out of the configuration instead")
        return self._change(self.listing.minus(symbol))

    @property
    def offers_backfill(self) -> bool:
        return self.fetcher.has_address and history(self.listing.kind) is not None

    @property
    def is_backfilling(self) -> bool:
        return self.backfill is not None and self.backfill.state is BackfillState.RUNNING

    def start_backfill(self, symbol: str, span: PastSpan) -> str:
        """Fetch trades of the past; return what happens. Raises Unavailable without a connection."""
        link = self._open_link()
        if symbol not in self.listing.symbols:
            raise Unavailable(f"{self.name} does not list {symbol} any more")
        self.backfill = Backfill(symbol, self.listing.symbols[symbol], span)
        link.backfill(self.backfill)
        return "accepted"

    def listed(self, name: str, listed: ListedSymbol | None) -> None:
        """Take what the venue's list says. A symbol that it does not have is not asked for until it is back; the others stay."""
        known = self.instruments
        ours = {each: symbol for symbol, each in (*known.gone.items(), *self.listing.symbols.items())}.get(name)
        if ours is None:
            return
        if listed is None:
            known.listed.pop(name, None)
            known.gone[ours] = name
            log.warning("A symbol is not listed any more", venue=self.name, symbol=ours, name=name)
            if ours in self.listing.symbols and len(self.listing.symbols) > 1:
                self._change(self.listing.minus(ours))
            if self.link is not None and self.link.refused_others_with(name):
                self.link.end_at_age(RECONNECT_DISTANCE_NS, f"{name} is not listed, and others were refused with it")
            return
        known.listed[name] = listed
        if known.gone.pop(ours, None) is None:
            return
        log.info("A symbol is listed again", venue=self.name, symbol=ours, name=name)
        if ours not in self.listing.symbols:
            self._change(self.listing.plus(ours, name))
        elif self.link is not None:
            self.link.resync(ours)

    def refused(self, name: str) -> None:
        """Look up in the venue's list what it refuses."""
        self._check(name, CHECK_DISTANCE_NS)

    def _change(self, listing: Listing) -> str:
        self.listing = listing
        if self.link is None:
            return "the next connection has it so"
        self._ask()
        return "accepted"

    def _ask(self) -> None:
        if self.link is not None:
            script = self._script(self.listing)
            self.link.ask(self.listing.opening(script.url(), self.instruments.steps()), script)

    def _check(self, name: str, distance_ns: int) -> None:
        """Look a symbol up in the venue's list, unless that was done a short while ago."""
        now, checked = self._clock.monotonic_ns(), self.instruments.checked_at
        if self.link is not None and now - checked.get(name, now - distance_ns) >= distance_ns:
            checked[name] = now
            self.link.check(name)

    async def _check_instruments(self) -> None:
        """Look every symbol up in the venue's list, again and again, also those that it did not have."""
        every_ns = self._bounds.instruments_every_ns
        while every_ns and self.fetcher.has_address:
            for name in (*self.listing.symbols.values(), *self.instruments.gone.values()):
                self._check(name, every_ns)
            await asyncio.sleep(min(every_ns, CHECK_DISTANCE_NS) / SECOND_NS)

    async def _fetch_missed(self, link: Link) -> None:
        """Fetch the trades between the connection before and this one, symbol by symbol, in what a backfill may have.

        If this one ends meanwhile, the next one fetches all of them.
        """
        if not self._missed_since or not self.offers_backfill:
            return
        end = self._clock.now_ns() + MISSED_OVERLAP_NS
        await asyncio.sleep(MISSED_AFTER_S)
        begin = max(self._missed_since - MISSED_OVERLAP_NS, end - SPAN_MAX)
        for symbol in list(self.listing.symbols):
            await self._backfilled()
            if link.is_ended:
                return
            if symbol in self.listing.symbols:
                self.start_backfill(symbol, PastSpan(begin, end))
        await self._backfilled()
        if not link.is_ended:
            self._missed_since = 0

    async def _backfilled(self) -> None:
        """Wait until no backfill is under way."""
        while self.is_backfilling:  # noqa: ASYNC110 - its pages take their time
            await asyncio.sleep(BACKFILL_LOOK_S)

    def reconnect(self, reason: str) -> str:
        """Make the connection again; return what happens. Raises Unavailable without one."""
        return self._open_link().end_at_age(RECONNECT_DISTANCE_NS, f"asked to: {reason}")

    def _open_link(self) -> Link:
        if self.link is None or self.link.is_ended:
            state = self.state if self.link is None else "closing its connection"
            raise Unavailable(f"{self.name} is {state}; a new connection brings every book back")
        return self.link

    async def _once(self) -> None:
        """Make one attempt, and run the connection that comes of it."""
        listing = self.listing
        try:
            (socket, listing), self._next = self._next or (await self._dial(self._script(listing).url()), listing), None
        except Unavailable as trouble:
            await self._pause(f"cannot connect: {trouble}")
            return
        if self._stopped:
            await socket.close()
            return
        epoch, script = self._epochs.next(), self._script(listing)
        opening = listing.opening(script.url(), self.instruments.steps())
        link = Link(opening, script, socket, self.writer, self.fetcher, self._clock, self._bounds, self._credentials, self)
        self.link, self.epoch = link, epoch
        self.connections += 1
        log.info("Connected to a venue", venue=self.name, url=script.url().partition("?")[0], epoch=epoch)
        if self.listing is not listing:
            asyncio.get_running_loop().call_soon(self._ask)  # it changed while the connection was being opened
        parts = [asyncio.create_task(work) for work in (self._replace(link), self._check_instruments(), self._fetch_missed(link))]
        try:
            reason = await link.run(epoch)
        finally:
            for part in parts:
                await cancelled(part)
            self._frames_before += link.frames
            self._last_frame_at = link.last_frame_at or self._last_frame_at
            self._missed_since = self._missed_since or self._last_frame_at
            self.link = None
        if link.age_ns > STEADY_NS and link.frames:
            self.failures = 0
        if self._next is None and not self._stopped:
            await self._pause(f"connection ended: {reason}")

    async def _replace(self, link: Link) -> None:
        """Open the next connection before this one is too old, and end this one only then."""
        await asyncio.sleep(self._bounds.age_ns / SECOND_NS)
        while self._next is None:
            listing = self.listing
            try:
                self._next = await self._dial(self._script(listing).url()), listing
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
