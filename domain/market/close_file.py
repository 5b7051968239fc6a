"""Reads a file of daily closes with the columns `date,symbol,close`; each row is read exactly or refused by its line."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from domain.instruments import Instrument
from domain.market.csv_rows import BadFile, Columns, kept, measured, read_rows
from domain.market.file_times import EPOCH_DAY, day_of
from domain.market.price_history import DailyClose
from domain.values import ZERO

COLUMNS: Final = ("date", "symbol", "close")
ROWS_MAX: Final = 5_000_000
"""Rows are kept in memory, so that a bad one is found before the first one is stored."""
ROUNDED: Final = "closes have more than 12 places and are rounded"


class BadCloses(BadFile):
    """The file cannot be stored."""


def day_text(day: int) -> str:
    return date.fromordinal(day + EPOCH_DAY).isoformat()


def read_closes(
    lines: Iterable[str],
    instruments: Mapping[str, Instrument],
    source: str,
    today: int,
    columns: Columns | None = None,
    notes: Counter[str] | None = None,
) -> list[DailyClose]:
    """Return every row. Raises BadCloses for the first bad line: an unknown symbol, a day that is not over, a duplicate day.

    `notes` counts the values that are not stored as written.
    """
    notes = Counter() if notes is None else notes
    closes: dict[tuple[int, str], DailyClose] = {}
    try:
        for line, cells in read_rows(lines, COLUMNS, columns):
            close = _row(line, cells, instruments, source, today, notes)
            if closes.setdefault((close.day, close.symbol), close) is not close:
                raise BadCloses(line, f"{close.symbol} has a close of {day_text(close.day)} already")
            if len(closes) > ROWS_MAX:
                raise BadCloses(line, f"more than {ROWS_MAX} rows")
    except BadFile as trouble:
        raise trouble if isinstance(trouble, BadCloses) else BadCloses(trouble.line, trouble.reason) from None
    if not closes:
        raise BadCloses(1, "there are no closes")
    return list(closes.values())


def _row(line: int, cells: list[str], instruments: Mapping[str, Instrument], source: str, today: int, notes: Counter[str]) -> DailyClose:
    date_, symbol, price = cells
    try:
        day = day_of(date_)
    except ValueError as trouble:
        raise BadCloses(line, f"{date_!r} {trouble}") from None
    if not 0 <= day < today:
        raise BadCloses(line, f"{date_} is not a day that is over")
    if symbol not in instruments:
        raise BadCloses(line, f"unknown symbol {symbol!r}")
    number = measured(price)
    negative_prices = instruments[symbol].negative_prices
    if number is None or ((stored := kept(number)) <= ZERO and not negative_prices):
        least = "" if negative_prices else " above zero"
        raise BadCloses(line, f"close {price!r} is not a decimal number{least} with at most 18 digits before the point")
    if stored != number:
        notes[ROUNDED] += 1
    return DailyClose(day, symbol, stored, source)
