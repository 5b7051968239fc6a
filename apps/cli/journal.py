"""`trade journal`: how far each journal goes and had been acknowledged, and an operator's word that it goes on with less."""

import asyncio
import getpass
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from adapters.clock import SystemClock
from adapters.jetstream import JetStreamJournal, StreamState, make_readable, stream_state
from adapters.watermark import DIRECTORY, FileWatermark
from apps.cli import show
from apps.cli.addresses import DATA_DIR, DATA_DIR_VARIABLE, find
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset, identifier
from apps.cli.trouble import Refused, Unreachable
from domain.ports import Acceptance, Corrupt, Head, Unavailable

ORDERS: Final = "oms.journal"
VENUES: Final = "venue.journal"
STREAMS: Final = {ORDERS: "OMS_JOURNAL", VENUES: "PAPER_VENUES"}
COLUMNS: Final = ("journal", "head", "mark", "state", "commits", "bytes", "max_bytes")
START: Final = "The servers alone are enough: trade up --only-servers"

app = typer.Typer(no_args_is_help=True)

Shard = Annotated[int, typer.Option(min=0, help="The shard of the order journal.")]


@app.callback()
def journal() -> None:
    """How far each journal goes, and had been acknowledged."""


@app.command("show")
def show_journals(data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Each journal's last sequence, the mark that is kept outside of it, and its size. Exit code 1 when one ends before its mark."""
    directory = _directory(data_dir)
    subjects = sorted({f"{ORDERS}.0", *(file.stem for file in directory.glob("*.mark"))})
    rows = asyncio.run(_looked_at(find(data_dir, port_offset)["nats"], directory, subjects))
    show.table("", COLUMNS, rows, numbers=COLUMNS[1:3] + COLUMNS[4:])
    if behind := [str(row[0]) for row in rows if row[3] not in ("whole", "empty", "accepted")]:
        raise Refused(f"Not what had been acknowledged: {', '.join(behind)}.", "Put the newest good copy back, or: trade journal accept")


@app.command()
def accept(
    reason: Annotated[str, typer.Option(help="Why: it is journaled.")],
    who: Annotated[str, typer.Option(help="Who says so: it is journaled. By default the user who runs this.")] = "",
    shard: Shard = 0,
    venue: Annotated[str | None, typer.Option(help="The journal of this paper venue, not the order journal.")] = None,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Let a journal go on although it ends before what had been acknowledged. What is missing is lost for good.

    The service goes on at its next start, and journals who accepted that and why before anything else.
    """
    subject = f"{VENUES}.{identifier(venue, 'a venue')}" if venue else f"{ORDERS}.{shard}"
    kept = FileWatermark(_directory(data_dir), subject)
    asyncio.run(_accept(find(data_dir, port_offset)["nats"], kept, subject, who or getpass.getuser(), reason))


@app.command()
def upgrade(data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Make journals of a release before 0.2 readable for this one. `trade up` does it by itself; containers need it once."""
    asyncio.run(_upgrade(find(data_dir, port_offset).as_admin("nats")))


async def _upgrade(nats: str) -> None:
    try:
        async with connected(nats, "trade journal") as client:
            for stream in STREAMS.values():
                if await stream_state(client, stream) is not None:
                    changed = await make_readable(client, stream)
                    show.line(f"{stream} {'can be read now' if changed else 'needed nothing'}")
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error


def _directory(data_dir: Path | None) -> Path:
    return (data_dir or Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR)) / DIRECTORY


async def _looked_at(nats: str, directory: Path, subjects: list[str]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    try:
        async with connected(nats, "trade journal") as client:
            for subject in subjects:
                stream = STREAMS[subject.rpartition(".")[0]]
                size = await stream_state(client, stream)
                read = await JetStreamJournal.open(client, stream=stream, subject=subject)
                head = await read.head() if size else Head()
                rows.append(await _row(subject, read, FileWatermark(directory, subject), head, size))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error
    return rows


async def _row(subject: str, read: JetStreamJournal, kept: FileWatermark, head: Head, size: StreamState | None) -> tuple[object, ...]:
    try:
        mark = kept.read()
        state = "accepted" if kept.acceptance() else await _state(read, head, mark)
    except Corrupt:
        mark, state = None, "damaged mark"
    sizes = (head.n, size.bytes, size.max_bytes) if size else (head.n, 0, None)
    return (subject, head.seq, mark.seq if mark else None, state, *sizes)


async def _state(read: JetStreamJournal, head: Head, mark: Head | None) -> str:
    """In a word, what a start of its writer would find at the mark."""
    if mark is None:
        return "whole" if head.seq else "empty"
    if head.seq < mark.seq:
        return "behind"
    found = await read.read(mark.seq)
    return "whole" if found is not None and found.head == mark else "another"


async def _accept(nats: str, kept: FileWatermark, subject: str, who: str, reason: str) -> None:
    try:
        async with connected(nats, "trade journal") as client:
            stream = STREAMS[subject.rpartition(".")[0]]
            read = await JetStreamJournal.open(client, stream=stream, subject=subject)
            head = await read.head() if await stream_state(client, stream) else Head()
            mark = _mark(kept)
            if await _state(read, head, mark) in ("whole", "empty"):
                raise Refused(f"{subject} has all that had been acknowledged, up to sequence {head.seq}: there is nothing to accept.")
            await _verify(read, head)
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error
    mark = mark or Head()
    kept.accept(Acceptance(head=head, mark=mark, at=SystemClock().now_ns(), who=who, reason=reason))
    show.line(f"{subject} goes on from sequence {head.seq} at the next start of its service; acknowledged had been {mark.seq}")
    show.line("then put right what readers see: trade replay positions --write")


def _mark(kept: FileWatermark) -> Head | None:
    """A damaged mark counts as one that nobody can tell any more: it can be accepted."""
    try:
        return kept.read()
    except Corrupt:
        return Head(chain="damaged")


async def _verify(read: JetStreamJournal, head: Head) -> None:
    """What is there must be whole: an acceptance covers what is missing behind it, never a hole or a changed commit."""
    try:
        async for _ in read.follow(Head(), until=head.seq):
            continue
    except Corrupt as error:
        raise Refused(f"{error}.", "This cannot be accepted: put the newest good copy of the store back.") from error
