"""A journal as a source of a sink: every commit, verified against the chain."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from adapters.codec import CommitCodec, Decoded
from apps.runtime.chassis import cancelled
from domain.archive.checkpoint import Checkpoint, Message
from domain.ports import Corrupt, Head, Journal, JournalEntry, Unavailable

IDLE_S: Final = 0.25
"""After this time without a commit the pipeline gets an empty batch, so that it can write what it has."""
LOOK_EVERY_S: Final = 1.0
"""How often the end of the journal is looked up."""
EPOCH: Final = 0
"""A journal has one epoch: its commits are numbered without gaps from its beginning."""


class JournalSource:
    """Port: domain.archive.ports.Source. Each body is a `Decoded` commit with its bytes. `part` names the journal, such as orders.0.

    It begins at the hint if that has a chain value, else at the first commit. A journal that lacks the commit of the hint is Corrupt.
    """

    unread_percent = 0
    """A journal discards nothing."""

    def __init__(self, journal: Journal, codec: CommitCodec[Any], part: str) -> None:
        self.part = part
        self.behind = 0
        self._journal = journal
        self._codec = codec
        self._end = 0
        self._look_at = 0.0

    async def messages(self, after: Checkpoint) -> AsyncGenerator[Sequence[Message[Decoded[Any]]]]:
        hint = after.hint
        read = Head(hint.seq, hint.n, hint.chain) if hint is not None and hint.chain else Head()
        await self._verify(read)
        async with contextlib.aclosing(self._journal.follow(read)) as commits:
            while True:
                coming = asyncio.ensure_future(anext(commits))
                try:
                    while not (await asyncio.wait({coming}, timeout=IDLE_S))[0]:
                        await self._look(read.seq)
                        yield []
                    entries = coming.result()
                finally:
                    await cancelled(coming)
                read = entries[-1].head
                await self._look(read.seq)
                yield [self._message(entry) for entry in entries]

    def _message(self, entry: JournalEntry) -> Message[Decoded[Any]]:
        head = entry.head
        return Message(part=self.part, epoch=EPOCH, n=head.n, body=self._codec.decoded(entry), seq=head.seq, chain=head.chain)

    async def _verify(self, read: Head) -> None:
        """Raise Corrupt if the journal lacks the commit that a place has; Unavailable while its server is behind."""
        last = await self._journal.head()
        self._end, self._look_at = last.seq, asyncio.get_running_loop().time() + LOOK_EVERY_S
        if not read.chain or last == read:
            return
        if last.seq < read.seq:
            raise Unavailable(f"{self.part} ends at sequence {last.seq}, the place has it up to {read.seq}: its store went back")
        found = await self._journal.read(read.seq)
        if found is None or found.head != read:
            raise Corrupt(f"{self.part} has another commit at sequence {read.seq} than the place")

    async def _look(self, read: int) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._look_at:
            self._end, self._look_at = (await self._journal.head()).seq, loop.time() + LOOK_EVERY_S
        self.behind = max(0, self._end - read)
