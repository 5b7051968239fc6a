"""The state of one connection: books and their resyncs, trades already seen, and the records that a frame gives.

The rules here are the same for every venue. What a venue's messages mean is in its own module.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from domain.market.quotes import AT_END, Quote
from domain.market.records import DETAIL_MAX, Book, BookKind, Fact, FactKind, Flag, Level, MarketTrade, Record
from domain.market.venues.clock_skew import ClockSkew
from domain.market.venues.feed import Opening, Wish, WishKind
from domain.market.venues.live_book import BookUpdate, LiveBook
from domain.values import ZERO, Side

CROSSED_HOLD_NS: Final = 250_000_000
"""How long a crossed or locked touch may wait for its other side."""
TRADES_REMEMBERED: Final = 1000
"""Trade ids of each symbol. A trade whose id is among them is a duplicate. A backfill has as many of its own."""
UNKNOWN_NAMES_MAX: Final = 100
"""Unknown venue symbols that get a fact. Further ones are only counted."""

OLD_UPDATE: Final = "old_update"
KEPT_OVERFLOW: Final = "kept_overflow"
WHILE_INVALID: Final = "while_invalid"
UNCHANGED: Final = "unchanged"
DUPLICATE_FRAME: Final = "duplicate_frame"
DUPLICATE_TRADE: Final = "duplicate_trade"
UNNEEDED_SNAPSHOT: Final = "unneeded_snapshot"
UNKNOWN_NAME: Final = "unknown_name"
UNSUBSCRIBED: Final = "unsubscribed"


class FeedSession:
    """State of one connection. Times are nanoseconds UTC of receipt; the order of the frames is the only clock."""

    def __init__(self, venue: str, opening: Opening, epoch: int, form: Callable[[str], str] = str) -> None:
        """`form`: makes of a configured name the one that the venue sends."""
        self.venue = venue
        self.epoch = epoch
        self.names = {form(name): symbol for name, symbol in opening.symbols.items()}
        self.steps = {form(name): steps for name, steps in opening.steps.items()}
        """The last known steps of prices and quantities, by the venue's name."""
        self.books = {symbol: LiveBook(symbol) for symbol in self.names.values()}
        self.dropped: defaultdict[str, int] = defaultdict(int)
        """What was dropped without a fact, counted by reason."""
        self.received = 0
        self.n = 0
        self.out: list[Record | Wish] = []
        self._due = AT_END
        """When a crossed book has waited long enough."""
        self._form = form
        self._trades: dict[str, dict[str, None]] = {symbol: {} for symbol in self.books}
        self._past: dict[str, dict[str, None]] = {}
        self._former: set[str] = set()
        """Names that were asked for on this connection, and are not any more."""
        self._unknown: set[str] = set()
        self._skew = ClockSkew()

    # A frame

    def begin(self, received: int, n: int) -> list[Record | Wish]:
        """Start with a frame: return the list for its records, with what time alone has brought about."""
        self.out = out = list[Record | Wish]()
        self.n = n
        if received < self.received:
            self._clock_went_back(received)
        self.received = received
        if received >= self._due:
            self._sweep()
        if received >= self._skew.ends and (offset := self._skew.ended(received)) is not None:
            self.fact(FactKind.SKEW, detail=f"received - at: {offset // 1_000_000} ms")
        return out

    def opened(self, detail: str) -> None:
        """Note that the connection is open. Its script has subscribed already, so every book has a resync under way."""
        self.fact(FactKind.CONNECTED, detail=detail)

    def asked(self, symbols: Mapping[str, str]) -> None:
        """Note what the connection is asked for from here on. A symbol that is gone ends; a new one has a resync under way."""
        wanted = {self._form(name): symbol for name, symbol in symbols.items()}
        for name, symbol in [each for each in self.names.items() if wanted.get(each[0]) != each[1]]:
            del self.names[name], self.books[symbol], self._trades[symbol]
            self._past.pop(symbol, None)
            self._former.add(name)
            self.fact(FactKind.UNSUBSCRIBED, symbol)
        for name, symbol in wanted.items():
            if name not in self.names:
                self._former.discard(name)
                self.names[name], self.books[symbol], self._trades[symbol] = symbol, LiveBook(symbol), {}
                self.fact(FactKind.SUBSCRIBED, symbol, detail="asked for")

    def closed(self, reason: str) -> None:
        """End every book without a wish: there is no connection that could fulfil it."""
        for book in self.books.values():
            book.valid, book.crossed_since, book.touch = False, None, None
        self.fact(FactKind.DISCONNECTED, detail=reason)

    def fact(self, kind: FactKind, symbol: str = "", *, from_: int = 0, to: int = 0, detail: str = "") -> None:
        self.out.append(
            Fact(
                fact=kind,
                venue=self.venue,
                at=self.received,
                symbol=symbol,
                from_=from_,
                to=to,
                detail=detail[:DETAIL_MAX],
                epoch=self.epoch,
                n=self.n,
            )
        )

    def symbol(self, name: str) -> str | None:
        """Return our symbol of a venue's name. An unknown one is a fact, once, and None."""
        symbol = self.names.get(name)
        if symbol is None and name in self._former:
            self.drop(UNSUBSCRIBED)
        elif symbol is None:
            self.drop(UNKNOWN_NAME)
            if name not in self._unknown and len(self._unknown) < UNKNOWN_NAMES_MAX:
                self._unknown.add(name)
                self.fact(FactKind.UNKNOWN_SYMBOL, detail=name)
        return symbol

    def book(self, name: str) -> LiveBook | None:
        symbol = self.symbol(name)
        return None if symbol is None else self.books[symbol]

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what is dropped without a fact."""
        if count:
            self.dropped[reason] += count

    # Books

    def broken(self, book: LiveBook, kind: FactKind, *, from_: int = 0, to: int = 0, detail: str = "") -> None:
        """Make a valid book invalid: its fact, and one wish for a resync, at once. An invalid book already has both."""
        if not book.valid:
            return
        book.valid, book.broken = False, True
        book.crossed_since = book.touch = None
        self.fact(kind, book.symbol, from_=from_, to=to, detail=detail)
        self.resync(book, detail or kind.value)

    def delisted(self, symbol: str, detail: str) -> None:
        """End the book of a symbol that the venue does not list, without a wish: no snapshot would come."""
        book = self.books[symbol]
        book.valid, book.broken = False, book.valid or book.broken
        book.crossed_since = book.touch = None
        self.fact(FactKind.DELISTED, symbol, detail=detail)

    def all_broken(self, kind: FactKind, *, from_: int = 0, to: int = 0, detail: str = "") -> None:
        for book in self.books.values():
            self.broken(book, kind, from_=from_, to=to, detail=detail)

    def resync(self, book: LiveBook, reason: str) -> None:
        """Wish for a snapshot, once for each reason. Who sends wishes repeats and limits them: it has a clock also while no frame comes."""
        self.fact(FactKind.RESYNC, book.symbol, detail=reason)
        self.out.append(Wish(kind=WishKind.RESYNC, symbol=book.symbol, reason=reason))

    def refused(self, book: LiveBook, detail: str) -> None:
        """Refuse a book's record. Without it the book is not the venue's any more."""
        self.fact(FactKind.REJECTED_RECORD, book.symbol, detail=detail)
        self.broken(book, FactKind.GAP, detail=f"refused: {detail}")

    def whole(self, book: LiveBook, seq: int, at: int | None, *, checked: bool | None = None, flags: tuple[Flag, ...] = ()) -> None:
        """Declare a book valid as it is now, and give all of it."""
        book.valid, book.touch = True, None
        if book.broken:
            book.broken = False
            self.fact(FactKind.REPAIRED, book.symbol)
        self._stamp(book, seq, at, checked, flags)
        self._give(book, BookKind.SNAPSHOT, book.bids.levels(len(book.bids)), book.asks.levels(len(book.asks)), prev=0)

    def changed(self, book: LiveBook, update: BookUpdate, *, checked: bool | None = None, flags: tuple[Flag, ...] = ()) -> None:
        """Give a delta that was applied to a valid book."""
        prev = book.seq
        self._stamp(book, update.seq, update.at, checked, flags)
        if update.at is not None:
            self._skew.note(self.received, update.at)
        self._give(book, BookKind.DELTA, book.bids.ordered(update.bids), book.asks.ordered(update.asks), prev=prev)

    def _stamp(self, book: LiveBook, seq: int, at: int | None, checked: bool | None, flags: tuple[Flag, ...]) -> None:
        book.seq, book.checked, book.received = seq, checked, self.received
        book.at, book.flags = (self.received, (Flag.NO_VENUE_TIME, *flags)) if at is None else (at, flags)

    def _give(self, book: LiveBook, kind: BookKind, bids: list[Level], asks: list[Level], *, prev: int) -> None:
        bid, ask = book.bids.best(), book.asks.best()
        crossed = bid is not None and ask is not None and bid[0] >= ask[0]
        self.out.append(
            Book(
                symbol=book.symbol,
                venue=self.venue,
                kind=kind,
                bids=bids,
                asks=asks,
                seq=book.seq,
                at=book.at,
                received=self.received,
                prev=prev,
                checked=book.checked,
                flags=(*book.flags, Flag.CROSSED) if crossed else book.flags,
            )
        )
        if crossed:
            if book.crossed_since is None:
                book.crossed_since = self.received
                self._due = min(self._due, self.received + CROSSED_HOLD_NS)
            return
        book.crossed_since = None
        if (bid, ask) != book.touch:
            book.touch = (bid, ask)
            self._quote(book, bid, ask)

    def _quote(self, book: LiveBook, bid: Level | None, ask: Level | None) -> None:
        """Give a quote. A side without levels shows size zero, at its last price or at the price of the other side."""
        last = book.quote
        if bid is None and ask is None:
            if last is None:
                return
            bid, ask = (last.bid, ZERO), (last.ask, ZERO)
        elif bid is None and ask is not None:
            bid = (ask[0] if last is None else min(last.bid, ask[0]), ZERO)
        elif ask is None and bid is not None:
            ask = (bid[0] if last is None else max(last.ask, bid[0]), ZERO)
        assert bid is not None
        assert ask is not None
        book.quote = Quote(
            symbol=book.symbol,
            venue=self.venue,
            bid=bid[0],
            bid_size=bid[1],
            ask=ask[0],
            ask_size=ask[1],
            at=book.at,
            received=self.received,
            seq=book.seq,
            flags=book.flags,
        )
        self.out.append(book.quote)

    # Trades

    def trade(
        self,
        symbol: str,
        price: Decimal | None,
        quantity: Decimal | None,
        side: Side | None,
        trade_id: str,
        at: int | None,
        seq: int,
        *,
        backfilled: bool = False,
        past: bool = False,
    ) -> bool:
        """Give a trade, unless it was given already; return whether it was. What is None could not be read: then the trade is refused.

        `past`: of a backfill over REST. Its ids are remembered apart, so that a long one does not make the stream's forgotten.
        """
        if price is None or quantity is None or side is None or at is None or not trade_id:
            wrong = [word for word, value in (("price", price), ("quantity", quantity), ("side", side), ("time", at)) if value is None]
            self.fact(FactKind.REJECTED_RECORD, symbol, detail=f"trade {trade_id or 'without id'}: {', '.join(wrong)}")
            return False
        live = self._trades[symbol]
        seen = self._past.setdefault(symbol, {}) if past else live
        if trade_id in seen or (past and trade_id in live):
            self.drop(DUPLICATE_TRADE)
            return False
        seen[trade_id] = None
        if len(seen) > TRADES_REMEMBERED:
            del seen[next(iter(seen))]
        if not backfilled:
            self._skew.note(self.received, at)
        self.out.append(
            MarketTrade(
                symbol=symbol,
                venue=self.venue,
                price=price,
                quantity=quantity,
                side=side,
                trade_id=trade_id,
                at=at,
                received=self.received,
                seq=seq,
                flags=(Flag.BACKFILLED,) if backfilled else (),
            )
        )
        return True

    # Time

    def _sweep(self) -> None:
        """End books that are crossed for too long."""
        for book in self.books.values():
            if book.crossed_since is not None and self.received - book.crossed_since >= CROSSED_HOLD_NS:
                self.broken(book, FactKind.CROSSED, detail=_touch_of(book))
        holds = (book.crossed_since + CROSSED_HOLD_NS for book in self.books.values() if book.crossed_since is not None)
        self._due = min(holds, default=AT_END)

    def _clock_went_back(self, received: int) -> None:
        """Our clock was set back: no time that was noted may be later than now."""
        self._skew.restart(received)
        for book in self.books.values():
            if book.crossed_since is not None:
                book.crossed_since = min(book.crossed_since, received)
        self._due = received


def _touch_of(book: LiveBook) -> str:
    bid, ask = book.bids.best(), book.asks.best()
    return "" if bid is None or ask is None else f"bid {bid[0]:f} ask {ask[0]:f}"
