"""Binance spot: differences of books that join a REST snapshot, and single trades. Frames come combined or bare."""

from typing import Any, Final

import msgspec

from domain.market.records import FactKind
from domain.market.venues.decoder import UnknownMessage
from domain.market.venues.feed import Wish, WishKind
from domain.market.venues.live_book import LEVELS_MAX, BookUpdate, LiveBook
from domain.market.venues.session import KEPT_OVERFLOW, OLD_UPDATE, UNNEEDED_SNAPSHOT, FeedSession
from domain.market.venues.wire import NumberReader, unix_time
from domain.values import Side

IGNORED: Final = frozenset(
    {"aggTrade", "kline", "24hrMiniTicker", "24hrTicker", "1hTicker", "4hTicker", "1dTicker", "avgPrice", "bookTicker", "blockTrade"}
)
"""Known types that are not used: each is derived from differences and trades, or is no part of the book."""
SHUTDOWN: Final = "serverShutdown"
BOOK_TICKER: Final = {"u", "s", "b", "B", "a", "A"}
"""The keys by which a best bid and ask is recognised: it has no type."""
SNAPSHOT_AHEAD_NS: Final = 10_000_000_000
"""How long a snapshot may be ahead of the differences that come after it."""
LIMITED: Final = frozenset({429, 418})


class _BinanceEnvelope(msgspec.Struct, gc=False):
    e: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _BinanceDepth(msgspec.Struct, gc=False):
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _BinanceTrade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _BinanceSnapshot(msgspec.Struct, gc=False, rename={"last": "lastUpdateId"}):
    last: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_ENVELOPE: Final = msgspec.json.Decoder(_BinanceEnvelope)
_DEPTH: Final = msgspec.json.Decoder(_BinanceDepth)
_TRADE: Final = msgspec.json.Decoder(_BinanceTrade)
_SNAPSHOT: Final = msgspec.json.Decoder(_BinanceSnapshot)


class BinanceSpotDialect:
    """The next difference has `U` = last `u` + 1. The first one after a snapshot spans `lastUpdateId` + 1. There is no checksum."""

    numbered = True

    def __init__(self, session: FeedSession) -> None:
        self._session = session
        self._numbers = NumberReader()
        self._spanning: set[str] = set()
        """Symbols whose book is a snapshot that no difference has joined yet."""

    def message(self, text: str) -> None:
        envelope = _ENVELOPE.decode(text)
        payload: str | msgspec.Raw = text
        if envelope.data:
            payload = envelope.data
            envelope = _ENVELOPE.decode(payload)
        if envelope.e == "depthUpdate":
            self._depth(_DEPTH.decode(payload))
        elif envelope.e == "trade":
            self._trade(_TRADE.decode(payload))
        elif envelope.e not in IGNORED:
            self._other(msgspec.json.decode(payload))

    def reply(self, name: str, status: int, path: str, body: str) -> None:
        session = self._session
        book = session.book(name.upper())
        if book is None:
            return
        if status != 200:
            kind = FactKind.LIMITED if status in LIMITED else FactKind.REFUSED
            session.fact(kind, book.symbol, detail=f"{status} for {path}: {body}")
        elif book.valid:
            session.drop(UNNEEDED_SNAPSHOT)
        else:
            self._join(book, _SNAPSHOT.decode(body))

    def _depth(self, depth: _BinanceDepth) -> None:
        session = self._session
        book = session.book(depth.s)
        if book is None:
            return
        bids, asks, at = self._numbers.levels(depth.b), self._numbers.levels(depth.a), unix_time(depth.E)
        if bids is None or asks is None or at is None or not 0 < depth.U <= depth.u:
            book.forget()
            session.refused(book, f"difference {depth.U} to {depth.u}")
            return
        update = BookUpdate(bids, asks, depth.U, depth.u, at)
        if book.valid and self._is_old(book, update):
            session.drop(OLD_UPDATE)
        elif book.valid and self._follows(book, update):
            self._spanning.discard(book.symbol)
            self._apply(book, update)
            session.changed(book, update)
            book.first = update.first
        else:
            expected = book.seq + 1
            missing = (expected, update.first - 1) if update.first > expected else (0, 0)
            session.broken(book, FactKind.GAP, from_=missing[0], to=missing[1], detail=f"expected {expected}, got {update.first}")
            session.drop(KEPT_OVERFLOW, book.keep(update))

    def _is_old(self, book: LiveBook, update: BookUpdate) -> bool:
        """Return whether an update is in the book already. One that starts after the last one cannot be, whatever its end says.

        A snapshot that stays ahead of the differences has a wrong number: then nothing is old.
        """
        if update.seq > book.seq or update.first > book.first:
            return False
        return book.symbol not in self._spanning or self._session.received - book.received < SNAPSHOT_AHEAD_NS

    def _follows(self, book: LiveBook, update: BookUpdate) -> bool:
        expected = book.seq + 1
        return update.seq > book.seq and (update.first <= expected if book.symbol in self._spanning else update.first == expected)

    def _apply(self, book: LiveBook, update: BookUpdate) -> None:
        """Apply a difference. Levels that fall out of the bound become part of the difference, with size zero."""
        _, gone_bids, gone_asks = book.apply(update.bids, update.asks, LEVELS_MAX)
        update.bids.extend(gone_bids)
        update.asks.extend(gone_asks)

    def _join(self, book: LiveBook, snapshot: _BinanceSnapshot) -> None:
        session = self._session
        bids, asks = self._numbers.levels(snapshot.bids), self._numbers.levels(snapshot.asks)
        if bids is None or asks is None or snapshot.last <= 0:
            session.fact(FactKind.REJECTED_RECORD, book.symbol, detail=f"snapshot {snapshot.last}")
            session.resync(book, "the snapshot was refused")
            return
        later = [update for update in book.kept if update.seq > snapshot.last]
        if later and later[0].first > snapshot.last + 1:
            session.resync(book, f"snapshot {snapshot.last} is older than the kept updates from {later[0].first}")
            return
        session.drop(OLD_UPDATE, book.forget() - len(later))
        book.replace(bids, asks, LEVELS_MAX)
        for update in later:
            self._apply(book, update)
        seq, at = (later[-1].seq, later[-1].at) if later else (snapshot.last, None)
        (self._spanning.discard if later else self._spanning.add)(book.symbol)
        session.whole(book, seq, at)
        book.first = later[-1].first if later else snapshot.last

    def _trade(self, trade: _BinanceTrade) -> None:
        session, numbers = self._session, self._numbers
        if (symbol := session.symbol(trade.s)) is not None:
            side = Side.SELL if trade.m else Side.BUY
            price, quantity = numbers.above_zero(trade.p), numbers.above_zero(trade.q)
            session.trade(symbol, price, quantity, side, str(trade.t), unix_time(trade.T), trade.t)

    def _other(self, message: Any) -> None:
        """Take what is neither a difference nor a trade: replies, notices, and types that are not used."""
        session = self._session
        if not isinstance(message, dict):
            raise UnknownMessage(type(message).__name__)
        if message.get("e") == SHUTDOWN:
            session.fact(FactKind.LIMITED, detail="the venue announces that it will close the connection")
            session.out.append(Wish(kind=WishKind.RECONNECT, reason=SHUTDOWN))
        elif "error" in message or "code" in message:
            session.fact(FactKind.REFUSED, detail=str(message))
        elif "result" in message:
            session.fact(FactKind.SUBSCRIBED, detail=f"request {message.get('id')}")
        elif not message.keys() >= BOOK_TICKER:
            raise UnknownMessage(str(message.get("e", "without a type")))
