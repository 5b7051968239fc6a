"""Checks of a journal for `trade journal`: is it whole, and does it reach what was acknowledged? Nothing is printed here."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec
from nats.aio.client import Client

from adapters import subjects
from adapters.jetstream import JetStreamJournal, StreamState, make_readable, stream_state, stream_subjects
from adapters.order_streams import shards_of
from adapters.watermark import FileWatermark
from apps.journal.watermark import listed, skipped_in
from domain.order.events import Foreign
from domain.ports import Corrupt, Head

ORDERS: Final = subjects.ORDER_JOURNALS.removesuffix(".*")
VENUES: Final = subjects.VENUE_JOURNALS.removesuffix(".*")
CONTROLS: Final = subjects.CONTROL_JOURNALS.removesuffix(".*")
ACCESS: Final = subjects.ACCESS_JOURNALS.removesuffix(".*")
STREAMS: Final = {
    ORDERS: subjects.ORDER_STREAM,
    VENUES: subjects.VENUE_STREAM,
    CONTROLS: subjects.CONTROL_STREAM,
    ACCESS: subjects.ACCESS_STREAM,
}
"""The stream of each kind of journal, by the prefix of its subject."""

Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
"""Takes the number of sequences to read and a label; its function takes the sequence read so far."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """One journal compared with its mark. `found` says what is wrong; `foreign` messages are not skipped yet, `skipped` ones are."""

    subject: str
    state: str
    head: Head = Head()
    mark: Head | None = None
    size: StreamState | None = None
    found: str = ""
    foreign: tuple[Foreign, ...] = ()
    skipped: tuple[Foreign, ...] = ()


async def subjects_of_all(client: Client, directory: Path) -> list[str]:
    """Return the subject of every journal that exists, or should exist by its mark. Unavailable."""
    there = [subject for stream in await _streams(client) for subject in await stream_subjects(client, stream)]
    marked = [file.stem for file in directory.glob("*.mark")]
    return sorted(
        each for each in {f"{ORDERS}.0", subjects.CONTROLS, subjects.ACCESS, *there, *marked} if each.rpartition(".")[0] in STREAMS
    )


async def _streams(client: Client) -> list[str]:
    """Return the streams of all journals. Unavailable."""
    shards = await shards_of(client)
    orders = [subjects.order_stream(shard, shards) for shard in range(shards)]
    return [*orders, *(stream for prefix, stream in STREAMS.items() if prefix != ORDERS)]


async def _stream_of(client: Client, subject: str) -> str:
    """Return the stream of a journal. Unavailable."""
    prefix, _, token = subject.rpartition(".")
    return subjects.order_stream(int(token), await shards_of(client)) if prefix == ORDERS else STREAMS[prefix]


async def look(client: Client, directory: Path, subject: str, progress: Progress, *, quick: bool = False) -> Inspection:
    """Compare a journal with its mark in `directory`. Read every commit, or with `quick` only its end. Unavailable."""
    stream = await _stream_of(client, subject)
    kept = FileWatermark(directory, subject)
    mark, damaged = _mark(kept)
    if (size := await stream_state(client, stream)) is None:
        lost = damaged or (mark is not None and bool(mark.seq))
        looked = Inspection(
            subject=subject, state="missing" if lost else "empty", mark=mark, found=f"{subject}: the stream {stream} is missing"
        )
    else:
        read = await JetStreamJournal.open(client, stream=stream, subject=subject)
        looked = Inspection(subject=subject, state="", head=await read.head(), mark=mark, size=size)
        looked = await (_ends(read, looked) if quick else _whole(read, looked, progress))
        looked = await _against_mark(read, looked, damaged)
    return msgspec.structs.replace(looked, state="accepted") if looked.state and _is_accepted(kept, looked) else looked


def _mark(kept: FileWatermark) -> tuple[Head | None, bool]:
    """Return the mark, and whether it is damaged; then it is None, and an operator may accept the journal as it is."""
    try:
        return kept.read(), False
    except Corrupt:
        return None, True


def _is_accepted(kept: FileWatermark, looked: Inspection) -> bool:
    """Return whether an acceptance of the journal as it is waits for the writer's next start."""
    try:
        accepted = kept.acceptance()
    except Corrupt:
        return False
    return accepted is not None and accepted.head == looked.head and accepted.skipped == looked.foreign


async def _ends(read: JetStreamJournal, looked: Inspection) -> Inspection:
    foreign = tuple(await read.foreign(looked.head))
    return msgspec.structs.replace(looked, foreign=foreign)


async def _whole(read: JetStreamJournal, looked: Inspection, progress: Progress) -> Inspection:
    """Verify every commit against the chain; collect foreign messages, and those that an acceptance names. Damage goes to `found`."""
    skipped: dict[int, Foreign] = {}
    try:
        with progress(looked.head.seq, f"reading {looked.subject}") as so_far:
            head = await _through(read, looked.head.seq, skipped, so_far)
    except Corrupt as damage:
        return msgspec.structs.replace(looked, state="damaged", found=f"{looked.subject}: {damage}")
    if head != looked.head:
        return msgspec.structs.replace(looked, state="damaged", found=f"{looked.subject}: sequence {looked.head.seq} cannot be reached")
    every = {each.seq: each for each in (*read.passed, *await read.foreign(looked.head))}
    foreign = tuple(every[seq] for seq in sorted(every) if every[seq] != skipped.get(seq))
    return msgspec.structs.replace(looked, foreign=foreign, skipped=tuple(skipped[seq] for seq in sorted(skipped)))


async def _through(read: JetStreamJournal, until: int, skipped: dict[int, Foreign], so_far: Callable[[int], None]) -> Head:
    head = Head()
    async with contextlib.aclosing(read.follow(head, until=until)) as batches:
        async for batch in batches:
            for recorded in batch:
                skipped.update({each.seq: each for each in skipped_in(recorded.payload)})
            head = batch[-1].head
            so_far(head.seq)
    return head


async def _against_mark(read: JetStreamJournal, looked: Inspection, damaged: bool) -> Inspection:
    """Add the state that a start of the journal's writer would find."""
    if looked.state:
        return looked
    state, found, mark, subject = "whole" if looked.head.seq else "empty", "", looked.mark, looked.subject
    if damaged:
        state, found = "damaged mark", f"{subject}: its mark does not verify, so it is unknown how far it had been acknowledged"
    elif mark is not None and looked.head.seq < mark.seq:
        state, found = "behind", f"{subject} ends at sequence {looked.head.seq}, but sequence {mark.seq} had been acknowledged"
    elif mark is not None and mark.seq and ((there := await read.read(mark.seq)) is None or there.head != mark):
        state, found = "another", f"{subject}: sequence {mark.seq} is not the commit that had been acknowledged"
    elif looked.foreign:
        state, found = "foreign", f"{subject}: sequence {listed(looked.foreign)} is no commit: a program other than its writer put it there"
    return msgspec.structs.replace(looked, state=state, found=found)


async def upgraded(client: Client) -> dict[str, bool]:
    """Make each stream readable for this release; return whether that changed it. Unavailable."""
    there = [stream for stream in await _streams(client) if await stream_state(client, stream) is not None]
    return {stream: await make_readable(client, stream) for stream in there}
