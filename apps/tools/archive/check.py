"""The objects of an archive, verified: chains, holes, damage, and the rows of events against the commits."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence, Set
from typing import Final

from adapters import subjects
from adapters.archive import (
    WITH_EVENTS,
    ArchivedStream,
    EventFile,
    archived_streams,
    commit_spans,
    commits_folder,
    commits_name,
    commits_object,
    event_files,
    events_name,
    read_heading,
)
from adapters.commit_objects import CommitsObject
from adapters.journalcopy import AT_ONCE, Copied
from adapters.objects import Objects
from adapters.parquet_events import read, tables_of
from apps.tools.archive.journal import ArchivedJournal
from apps.tools.verify.controls import ACCESS_KIND, CONTROLS_KIND, ControlsSide
from apps.tools.verify.report import CheckLine, Counts, Tell, VerificationReport, report_of
from apps.tools.verify.run import Sides, verify
from domain.archive.ranges import Span, span_of, whole
from domain.ports import Corrupt, Head, Missing

ARCHIVE: Final = "archive"
EVENTS: Final = "events"
WRITE_MAX_S: Final = 5.0
"""How long a running sink may take from a file of events to the object of its commits."""
WRITE_LOOK_S: Final = 0.05
Progress = Callable[[int], None]


class EventsDiffer(Corrupt):
    """The files of events are not those of the commits."""


class StreamCheck:
    """The verification of one stream. `heads` and all counts are those of what was verified so far. `rows`: compare those of events too."""

    def __init__(self, objects: Objects, stream: str, progress: Progress, before: int = 0, *, rows: bool = True) -> None:
        self.heads: Mapping[str, Head] = {}
        self.seq = 0
        self.objects = self.replaced = self.files = self.rows = self.left_over = 0
        self.max_bytes = 0
        self.found_in_events = ""
        """The first difference between the rows and the commits."""
        self._objects = objects
        self._stream = stream
        self._has_events = rows and stream == WITH_EVENTS
        self._progress = progress
        self._before = before
        """The messages of other streams that were verified already, for the progress."""

    async def run(self) -> None:
        """Read everything. Corrupt, which names the object, where the messages do not verify; Unavailable."""
        try:
            self.max_bytes = (await read_heading(self._objects, self._stream)).max_bytes
        except Missing as trouble:
            raise Corrupt(str(trouble)) from trouble
        spans = await self._spans()
        taken = set(whole(spans))
        others = [span for span in spans if span not in taken]
        source, seen = ArchivedStream(self._objects, self._stream), set[Span]()
        async with contextlib.aclosing(source.read()) as objects:
            async for span, found in objects:
                seen.add(span)
                await self._compare_replaced(span, found, others)
                if self._has_events:
                    await self._compare_events(span, found)
                self.heads, self.seq, self.objects = dict(source.chains.heads), source.chains.seq, self.objects + 1
                self._progress(self._before + self.seq)
        self.replaced = len(others)
        if self._has_events:
            await self._compare_files(seen)

    async def _spans(self) -> Sequence[Span]:
        return await commit_spans(self._objects, self._stream)

    async def _compare_replaced(self, span: Span, found: CommitsObject, others: Sequence[Span]) -> None:
        """Compare objects of the same sequences that no reader takes. One that is gone meanwhile was removed as replaced."""
        for other in others:
            first, last = max(span.first, other.first), min(span.last, other.last)
            if first > last:
                continue
            with contextlib.suppress(Missing):
                there = await commits_object(self._objects, self._stream, other)
                mine = found.messages[first - span.first : last - span.first + 1]
                if there.messages[first - other.first : last - other.first + 1] != mine:
                    names = [commits_name(self._stream, each) for each in (other, span)]
                    raise Corrupt(f"{names[0]} has other messages than {names[1]} at sequences {first}-{last}")

    async def _compare_events(self, span: Span, found: CommitsObject) -> None:
        for partition, expected in tables_of(found.messages).items():
            name = events_name(partition, span)
            try:
                table = read(await self._objects.get(name))
            except Missing:
                await self._objects.get(commits_name(self._stream, span))  # gone too if it was replaced meanwhile: repeat the command
                self._differs(f"{name} is missing: it has {expected.num_rows} events")
                continue
            except Corrupt as damage:
                self._differs(f"{name}: {damage}")
                continue
            self.files, self.rows = self.files + 1, self.rows + table.num_rows
            if table.num_rows != expected.num_rows:
                self._differs(f"{name} has {table.num_rows} rows, its commits have {expected.num_rows} events")
            elif table != expected:
                self._differs(f"{name} has other events than its commits")

    async def _compare_files(self, seen: Set[Span]) -> None:
        """Count files of replaced objects, which the sink removes when it starts. One behind the last commit shows a loss."""
        strange = [file for file in await event_files(self._objects) if file.span not in seen]
        behind = [file for file in strange if file.span.last > self.seq]
        self.left_over = len(strange) - len(behind)
        for file in behind:
            if not await self._is_being_written(file):
                lost = f"has events behind the last commit, {self.seq}: the last commits were lost, or the sink ended while it wrote them"
                self._differs(f"{events_name(*file)} {lost}")

    async def _is_being_written(self, file: EventFile) -> bool:
        """Wait for the commits of a file: the sink writes the file first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WRITE_MAX_S
        while not any(span.first <= file.span.first and file.span.last <= span.last for span in await self._spans()):
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(WRITE_LOOK_S)
        return True

    def _differs(self, found: str) -> None:
        self.found_in_events = self.found_in_events or found


