"""`trade prices`: daily closes for value at risk."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from adapters import bus
from adapters.clock import SystemClock
from adapters.price_history import FORGOTTEN, QuestDbPrices, SqlitePrices
from adapters.subjects import PRICES_CHANGED
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import START, Oms, to_stderr
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset, symbol_name
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Trouble, Unreachable, WrongUsage
from config.catalogue import load_instruments
from config.sections import RiskChecksSection
from domain.market.close_file import COLUMNS, BadCloses, day_text, read_closes
from domain.market.csv_rows import BadColumns, Columns, columns_of
from domain.market.file_times import day_of
from domain.market.price_history import SIMULATED, DailyClose
from domain.ports import Prices, Unavailable
from domain.values import plain

DAY_NS: Final = 86_400 * 10**9
ROWS_AT_ONCE: Final = 1000
LISTED_DAYS: Final = 31
LISTED_DAYS_MAX: Final = 10_000
DAY_MAX: Final = 2_932_896
"""9999-12-31."""
SOURCE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def prices() -> None:
    """Daily closes for value at risk."""


@app.command()
def load(
    file: Annotated[Path, typer.Argument(dir_okay=False, metavar="FILE.csv", help="Columns date,symbol,close.")],
    source: Annotated[str, typer.Option(help="The origin of the closes; by default the file name.")] = "",
    columns: Annotated[
        str, typer.Option(metavar="NAME=COLUMN,...", help="Other column names, e.g. date=Date,close=Close,symbol=@SPY (docs/files.md).")
    ] = "",
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Store daily closes; risk uses them at once. Loading the same file again changes nothing; a new close for a day replaces the old.

    If a line is wrong, nothing is stored. Symbols that still have too few closes for value at risk are listed.
    """
    source = source or file.name
    if not SOURCE.fullmatch(source) or source in (SIMULATED, FORGOTTEN):
        raise WrongUsage(f"{source!r} is not a source: 1 to 64 of the characters A-Z a-z 0-9 . _ -", "Name one: --source exchange")
    notes: Counter[str] = Counter()
    closes = _read(file, source, _columns(columns), notes)
    addresses = find(data_dir, port_offset)
    needed = _needed(addresses)
    try:
        have = asyncio.run(_load(addresses, closes, needed))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", f"Load the file again when it answers; that is safe. {START}") from error
    rows = [(symbol, len(days), day_text(min(days)), day_text(max(days))) for symbol, days in sorted(_by_symbol(closes).items())]
    show.table("", ("symbol", "closes", "from", "to"), rows, numbers=("closes",))
    for note, count in notes.items():
        show.line(f"{count} {note}.")
    for symbol, count in sorted(have.items()):
        if count < needed:
            to_stderr(
                f"{symbol} is short: {count} of the {needed} real closes that value at risk needs. Until then risk uses the closes of the "
                "simulated market; without those, its orders are refused (no_price_history). "
                f"Load more, or remove these: trade prices forget {symbol} --source {source}"
            )


