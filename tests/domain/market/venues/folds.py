"""An obvious book, a plain dict sorted on demand, and shorthands for frames and what a decoder made of them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from domain.market.quotes import Quote
from domain.market.records import Book, BookKind, Fact, Level, MarketTrade, Record
from domain.market.venues.feed import Decoder, Frame, FrameKind, Opening, Wish
from domain.market.venues.kinds import decoder

Kind = TypeVar("Kind", Quote, MarketTrade, Book, Fact, Wish)
MILLISECOND = 1_000_000


class ObviousBook:
    """Levels in two dicts, sorted on each request."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}

    def take(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size in levels:
                side[price] = size
                if not size:
                    del side[price]

    def follow(self, record: Book) -> None:
        """Fold what a decoder gave, as a reader of its records does."""
        if record.kind is BookKind.SNAPSHOT:
            self.bids, self.asks = {}, {}
        self.take(record.bids, record.asks)

    def view(self, depth: int) -> tuple[list[Level], list[Level]]:
        return sorted(self.bids.items(), reverse=True)[:depth], sorted(self.asks.items())[:depth]


class Told:
    """A decoder, the frames given to it, numbered from 1, and all that came out."""

    def __init__(self, kind: str, symbols: dict[str, str], depth: int = 10, *, opened_at: int = 0) -> None:
        self.decoder: Decoder = decoder("VENUE", Opening(kind=kind, url="ws://127.0.0.1:9", symbols=symbols, depth=depth), 7)
        self.n = 0
        self.all: list[Record | Wish] = []
        self.give(Frame(opened_at, FrameKind.OPEN, "{}"))

    def give(self, frame: Frame) -> list[Record | Wish]:
        self.n += 1
        out = list(self.decoder.take(frame, self.n))
        self.all += out
        return out

    def frame(self, text: str, at_ms: int) -> list[Record | Wish]:
        return self.give(Frame(at_ms * MILLISECOND, FrameKind.FRAME, text))

    def rest(self, text: str, at_ms: int) -> list[Record | Wish]:
        return self.give(Frame(at_ms * MILLISECOND, FrameKind.REST, text))

    def top(self, symbol: str, depth: int = 10) -> tuple[list[Level], list[Level]] | None:
        """The book as it is shown; None if it is invalid."""
        view = self.decoder.book(symbol, depth)
        assert view is not None
        return (list(view.bids), list(view.asks)) if view.valid else None


def only(kind: type[Kind], records: Sequence[object]) -> list[Kind]:
    return [record for record in records if isinstance(record, kind)]


def said(records: Sequence[Record | Wish]) -> list[str]:
    """Each record in a few words, in order."""
    return [_words(record) for record in records]


def _words(record: Record | Wish) -> str:
    if isinstance(record, Quote):
        flags = "".join(f" {flag}" for flag in record.flags)
        return f"quote {record.bid_size}@{record.bid} {record.ask_size}@{record.ask} seq {record.seq}{flags}"
    if isinstance(record, MarketTrade):
        return f"trade {record.side} {record.quantity}@{record.price} id {record.trade_id}" + "".join(f" {flag}" for flag in record.flags)
    if isinstance(record, Book):
        flags = "".join(f" {flag}" for flag in record.flags)
        return f"{record.kind} {len(record.bids)}x{len(record.asks)} seq {record.seq} prev {record.prev} checked {record.checked}{flags}"
    if isinstance(record, Fact):
        missing = f" {record.from_}-{record.to}" if record.from_ or record.to else ""
        return " ".join(filter(None, (f"fact {record.fact}{missing}", record.symbol, record.detail and f"({record.detail})")))
    return f"wish {record.kind} {record.symbol}".rstrip()


def numbers(*levels: str) -> list[Level]:
    """Levels written as `size@price`."""
    return [(Decimal(price), Decimal(size)) for size, _, price in (level.partition("@") for level in levels)]
