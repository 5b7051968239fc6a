"""Coinbase Advanced Trade: level2 books, market trades, heartbeats. One sequence counts all messages of a connection."""

from typing import Final

import msgspec

from domain.market.records import FactKind, Level
from domain.market.venues.decoder import UnknownMessage
from domain.market.venues.live_book import LEVELS_MAX, BookUpdate
from domain.market.venues.session import DUPLICATE_FRAME, WHILE_INVALID, FeedSession
from domain.market.venues.wire import NumberReader, TimeReader
from domain.values import Side

IGNORED: Final = frozenset({"heartbeats", "ticker", "ticker_batch", "candles", "status"})
"""Known channels whose content is not used. Their sequence numbers count."""
BID: Final = "bid"
ASKS: Final = frozenset({"offer", "ask"})
TAKERS: Final = {"BUY": Side.SELL, "SELL": Side.BUY}
"""The venue names the maker's side."""


class _CoinbaseEnvelope(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    message: str = ""
    timestamp: str = ""
    sequence_num: int | None = None
    events: msgspec.Raw = msgspec.Raw(b"[]")


class _CoinbaseLevel(msgspec.Struct, gc=False):
    side: str
    price_level: str
    new_quantity: str


class _CoinbaseBook(msgspec.Struct, gc=False):
    type: str
    product_id: str
    updates: list[_CoinbaseLevel]


class _CoinbaseTrade(msgspec.Struct, gc=False):
    trade_id: str
    product_id: str
    price: str
    size: str
    side: str
    time: str


class _CoinbaseTrades(msgspec.Struct, gc=False):
    type: str
    trades: list[_CoinbaseTrade]


_ENVELOPE: Final = msgspec.json.Decoder(_CoinbaseEnvelope)
_BOOKS: Final = msgspec.json.Decoder(list[_CoinbaseBook])
_TRADES: Final = msgspec.json.Decoder(list[_CoinbaseTrades])


class CoinbaseDialect:
    """A hole in the sequence may hide an update of any book: it ends all of them. There is no checksum."""

    numbered = True

    def __init__(self, session: FeedSession) -> None:
        self._session = session
        self._numbers = NumberReader()
        self._times = TimeReader()
        self._last: int | None = None
        self._in_row = 0
        """The last number that followed the one before it."""

    def message(self, text: str) -> None:
        envelope = _ENVELOPE.decode(text)
        channel, sequence = envelope.channel, envelope.sequence_num
        if envelope.type == "error":
            kind = FactKind.LIMITED if "rate" in envelope.message.lower() else FactKind.REFUSED
            self._session.fact(kind, detail=envelope.message)
            return
        if sequence is None or sequence < 0:
            raise UnknownMessage(f"{channel or 'without a channel'}, without a sequence")
        books = _BOOKS.decode(envelope.events) if channel == "l2_data" else ()
        trades = _TRADES.decode(envelope.events) if channel == "market_trades" else ()
        if not self._in_order(sequence):
            return
        for book in books:
            self._book(book, sequence, envelope.timestamp)
        for group in trades:
            for trade in group.trades:
                self._trade(trade, sequence, backfilled=group.type == "snapshot")
        if channel == "subscriptions":
            self._session.fact(FactKind.SUBSCRIBED, detail=str(envelope.events, "utf-8"))
        elif channel not in IGNORED and channel not in ("l2_data", "market_trades"):
            raise UnknownMessage(channel or "without a channel")

    def reply(self, name: str, status: int, path: str, body: str) -> None:
        raise UnknownMessage(f"reply to {path}")

    def _in_order(self, sequence: int) -> bool:
        """Return whether a message is new. A hole before it ends all books; so does a count that starts again at zero.

        A number below the last one is a repeated frame, unless it is above all that came in a row: then the jump before it was wrong.
        """
        last = self._last
        if last is None or sequence == last + 1:
            self._last = self._in_row = sequence
            return True
        if sequence > last:
            self._session.all_broken(FactKind.GAP, from_=last + 1, to=sequence - 1)
        elif sequence == 0 or sequence > self._in_row:
            self._session.all_broken(FactKind.GAP, detail=f"expected {last + 1}, got {sequence}")
        else:
            self._session.drop(DUPLICATE_FRAME)
            return False
        self._last = sequence
        return True

    def _book(self, sent: _CoinbaseBook, sequence: int, timestamp: str) -> None:
        session = self._session
        book = session.book(sent.product_id)
        if book is None:
            return
        at = self._times.nanoseconds(timestamp) if timestamp else None
        bids = self._levels(sent, frozenset({BID}))
        asks = self._levels(sent, ASKS)
        whole = sent.type == "snapshot"
        if bids is None or asks is None or len(bids) + len(asks) != len(sent.updates) or (at is None and timestamp):
            session.refused(book, f"{sent.type} {sequence}")
        elif whole:
            book.replace(bids, asks, LEVELS_MAX)
            session.whole(book, sequence, at)
        elif not book.valid:
            session.drop(WHILE_INVALID)
        else:
            _, gone_bids, gone_asks = book.apply(bids, asks, LEVELS_MAX)
            session.changed(book, BookUpdate([*bids, *gone_bids], [*asks, *gone_asks], sequence, sequence, at))

    def _levels(self, sent: _CoinbaseBook, sides: frozenset[str]) -> list[Level] | None:
        return self._numbers.levels([(level.price_level, level.new_quantity) for level in sent.updates if level.side in sides])

    def _trade(self, trade: _CoinbaseTrade, sequence: int, *, backfilled: bool) -> None:
        session, numbers = self._session, self._numbers
        if (symbol := session.symbol(trade.product_id)) is not None:
            price, quantity = numbers.above_zero(trade.price), numbers.above_zero(trade.size)
            side, at = TAKERS.get(trade.side), self._times.nanoseconds(trade.time)
            session.trade(symbol, price, quantity, side, trade.trade_id, at, sequence, backfilled=backfilled)
