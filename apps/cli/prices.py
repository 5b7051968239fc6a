"""`trade prices`: daily closes for value at risk."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from adapters import bus
from adapters.clock import SystemClock
from adapters.price_history import PRICES_CHANGED, QuestDbPrices, SqlitePrices
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import START
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from config.catalogue import load_instruments
from domain.closes import BadCloses, day_text, read_closes
from domain.ports import Prices, Unavailable
from domain.risk.history import SIMULATED, DailyClose

DAY_NS: Final = 86_400 * 10**9
ROWS_AT_ONCE: Final = 1000
SOURCE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def prices() -> None:
    """Daily closes for value at risk."""


@app.command()
def load(
    file: Annotated[Path, typer.Argument(dir_okay=False, metavar="FILE.csv", help="Columns date,symbol,close.")],
    source: Annotated[str, typer.Option(help="Where the closes come from; by default the name of the file.")] = "",
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Store daily closes; risk measures by them at once. Loading the same file again changes nothing, another close of a day replaces it.

    A wrong line stores nothing at all.
    """
    source = source or file.name
    if not SOURCE.fullmatch(source) or source == SIMULATED:
        raise WrongUsage(f"{source!r} is not a source: 1 to 64 of the characters A-Z a-z 0-9 . _ -", "Name one: --source exchange")
    closes = _read(file, source)
    try:
        asyncio.run(_load(find(data_dir, port_offset), closes))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", f"Load again when it answers: it changes nothing twice. {START}") from error
    rows = [(symbol, len(days), day_text(min(days)), day_text(max(days))) for symbol, days in sorted(_by_symbol(closes).items())]
    show.table("", ("symbol", "closes", "from", "to"), rows, numbers=("closes",))


def _read(file: Path, source: str) -> list[DailyClose]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return read_closes(lines, load_instruments().instruments, source, SystemClock().now_ns() // DAY_NS)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{file} is not UTF-8 text.") from error
    except BadCloses as error:
        raise Refused(f"{file}: {error}.", "Nothing was stored.") from error


async def _load(addresses: Addresses, closes: Sequence[DailyClose]) -> None:
    store = _store(addresses)
    await store.prepare()
    with progress_of(len(closes), "loading closes") as progress:
        for start in range(0, len(closes), ROWS_AT_ONCE):
            await store.write(closes[start : start + ROWS_AT_ONCE])
            progress(start + ROWS_AT_ONCE)
    # Who measures by them looks for itself in half a minute, so a bus that is down is no failure.
    with contextlib.suppress(Unavailable, Unreachable):
        async with connected(addresses["nats"], "trade prices") as client:
            await bus.publish(client, PRICES_CHANGED, b"")
            await bus.flush(client)


def _store(addresses: Addresses) -> Prices:
    if "questdb" in addresses.urls:
        return QuestDbPrices(addresses.questdb_pg_to_connect)
    if addresses.data_dir is None:
        raise WrongUsage("This stack keeps closes in SQLite, and nobody said where.", "Say it: --data-dir DIRECTORY")
    return SqlitePrices(addresses.data_dir)


def _by_symbol(closes: Sequence[DailyClose]) -> dict[str, list[int]]:
    days: dict[str, list[int]] = {}
    for close in closes:
        days.setdefault(close.symbol, []).append(close.day)
    return days
