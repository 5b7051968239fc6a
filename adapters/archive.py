"""The layout of an archive, and how it is read: object by object, each message verified against the chain of its journal.

    streams/<stream>.json                                         how the stream is to be created on restore, and the size of a range
    commits/stream=<stream>/n=<first>-<last>.jsonl.zst            the stream's messages, byte for byte; n are the stream's sequences
    events/shard=<shard>/day=<YYYY-MM-DD>/n=<first>-<last>.parquet  the events of the same range of the order journal
    writers/stream=<stream>/n=<number>                            the process that writes: the last number

An object is never changed. Tails cover parts of a range until one object covers more: readers take the longest, see
domain/archive/ranges.py.
"""

from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import msgspec

from adapters import subjects
from adapters.codec import encode
from adapters.commit_objects import CommitsObject, unpacked
from adapters.journalcopy import STREAMS, Chains
from adapters.objects import Objects
from adapters.parquet_events import Partition
from domain.archive.ranges import RANGE, Span, span_of, whole
from domain.ports import Corrupt, Missing

STREAM_FORMAT: Final = 1
LISTS_MAX: Final = 3
"""How often a reader lists the objects before it reports a hole: one may be replaced by a longer one meanwhile."""
WITH_EVENTS: Final = subjects.ORDER_STREAM
"""The stream whose events are archived as rows too."""


class StreamHeading(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says once of a stream: its bytes at most, and the sequences of a full range."""

    format: int = STREAM_FORMAT
    stream: str
    max_bytes: int
    range: int = RANGE


class EventFile(NamedTuple):
    """A file of events: its folder, and the range whose commits they come from."""

    partition: Partition
    span: Span


_HEADING: Final = msgspec.json.Decoder(StreamHeading)


def heading_name(stream: str) -> str:
    return f"streams/{stream}.json"


def commits_folder(stream: str) -> str:
    return f"commits/stream={stream}"


def commits_name(stream: str, span: Span) -> str:
    return f"{commits_folder(stream)}/{span.name}.jsonl.zst"


def events_name(partition: Partition, span: Span) -> str:
    return f"events/shard={partition.shard}/day={partition.day}/{span.name}.parquet"


async def write_heading(objects: Objects, fresh: StreamHeading) -> StreamHeading:
    """Write what the archive says of a stream, unless it does; return what it says. Corrupt, Unavailable."""
    written = await objects.put_new(heading_name(fresh.stream), encode(fresh) + b"\n")
    return fresh if written else await read_heading(objects, fresh.stream)


async def read_heading(objects: Objects, stream: str) -> StreamHeading:
    """Return what an archive says of a stream. Missing if it has nothing of it, Corrupt, Unavailable."""
    name = heading_name(stream)
    data = await objects.get(name)
    try:
        heading = _HEADING.decode(data)
    except ValueError as error:
        raise Corrupt(f"{name} cannot be read: {error}") from error
    if (heading.format, heading.stream) != (STREAM_FORMAT, stream) or heading.range < 1:
        raise Corrupt(f"{name} is not of this format, or of another stream")
    return heading


async def archived_streams(objects: Objects) -> list[str]:
    """Return the streams of which the archive has anything, in the order of a backup. Unavailable."""
    names = [*await objects.names("streams"), *await objects.names("commits")]
    return [
        stream for stream in STREAMS if any(name == heading_name(stream) or name.startswith(f"{commits_folder(stream)}/") for name in names)
    ]


async def commit_spans(objects: Objects, stream: str) -> list[Span]:
    """Return the ranges of all objects of a stream, replaced ones included. Corrupt for a name that is no range's, Unavailable."""
    found = []
    for name in await objects.names(commits_folder(stream)):
        span = span_of(name.rpartition("/")[2])
        if span is None or name != commits_name(stream, span):
            raise Corrupt(f"{name} is no name of an archive's object")
        found.append(span)
    return found


async def event_files(objects: Objects) -> list[EventFile]:
    """Return all files of events. Corrupt for a name that is none of theirs, Unavailable."""
    found = []
    for name in await objects.names("events"):
        folders = dict(part.partition("=")[::2] for part in name.split("/")[1:-1])
        span = span_of(name.rpartition("/")[2])
        partition = Partition(folders.get("shard", ""), folders.get("day", ""))
        if span is None or name != events_name(partition, span):
            raise Corrupt(f"{name} is no name of an archive's object")
        found.append(EventFile(partition, span))
    return found


async def commits_object(objects: Objects, stream: str, span: Span) -> CommitsObject:
    """Read one object and compare it with its name and its seal. Missing, Corrupt (which names it), Unavailable."""
    name = commits_name(stream, span)
    data = await objects.get(name)
    try:
        return unpacked(stream, span, data)
    except Corrupt as damage:
        raise Corrupt(f"{name}: {damage}") from damage


class ArchivedStream:
    """One stream read from its archive: every message once, in order, whatever objects overlap. `chains` is where the reading is."""

    def __init__(self, objects: Objects, stream: str) -> None:
        self._objects = objects
        self._stream = stream
        self.chains = Chains()

    async def read(self) -> AsyncGenerator[tuple[Span, CommitsObject]]:
        """Yield the objects behind the position. The first may begin before it. Raises Corrupt, which names the object, Unavailable."""
        for _ in range(LISTS_MAX):
            spans = await commit_spans(self._objects, self._stream)
            try:
                for span in whole(spans):
                    if span.last > self.chains.seq:
                        found = await commits_object(self._objects, self._stream, span)
                        self._take(span, found)
                        yield span, found
            except Missing:  # replaced since it was listed
                continue
            if all(span.last <= self.chains.seq for span in spans):
                return
        first, last = self.chains.seq + 1, min((span.first for span in spans if span.first > self.chains.seq + 1), default=0) - 1
        raise Corrupt(f"{commits_folder(self._stream)}: no object holds sequences {first}-{max(first, last)}")

    def _take(self, span: Span, found: CommitsObject) -> None:
        try:
            for message in found.messages:
                if message.seq > self.chains.seq:
                    self.chains.take(message)
            if self.chains.heads != found.heads:
                raise Corrupt("it ends at another commit than its seal says")
        except Corrupt as damage:
            raise Corrupt(f"{commits_name(self._stream, span)} does not follow the objects before it: {damage}") from damage
