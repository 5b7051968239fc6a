"""Reads a recorded market with the columns `time,symbol,bid,bid_size,ask,ask_size`; each row is read exactly or refused by its line.

A file may have the columns `print_price,print_quantity,print_side` too. A row with these and without a bid and an ask is a print.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from domain.instruments import Instrument
from domain.market.csv_rows import NOTHING, BadFile, Columns, measured, read_rows
from domain.market.file_times import instant_of
from domain.market.prints import Print, Prints, unsound_prints
from domain.market.quotes import ADJUSTED_MAX, CROSSED, Quote, unsound
from domain.market.simulated import whole_lots
from domain.values import ZERO, Side, is_multiple, plain

COLUMNS: Final = ("time", "symbol", "bid", "bid_size", "ask", "ask_size")
PRINT_COLUMNS: Final = ("print_price", "print_quantity", "print_side")

MarketRow = Quote | Prints
"""A row of a recorded market: a quote, or one print, both without a venue."""

ROWS_MAX: Final = 2_000_000
"""Rows are kept in memory, so that a bad one is found before the first one is played."""
TAIL: Final = Decimal(1).scaleb(-7)
"""A 32-bit float differs from the number it represents by at most this part of itself."""
CLOSE_TO_TICK: Final = Decimal("0.1")

ONE_SIDED, EMPTY, ROUNDED = "one_sided", "empty", "rounded"
NOTES: Final = (CROSSED, ONE_SIDED, EMPTY, ROUNDED)
"""Rows that are not played as written: crossed or empty ones are left out, a side may show nothing, a price is rounded to its tick."""


class BadQuotes(BadFile):
    """The file cannot be played."""


def read_quotes(
    lines: Iterable[str],
    instruments: Mapping[str, Instrument],
    columns: Columns | None = None,
    notes: Counter[str] | None = None,
) -> list[MarketRow]:
    """Return the rows in their order, sizes of quotes cut to whole lots. Raises BadQuotes for the first bad line. `notes` counts NOTES.

    A side without a price has size 0 and the other side's price. A bid above the ask lasts a moment where two feeds are merged;
    such a row is left out, and the quote before it stays.
    """
    notes = Counter() if notes is None else notes
    rows: list[MarketRow] = []
    last, count = 0, 0
    try:
        for line, cells in read_rows(lines, COLUMNS, columns, PRINT_COLUMNS):
            at, row = _row(line, cells, instruments, notes)
            count += 1
            if count > ROWS_MAX:
                raise BadQuotes(line, f"more than {ROWS_MAX} rows")
            if count > 1 and at < last:
                raise BadQuotes(line, "the time is earlier than that of the row before")
            last = at
            if row is not None:
                rows.append(row)
    except BadFile as trouble:
        raise trouble if isinstance(trouble, BadQuotes) else BadQuotes(trouble.line, trouble.reason) from None
    if not any(isinstance(row, Quote) for row in rows):
        raise BadQuotes(1, "there are no quotes that can be played")
    return rows


def _row(line: int, cells: list[str], instruments: Mapping[str, Instrument], notes: Counter[str]) -> tuple[int, MarketRow | None]:
    time, symbol = cells[:2]
    try:
        at = instant_of(time)
    except ValueError:
        raise BadQuotes(line, f"{time!r} is not a time") from None
    instrument = instruments.get(symbol)
    if instrument is None:
        raise BadQuotes(line, f"unknown symbol {symbol!r}")
    if any(cells[len(COLUMNS) :]):
        return at, _print(line, at, cells, instrument)
    (bid, bid_size), (ask, ask_size) = (_side(line, name, cells[place], cells[place + 1], instrument, notes) for name, place in SIDES)
    if bid is None or ask is None:
        notes[EMPTY if bid is ask else ONE_SIDED] += 1
    price = bid if ask is None else ask
    if price is None:
        return at, None
    bid, ask = price if bid is None else bid, price if ask is None else ask
    if bid > ask:
        notes[CROSSED] += 1
        return at, None
    quote = Quote(symbol=symbol, venue="", bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, at=at)
    if reason := unsound(quote, negative_prices=instrument.negative_prices):
        raise BadQuotes(line, f"services would refuse this quote: {reason}")
    return at, quote


def _print(line: int, at: int, cells: list[str], instrument: Instrument) -> Prints:
    """Return the print of a row. As in a live market it need not be on a tick or in whole lots."""
    price, quantity, side = cells[len(COLUMNS) :]
    if any(cells[2 : len(COLUMNS)]):
        raise BadQuotes(line, "a row is a quote or a print, not both")
    if side not in set(Side):
        raise BadQuotes(line, f"print_side {side!r} is neither buy nor sell")
    printed = Print(_number(line, "print_price", price), _number(line, "print_quantity", quantity), Side(side))
    prints = Prints(symbol=instrument.symbol, venue="", prints=(printed,), epoch=0, n=0, at=at)
    if reason := unsound_prints(prints, negative_prices=instrument.negative_prices):
        raise BadQuotes(line, f"services would refuse this print: {reason}")
    return prints


SIDES: Final = (("bid", 2), ("ask", 4))


def _side(line: int, name: str, price: str, size: str, instrument: Instrument, notes: Counter[str]) -> tuple[Decimal | None, Decimal]:
    """Return the price on a tick and the size in whole lots; no price and size 0 if the side has no quote."""
    if price.casefold() in NOTHING:
        return None, ZERO
    found, shown = _number(line, name, price), _number(line, f"{name}_size", size)
    if shown < ZERO:
        raise BadQuotes(line, f"{name}_size {size!r} is below zero")
    if not found and not shown:
        return None, ZERO
    on_tick = _on_tick(found, instrument.tick)
    if on_tick is None or (found <= ZERO and not instrument.negative_prices):
        kind = "" if instrument.negative_prices else "positive "
        raise BadQuotes(line, f"{name} {plain(found)} is not a {kind}whole number of ticks of {plain(instrument.tick)}")
    notes[ROUNDED] += on_tick != found
    return on_tick, whole_lots(shown, instrument)


def _on_tick(price: Decimal, tick: Decimal) -> Decimal | None:
    """Return the price, or the tick that a float stands for: 270.1199951171875 is 270.12. None if it is between two ticks."""
    if is_multiple(price, tick):
        return price
    if price < ZERO:
        found = _on_tick(-price, tick)
        return None if found is None else -found
    below = price // tick * tick
    nearest = below if 2 * (price - below) < tick else below + tick
    return nearest if abs(price - nearest) <= min(abs(price) * TAIL, tick * CLOSE_TO_TICK) else None


def _number(line: int, name: str, text: str) -> Decimal:
    number = measured(text)
    if number is None:
        raise BadQuotes(line, f"{name} {text!r} is not a number below 1e{ADJUSTED_MAX}")
    return number
