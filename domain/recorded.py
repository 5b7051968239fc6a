"""A recorded market: rows of `time,symbol,bid,bid_size,ask,ask_size`, read exactly or refused by line number."""

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from domain.instruments import Instrument
from domain.quotes import ADJUSTED_MAX, Quote, unsound
from domain.simulated import whole_lots
from domain.values import ZERO, from_rfc3339, is_multiple, plain

COLUMNS: Final = ("time", "symbol", "bid", "bid_size", "ask", "ask_size")

ROWS_MAX: Final = 2_000_000
"""Rows are kept in memory, so that a bad one is found before the first is played."""

# Recorders print floats: long tails and exponents (4.9E-7) are wanted, numbers that take seconds to compute with are not.
_NUMBER: Final = re.compile(r"\d{1,18}(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)


class BadQuotes(Exception):
    """The file cannot be played. `line` counts from 1 and includes the header."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


def market_time(text: str) -> int:
    """Nanoseconds UTC; a time without a zone is UTC. ValueError when it is no time."""
    moment = datetime.fromisoformat(text)
    return from_rfc3339((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat())


def read_quotes(lines: Iterable[str], instruments: Mapping[str, Instrument]) -> list[Quote]:
    """Every row as a quote of no venue, sizes cut down to whole lots. BadQuotes names the first line that is wrong."""
    reader = csv.reader(lines, strict=True)
    quotes: list[Quote] = []
    try:
        for cells in reader:
            line = reader.line_num
            if line == 1:
                _check_header(cells)
            elif cells:
                quotes.append(_row(line, cells, instruments))
                _check_order(line, quotes)
    except csv.Error as error:
        raise BadQuotes(reader.line_num, str(error)) from None
    if not quotes:
        raise BadQuotes(max(reader.line_num, 1), "there are no quotes")
    return quotes


def _check_header(cells: list[str]) -> None:
    if tuple(cells) != COLUMNS:
        raise BadQuotes(1, f"the columns must be {','.join(COLUMNS)}")


def _check_order(line: int, quotes: list[Quote]) -> None:
    if len(quotes) > ROWS_MAX:
        raise BadQuotes(line, f"more than {ROWS_MAX} rows")
    if len(quotes) > 1 and quotes[-1].at < quotes[-2].at:
        raise BadQuotes(line, "the time is earlier than that of the row before")


def _row(line: int, cells: list[str], instruments: Mapping[str, Instrument]) -> Quote:
    if len(cells) != len(COLUMNS):
        raise BadQuotes(line, f"{len(cells)} fields where {len(COLUMNS)} are needed")
    time, symbol, *numbers = cells
    try:
        at = market_time(time)
    except ValueError:
        raise BadQuotes(line, f"{time!r} is not a time") from None
    instrument = instruments.get(symbol)
    if instrument is None:
        raise BadQuotes(line, f"unknown symbol {symbol!r}")
    bid, bid_size, ask, ask_size = (_number(line, name, text) for name, text in zip(COLUMNS[2:], numbers, strict=True))
    for name, price in (("bid", bid), ("ask", ask)):
        if price <= ZERO or not is_multiple(price, instrument.tick):
            raise BadQuotes(line, f"{name} {plain(price)} is not a positive whole number of ticks of {plain(instrument.tick)}")
    if bid > ask:
        raise BadQuotes(line, f"the bid {plain(bid)} is above the ask {plain(ask)}")
    quote = Quote(
        symbol=symbol,
        venue="",
        bid=bid,
        bid_size=whole_lots(bid_size, instrument),
        ask=ask,
        ask_size=whole_lots(ask_size, instrument),
        at=at,
    )
    if reason := unsound(quote):
        raise BadQuotes(line, f"no service would use this quote: {reason}")
    return quote


def _number(line: int, name: str, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise BadQuotes(line, f"{name} {text!r} is not a number")
    number = Decimal(text)
    if number and number.adjusted() > ADJUSTED_MAX:
        raise BadQuotes(line, f"{name} {text} is 1e{ADJUSTED_MAX + 1} or more")
    return number