class ArchiveCopy:
    """The copy of all journals in an archive. Port: apps.tools.backup.streams.Copy.

    It has commits alone. `rows` False: the files of events are not compared with them.
    """

    def __init__(self, objects: Objects, progress: Progress = lambda done: None, *, rows: bool = True) -> None:
        self.checks: dict[str, StreamCheck] = {}
        self._objects = objects
        self._progress = progress
        self._rows = rows

    async def verified(self) -> Mapping[str, Mapping[str, Head]]:
        """Verify the whole archive. Raises Corrupt, EventsDiffer if that is all that was found, Unavailable."""
        done = 0
        for stream in await self.streams():
            check = self.checks[stream] = StreamCheck(self._objects, stream, self._progress, done, rows=self._rows)
            await check.run()
            done += check.seq
        if found := next((check.found_in_events for check in self.checks.values() if check.found_in_events), ""):
            raise EventsDiffer(found)
        return {stream: check.heads for stream, check in self.checks.items() if check.heads}

    async def max_bytes(self) -> Mapping[str, int]:
        return {stream: check.max_bytes for stream, check in self.checks.items()}

    async def messages(self) -> AsyncGenerator[tuple[str, Sequence[Copied]]]:
        """Yield what was verified: a sink may add objects meanwhile."""
        for stream, check in self.checks.items():
            done = 0
            async with contextlib.aclosing(ArchivedStream(self._objects, stream).read()) as objects:
                async for _, found in objects:
                    fresh = [message for message in found.messages if done < message.seq <= check.seq]
                    for start in range(0, len(fresh), AT_ONCE):
                        yield stream, fresh[start : start + AT_ONCE]
                    done = max(done, found.heading.last)
                    if done >= check.seq:
                        break

    async def streams(self) -> list[str]:
        """Return what is archived. Missing if there is no archive."""
        streams = await archived_streams(self._objects)
        if subjects.ORDER_STREAM not in streams:
            raise Missing(f"there is no archive of an order journal at {self._objects.url}")
        return streams


async def archive_size(objects: Objects) -> int:
    """Return the number of messages that an archive holds, by the names of its objects. A strange name counts nothing. Unavailable."""
    found = [await objects.names(commits_folder(stream)) for stream in await archived_streams(objects)]
    spans = [[span_of(name.rpartition("/")[2]) for name in names] for names in found]
    return sum(max((span.last for span in each if span is not None), default=0) for each in spans)


async def verify_archive(objects: Objects, tell: Tell, progress: Progress = lambda done: None) -> VerificationReport:
    """Verify an archive by itself. Unavailable if there is none, or it cannot be read."""
    copy = ArchiveCopy(objects, progress)
    checks: list[CheckLine] = []

    def done(check: CheckLine) -> None:
        checks.append(check)
        tell(check)

    await _objects(copy, objects, done, progress)
    sides = Sides()
    streams = await copy.streams()
    for kind in (CONTROLS_KIND, ACCESS_KIND):
        if kind.journal.stream in streams:
            side = ControlsSide(_opened(objects, kind.journal.stream, kind.journal.subject), {}, kind)
            setattr(sides, kind.name, side)
    journal = ArchivedJournal(objects, subjects.ORDER_STREAM, subjects.order_subject(0))
    report = await verify(journal, sides, tell=lambda check: None if check.outcome == "not_looked_at" else done(check))
    return report_of(checks, report.as_of_seq)


def _opened(objects: Objects, stream: str, subject: str) -> Callable[[], Awaitable[ArchivedJournal]]:
    async def opened() -> ArchivedJournal:
        return ArchivedJournal(objects, stream, subject)

    return opened


async def _objects(copy: ArchiveCopy, objects: Objects, done: Tell, progress: Progress) -> None:
    """Report on the objects, and on the events. Damage of one stream does not hide that of another."""
    found, counts, events = "", Counts(), CheckLine(EVENTS, "not_looked_at")
    totals = dict.fromkeys(("objects", "replaced", "messages"), 0)
    for stream in await copy.streams():
        check, damaged = StreamCheck(objects, stream, progress, totals["messages"]), ""
        try:
            await check.run()
        except Corrupt as damage:
            damaged = str(damage)
            found = found or damaged
        totals["objects"] += check.objects
        totals["replaced"] += check.replaced
        totals["messages"] += check.seq
        if stream == WITH_EVENTS:
            rows: Counts = {"files": check.files, "rows": check.rows}
            if check.left_over:
                rows["left_over"] = check.left_over
            differs = check.found_in_events
            events = CheckLine(EVENTS, "different" if differs else "ok", rows, differs)
            if damaged and not differs:
                events = CheckLine(EVENTS, "not_looked_at", rows, "the commits do not verify")
    counts |= {"streams": len(await copy.streams()), **totals}
    done(CheckLine(ARCHIVE, "different" if found else "ok", counts, found))
    done(events)
