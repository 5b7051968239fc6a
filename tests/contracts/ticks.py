"""Messages of a small market for the contracts of places: two venues that share times and trade ids, extreme numbers, every table."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from domain.archive.checkpoint import Message
from domain.archive.ports import ArchiveRow, Loss
from domain.market.quotes import Quote
from domain.market.records import Book, BookKind, Fact, FactKind, Flag, MarketTrade, Record, Records
from domain.values import Side

AT = 1_796_000_000_123_456_789
SECOND = 1_000_000_000
D = Decimal


def trade(venue: str, number: int, *, at: int = 0, price: str = "100", quantity: str = "1", symbol: str = "BTCUSDT") -> MarketTrade:
    return MarketTrade(
        symbol=symbol,
        venue=venue,
        price=D(price),
        quantity=D(quantity),
        side=Side.BUY if number % 2 else Side.SELL,
        trade_id=str(number),
        at=at or AT + number * SECOND,
        received=(at or AT + number * SECOND) + 7_000_001,
        seq=number,
    )


def quote(venue: str, number: int, bid: str = "99.5", ask: str = "100.5", *flags: str) -> Quote:
    at = AT + number * SECOND
    return Quote(
        symbol="BTCUSDT", venue=venue, bid=D(bid), bid_size=D("0.00000001"), ask=D(ask), ask_size=D("2.50"), at=at, received=at + 5,
        seq=number, flags=flags,
    )  # fmt: skip


def book(venue: str, number: int, kind: BookKind = BookKind.SNAPSHOT, depth: int = 12) -> Book:
    at = AT + number * SECOND
    bids = [(D(100) - D(level) / 10, D(level + 1)) for level in range(depth)]
    asks = [(D(101) + D(level) / 10, D(level + 2)) for level in range(depth - 8)]
    return Book(symbol="BTCUSDT", venue=venue, kind=kind, bids=bids, asks=asks, seq=number, at=at, received=at + 9)


def fact(venue: str, number: int, kind: FactKind = FactKind.GAP, symbol: str = "BTCUSDT") -> Fact:
    return Fact(
        fact=kind, venue=venue, at=AT + number, symbol=symbol, from_=number, to=number + 3, detail='a "gap", \\ é\n', epoch=1, n=number
    )


def told(kind: str, venue: str, epoch: int, n: int, *records: Record) -> Message[Any]:
    return Message(part=f"{kind}.{venue}", epoch=epoch, n=n, body=Records[Any](venue=venue, epoch=epoch, n=n, records=records))


def ticks() -> list[Message[Any]]:
    """Messages of one source, as MARKET would have them, and a loss."""
    return [
        told("trades", "ALPHA", 1, 3, trade("ALPHA", 1), trade("ALPHA", 2, price="0.000000000001"), trade("ALPHA", 3, symbol="ETHUSDT")),
        told("trades", "BETA", 1, 3, trade("BETA", 1), trade("BETA", 2, price="9999999999999999999", quantity="1E+18")),
        told("quotes", "ALPHA", 1, 3, quote("ALPHA", 1), quote("ALPHA", 2, "1E-12", "9999999999999999999.5")),
        told("quotes", "BETA", 1, 4, quote("BETA", 1, "99.5", "100.5", Flag.INEXACT, Flag.REPLAYED)),
        told("books", "ALPHA", 1, 5, book("ALPHA", 1), book("ALPHA", 2, BookKind.DELTA)),
        told("facts", "ALPHA", 1, 5, fact("ALPHA", 1), fact("ALPHA", 1, FactKind.CONNECTED, ""), fact("ALPHA", 2)),
        Message(part="lost.MARKET", epoch=AT, n=9, body=Loss(stream="MARKET", first=5, last=9, at=AT, reason="the stream discarded them")),
        told("trades", "ALPHA", 2, 1, trade("ALPHA", 4), trade("ALPHA", 5, at=AT + 4 * SECOND)),
        told("trades", "ALPHA", 1, 8, trade("ALPHA", 6)),
        told("quotes", "BETA", 1, 6),
        told("trades", "BETA", 1, 9, trade("BETA", 4), trade("BETA", 3)),
    ]


REFUSABLE = told("trades", "GAMMA", 1, 1, trade("GAMMA", 1, price="0.0000000000000000001"))
"""A price with more decimals than any column of ticks has."""


def values(rows: Sequence[ArchiveRow]) -> list[Any]:
    return [row.value for row in rows]
