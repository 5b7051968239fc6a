"""`trade market`: record the raw frames of a market to a file, list what it quoted, and trade on it again."""

import asyncio
import gzip
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Annotated, Final

import typer
from nats.aio.client import Client

from adapters import subjects
from adapters.marketstreams import stored
from apps.cli import market_requests, show
from apps.cli.addresses import find
from apps.cli.connection import connected
from apps.cli.market_requests import START_MARKET
from apps.cli.options import DataDir, PortOffset
from apps.cli.run import FillsStore, up
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from apps.stack.directory import DATA_DIR
from apps.stack.ports import PORT_MAX
from apps.stack.servers import MARKET_NATS
from domain.market.file_times import EPOCH_DAY
from domain.market.frame_file import BadFrames, begins_by, is_of_day, read_frames, recorded_market, rows_of
from domain.market.venues.feed import RawFrames
from domain.ports import Unavailable

SUFFIX: Final = ".frames.gz"

Recording = Annotated[Path, typer.Argument(dir_okay=False, exists=True, metavar=f"FILE{SUFFIX}", help="A file of trade market record.")]
Day = Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Only what was received on this day (UTC). By default all.")]
Venue = Annotated[str, typer.Option(help="The venue whose quotes are used; needed if the file has several.")]
app = typer.Typer(no_args_is_help=True)
for request in (market_requests.subscribe, market_requests.unsubscribe, market_requests.backfill):
    app.command()(request)


@app.callback()
def market() -> None:
    """Record a market, trade on it again, and ask venues for symbols and past trades."""


@app.command()
def record(
    file: Annotated[Path, typer.Argument(dir_okay=False, metavar=f"FILE{SUFFIX}", help="A new file.")],
    day: Day = "",
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Write the raw frames that the market's stream holds to a file, byte for byte as gateway stored them.

    With a day, also the earlier frames of its connections: without them no book of the day can be built.
    """
    wanted = _day(day)
    addresses = find(data_dir, port_offset)
    if MARKET_NATS not in addresses.urls:
        raise Unreachable("This stack has no market data.", START_MARKET)
    with _new_file(file) as out:
        counts = asyncio.run(_record(addresses[MARKET_NATS], out, wanted))
        if not counts:
            raise Refused("The stream has no frames" + (f" of {day}." if day else " yet."), "See trade status, and GET /venues of gateway.")
    show.table("", ("venue", "frames"), sorted(counts.items()), numbers=("frames",))


@app.command()
def quotes(
    file: Recording,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.csv", dir_okay=False, help="A new file.")],
    venue: Venue = "",
    day: Day = "",
) -> None:
    """Write what a recorded market quoted and traded, as `trade up --quotes` reads it. Equal recordings give equal files."""
    with _new_file(output) as out:
        rows = _write_quotes(file, _only_venue(file, venue), _day(day), out)
    show.line(f"{rows} quotes and prints. Play them: trade up --quotes {output} --quotes-speed 60")


@app.command()
def replay(
    file: Recording,
    venue: Venue = "",
    day: Day = "",
    speed: Annotated[str, typer.Option(metavar="FACTOR|max", help="How many times as fast as recorded.")] = "1",
    data_dir: Annotated[Path, typer.Option(file_okay=False, help="Directory of the state.")] = DATA_DIR,
    port_offset: Annotated[int, typer.Option(min=-1024, max=PORT_MAX, help="Shift every port by this number.")] = 0,
    fills: Annotated[FillsStore, typer.Option(help="The store that serves fills.")] = FillsStore.QUESTDB,
    config_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="As of trade up: other limits, another router.")] = None,
) -> None:
    """Start the stack on a recorded market: the paper venues quote what the venue quoted then, with its trades for their queues."""
    with tempfile.TemporaryDirectory(prefix="trade-market-") as home:
        played = Path(home) / f"{file.name.removesuffix(SUFFIX)}.csv"
        with _new_file(played) as out:
            _write_quotes(file, _only_venue(file, venue), _day(day), out)
        up(data_dir=data_dir, port_offset=port_offset, fills=fills, quotes=played, quotes_speed=speed, config_dir=config_dir)


async def _record(url: str, out: IO[bytes], day: int | None) -> Counter[str]:
    counts = Counter[str]()
    try:
        async with connected(url, "trade market record") as client:
            connections = set() if day is None else await _connections(client, day)
            async for raw in stored(client, subjects.MARKET_RAW_STREAM, subjects.MARKET_RAW):
                frames = _decoded(raw)
                if day is None or ((frames.venue, frames.epoch) in connections and begins_by(frames, day)):
                    out.write(raw + b"\n")
                    counts[frames.venue] += len(frames.frames)
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", "Record again when it answers.") from error
    return counts


async def _connections(client: Client, day: int) -> set[tuple[str, int]]:
    """Return venue and epoch of each connection with a frame of this day."""
    messages = stored(client, subjects.MARKET_RAW_STREAM, subjects.MARKET_RAW)
    return {(frames.venue, frames.epoch) async for raw in messages if is_of_day(frames := _decoded(raw), day)}


def _decoded(line: bytes) -> RawFrames:
    try:
        return next(read_frames([line]))
    except (BadFrames, StopIteration) as error:
        raise Refused(f"The stream has a message that is no frames: {error}.", "This release did not write it.") from None


def _messages(file: Path) -> Iterator[RawFrames]:
    """Yield the messages of a recording. WrongUsage for a file that is no recording."""
    try:
        with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as lines:
            yield from read_frames(lines)
    except BadFrames as error:
        raise WrongUsage(f"{file}: {error}.") from None
    except (OSError, EOFError) as error:
        raise WrongUsage(f"{file} cannot be read: {error}.") from None


def _only_venue(file: Path, named: str) -> str:
    found = sorted({raw.venue for raw in _messages(file)})
    if named and named not in found:
        raise WrongUsage(f"{file} has no frames of {named}; it has {', '.join(found) or 'none'}.")
    if not named and len(found) != 1:
        raise WrongUsage(f"{file} has {', '.join(found) or 'no venue'}.", "Name one: --venue" if found else "")
    return named or found[0]


def _write_quotes(file: Path, venue: str, day: int | None, out: IO[bytes]) -> int:
    from domain.market.venues.kinds import decoder  # late: no other command needs the decoders of all venues

    rows = -1
    for rows, row in enumerate(rows_of(recorded_market(_messages(file), decoder, venue, day))):  # noqa: B007 - counted for the caller
        out.write(row.encode() + b"\n")
    if rows < 1:
        raise Refused(f"{venue} quoted nothing in {file}.", "Its books never became valid.")
    return rows


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that must not exist, compressed if its name ends in .gz. It appears only if the block succeeds."""
    if path.exists():
        raise WrongUsage(f"{path} exists.", "Name a new file.")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("xb") as plain_file:
            if path.name.endswith(".gz"):
                with gzip.GzipFile(filename="", mode="wb", fileobj=plain_file, mtime=0) as out:
                    yield out  # type: ignore[misc]
            else:
                yield plain_file
        part.rename(path)
    except OSError as error:
        raise WrongUsage(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)


def _day(text: str) -> int | None:
    """Return the day since 1970; None for all days."""
    if not text:
        return None
    try:
        return date.fromisoformat(text).toordinal() - EPOCH_DAY
    except ValueError:
        raise WrongUsage(f"--day {text!r} is not a date.", "Write it as 2026-11-27.") from None
