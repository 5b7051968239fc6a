"""`trade journal`: verify the journals against their watermarks, and let an operator accept or skip what does not verify."""

import asyncio
import contextlib
import getpass
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from adapters import subjects
from adapters.clock import SystemClock
from adapters.watermark import DIRECTORY, FileWatermark
from apps.cli import show
from apps.cli.addresses import DATA_DIR_VARIABLE, find
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset, identifier
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from apps.journal.watermark import listed
from apps.stack.directory import DATA_DIR
from apps.tools.journal_check import ACCESS, CONTROLS, ORDERS, VENUES, Inspection, look, subjects_of_all, upgraded
from domain.ports import FOREIGN_MAX, Acceptance, Corrupt, Head, Unavailable

COLUMNS: Final = ("journal", "head", "mark", "state", "commits", "bytes", "max_bytes", "skipped")
WELL: Final = ("whole", "empty", "accepted")
SEQUENCES: Final = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
START: Final = "Only the servers are needed: trade up --only-servers"

app = typer.Typer(no_args_is_help=True)

Shard = Annotated[int, typer.Option(min=0, help="The shard of the order journal.")]
Venue = Annotated[str | None, typer.Option(help="Use the journal of this paper venue instead of the order journal.")]
OfControls = Annotated[
    bool, typer.Option("--controls", help="Use the journal of controls (blocks, kill switches, limits) instead of the order journal.")
]
OfAccess = Annotated[bool, typer.Option("--access", help="Use the journal of access (accounts, keys) instead of the order journal.")]
Why = Annotated[str, typer.Option(help="The reason; it is journaled.")]
Who = Annotated[str, typer.Option(help="The person responsible; journaled. By default the current user.")]


@app.callback()
def journal() -> None:
    """Verify the journals and compare them with what was acknowledged."""


