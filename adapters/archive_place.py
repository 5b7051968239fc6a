"""The archive of one stream as a place: events first, then the messages, whose object's name is the checkpoint."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from adapters.archive import (
    WITH_EVENTS,
    StreamHeading,
    commit_spans,
    commits_folder,
    commits_name,
    commits_object,
    event_files,
    events_name,
    read_heading,
    write_heading,
)
from adapters.commit_objects import packed, unpacked
from adapters.journalcopy import Chains, Copied
from adapters.object_writer import ObjectWriter
from adapters.objects import Objects
from adapters.parquet_events import Partition, read, tables_of, written
from domain.archive.checkpoint import Checkpoint, Hint
from domain.archive.ports import ArchiveRow
from domain.archive.ranges import RANGE, Span, parts, range_of, whole
from domain.ports import Corrupt, Head, Missing

TAILS_MAX: Final = 16
"""Tails of one range before one object replaces them."""


class ArchivedJournals(Protocol):
    """The stream that is archived, as the server has it. Raises Unavailable."""

    async def max_bytes(self) -> int:
        """Return the stream's bound."""

    async def last(self) -> int:
        """Return the stream's last sequence; 0 if it does not exist."""

    async def head_at(self, subject: str, seq: int) -> Head | None:
        """Return the commit at a sequence; None if there is no commit of that journal."""


