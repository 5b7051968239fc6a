"""Kraken v2: books of a fixed depth with a checksum in each message, trades, and the state of the trading engine."""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

import msgspec

from domain.market.records import FactKind, Flag, Level
from domain.market.venues.decoder import UnknownMessage
from domain.market.venues.live_book import BookUpdate, LiveBook
from domain.market.venues.scripts import kraken_depth
from domain.market.venues.session import UNCHANGED, WHILE_INVALID, FeedSession
from domain.market.venues.wire import NumberReader, TimeReader
from domain.values import Side

CHECKED_LEVELS: Final = 10
IGNORED: Final = frozenset({"heartbeat", "ticker", "ohlc", "instrument", "level3"})
"""Known channels that are not used."""
ONLINE: Final = "online"
SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}


class _KrakenEnvelope(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    method: str | None = None
    success: bool | None = None
    error: str | None = None
    symbol: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"{}")


class _KrakenLevel(msgspec.Struct, gc=False):
    """Numbers as sent: the checksum is over their digits."""

    price: msgspec.Raw
    qty: msgspec.Raw


class _KrakenBook(msgspec.Struct, gc=False):
    symbol: str
    bids: list[_KrakenLevel]
    asks: list[_KrakenLevel]
    checksum: int = 0
    timestamp: str = ""


class _KrakenTrade(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: str


class _KrakenStatus(msgspec.Struct, gc=False):
    system: str


class _KrakenSubscription(msgspec.Struct, gc=False):
    channel: str = ""
    symbol: str = ""


_ENVELOPE: Final = msgspec.json.Decoder(_KrakenEnvelope)
_BOOKS: Final = msgspec.json.Decoder(list[_KrakenBook])
_TRADES: Final = msgspec.json.Decoder(list[_KrakenTrade])
_STATUS: Final = msgspec.json.Decoder(list[_KrakenStatus])
_SUBSCRIPTION: Final = msgspec.json.Decoder(_KrakenSubscription)


def checksum(asks: Iterable[tuple[str, str]], bids: Iterable[tuple[str, str]]) -> int:
    """Return the CRC32 of ten asks and ten bids, prices and quantities as sent: without point and leading zeros, from the best level."""
    return _sum_of(number for level in (*asks, *bids) for number in level)


def checksum_of(book: LiveBook) -> int:
    """Return the checksum of a book of ours. Its numbers have the digits that the venue sent."""
    levels = (*book.asks.levels(CHECKED_LEVELS), *book.bids.levels(CHECKED_LEVELS))
    texts = [str(number) for level in levels for number in level]
    if any("E" in text for text in texts):
        texts = [format(number, "f") for level in levels for number in level]
    return _sum_of(texts)


def _sum_of(numbers: Iterable[str]) -> int:
    return crc32("".join([number.replace(".", "").lstrip("0") for number in numbers]).encode())


class KrakenDialect:
    """A book has no sequence: the checksum of its ten best levels a side proves it."""

    numbered = False

    def __init__(self, session: FeedSession, depth: int) -> None:
        self._session = session
        self._depth = kraken_depth(depth)
        self._numbers = NumberReader()
        self._times = TimeReader()
        self._halted = False

    def message(self, text: str) -> None:
        envelope = _ENVELOPE.decode(text)
        channel = envelope.channel
        if channel == "book":
            for book in _BOOKS.decode(envelope.data):
                self._book(book, whole=envelope.type == "snapshot")
        elif channel == "trade":
            for trade in _TRADES.decode(envelope.data):
                self._trade(trade, backfilled=envelope.type == "snapshot")
        elif channel == "status":
            for status in _STATUS.decode(envelope.data):
                self._status(status.system)
        elif envelope.method or envelope.error:
            self._answer(envelope)
        elif channel not in IGNORED:
            raise UnknownMessage(channel or "without a channel")

    def reply(self, name: str, status: int, path: str, body: str) -> None:
        raise UnknownMessage(f"reply to {path}")

    def _book(self, sent: _KrakenBook, *, whole: bool) -> None:
        session = self._session
        book = session.book(sent.symbol)
        if book is None:
            return
        at = self._times.nanoseconds(sent.timestamp) if sent.timestamp else None
        bids, asks = self._levels(sent.bids), self._levels(sent.asks)
        if bids is None or asks is None or (at is None and sent.timestamp):
            session.refused(book, f"{'snapshot' if whole else 'update'} at {sent.timestamp}")
        elif whole:
            book.replace(bids, asks, self._depth)
            if self._proved(book, sent.checksum):
                checked, flags = _verdict(sent.checksum)
                session.whole(book, session.n, at, checked=checked, flags=flags)
        elif not book.valid:
            session.drop(WHILE_INVALID)
        else:
            changed, gone_bids, gone_asks = book.apply(bids, asks, self._depth)
            if not self._proved(book, sent.checksum):
                return
            if not changed:
                session.drop(UNCHANGED)
                return
            checked, flags = _verdict(sent.checksum)
            update = BookUpdate([*bids, *gone_bids], [*asks, *gone_asks], session.n, session.n, at)
            session.changed(book, update, checked=checked, flags=flags)

    def _proved(self, book: LiveBook, sent: int) -> bool:
        """Return whether the checksum agrees, or is missing. If it does not agree, the book is invalid."""
        if not sent:
            return True
        ours = checksum_of(book)
        if ours == sent:
            return True
        session, detail = self._session, f"sent {sent}, found {ours}"
        if book.valid:
            session.broken(book, FactKind.CHECKSUM_FAILED, detail=detail)
        else:
            session.fact(FactKind.CHECKSUM_FAILED, book.symbol, detail=f"snapshot: {detail}")
            session.resync(book, "the checksum of the snapshot does not agree")
        return False

    def _levels(self, levels: list[_KrakenLevel]) -> list[Level] | None:
        return self._numbers.levels([(str(level.price, "utf-8"), str(level.qty, "utf-8")) for level in levels])

    def _trade(self, trade: _KrakenTrade, *, backfilled: bool) -> None:
        session, numbers = self._session, self._numbers
        if (symbol := session.symbol(trade.symbol)) is not None:
            price, quantity = numbers.above_zero(str(trade.price, "utf-8")), numbers.above_zero(str(trade.qty, "utf-8"))
            side, at = SIDES.get(trade.side), self._times.nanoseconds(trade.timestamp)
            session.trade(symbol, price, quantity, side, str(trade.trade_id), at, trade.trade_id, backfilled=backfilled)

    def _status(self, system: str) -> None:
        if system != ONLINE:
            self._halted = True
            self._session.fact(FactKind.HALTED, detail=system)
        elif self._halted:
            self._halted = False
            self._session.fact(FactKind.FRESH, detail=system)

    def _answer(self, envelope: _KrakenEnvelope) -> None:
        session = self._session
        if envelope.success is False or envelope.error:
            error, name = envelope.error or "", envelope.symbol or ""
            kind = FactKind.LIMITED if "rate" in error.lower() else FactKind.REFUSED
            session.fact(kind, session.names.get(name, ""), detail=f"{envelope.method} {name}: {error}")
        elif envelope.method == "subscribe":
            subscription = _SUBSCRIPTION.decode(envelope.result)
            session.fact(FactKind.SUBSCRIBED, session.symbol(subscription.symbol) or "", detail=subscription.channel)


def _verdict(sent: int) -> tuple[bool | None, tuple[Flag, ...]]:
    """A missing checksum, or one of zero, proves nothing."""
    return (True, ()) if sent else (None, (Flag.UNCHECKED,))
