"""The fold of one venue: raw frames of its connections to quotes, trades, books and facts. No clock: equal frames give equal records."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from domain.market.collar import Collar, CollarRule
from domain.market.quotes import Quote
from domain.market.records import DETAIL_MAX, Book, BookKind, Fact, FactKind, Flag, MarketTrade, Record
from domain.market.venues.feed import BookView, Decoder, Frame, FrameKind, Opening, RawFrames, Wish, WishKind

SECOND: Final = 1_000_000_000
CONNECTIONS_MAX: Final = 2
"""Open connections of one venue: an old one is kept while a new one takes over."""

NO_OPENING: Final = "the open frame is missing"

DecoderOf = Callable[[str, Opening, int], Decoder]
"""Makes the decoder of a connection from the venue, its opening and its epoch. Raises ValueError for an unknown kind."""

_OPENING: Final = msgspec.json.Decoder(Opening)


class BookRules(NamedTuple):
    """What of the books is published: snapshots of `levels` a side, every `every` nanoseconds while the book changes.

    In between deltas, up to `delta_levels` changed levels; what is beyond that comes with the next snapshot.
    """

    levels: int = 25
    every: int = SECOND
    delta_levels: int = 2_000


class Normalised(msgspec.Struct, kw_only=True):
    """What one message of raw frames means. `epoch` and `n` are of its last frame; `received` is when that came.

    `ended`: symbols whose book was valid and is not any more. `whole`: symbols with a valid book that was not, or that another
    connection had.
    `heard`: symbols with updates of their book, in the order of the frames; trades prove nothing about it.
    `snapshots`: symbols with a new snapshot, and whether its touch differs from the last one.
    """

    epoch: int
    n: int
    received: int = 0
    frames: int = 0
    quotes: list[Quote] = []
    trades: list[MarketTrade] = []
    books: list[Book] = []
    facts: list[Fact] = []
    wishes: list[Wish] = []
    ended: list[str] = []
    whole: list[str] = []
    heard: dict[str, None] = {}
    snapshots: dict[str, bool] = {}
    held: dict[str, None] = {}
    """Symbols whose touch is beyond the collar: the book stays valid, and its quote is no mark."""
    opened: tuple[str, ...] = ()
    """Our symbols of a connection that was opened by these frames."""
    added: tuple[str, ...] = ()
    """Our symbols that a connection is asked for since these frames."""


class _Connection:
    """One epoch. `n` is its last frame; without a `decoder` its `open` frame is missing."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.n = 0
        self.decoder: Decoder | None = None
        self.symbols: tuple[str, ...] = ()
        self.was_missed = False


class _Shown(msgspec.Struct):
    """What was published of a book: when its last snapshot, and how many levels of deltas since."""

    snapshot_at: int
    levels: int = 0