class ArchivePlace:
    """Port: domain.archive.ports.Place. One row is one message of the stream, as `Copied`.

    An object holds at most one full range. A range that is not full yet is held by tails; the object of the full range replaces them once
    it was read back. The claim compares the archive with the stream: an archive of another journal, or a journal that lost its tail, is
    refused with Corrupt.
    """

    def __init__(
        self,
        objects: Objects,
        stream: str,
        journals: ArchivedJournals,
        fails: Callable[[str], None],
        *,
        size: int = RANGE,
        tails_max: int = TAILS_MAX,
    ) -> None:
        self._objects = objects
        self._stream = stream
        self._journals = journals
        self._fails = fails
        self._tails_max = tails_max
        self._writer = ObjectWriter(objects, f"writers/stream={stream}", f"the archive {objects.url}")
        self._size = size
        self._has_heading = False
        self._chains = Chains()
        self._before: Mapping[str, Head] = {}
        """The heads before the range that is not full yet."""
        self._held: list[Copied] = []
        self._tails: dict[Span, Sequence[Partition]] = {}
        """The objects of that range, with the folders of their events."""

    async def claim(self) -> Checkpoint:
        await self._writer.claim()
        try:
            self._size, self._has_heading = (await read_heading(self._objects, self._stream)).range, True
        except Missing:
            self._has_heading = False
        spans = await commit_spans(self._objects, self._stream)
        taken = whole(spans)
        end = taken[-1].last if taken else 0
        heads = (await commits_object(self._objects, self._stream, taken[-1])).heads if taken else {}
        await self._compare(end, heads)
        await self._load(taken, end, heads)
        await self._remove_replaced(spans, taken)
        return self._reached(end, heads)

    async def checkpoint(self) -> Checkpoint:
        taken = whole(await commit_spans(self._objects, self._stream))
        return self._reached(taken[-1].last, {}) if taken else Checkpoint()

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        """Store the messages behind those that the archive has. Raises Fenced, Corrupt if they do not follow, Unavailable."""
        await self._writer.check()
        messages = [row.value for row in rows if row.n > self._chains.seq]
        if not messages:
            return
        if not self._has_heading:
            fresh = StreamHeading(stream=self._stream, max_bytes=await self._journals.max_bytes(), range=self._size)
            self._size, self._has_heading = (await write_heading(self._objects, fresh)).range, True
        start = messages[0].seq
        for part in parts(Span(start, messages[-1].seq), self._size):
            await self._append(messages[part.first - start : part.last - start + 1])

    async def ping(self) -> None:
        await self._objects.names(commits_folder(self._stream))

    async def close(self) -> None:
        """Leave everything in the store."""

    def _reached(self, end: int, heads: Mapping[str, Head]) -> Checkpoint:
        if not end:
            return Checkpoint()
        chain = max(heads.values(), key=lambda head: head.seq, default=Head()).chain
        return Checkpoint({self._stream: {0: end}}, Hint(end, self._stream, 0, end, chain))

    async def _compare(self, end: int, heads: Mapping[str, Head]) -> None:
        """Compare the end of the archive with the journals. Raises Corrupt if they are not those that were archived."""
        if end and (last := await self._journals.last()) < end:
            raise Corrupt(
                f"the archive {self._objects.url} holds {self._stream} up to sequence {end}, and the stream ends at {last}: "
                "the journal lost its tail, or the archive is of another stack"
            )
        for subject, head in heads.items():
            if head.seq and await self._journals.head_at(subject, head.seq) != head:
                raise Corrupt(
                    f"the archive {self._objects.url} has another commit of {subject} at sequence {head.seq} than the journal: "
                    "it is the archive of another journal, or the journal was restored from an earlier state"
                )

    async def _load(self, taken: Sequence[Span], end: int, heads: Mapping[str, Head]) -> None:
        """Load the range that is not full yet, and write its events again if a crash left them out."""
        self._chains, self._before, self._held, self._tails = Chains(heads, end), heads, [], {}
        first = range_of(end + 1, self._size).first
        for span in taken:
            if span.last < first:
                continue
            found = await commits_object(self._objects, self._stream, span)
            if not self._held:
                self._before = found.heading.before
            self._held += found.messages
            self._tails[span] = await self._put_events(span, found.messages)

    async def _remove_replaced(self, spans: Sequence[Span], taken: Sequence[Span]) -> None:
        """Remove what a crash left: tails whose range is held by a longer object, and events without the object of their range."""
        kept = set(taken)
        replaced = [span for span in spans if span not in kept and span.last <= self._chains.seq]
        for span in taken:
            if any(span.first <= other.first and other.last <= span.last for other in replaced):
                await commits_object(self._objects, self._stream, span)  # what replaces must be readable
        if self._stream == WITH_EVENTS:
            strange = [file for file in await event_files(self._objects) if file.span not in set(spans) - set(replaced)]
            await self._objects.delete([events_name(*file) for file in strange])
        await self._objects.delete([commits_name(self._stream, span) for span in replaced])

    # Objects

    async def _append(self, messages: Sequence[Copied]) -> None:
        """Store messages of one range: as a tail, or as one object with those that the tails hold."""
        before = dict(self._chains.heads)
        for message in messages:
            self._chains.take(message)
        held, full = [*self._held, *messages], range_of(messages[0].seq, self._size)
        ends_range = messages[-1].seq == full.last
        merges = bool(self._tails) and (ends_range or len(self._tails) >= self._tails_max)
        stored, before = (held, dict(self._before)) if merges else (messages, before)
        span = Span(stored[0].seq, stored[-1].seq)
        partitions = await self._put(span, before, stored)
        if merges:
            self._fails("before_removal")
            await self._remove_tails(span)
        self._held, self._tails[span] = held, partitions
        if ends_range:
            self._before, self._held, self._tails = dict(self._chains.heads), [], {}

    async def _put(self, span: Span, before: Mapping[str, Head], messages: Sequence[Copied]) -> Sequence[Partition]:
        """Store events, then messages. Return the folders of the events."""
        partitions = await self._put_events(span, messages)
        self._fails("after_rows")
        await self._writer.check()
        name = commits_name(self._stream, span)
        data = await asyncio.to_thread(packed, self._stream, before, messages, self._chains.heads)
        if await self._objects.put_new(name, data):
            return partitions
        there = await self._objects.get(name)
        with _named(self._objects, name):
            if there != data and unpacked(self._stream, span, there).messages != list(messages):  # a release may compress differently
                raise Corrupt("it has other commits than the journal")
        return partitions

    async def _put_events(self, span: Span, messages: Sequence[Copied]) -> Sequence[Partition]:
        files = await asyncio.to_thread(_event_files, messages) if self._stream == WITH_EVENTS else {}
        for partition, data in files.items():
            name = events_name(partition, span)
            if not await self._objects.put_new(name, data):
                there = await self._objects.get(name)
                with _named(self._objects, name):
                    if there != data and read(there) != read(data):
                        raise Corrupt("it has other events than the journal")
        return list(files)

    async def _remove_tails(self, span: Span) -> None:
        """Remove the tails that an object replaces, after it was read back."""
        found = await commits_object(self._objects, self._stream, span)
        if found.heads != self._chains.heads:
            raise Corrupt(f"{commits_name(self._stream, span)} was read back different from what was written")
        gone = {tail: partitions for tail, partitions in self._tails.items() if tail != span}
        await self._objects.delete([events_name(partition, tail) for tail, partitions in gone.items() for partition in partitions])
        await self._objects.delete([commits_name(self._stream, tail) for tail in gone])
        self._tails.clear()


def _event_files(messages: Sequence[Copied]) -> dict[Partition, bytes]:
    return {partition: written(table) for partition, table in tables_of(messages).items()}


@contextlib.contextmanager
def _named(objects: Objects, name: str) -> Iterator[None]:
    """Name the object that exists and is not what is to be written."""
    try:
        yield
    except Corrupt as found:
        raise Corrupt(f"{objects.url} has {name}, and {found}; if it is damaged, remove it") from found