@app.command("show")
def show_journals(
    quick: Annotated[bool, typer.Option("--quick", help="Check only the ends and the marks; damage in the middle is not found.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show each journal's last sequence, its mark (kept outside the journal) and its size. Verify every commit against the chain.

    Exit code 1 if a journal is damaged, ends before its mark, or has a message that is not a commit; stderr names the sequence.
    """
    directory = _directory(data_dir)
    looked = asyncio.run(_looked_at(find(data_dir, port_offset)["nats"], directory, quick=quick))
    show.table("", COLUMNS, [_row(each) for each in looked], numbers=COLUMNS[1:3] + COLUMNS[4:7])
    if wrong := [each for each in looked if each.state not in WELL]:
        for each in wrong[:-1]:
            typer.echo(f"{each.found}.", err=True)
        raise Refused(f"{wrong[-1].found}.", _remedy(wrong))


@app.command()
def accept(
    reason: Why,
    who: Who = "",
    shard: Shard = 0,
    venue: Venue = None,
    of_controls: OfControls = False,
    of_access: OfAccess = False,
    acknowledged: Annotated[
        int, typer.Option(min=0, metavar="SEQ", help="The sequence that a service reports, if its mark is not in this data directory.")
    ] = 0,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Let a journal continue although acknowledged commits are missing from its end. They are lost permanently.

    The service continues at its next start. Its first journal entry records who accepted the loss and why. With --controls everything
    is killed then, because the lost controls are unknown; afterwards: trade arm all. With --access every key but the command line's is
    revoked then, because the lost revocations are unknown.
    """
    subject = _subject(shard, venue, of_controls, of_access)
    nats, directory = find(data_dir, port_offset)["nats"], _directory(data_dir)
    looked = asyncio.run(_one(nats, directory, subject))
    marks = [mark.seq for mark in (looked.mark, *_followers(directory, subject)) if mark is not None]
    highest = max([acknowledged, *marks])
    if looked.state == "damaged":
        raise Refused(f"{looked.found}.", "This cannot be accepted: restore the newest good copy of the store.")
    if looked.state == "foreign" and highest <= looked.head.seq:
        raise Refused(f"{looked.found}.", _remedy([looked]))
    if looked.state in WELL and highest <= looked.head.seq:
        raise Refused(f"{subject} has everything that was acknowledged, up to sequence {looked.head.seq}: nothing to accept.")
    mark = looked.mark if looked.mark is not None and looked.mark.seq >= highest else Head(seq=highest)
    _keep(directory, looked, mark, who, reason, lost=True)
    show.line(f"{subject} continues from sequence {looked.head.seq} at the next start of its service; {highest} was acknowledged")
    if of_controls:
        show.line("everything is killed then: check trade risk controls, set the missing kills and blocks again, then: trade arm all")
    elif of_access:
        show.line("every key but the command line's is revoked then: create new ones with trade key create")
    else:
        show.line("afterwards repair the positions in Valkey: trade replay positions --write")


@app.command()
def skip(
    sequences: Annotated[
        list[str], typer.Argument(metavar="SEQ...", help="Sequences that `trade journal show` reports as foreign: 57, or 57-60.")
    ],
    reason: Why,
    who: Who = "",
    shard: Shard = 0,
    venue: Venue = None,
    of_controls: OfControls = False,
    of_access: OfAccess = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Let a journal continue after messages that are not commits: a program other than its writer stored them. Nothing is lost.

    The whole journal is verified first: the chain of commits must continue across the skipped messages. A commit, or a gap where one is
    missing, cannot be skipped. The service continues at its next start. Its first journal entry records what was skipped, by whom and why.
    """
    asked, subject, directory = _sequences(sequences), _subject(shard, venue, of_controls, of_access), _directory(data_dir)
    looked = asyncio.run(_one(find(data_dir, port_offset)["nats"], directory, subject))
    if looked.state not in ("foreign", *WELL):
        raise Refused(f"{looked.found}.", _remedy([looked]))
    foreign = [each.seq for each in looked.foreign]
    if strange := sorted(asked - set(foreign)):
        raise Refused(_not_foreign(looked, strange[0]), f"What can be skipped: {listed(looked.foreign) or 'nothing'}.")
    if more := [each for each in looked.foreign if each.seq not in asked]:
        raise Refused(f"Sequence {listed(more)} of {subject} is not a commit either: name every sequence to skip.")
    if len(foreign) >= FOREIGN_MAX:
        raise Refused(f"{subject} has {FOREIGN_MAX} or more messages that are not commits.", "Restore the newest good copy of the store.")
    _keep(directory, looked, looked.mark or Head(), who, reason, lost=False)
    show.line(f"{subject} continues after sequence {max(foreign)} at the next start of its service; no commit is missing")


def _subject(shard: int, venue: str | None, of_controls: bool, of_access: bool) -> str:
    if bool(venue) + of_controls + of_access > 1:
        raise WrongUsage("--venue, --controls and --access name different journals: use only one of them.")
    if of_controls or of_access:
        return subjects.CONTROLS if of_controls else subjects.ACCESS
    return f"{VENUES}.{identifier(venue, 'a venue')}" if venue else f"{ORDERS}.{shard}"


@app.command()
def upgrade(data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Make the journals of a release before 0.2 readable for this one. `trade up` does this itself; containers need it once."""
    asyncio.run(_upgrade(find(data_dir, port_offset).as_admin("nats")))


async def _upgrade(nats: str) -> None:
    try:
        async with connected(nats, "trade journal") as client:
            for stream, changed in (await upgraded(client)).items():
                show.line(f"{stream} {'upgraded' if changed else 'is up to date'}")
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error


def _directory(data_dir: Path | None) -> Path:
    return (data_dir or Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR)) / DIRECTORY


def _keep(directory: Path, looked: Inspection, mark: Head, who: str, reason: str, *, lost: bool) -> None:
    acceptance = Acceptance(
        head=looked.head,
        mark=mark,
        at=SystemClock().now_ns(),
        who=who or getpass.getuser(),
        reason=reason,
        lost=lost,
        skipped=looked.foreign,
    )
    try:
        FileWatermark(directory, looked.subject).accept(acceptance)
    except Unavailable as error:
        raise Refused(f"{error}.") from error


def _followers(directory: Path, subject: str) -> list[Head]:
    """Return the marks of subscribed services that share the data directory. A damaged mark is ignored."""
    found = []
    for file in directory.glob(f"*/{subject}.mark"):
        with contextlib.suppress(Corrupt):
            found.append(FileWatermark(file.parent, subject).read())
    return [head for head in found if head is not None]


async def _one(nats: str, directory: Path, subject: str) -> Inspection:
    return (await _looked_at(nats, directory, subject))[0]


async def _looked_at(nats: str, directory: Path, subject: str = "", *, quick: bool = False) -> list[Inspection]:
    """Inspect one journal; without `subject`, every journal that exists or that has a mark."""
    try:
        async with connected(nats, "trade journal") as client:
            wanted = [subject] if subject else await subjects_of_all(client, directory)
            return [await look(client, directory, each, progress_of, quick=quick) for each in wanted]
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error


def _row(looked: Inspection) -> tuple[object, ...]:
    sizes = (looked.head.n, looked.size.bytes, looked.size.max_bytes) if looked.size else (looked.head.n, 0, None)
    return (looked.subject, looked.head.seq, looked.mark.seq if looked.mark else None, looked.state, *sizes, listed(looked.skipped) or None)


def _not_foreign(looked: Inspection, seq: int) -> str:
    if seq in {each.seq for each in looked.skipped}:
        return f"Sequence {seq} of {looked.subject} is skipped already."
    if seq > looked.head.seq:
        return f"{looked.subject} has no sequence {seq}; it ends at {looked.head.seq}."
    return f"Sequence {seq} of {looked.subject} is a commit, or belongs to another journal: it cannot be skipped."


def _remedy(wrong: Sequence[Inspection]) -> str:
    """Return what to do about the first faulty journal. A foreign message can be skipped only if no commit is lost."""
    first = next((each for each in wrong if each.state == "foreign"), wrong[0])
    which = {
        VENUES: f" --venue {first.subject.rpartition('.')[2]}",
        ORDERS: _shard_option(first.subject),
        CONTROLS: " --controls",
        ACCESS: " --access",
    }.get(first.subject.rpartition(".")[0], "")
    if first.state == "foreign":
        which = listed(first.foreign).replace(",", "") + which
        return f"Find out which program could write there. Nothing is lost; to continue after it: trade journal skip {which} --reason ..."
    return f"Restore the newest good copy of the store. Without one, if only the end is missing: trade journal accept{which} --reason ..."


def _shard_option(subject: str) -> str:
    """Return the option that names the shard of this journal; nothing for the first, which is meant without one."""
    shard = subject.rpartition(".")[2]
    return "" if shard == "0" else f" --shard {shard}"


def _sequences(texts: Sequence[str]) -> set[int]:
    """Parse sequences and ranges such as `57` and `57-60`. WrongUsage."""
    found: set[int] = set()
    for text in texts:
        match = SEQUENCES.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 < first <= last < first + FOREIGN_MAX:
            raise WrongUsage(f"{text!r} is not a sequence or a range of at most {FOREIGN_MAX} of them, as in 57 or 57-60.")
        found.update(range(first, last + 1))
    return found
