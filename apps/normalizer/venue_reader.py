"""Reads the frames of one venue from where its records were published last, without end."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import structlog
from nats.aio.client import Client

from adapters import subjects
from adapters.feed import Feed
from adapters.market_lookup import MarketLookup
from apps.normalizer.records_out import RecordsOut, Write
from apps.normalizer.start_point import FramePoint, StartPoint, point_of, published, start_point
from apps.normalizer.venue_run import VenueRules, VenueRun, VenueShared
from domain.market.bars import Bars
from domain.market.records import MarketTrade, Records
from domain.market.venues.feed import RawFrames
from domain.ports import Unavailable

log = structlog.get_logger()

FRAMES_AT_ONCE: Final = 500
"""Frames between two pauses in which other work may run."""
AGAIN_S: Final = 0.25

_RAW: Final = msgspec.json.Decoder(RawFrames)
_TRADES: Final = msgspec.json.Decoder(Records[MarketTrade])


class MarketPlaces(NamedTuple):
    """The streams of the market. `write` stores a message and waits for its ack."""

    client: Client
    raw: MarketLookup
    market: MarketLookup
    facts: MarketLookup
    write: Write


class ReaderBounds(NamedTuple):
    """`wait_s`: how long records gather. The others are those of the settings."""

    wait_s: float
    bars_kept: int
    refill_messages: int
    replay_frames_max: int


class VenueReader:
    """One venue. `run` is the state in memory, None until the start is known."""

    def __init__(self, venue: str, places: MarketPlaces, rules: VenueRules, shared: VenueShared, bounds: ReaderBounds) -> None:
        self.venue = venue
        self.current: VenueRun | None = None
        self.unreadable = 0
        self.starts = 0
        self.on_trouble: Callable[[str | None], None] = lambda _: None
        self._subject = subjects.market("raw", venue)
        self._places = places
        self._rules = rules
        self._shared = shared
        self._bounds = bounds
        self._at: tuple[int, FramePoint] | None = None
        """The last message that was read: its sequence, and its first frame."""

    async def run(self) -> None:
        """Read until cancelled. If the stream was set back, or does not answer, begin again from what was published."""
        while True:
            try:
                await self._from_start()
            except Unavailable as trouble:
                self.on_trouble(str(trouble))
                await asyncio.sleep(AGAIN_S)

    async def _from_start(self) -> None:
        places, bounds = self._places, self._bounds
        done = await published(places.market, places.facts, self.venue)
        start = await start_point(places.raw, self.venue, done, bounds.replay_frames_max)
        out = RecordsOut(self.venue, places.write, done, bounds.wait_s)
        run = VenueRun(self.venue, self._rules, self._shared, out, Bars(bounds.bars_kept), start.since_epoch)
        run.bars_since = await self._refill(run.bars)
        if start.skip_to:
            now = self._shared.clock.monotonic_ns()
            run.apply(run.fold.begin_at(start.opening, start.since_epoch, start.skip_to), now, fresh=False)
        self.starts += 1
        log.info("reading a venue", venue=self.venue, since_epoch=start.since_epoch, after_seq=start.after, skip_to=start.skip_to)
        self.current, self._at = run, None
        async with asyncio.TaskGroup() as parts:
            writing = parts.create_task(out.run(), name=f"records of {self.venue}")
            await self._read(run, start)
            writing.cancel()

    async def _read(self, run: VenueRun, start: StartPoint) -> None:
        """Read on after each loss of the connection. Returns if the stream is not the one that was read."""
        after = start.after
        while True:
            try:
                if self._at is not None and not await self._is_same(*self._at):
                    log.warning("the stream of frames was set back, its venue is read again", venue=self.venue)
                    return
                after = self._at[0] if self._at else after
                await self._follow(run, after)
            except Unavailable as trouble:
                self.on_trouble(str(trouble))
                await asyncio.sleep(AGAIN_S)

    async def _is_same(self, seq: int, point: FramePoint) -> bool:
        """Return whether the last message that was read is still where it was, or was dropped as one of the oldest."""
        ends = await self._places.raw.ends()
        if seq < ends.first:
            return True
        found = await self._places.raw.at(self._subject, seq)
        return found is not None and found.seq == seq and point_of(found) == point

    async def _follow(self, run: VenueRun, after: int) -> None:
        feed = Feed(self._places.client, subjects.MARKET_RAW_STREAM, self._subject, after)
        async with contextlib.aclosing(feed.batches()) as batches:
            async for messages in batches:
                self.on_trouble(None)
                frames = 0
                for seq, message in messages:
                    try:
                        raw = _RAW.decode(message.data)
                    except ValueError:
                        self.unreadable += 1
                        continue
                    run.take(raw)
                    self._at = seq, FramePoint(raw.epoch, raw.n)
                    frames += len(raw.frames)
                    if frames >= FRAMES_AT_ONCE:
                        frames = 0
                        await run.out.room()
                        run.caught_up()
                        await asyncio.sleep(0)
                await run.out.room()
                if self._places.client.is_connected:
                    run.caught_up()

    async def _refill(self, bars: Bars) -> int | None:
        """Read trades that were published before. Return from when on they are complete; None without any. Unavailable."""
        market, subject = self._places.market, subjects.market("trades", self.venue)
        last = await market.last(subject)
        if last is None or not self._bounds.refill_messages:
            return None
        ends = await market.ends()
        after, since = max(last.seq - self._bounds.refill_messages, ends.first - 1, 0), None
        feed = Feed(self._places.client, subjects.MARKET_STREAM, subject, after)
        async with contextlib.aclosing(feed.batches()) as batches:
            async for messages in batches:
                for seq, message in messages:
                    for trade in _TRADES.decode(message.data).records:
                        since = trade.received if since is None else since
                        bars.add(trade, since)
                    if seq >= last.seq:
                        return since
        return since
