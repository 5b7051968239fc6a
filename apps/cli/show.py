"""Output of results: tables for a terminal, plain columns for a pipe, raw bytes for --json."""

import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.values import plain, rfc3339

NOTHING = "-"
"""Printed for an empty cell, so that every row has the same number of columns."""

SECONDS_MAX = 10**12
"""A larger time value is in nanoseconds: in seconds it would be 30 000 years ahead."""

PROSE = frozenset({"what", "note"})
PROSE_MIN = 40
GAP = 3
"""Width between two columns: a space before and after, and one for the invisible rule."""

Cell = object
Row = Sequence[Cell]

STYLES = {
    "filled": "green",
    "partially_filled": "cyan",
    "rejected": "red",
    "cancelled": "yellow",
    "expired": "yellow",
    "in_doubt": "bold red",
    "buy": "green",
    "sell": "red",
    "yes": "green",
    "no": "bold red",
}


def raw(body: bytes) -> None:
    """Print the API's bytes unchanged, followed by a line feed."""
    put(body + b"\n")


def put(body: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def line(text: str) -> None:
    print(clean(text), flush=True)


def hint(text: str) -> None:
    """Print a hint to stderr, only if stdout is a terminal."""
    if sys.stdout.isatty():
        print(text, file=sys.stderr)


def clean(text: str) -> str:
    """Replace control characters: a venue's text must not control the terminal or end the line."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def text(value: object) -> str:
    """Format one cell: numbers exact and without exponent, no value as a dash."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return plain(value)
    return clean(str(value))


def moment(value: object) -> str:
    """Format a time: API text unchanged; nanoseconds or seconds since the epoch (NATS messages) in the API's format."""
    if not isinstance(value, int | Decimal) or not value:
        return text(value)
    return rfc3339(int(value if value > SECONDS_MAX else value * 1_000_000_000))


def clock(value: object) -> str:
    """Return the time of day for a terminal, where the date is shown elsewhere; the full time for a pipe."""
    whole = moment(value)
    return whole[11:].rstrip("Z") if sys.stdout.isatty() and len(whole) > 11 else whole


def day_and_clock(value: object) -> str:
    """Return the time without year and fraction for a terminal; the full time for a pipe."""
    whole = moment(value)
    return whole[5:19].replace("T", " ") if sys.stdout.isatty() else whole


def table(title: str, columns: Sequence[str], rows: Iterable[Row], numbers: Sequence[str] = ()) -> None:
    """Print a table without truncating any cell; `numbers` names the right-aligned columns."""
    cells = [[text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _plain_columns(columns, cells)
        return
    drawn = Table(title=Text(title) if title else None, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        drawn.add_column(Text(name), justify="right" if name in numbers else "left", overflow="fold", no_wrap=name not in PROSE)
    for row in cells:
        drawn.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(highlight=False, width=max(Console().width, _narrowest(columns, cells))).print(drawn)


def _narrowest(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Return the minimum width. Only prose is folded; the terminal wraps wider tables itself, so that an id can still be copied."""
    return sum(PROSE_MIN if name in PROSE else width + GAP for name, width in zip(columns, _widths(columns, cells), strict=True))


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[i]) for row in (columns, *cells)) for i in range(len(columns))]


def _plain_columns(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell, two spaces apart; nothing is truncated."""
    widths = _widths(columns, cells)
    for row in (columns, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def card(pairs: Iterable[tuple[str, object]]) -> None:
    """Print name and value, one pair per line; names without a value are left out."""
    shown = [(name, text(value)) for name, value in pairs if value is not None and value != ""]
    width = max((len(name) for name, _ in shown), default=0)
    console = Console(highlight=False, soft_wrap=True) if sys.stdout.isatty() else None
    for name, value in shown:
        if console:
            console.print(Text(name.ljust(width) + "  ", style="dim") + Text(value, style=STYLES.get(value, "")))
        else:
            print(f"{name.ljust(width)}  {value}")
