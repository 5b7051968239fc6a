"""The archive of the journals, as pipelines: one for each stream of a backup, the order journal behind the venues' journals."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

import structlog
from nats.aio.client import Client

from adapters import journalcopy, subjects
from adapters.archive_place import ArchivedJournals, ArchivePlace
from adapters.journalcopy import STREAMS, Copied
from adapters.objects import Objects
from apps.runtime.failpoint import failpoint
from apps.sink.pipeline import FlushBounds, Pipeline
from config.archive_section import ArchiveSection
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.ports import ArchiveRow, DeadLetters, Place
from domain.ports import Clock, Corrupt, Head, Journal, Missing, Unavailable

log = structlog.get_logger()
NAME: Final = "archive"
LOOK_EVERY_S: Final = 1.0
"""How often the end of a stream is looked up, and a stream that does not exist yet."""
BATCH_MAX: Final = 5000
"""Messages of one write: several full ranges, when the archive is far behind."""
REFUSED_RETRY_S: Final = 10.0
"""How often an archive that was refused is compared with the journal again."""
AHEAD_WAIT_MAX_S: Final = 30.0
AHEAD_LOOK_S: Final = 0.05


class CopySource:
    """Port: domain.archive.ports.Source. Every message of a stream as `Copied`; `n` is the stream's sequence.

    Nothing is verified here: the place verifies every message against the chain. A stream that does not exist yet is empty.
    """

    unread_percent = 0
    """A journal discards nothing."""

    def __init__(self, client: Client, stream: str) -> None:
        self.behind = 0
        self._client = client
        self._stream = stream
        self._journals = JournalStream(client, stream)
        self._look_at = 0.0
        self._end = 0

    async def messages(self, after: Checkpoint) -> AsyncGenerator[Sequence[Message[Copied]]]:
        seq, self._look_at = _seq_of(after), 0.0
        while not await self._find_end(seq):
            yield []
            await asyncio.sleep(LOOK_EVERY_S)
        async with contextlib.aclosing(journalcopy.behind(self._client, self._stream, STREAMS[self._stream], seq)) as batches:
            async for batch in batches:
                if batch and batch[0].seq != seq + 1:
                    raise Unavailable(f"sequence {seq + 1} of {self._stream} did not arrive; if this repeats, run trade verify")
                seq = batch[-1].seq if batch else seq
                await self._find_end(seq)
                yield [Message(part=self._stream, epoch=0, n=each.seq, body=each, seq=each.seq, chain=each.chain) for each in batch]

    async def look(self, after: Checkpoint) -> None:
        await self._find_end(_seq_of(after))

    async def _find_end(self, seq: int) -> bool:
        """Look up the end of the stream, at most every LOOK_EVERY_S; return whether it exists."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            self._end = await self._journals.last()
            self._look_at = now + LOOK_EVERY_S
        self.behind = max(0, self._end - seq)
        return bool(self._end)


def _seq_of(after: Checkpoint) -> int:
    return after.hint.seq if after.hint is not None else 0


class JournalStream:
    """Port: adapters.archive_place.ArchivedJournals."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._journals: dict[str, Journal] = {}

    async def max_bytes(self) -> int:
        size = await journalcopy.size_of(self._client, self._stream)
        if size is None:
            raise Missing(f"the stream {self._stream} does not exist")
        return size.max_bytes

    async def last(self) -> int:
        size = await journalcopy.size_of(self._client, self._stream)
        return 0 if size is None else size.messages

    async def head_at(self, subject: str, seq: int) -> Head | None:
        if subject not in self._journals:
            self._journals[subject] = await journalcopy.journal_of(self._client, self._stream, subject)
        found = await self._journals[subject].read(seq)
        return None if found is None else found.head


class BehindPlace:
    """A place that is written only when the archive of another stream has all that the stream had before.

    On restore a paper venue must not be behind oms: it would use numbers of reports again that oms has seen.
    """

    def __init__(self, place: Place, ahead: Pipeline, ahead_stream: ArchivedJournals, name: str) -> None:
        self._place = place
        self._ahead = ahead
        self._ahead_stream = ahead_stream
        self._name = name

    async def claim(self) -> Checkpoint:
        return await self._place.claim()

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        last, loop = await self._ahead_stream.last(), asyncio.get_running_loop()
        deadline = loop.time() + AHEAD_WAIT_MAX_S
        while last and not self._ahead.checkpoint.holds(self._name, 0, last):
            if loop.time() > deadline:
                raise Unavailable(f"the archive of {self._name} has not reached sequence {last}: {self._ahead.trouble}")
            await asyncio.sleep(AHEAD_LOOK_S)
        await self._place.write(rows, checkpoint)

    async def checkpoint(self) -> Checkpoint:
        return await self._place.checkpoint()

    async def ping(self) -> None:
        await self._place.ping()

    async def close(self) -> None:
        await self._place.close()


class ArchivePipeline(Pipeline):
    """A pipeline that waits where its archive does not fit the journal, or a damaged object is in the way.

    The other pipelines of the service continue. This one is not ready, says why, and compares the archive again from time to time: an
    operator may have repaired it.
    """

    retry_s = REFUSED_RETRY_S

    async def run(self) -> None:
        while True:
            try:
                await super().run()
            except Corrupt as refused:
                if self.trouble != str(refused):
                    log.error("the archive is refused", sink=self.name, reason=str(refused))
                self.trouble = str(refused)
                await asyncio.sleep(self.retry_s)


def rows(message: Message[Any]) -> Sequence[ArchiveRow]:
    """Return the message itself as one row: the place makes the rows of events."""
    return [ArchiveRow(NAME, message.part, message.epoch, message.n, 0, message.body)]


def archive_pipelines(
    client: Client,
    objects: Objects,
    section: ArchiveSection,
    letters: DeadLetters,
    clock: Clock,
    fails: Callable[[str], None] = failpoint,
) -> list[Pipeline]:
    """Return a pipeline for each stream of a backup. `client` may read every journal."""
    found: dict[str, Pipeline] = {}
    bounds = FlushBounds(rows=BATCH_MAX, wait_s=section.wait_ms / 1000)
    for stream in sorted(STREAMS, key=lambda stream: stream == subjects.ORDER_STREAM):
        journals = JournalStream(client, stream)
        place: Place = ArchivePlace(objects, stream, journals, fails, size=section.range, tails_max=section.tails_max)
        if stream == subjects.ORDER_STREAM:
            ahead = subjects.VENUE_STREAM
            place = BehindPlace(place, found[ahead], JournalStream(client, ahead), ahead)
        source = CopySource(client, stream)
        found[stream] = ArchivePipeline(f"{NAME}.{stream}", source, rows, place, letters, clock, bounds=bounds, fails=fails)
    return list(found.values())
