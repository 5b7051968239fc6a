"""An archived journal, read as the journal itself is read."""

import contextlib
import hashlib
from collections.abc import AsyncGenerator, Sequence

from adapters.archive import ArchivedStream, commit_spans, commits_folder, commits_object
from adapters.chain import GENESIS, ChainReading, is_foreign
from adapters.objects import Objects
from domain.archive.ranges import whole
from domain.order.events import Foreign
from domain.ports import FOREIGN_MAX, Corrupt, Fenced, Head, JournalEntry, Missing


class ArchivedJournal:
    """Port: domain.ports.Journal, to read. Every read verifies the archive from its beginning."""

    def __init__(self, objects: Objects, stream: str, subject: str) -> None:
        self._objects = objects
        self._stream = stream
        self._subject = subject
        self._passed: dict[int, Foreign] = {}

    @property
    def passed(self) -> Sequence[Foreign]:
        return [self._passed[seq] for seq in sorted(self._passed)][:FOREIGN_MAX]

    async def head(self) -> Head:
        spans = await commit_spans(self._objects, self._stream)
        if not spans:
            raise Missing(f"the archive has nothing of {self._stream}")
        if not (taken := whole(spans)):
            raise Corrupt(f"{commits_folder(self._stream)}: no object holds sequence 1")
        return (await commits_object(self._objects, self._stream, taken[-1])).heads.get(self._subject, GENESIS)

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        found: list[Foreign] = []
        for span in whole(await commit_spans(self._objects, self._stream)):
            if span.last <= after.seq:
                continue
            for message in (await commits_object(self._objects, self._stream, span)).messages:
                if message.seq <= after.seq or message.subject != self._subject:
                    continue
                if not is_foreign(message.id, message.chain) or len(found) == FOREIGN_MAX:
                    return found
                found.append(Foreign(message.seq, hashlib.sha256(message.payload).hexdigest()))
        return found

    async def append(self, payload: bytes, after: Head) -> Head:
        raise Fenced("an archive is only read")

    async def read(self, seq: int) -> JournalEntry | None:
        async with contextlib.aclosing(self.follow(GENESIS, until=seq)) as batches:
            async for batch in batches:
                if batch[-1].head.seq >= seq:
                    return next((entry for entry in batch if entry.head.seq == seq), None)
        return None

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        reading = ChainReading(GENESIS)
        async with contextlib.aclosing(ArchivedStream(self._objects, self._stream).read()) as objects:
            async for _, found in objects:
                batch = []
                for message in found.messages:
                    if message.subject != self._subject or message.seq <= reading.at or (until is not None and message.seq > until):
                        continue
                    entry = reading.take(message.seq, message.id, message.chain, message.payload)
                    if isinstance(entry, Foreign):
                        self._passed[entry.seq] = entry
                    elif message.seq > after.seq:
                        batch.append(entry)
                if batch:
                    yield batch
                if until is not None and found.heading.last >= until:
                    return
