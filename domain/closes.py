"""A file of daily closes: rows of `date,symbol,close`, read exactly or refused by line number."""

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from domain.instruments import Instrument
from domain.risk.history import DailyClose
from domain.values import NUMBER, ZERO

COLUMNS: Final = ("date", "symbol", "close")
ROWS_MAX: Final = 5_000_000
"""Rows are kept in memory, so that a bad one is found before the first is stored."""
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class BadCloses(Exception):
    """The file cannot be stored. `line` counts from 1 and includes the header."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


def day_of(text: str) -> int:
    """Days since 1970-01-01 of a date like 2014-12-31. ValueError."""
    if len(text) != len("YYYY-MM-DD"):
        raise ValueError("a date looks like 2014-12-31")
    return date.fromisoformat(text).toordinal() - EPOCH_DAY


def day_text(day: int) -> str:
    return date.fromordinal(day + EPOCH_DAY).isoformat()


def read_closes(lines: Iterable[str], instruments: Mapping[str, Instrument], source: str, today: int) -> list[DailyClose]:
    """Every row. BadCloses names the first line that is wrong: an unknown symbol, a day that is not over, the same day twice."""
    reader = csv.reader(lines, strict=True)
    closes: dict[tuple[int, str], DailyClose] = {}
    try:
        for cells in reader:
            line = reader.line_num
            if line == 1:
                if tuple(cells) != COLUMNS:
                    raise BadCloses(1, f"the columns must be {','.join(COLUMNS)}")
            elif cells:
                close = _row(line, cells, instruments, source, today)
                if closes.setdefault((close.day, close.symbol), close) is not close:
                    raise BadCloses(line, f"{close.symbol} has a close of {cells[0]} already")
                if len(closes) > ROWS_MAX:
                    raise BadCloses(line, f"more than {ROWS_MAX} rows")
    except csv.Error as error:
        raise BadCloses(reader.line_num, str(error)) from None
    if not closes:
        raise BadCloses(max(reader.line_num, 1), "there are no closes")
    return list(closes.values())


def _row(line: int, cells: list[str], instruments: Mapping[str, Instrument], source: str, today: int) -> DailyClose:
    if len(cells) != len(COLUMNS):
        raise BadCloses(line, f"{len(cells)} fields where {len(COLUMNS)} are needed")
    text, symbol, price = cells
    try:
        day = day_of(text)
    except ValueError:
        raise BadCloses(line, f"{text!r} is not a date like 2014-12-31") from None
    if not 0 <= day < today:
        raise BadCloses(line, f"{text} is not a day that is over")
    if symbol not in instruments:
        raise BadCloses(line, f"unknown symbol {symbol!r}")
    if not NUMBER.fullmatch(price) or Decimal(price) <= ZERO:
        raise BadCloses(line, f"close {price!r} is not a plain decimal number above zero")
    return DailyClose(day, symbol, Decimal(price), source)