class VenueFold:
    """The state of one venue. A symbol is quoted by the newest connection whose book of it is valid."""

    def __init__(
        self,
        venue: str,
        decoder_of: DecoderOf,
        books: BookRules,
        since_epoch: int = 0,
        collar: CollarRule = CollarRule(),  # noqa: B008
    ) -> None:
        """Connections before `since_epoch` are not read. `collar`: which prints are absurd."""
        self.venue = venue
        self.last: dict[str, Quote] = {}
        self.symbols: dict[str, None] = {}
        """Our symbols of all connections that were ever opened."""
        self.owners: dict[str, int] = {}
        """By symbol with a valid book, the epoch of its connection."""
        self.late_frames = 0
        """Frames of connections that were replaced, or that were taken before."""
        self._decoder_of = decoder_of
        self._rules = books
        self._connections: dict[int, _Connection] = {}
        self._shown: dict[str, _Shown] = {}
        self._since_epoch = since_epoch
        self._collar = Collar(collar)
        self._dropped: Counter[str] = Counter()
        """By decoders of connections that ended."""

    @property
    def epoch(self) -> int:
        """The newest open connection; 0 without one."""
        return max(self._connections, default=0)

    @property
    def dropped(self) -> Counter[str]:
        """Return what the decoders dropped without a fact, by reason."""
        found = self._dropped.copy()
        for connection in self._connections.values():
            found.update(connection.decoder.dropped if connection.decoder else {})
        return found

    def book(self, symbol: str, depth: int) -> BookView | None:
        """Return the book of a symbol, invalid if no open connection has it whole; None if no connection ever had the symbol."""
        owner = self._connections.get(self.owners.get(symbol, 0))
        found = [owner] if owner else [each for _, each in sorted(self._connections.items(), reverse=True) if symbol in each.symbols]
        if found and found[0].decoder:
            return found[0].decoder.book(symbol, depth)
        if symbol not in self.symbols:
            return None
        last = self.last.get(symbol)
        seq, at, received = (last.seq, last.at, last.received) if last else (0, 0, 0)
        return BookView(valid=False, checked=None, seq=seq, bids=(), asks=(), at=at, received=received)

    def quote(self, symbol: str) -> Quote | None:
        """Return the last quote of a symbol, if its book may be shown and its touch is not refused."""
        if self._collar.holds(symbol):
            return None
        owner = self._connections.get(self.owners.get(symbol, 0))
        return self.last.get(symbol) if owner is not None and _is_valid(owner, symbol) else None

    def take(self, raw: RawFrames) -> Normalised:
        """Fold one message. Frames that were taken before are skipped; a hole makes the books of the connection invalid."""
        out = Normalised(epoch=raw.epoch, n=raw.n + len(raw.frames) - 1, received=raw.frames[-1].received if raw.frames else 0)
        connection = self._connection(raw, out)
        skip = connection.n + 1 - raw.n if connection else len(raw.frames)
        if connection is None or skip >= len(raw.frames):
            self.late_frames += len(raw.frames)
            return out
        if skip < 0:
            self._hole(connection, raw.n - 1, raw.frames[0].received, out)
        self.late_frames += max(skip, 0)
        for n, frame in enumerate(raw.frames[max(skip, 0) :], raw.n + max(skip, 0)):
            connection.n = n
            self._frame(connection, frame, n, out)
        out.frames = len(raw.frames) - max(skip, 0)
        if raw.replayed:
            _flag_replayed(out)
            self.last.update((quote.symbol, quote) for quote in out.quotes)
        return out

    def begin_at(self, opening: Frame | None, epoch: int, n: int) -> Normalised:
        """Continue a connection behind frame `n` without its frames: its books are invalid until their next snapshot.

        `opening`: its `open` frame, None if that is gone: then nothing of the connection can be read.
        """
        out = Normalised(epoch=epoch, n=n, received=opening.received if opening else 0)
        connection = self._connections[epoch] = _Connection(epoch)
        connection.n = n
        if opening is not None and self._open(connection, opening, 1, out) and connection.decoder is not None:
            connection.decoder.take(opening, 1)  # its records were published when it came
            out.wishes += [Wish(kind=WishKind.RESYNC, symbol=symbol, reason="read from the middle") for symbol in connection.symbols]
        return out

    def silence(self, symbol: str, received: int) -> Normalised:
        """End a symbol that is silent for too long. The decoder states the fact, and wishes a resync."""
        connection = self._connections.get(self.owners.get(symbol, 0))
        out = Normalised(epoch=connection.epoch if connection else self.epoch, n=0, received=received)
        if connection is not None and connection.decoder is not None:
            records = connection.decoder.invalidate(symbol, FactKind.STALE, received, connection.n)
            self._records(connection, records, received, out)
            self._check(connection, symbol, out)
        return out

    def drop(self, reason: str, received: int) -> Normalised:
        """End all connections, after a failure that is not the venue's. The next `open` frame begins again."""
        out = Normalised(epoch=self.epoch, n=0, received=received)
        self._fact(FactKind.REJECTED_FRAME, received, self.epoch, 0, out, detail=reason[:DETAIL_MAX])
        out.wishes.append(Wish(kind=WishKind.RECONNECT, reason="frames could not be read"))
        for connection in list(self._connections.values()):
            self._closed(connection, out)
        out.ended = list(self.symbols)  # also those that ended just before the failure, with whose records their end was lost
        return out

    def _connection(self, raw: RawFrames, out: Normalised) -> _Connection | None:
        found = self._connections.get(raw.epoch)
        if found is not None:
            return found
        if raw.epoch < max(self.epoch, self._since_epoch):
            return None
        connection = self._connections[raw.epoch] = _Connection(raw.epoch)
        while len(self._connections) > CONNECTIONS_MAX:
            self._closed(self._connections[min(self._connections)], out)
        return connection

    def _closed(self, connection: _Connection, out: Normalised) -> None:
        """End a connection. Its frames are not read again, nor those of an older one that is not open."""
        for symbol in [symbol for symbol, epoch in self.owners.items() if epoch == connection.epoch]:
            self._end(symbol, out)
        del self._connections[connection.epoch]
        self._dropped.update(connection.decoder.dropped if connection.decoder else {})
        self._since_epoch = max(self._since_epoch, connection.epoch + 1)

    def _hole(self, connection: _Connection, last: int, received: int, out: Normalised) -> None:
        """Report missing frames up to `last`. Nothing is known of the books of this connection until each has a new snapshot."""
        self._fact(FactKind.GAP, received, connection.epoch, last + 1, out, from_=connection.n + 1, to=last, detail="frames are missing")
        connection.n = last
        if connection.decoder is not None:
            for symbol in connection.symbols:
                self._records(connection, connection.decoder.invalidate(symbol, "frames are missing", received, last + 1), received, out)
                self._check(connection, symbol, out)

    def _frame(self, connection: _Connection, frame: Frame, n: int, out: Normalised) -> None:
        if frame.kind is FrameKind.OPEN and connection.decoder is not None:
            self._asked(connection, frame, out)
        elif frame.kind is FrameKind.OPEN and not self._open(connection, frame, n, out):
            return
        if connection.decoder is None:
            if not connection.was_missed:
                connection.was_missed = True
                self._fact(FactKind.REJECTED_FRAME, frame.received, connection.epoch, n, out, detail=NO_OPENING)
                out.wishes.append(Wish(kind=WishKind.RECONNECT, reason=NO_OPENING))
        else:
            self._records(connection, connection.decoder.take(frame, n), frame.received, out)
        if frame.kind is FrameKind.CLOSE:
            self._closed(connection, out)

    def _open(self, connection: _Connection, frame: Frame, n: int, out: Normalised) -> bool:
        try:
            opening = _OPENING.decode(frame.text)
            connection.decoder = self._decoder_of(self.venue, opening, connection.epoch)
        except ValueError as error:
            self._fact(FactKind.REJECTED_FRAME, frame.received, connection.epoch, n, out, detail=str(error)[:DETAIL_MAX])
            return False
        connection.symbols = tuple(opening.symbols.values())
        out.opened = connection.symbols
        self.symbols.update(dict.fromkeys(connection.symbols))
        return True

    def _asked(self, connection: _Connection, frame: Frame, out: Normalised) -> None:
        """Note other symbols of an open connection. The decoder ends those that are gone, and says so."""
        try:
            symbols = tuple(_OPENING.decode(frame.text).symbols.values())
        except ValueError:
            return  # the decoder gives the fact
        out.added += tuple(symbol for symbol in symbols if symbol not in connection.symbols)
        connection.symbols = symbols
        self.symbols.update(dict.fromkeys(symbols))

    def _records(self, connection: _Connection, records: Sequence[Record | Wish], received: int, out: Normalised) -> None:
        """Sort the records of one frame by their kind."""
        epoch, owners, heard, snapshots = connection.epoch, self.owners, dict[str, None](), list[Book]()
        quotes: list[Quote] = []
        touched: set[str] = set()
        for record in records:
            kind = type(record)
            if kind is Fact or kind is Wish:
                if kind is Fact:
                    out.facts.append(record)  # type: ignore[arg-type]
                elif epoch == self.epoch:
                    out.wishes.append(record)  # type: ignore[arg-type]
                self._concerned(connection, record, out)  # type: ignore[arg-type]
                continue
            if kind is MarketTrade:
                self._trade(connection, record, received, out)  # type: ignore[arg-type]
                continue
            heard[record.symbol] = None
            if owners.get(record.symbol) == epoch or self._claims(connection, record.symbol, out):
                if kind is Quote:
                    touched.add(record.symbol)
                    self._quote(connection, record, received, quotes, out)  # type: ignore[arg-type]
                elif record.kind is BookKind.SNAPSHOT:  # type: ignore[union-attr]
                    snapshots.append(record)  # type: ignore[arg-type]
                    self._show(record, received, out)  # type: ignore[arg-type]
                else:
                    self._delta(connection, record, received, out)  # type: ignore[arg-type]
        for book in snapshots:
            out.snapshots[book.symbol] = out.snapshots.get(book.symbol, False) or self._moved(book)
            if book.symbol not in touched:
                self.last.pop(book.symbol, None)  # an empty book: the quote of the connection before is not its touch
            heard.pop(book.symbol, None)
        out.heard |= heard
        self._confirm(epoch, [symbol for symbol in heard if symbol not in touched], quotes, out)
        out.quotes += quotes
        self.last.update((quote.symbol, quote) for quote in quotes)

    def _trade(self, connection: _Connection, trade: MarketTrade, received: int, out: Normalised) -> None:
        """Take a trade, unless its price is absurd: then it is a fact only."""
        past = Flag.BACKFILLED in trade.flags
        refused = self._collar.refuses_trade(trade.symbol, trade.price, quoted=trade.symbol in self.owners, past=past)
        if refused is None:
            out.trades.append(trade)
        else:
            self._refused(connection, trade.symbol, f"trade {trade.trade_id}: {refused}", received, out)

    def _quote(self, connection: _Connection, quote: Quote, received: int, quotes: list[Quote], out: Normalised) -> None:
        """Take a touch, unless its price is absurd: then it is a fact only, and the venue has no quote until it shows another touch."""
        refused = self._collar.refuses_quote(quote)
        if refused is None:
            out.held.pop(quote.symbol, None)
            quotes.append(quote)
        else:
            out.held[quote.symbol] = None
            self._refused(connection, quote.symbol, f"touch: {refused}", received, out)

    def _confirm(self, epoch: int, heard: Iterable[str], quotes: list[Quote], out: Normalised) -> None:
        """Take a touch that was refused and that the venue still shows, once it counts as confirmed."""
        for symbol in heard:
            if self.owners.get(symbol) == epoch and (quote := self._collar.heard(symbol)) is not None:
                out.held.pop(symbol, None)
                quotes.append(quote)

    def _refused(self, connection: _Connection, symbol: str, detail: str, at: int, out: Normalised) -> None:
        kind, epoch, n = FactKind.REJECTED_RECORD, connection.epoch, connection.n
        out.facts.append(Fact(fact=kind, venue=self.venue, at=at, symbol=symbol, detail=detail[:DETAIL_MAX], epoch=epoch, n=n))

    def _concerned(self, connection: _Connection, of: Fact | Wish, out: Normalised) -> None:
        if isinstance(of, Fact) and of.fact is FactKind.BACKFILLED:
            self._collar.end_past(of.symbol)
        for symbol in (of.symbol,) if of.symbol else [each for each, epoch in self.owners.items() if epoch == connection.epoch]:
            self._check(connection, symbol, out)

    def _check(self, connection: _Connection, symbol: str, out: Normalised) -> None:
        """End a symbol whose book is not valid any more."""
        if self.owners.get(symbol) == connection.epoch and not _is_valid(connection, symbol):
            self._end(symbol, out)

    def _end(self, symbol: str, out: Normalised) -> None:
        del self.owners[symbol]
        self._shown.pop(symbol, None)
        self._collar.end(symbol)
        out.ended.append(symbol)
        if symbol in out.whole:
            out.whole.remove(symbol)

    def _claims(self, connection: _Connection, symbol: str, out: Normalised) -> bool:
        """Return whether this connection quotes the symbol from now on: its book is valid, and no newer connection has a valid one."""
        owner = self.owners.get(symbol)
        if (owner is not None and owner > connection.epoch) or not _is_valid(connection, symbol):
            return False
        self.owners[symbol] = connection.epoch
        self._shown.pop(symbol, None)
        out.whole.append(symbol)
        if symbol in out.ended:
            out.ended.remove(symbol)
        return True

    def _moved(self, book: Book) -> bool:
        known = self.last.get(book.symbol)
        if known is None or not book.bids or not book.asks:
            return True
        return (*book.bids[0], *book.asks[0]) != (known.bid, known.bid_size, known.ask, known.ask_size)

    def _show(self, book: Book, received: int, out: Normalised) -> None:
        self._shown[book.symbol] = _Shown(received)
        levels = self._rules.levels
        if len(book.bids) > levels or len(book.asks) > levels:
            book = msgspec.structs.replace(book, bids=book.bids[:levels], asks=book.asks[:levels])
        out.books.append(book)

    def _delta(self, connection: _Connection, book: Book, received: int, out: Normalised) -> None:
        """Publish a delta, or the top of the whole book if its last snapshot is too old."""
        shown, rules = self._shown.get(book.symbol), self._rules
        if shown is None or not 0 <= received - shown.snapshot_at < rules.every:
            view = connection.decoder.book(book.symbol, rules.levels) if connection.decoder else None
            if view is not None and view.valid:
                top = msgspec.structs.replace(book, kind=BookKind.SNAPSHOT, bids=view.bids, asks=view.asks, checked=view.checked, prev=0)
                self._show(top, received, out)
            return
        shown.levels += len(book.bids) + len(book.asks)
        if shown.levels <= rules.delta_levels:
            out.books.append(book)

    def _fact(self, kind: FactKind, at: int, epoch: int, n: int, out: Normalised, *, from_: int = 0, to: int = 0, detail: str = "") -> None:
        out.facts.append(Fact(fact=kind, venue=self.venue, at=at, from_=from_, to=to, detail=detail, epoch=epoch, n=n))


def _is_valid(connection: _Connection, symbol: str) -> bool:
    view = connection.decoder.book(symbol, 0) if connection.decoder else None
    return view is not None and view.valid


def _flag_replayed(out: Normalised) -> None:
    out.quotes = [msgspec.structs.replace(each, flags=(*each.flags, Flag.REPLAYED)) for each in out.quotes]
    out.trades = [msgspec.structs.replace(each, flags=(*each.flags, Flag.REPLAYED)) for each in out.trades]
    out.books = [msgspec.structs.replace(each, flags=(*each.flags, Flag.REPLAYED)) for each in out.books]
