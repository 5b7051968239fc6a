"""One venue: its frames are folded, records are queued for the streams, changed quotes leave for the core at once, after their book."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import structlog

from adapters import subjects
from adapters.codec import encode
from apps.normalizer.frame_quality import FrameQuality
from apps.normalizer.recent_facts import RecentFacts
from apps.normalizer.records_out import RecordsOut
from apps.runtime.metrics import Observations
from domain.market.bars import Bars
from domain.market.collar import CollarRule
from domain.market.conflation import ChangedBooks, Conflation, DepthPace, TickPace
from domain.market.depth import Depth
from domain.market.liveness import Liveness, Patience, StepKind
from domain.market.normalization import BookRules, DecoderOf, Normalised, VenueFold
from domain.market.prints import prints_of
from domain.market.quotes import Quote
from domain.market.records import Fact, FactKind, Flag
from domain.market.venues.feed import BookView, RawFrames, Wish, WishKind
from domain.market.wishes import SECOND, Wishes
from domain.ports import Clock
from domain.values import subject_token

log = structlog.get_logger()

FIRST_BOOK_NS: Final = 10 * SECOND
"""How long a symbol of a new connection may have no book before it is requested."""
LAG_KEPT_NS: Final = 2 * SECOND
"""A lag counts for this long: without frames there is none."""
LATENCY_BUCKETS_S: Final = (0.001, 0.002, 0.003, 0.005, 0.008, 0.015, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)


class VenueRules(NamedTuple):
    """The settings of every venue. `behind_max`: how old a frame may be for its quotes to leave, in nanoseconds."""

    decoder_of: DecoderOf
    books: BookRules
    patience: Patience
    pace: TickPace
    depth: DepthPace
    behind_max: int
    collar: CollarRule = CollarRule()


class VenueShared(NamedTuple):
    """What the venues of a process have in common. `send` publishes on the core, without waiting."""

    clock: Clock
    facts: RecentFacts
    quality: FrameQuality
    latency: Observations
    send: Callable[[str, bytes], None]


class VenueRun:
    """The state of one venue in memory, from the start of its reading."""

    def __init__(self, venue: str, rules: VenueRules, shared: VenueShared, out: RecordsOut, bars: Bars, since_epoch: int = 0) -> None:
        self.venue = venue
        self.out = out
        self.bars = bars
        self.fold = VenueFold(venue, rules.decoder_of, rules.books, since_epoch, rules.collar)
        self.wishes = Wishes()
        self.ticks = Conflation(rules.pace)
        self.books = ChangedBooks(rules.depth.interval)
        self.liveness = Liveness(rules.patience)
        self.failures = 0
        self.ticks_sent = 0
        self.depths_sent = 0
        self.prints_sent = 0
        self.bars_since: int | None = None
        """From when on all trades are in the bars, nanoseconds UTC."""
        self._rules = rules
        self._shared = shared
        self._replayed = False
        self._received = 0
        self._lag = (0, 0)
        self._read_at = shared.clock.monotonic_ns()
        self._paused: dict[str, None] = {}
        """Symbols whose marks ended because frames could not be read."""

    def take(self, raw: RawFrames) -> None:
        """Fold one message. A failure of a decoder ends the connections of the venue, not the reading."""
        now, wall = self._shared.clock.monotonic_ns(), self._shared.clock.now_ns()
        self._replayed = raw.replayed
        try:
            out = self.fold.take(raw)
        except Exception as error:  # the edge of a decoder: what a venue sent must not stop the other venues, nor this one for good
            self.failures += 1
            log.error("frames could not be decoded", venue=self.venue, epoch=raw.epoch, n=raw.n, exc_info=True)
            out = self.fold.drop(f"{type(error).__name__} in frames from {raw.n} of epoch {raw.epoch}", wall)
        if out.frames:
            self._lag = (max(wall - out.received, 0), now)
            self._received = max(self._received, out.received)
        rejected = sum(fact.fact is FactKind.REJECTED_FRAME for fact in out.facts)
        self._shared.quality.count(out.frames, rejected, now)
        fresh = self._replayed or wall - out.received <= self._rules.behind_max
        self._trades(out, fresh=fresh)
        self.apply(out, now, fresh=fresh)

    def apply(self, out: Normalised, now: int, *, fresh: bool) -> None:
        """Do what the frames mean. `fresh`: their quotes may leave for the core; of old frames only ends do."""
        self.out.add(out)
        if out.facts:
            if not self.out.is_done("facts", out):
                self._shared.facts.take(out.facts)
            for fact in out.facts:
                if fact.fact is FactKind.HALTED:
                    self.liveness.halted(fact.symbol)
        if out.opened:
            self.wishes.connected()
        for symbol in (*out.opened, *out.added):
            self.wishes.want(Wish(kind=WishKind.RESYNC, symbol=symbol, reason="no book yet"), now, after=FIRST_BOOK_NS)
        for wish in out.wishes:
            self.wishes.want(wish, now)
        for fact in out.facts:
            if fact.fact in (FactKind.UNSUBSCRIBED, FactKind.DELISTED):
                self.wishes.forget(fact.symbol)
        for symbol in out.heard:
            self.liveness.heard(symbol, now)
        if self._rules.depth.levels:
            self.books.changed(out.heard)
            self.books.changed(out.snapshots)
        for symbol, moved in out.snapshots.items():
            self.liveness.snapshot(symbol, now, moved=moved)
        for symbol in out.whole:
            self.wishes.settled(symbol)
        for symbol in out.ended:
            self._end(symbol, now)
        for symbol in out.held:
            self._end_mark(symbol, now)
        if out.quotes:
            self._offer({quote.symbol: quote for quote in out.quotes}, out, now, fresh=fresh)
        if fresh:
            self._confirm(out.heard, now)

    def caught_up(self) -> None:
        """Note that frames can be read, and those that came by now were."""
        self._read_at = self._shared.clock.monotonic_ns()

    def silence(self) -> None:
        """Look for symbols that are silent, or are so no longer.

        While frames cannot be read, silence is ours and not the venue's: marks end, and books stay, because their frames are in the stream.
        Once frames of the present are read, these marks are back.
        """
        clock = self._shared.clock
        now = clock.monotonic_ns()
        if now - self._read_at > self._rules.patience.least:
            self._paused.update((symbol, None) for symbol in self.fold.owners if self.ticks.is_live(symbol))
            for symbol in self._paused:
                self._end_mark(symbol, now)
            return
        if self._paused and self.lag_ns() <= self._rules.behind_max:
            self._confirm(self._paused, now)
            self._paused.clear()
        for step in self.liveness.look(now):
            now, wall = clock.monotonic_ns(), clock.now_ns()
            if step.kind is StepKind.STALE and step.symbol in self.fold.owners:
                self.apply(self.fold.silence(step.symbol, wall), now, fresh=False)
            elif step.kind is StepKind.FRESH:
                self.note(FactKind.FRESH, step.symbol, f"after {step.silent // 1_000_000} ms")
            elif step.kind is StepKind.RECONNECT:
                self.wishes.want(Wish(kind=WishKind.RECONNECT, reason=f"{step.symbol} is mute"), now)

    def note(self, kind: FactKind, symbol: str, detail: str) -> None:
        """Publish a fact that comes from no frame."""
        wall, epoch = self._shared.clock.now_ns(), self.fold.epoch
        fact = Fact(fact=kind, venue=self.venue, at=wall, symbol=symbol, detail=detail, epoch=epoch)
        out = Normalised(epoch=epoch, n=0, received=wall, facts=[fact])
        self.apply(out, self._shared.clock.monotonic_ns(), fresh=False)

    def live_quotes(self) -> Iterator[Quote]:
        """Yield the quotes that are marks now; none that is inexact."""
        for symbol in self.fold.owners:
            if self.ticks.is_live(symbol) and (quote := self.fold.quote(symbol)) is not None and Flag.INEXACT not in quote.flags:
                yield quote

    def due_ticks(self) -> None:
        """Send the quotes that waited, and repeat those that are valid and unchanged. Send books that changed behind their touch."""
        now = self._shared.clock.monotonic_ns()
        for quote in self.ticks.due(now):
            self._send(quote)
        for symbol in self.books.due(now):
            if self.ticks.is_live(symbol) and (shown := self.fold.quote(symbol)) is not None:
                self._send_depth(shown)

    def due_wishes(self) -> list[Wish]:
        """Return what the gateway is to be asked for now; nothing while frames of the past are read."""
        return [] if self.lag_ns() > self._rules.behind_max else list(self.wishes.due(self._shared.clock.monotonic_ns()))

    def lag_ns(self) -> int:
        """Return how old the last frames were when they were read; 0 if none came for a while."""
        lag, at = self._lag
        return lag if self._shared.clock.monotonic_ns() - at <= LAG_KEPT_NS else 0

    def book(self, symbol: str, depth: int) -> BookView | None:
        return self.fold.book(symbol, depth)

    def now(self) -> int:
        """Return the time that closes bars: ours, or that of the frames in a replay; nanoseconds UTC."""
        return self._received if self._replayed else self._shared.clock.now_ns()

    def due_bars(self) -> None:
        """Send the bars that changed or closed."""
        for bar in self.bars.changes(self.now()):
            self._shared.send(subjects.bars(bar.interval, subject_token(bar.symbol)), encode(bar))

    def _trades(self, out: Normalised, *, fresh: bool) -> None:
        """Add trades to the bars. New ones leave for the core before the quotes of their frames, so that no size is counted twice."""
        if not out.trades or self.out.is_done("trades", out):
            return
        if self.bars_since is None:
            self.bars_since = out.received
        since = self.bars_since
        new = [trade for trade in out.trades if self.bars.add(trade, since)]
        for prints in prints_of(new, out.epoch, out.n) if fresh else ():
            self.prints_sent += 1
            self._shared.send(subjects.prints(self.venue, subject_token(prints.symbol)), encode(prints))

    def _end(self, symbol: str, now: int) -> None:
        """End the marks of a symbol at once."""
        if not self.liveness.is_stale(symbol):
            self.liveness.forget(symbol)
        self._end_mark(symbol, now)

    def _offer(self, quotes: dict[str, Quote], out: Normalised, now: int, *, fresh: bool) -> None:
        for symbol, quote in quotes.items():
            if symbol in out.ended or symbol in out.held:
                continue
            if not fresh:
                self._end_mark(symbol, now)
                continue
            leaves = self.ticks.offer(quote, now)
            if leaves is not None:
                self._send(leaves)
                if not self._replayed:
                    self._shared.latency.observe((self._shared.clock.now_ns() - quote.received) / 1e9)

    def _confirm(self, symbols: Iterable[str], now: int) -> None:
        """Bring back marks that ended because frames came late: an update of a valid book confirms also a touch that it leaves alone."""
        for symbol in symbols:
            if not self.ticks.is_live(symbol) and (quote := self.fold.quote(symbol)) is not None:
                self._send(self.ticks.offer(quote, now) or quote)

    def _end_mark(self, symbol: str, now: int) -> None:
        ended = self.ticks.end(symbol, now)
        if ended is not None:
            self._send(ended)

    def _send(self, quote: Quote) -> None:
        """Send a quote after its book, so that who has the quote has the book too."""
        if self._rules.depth.levels and Flag.STALE not in quote.flags:
            self._send_depth(quote)
        self.ticks_sent += 1
        self._shared.send(subjects.ticks(subject_token(quote.symbol)), encode(quote))

    def _send_depth(self, quote: Quote) -> None:
        """Send the top of the book that a quote is of."""
        symbol = quote.symbol
        view = self.fold.book(symbol, self._rules.depth.levels)
        self.books.sent(symbol, self._shared.clock.monotonic_ns())
        if view is None or not view.valid:
            return
        bids, asks, at, received = tuple(view.bids), tuple(view.asks), view.at, view.received
        depth = Depth(symbol=symbol, venue=self.venue, bids=bids, asks=asks, at=at, received=received, seq=view.seq, flags=quote.flags)
        self.depths_sent += 1
        self._shared.send(subjects.depth(self.venue, subject_token(symbol)), encode(depth))
