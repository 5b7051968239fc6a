"""Read CSV files as they occur: byte order mark, other line ends, blank lines, quoted cells, more columns or other column names."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from domain.values import WHOLE_DIGITS, ZERO, bounded, divide

MARK: Final = "\ufeff"
NOTHING: Final = frozenset(("", "nan", "none", "null", "9223372036854775807"))
"""How files write a missing number; the last is Databento's."""
_SCALED: Final = re.compile(r"(.+)/(10{1,12})", re.ASCII | re.DOTALL)
# Recorders print floats: accept long tails and exponents (4.9E-7), refuse numbers that take seconds to compute with.
_MEASURED: Final = re.compile(r"-?\d{1,18}(\.\d{0,40})?([eE][+-]?0?\d{1,2})?", re.ASCII)


class BadFile(Exception):
    """The file cannot be used. `line` counts from 1 and includes the header."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class BadColumns(ValueError):
    """The text that maps columns is invalid."""


class Column(NamedTuple):
    """The source of a value: the header's column `name`, column `number` of a file without a header, or the same `value` in each row.

    Numbers are divided by 10 to the power of `scale`, because some files count in billionths.
    """

    name: str
    number: int = 0
    value: str | None = None
    scale: int = 0


Columns = Mapping[str, Column]


def columns_of(text: str, wanted: Sequence[str]) -> Columns:
    """Parse `time=ts,bid=bid_px_00/1000000000,symbol=@AAPL` or `date=1,close=5`. A column that is not mapped keeps its name.

    Raises BadColumns.
    """
    named: dict[str, Column] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, source = (word.strip() for word in part.partition("="))
        if not equals or not source or name not in wanted:
            raise BadColumns(f"{part!r} is not NAME=COLUMN, where NAME is one of {', '.join(wanted)}")
        if name in named:
            raise BadColumns(f"{name} is mapped twice")
        named[name] = _column(source)
    found = {name: named.get(name, Column(name)) for name in wanted}
    read = [column for column in found.values() if column.value is None]
    if any(column.number for column in read) and not all(column.number for column in read):
        unnumbered = ", ".join(name for name, column in found.items() if column.value is None and not column.number)
        raise BadColumns(f"a file with numbered columns has no header, so {unnumbered} needs a number or @VALUE too")
    return found


def _column(source: str) -> Column:
    if source.startswith("@"):
        return Column("", value=source[1:])
    scale = 0
    if scaled := _SCALED.fullmatch(source):
        source, scale = scaled.group(1), len(scaled.group(2)) - 1
    number = int(source) if source.isascii() and source.isdecimal() and len(source) <= 4 else 0
    return Column(source, number=number, scale=scale)


def read_rows(
    lines: Iterable[str], wanted: Sequence[str], columns: Columns | None = None, optional: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the wanted cells of each row, in the order of `wanted`. Other columns are ignored. Raises BadFile.

    Behind them the cells of `optional` columns, empty if the header does not have the column by this name.
    """
    columns = columns or {name: Column(name) for name in wanted}
    reader = csv.reader(_without_mark(lines), strict=True)
    picks: Callable[[list[str]], list[str]] | None = None
    width = 0
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            if picks is None:
                more = _optional(cells, columns, optional)
                places = {**_places(reader.line_num, cells, columns), **_places(reader.line_num, cells, more)}
                picks, width = _picker({**columns, **more}, places), len(cells)
                if not any(column.number for column in columns.values()):
                    continue
            if len(cells) != width:
                raise BadFile(reader.line_num, f"{len(cells)} fields where {width} are needed")
            yield reader.line_num, picks(cells)
    except csv.Error as error:
        raise BadFile(reader.line_num, str(error)) from None
    if picks is None:
        raise BadFile(max(reader.line_num, 1), "the file is empty")


def _without_mark(lines: Iterable[str]) -> Iterator[str]:
    """Drop the byte order mark that Excel and PowerShell write before the first column."""
    for place, line in enumerate(lines):
        yield line if place else line.removeprefix(MARK)


def _optional(header: list[str], columns: Columns, names: Sequence[str]) -> Columns:
    """Return the columns of these names. One that is not in the header, or of a file without a header, is empty in each row."""
    found = set() if any(column.number for column in columns.values()) else {name.strip() for name in header}
    return {name: Column(name) if name in found else Column("", value="") for name in names}


def _places(line: int, header: list[str], columns: Columns) -> dict[str, int]:
    """Return the place of each column: by number, else by name in the header. Case matters only if two names differ by it."""
    places: dict[str, int] = {}
    names = [name.strip() for name in header]
    for name, column in columns.items():
        if column.value is not None:
            continue
        if column.number:
            if column.number > len(header):
                raise BadFile(line, f"there is no column {column.number}: the row has {len(header)}")
            places[name] = column.number - 1
            continue
        same = [place for place, found in enumerate(names) if found == column.name]
        same = same or [place for place, found in enumerate(names) if found.casefold() == column.name.casefold()]
        if len(same) != 1:
            trouble = f"there is no column {column.name!r}" if not same else f"the column {column.name!r} occurs {len(same)} times"
            raise BadFile(line, f"the columns must be {','.join(columns)}; {trouble} (--columns {name}=NAME names another one)")
        places[name] = same[0]
    return places


def _picker(columns: Columns, places: Mapping[str, int]) -> Callable[[list[str]], list[str]]:
    picked = [(column.value, places.get(name, 0), column.scale) for name, column in columns.items()]

    def pick(cells: list[str]) -> list[str]:
        texts = (cells[place].strip() if value is None else value for value, place, _ in picked)
        return [_scaled(text, scale) if scale else text for text, (_, _, scale) in zip(texts, picked, strict=True)]

    return pick


def _scaled(text: str, scale: int) -> str:
    """Return the number divided by 10 to the power of `scale`, as text. A number that has an exponent becomes invalid."""
    return text if text.casefold() in NOTHING else f"{text}e-{scale}"


def measured(text: str) -> Decimal | None:
    """Parse a number with any count of decimals. None if it is no number, or has more than 18 digits before the point."""
    if not _MEASURED.fullmatch(text):
        return None
    number = Decimal(text)
    if not number:
        return ZERO
    return number if number.adjusted() < WHOLE_DIGITS else None


def kept(number: Decimal) -> Decimal:
    """Return the number rounded half to even to the 12 places that prices have; unchanged if it has no more."""
    if bounded(number):
        return number
    rounded = divide(number, Decimal(1))
    return number if rounded == number else rounded
