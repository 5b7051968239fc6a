"""Rows of the market: which rows a message of the streams MARKET and MARKET_FACTS has, for a table of ticks and for an archive."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from domain.archive.checkpoint import Message
from domain.archive.ports import ArchiveRow, Loss
from domain.market.quotes import Quote
from domain.market.records import Book, BookKind, Fact, FactKind, Level, MarketTrade, Records

QUOTES: Final = "quotes"
TRADES: Final = "trades"
BOOK_TOP: Final = "book_top"
BOOKS: Final = "books"
FACTS: Final = "market_facts"

TOP_LEVELS: Final = 10
EVERY_VENUE: Final = "*"
"""The venue of a fact about a whole stream."""


class BookLevel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One level of a venue's book, counted from 1 at the touch; a side that has no such level is None."""

    symbol: str
    venue: str
    level: int
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    at: int
    received: int
    seq: int
    flags: tuple[str, ...] = ()


def tick_rows(message: Message[Records[Any] | Loss]) -> list[ArchiveRow]:
    """Return rows for tables of ticks: of a whole book its top levels, of a delta nothing."""
    rows: list[ArchiveRow] = []
    for row in record_rows(message):
        if row.table != BOOKS:
            rows.append(row)
        elif row.value.kind is BookKind.SNAPSHOT:
            rows += [_row(message, BOOK_TOP, row.i * TOP_LEVELS + place, level) for place, level in enumerate(top(row.value))]
    return rows


def record_rows(message: Message[Records[Any] | Loss]) -> list[ArchiveRow]:
    """Return one row for each record, as it is."""
    body = message.body
    records = [_lost(body)] if isinstance(body, Loss) else body.records
    return [_row(message, TABLES[type(record)], i, record) for i, record in enumerate(records)]


def _row(message: Message[Any], table: str, i: int, value: object) -> ArchiveRow:
    return ArchiveRow(table, message.part, message.epoch, message.n, i, value)


TABLES: Final[dict[Any, str]] = {Quote: QUOTES, MarketTrade: TRADES, Book: BOOKS, Fact: FACTS}


def top(book: Book) -> list[BookLevel]:
    """Return the top levels of a whole book."""
    depth = min(TOP_LEVELS, max(len(book.bids), len(book.asks)))
    levels: list[BookLevel] = []
    for place in range(depth):
        (bid, bid_size), (ask, ask_size) = _level(book.bids, place), _level(book.asks, place)
        levels.append(
            BookLevel(
                symbol=book.symbol,
                venue=book.venue,
                level=place + 1,
                bid=bid,
                bid_size=bid_size,
                ask=ask,
                ask_size=ask_size,
                at=book.at,
                received=book.received,
                seq=book.seq,
                flags=book.flags,
            )
        )
    return levels


def _level(side: Sequence[Level], place: int) -> Level | tuple[None, None]:
    return side[place] if place < len(side) else (None, None)


def _lost(loss: Loss) -> Fact:
    detail = f"stream {loss.stream}, sequences {loss.first} to {loss.last}: {loss.reason}"
    return Fact(
        fact=FactKind.LOST, venue=EVERY_VENUE, at=loss.at, from_=loss.first, to=loss.last, detail=detail, epoch=loss.at, n=loss.last
    )