@app.command("list")
def list_(
    symbol: Annotated[str | None, typer.Argument(metavar="SYMBOL", help="Each close of this symbol; by default a summary of all.")] = None,
    days: Annotated[
        int, typer.Option(min=1, max=LISTED_DAYS_MAX, help="The last closes of each symbol, real and simulated.")
    ] = LISTED_DAYS,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List stored closes with their source: a loaded file, `bars:VENUE` (the recorded market) or `simulated`."""
    if symbol is not None:
        symbol_name(symbol)
    symbols = [symbol] if symbol else sorted(load_instruments().instruments)
    try:
        closes = asyncio.run(_stored(find(data_dir, port_offset), symbols, days))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error
    if symbol:
        newest = sorted(closes, key=lambda close: -close.day)
        show.table("", ("date", "close", "source"), [(day_text(each.day), plain(each.price), each.source) for each in newest], ("close",))
        return
    by_source: dict[tuple[str, str], list[int]] = {}
    for close in closes:
        by_source.setdefault((close.symbol, close.source), []).append(close.day)
    rows = [(*of, len(found), day_text(min(found)), day_text(max(found))) for of, found in sorted(by_source.items())]
    show.table("", ("symbol", "source", "closes", "from", "to"), rows, numbers=("closes",))


@app.command()
def forget(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL")],
    source: Annotated[str | None, typer.Option(help="Only closes of this source; by default of every source.")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Only closes of this day and later.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Only closes of this day and earlier.")] = None,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Remove loaded closes, or those from bars; risk stops using them at once. Closes of the simulated market are not changed.

    A removed day stays empty until a close is loaded for it: the recorded market does not fill it again.
    """
    symbol_name(symbol)
    begin, end = _day(first, 0), _day(last, DAY_MAX)
    try:
        count = asyncio.run(_forget(find(data_dir, port_offset), symbol, source, begin, end))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", f"Repeat the command when it answers; that is safe. {START}") from error
    if not count:
        raise Refused(f"No loaded close of {symbol} matches.", "Nothing was changed.")
    show.line(f"Closes of {symbol} removed: {count}")


def _day(text: str | None, default: int) -> int:
    try:
        return default if text is None else day_of(text)
    except ValueError:
        raise WrongUsage(f"{text!r} is not a date like 2014-12-31.") from None


def _needed(addresses: Addresses) -> int:
    """Return how many closes risk needs per symbol; the default of the configuration if risk does not answer."""
    needed: object = None
    with contextlib.suppress(Trouble), Oms(addresses, "risk") as api:
        history = api.get("/stats").object().get("price_history")
        needed = history.get("needed") if isinstance(history, dict) else 0  # value at risk is not among the checks
    return needed if isinstance(needed, int) else RiskChecksSection().var_lookback_days + 1


def _columns(text: str) -> Columns:
    try:
        return columns_of(text, COLUMNS)
    except BadColumns as error:
        raise WrongUsage(f"--columns: {error}.", "Example: --columns date=Date,close=Close,symbol=@SPY") from error


def _read(file: Path, source: str, columns: Columns, notes: Counter[str]) -> list[DailyClose]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return read_closes(lines, load_instruments().instruments, source, SystemClock().now_ns() // DAY_NS, columns, notes)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{file} is not UTF-8 text.") from error
    except BadCloses as error:
        raise Refused(f"{file}: {error}.", "Nothing was stored.") from error


async def _load(addresses: Addresses, closes: Sequence[DailyClose], needed: int) -> dict[str, int]:
    """Store the closes; return how many real closes each symbol of the file has now, up to `needed`."""
    store = _store(addresses)
    await store.prepare()
    with progress_of(len(closes), "loading closes") as progress:
        for start in range(0, len(closes), ROWS_AT_ONCE):
            await store.write(closes[start : start + ROWS_AT_ONCE])
            progress(start + ROWS_AT_ONCE)
    await _announce(addresses)
    have = dict.fromkeys(_by_symbol(closes), 0)
    for close in await store.recent(have, needed):
        have[close.symbol] += close.source != SIMULATED
    return have


async def _stored(addresses: Addresses, symbols: Sequence[str], days: int) -> list[DailyClose]:
    store = _store(addresses)
    await store.prepare()
    return await store.recent(symbols, days)


async def _forget(addresses: Addresses, symbol: str, source: str | None, first: int, last: int) -> int:
    store = _store(addresses)
    await store.prepare()
    count = await store.forget(symbol, source, first, last)
    await _announce(addresses)
    return count


async def _announce(addresses: Addresses) -> None:
    # risk also polls the store every half minute, so an unreachable bus is not an error
    with contextlib.suppress(Unavailable, Unreachable):
        async with connected(addresses["nats"], "trade prices") as client:
            await bus.publish(client, PRICES_CHANGED, b"")
            await bus.flush(client)


def _store(addresses: Addresses) -> Prices:
    if "questdb" in addresses.urls:
        return QuestDbPrices(addresses.questdb_pg_to_connect)
    if addresses.data_dir is None:
        raise WrongUsage("This stack stores closes in SQLite; its data directory is not known.", "Name it: --data-dir DIRECTORY")
    return SqlitePrices(addresses.data_dir)


def _by_symbol(closes: Sequence[DailyClose]) -> dict[str, list[int]]:
    days: dict[str, list[int]] = {}
    for close in closes:
        days.setdefault(close.symbol, []).append(close.day)
    return days
