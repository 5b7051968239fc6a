"""A journal for readers that follow it in another way than through its own feed. All other calls go to the journal."""

from collections.abc import Sequence

from domain.order.events import Foreign
from domain.ports import Head, Journal, JournalEntry


class JournalView:
    """A delegate to a journal. A subclass adds `follow`. Port: domain.ports.Journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def passed(self) -> Sequence[Foreign]:
        return self._journal.passed

    async def head(self) -> Head:
        return await self._journal.head()

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        return await self._journal.foreign(after)

    async def append(self, payload: bytes, after: Head) -> Head:
        return await self._journal.append(payload, after)

    async def read(self, seq: int) -> JournalEntry | None:
        return await self._journal.read(seq)
