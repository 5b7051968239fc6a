"""A place and dead letters in memory, for tests and for a service without a data directory."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from domain.archive.checkpoint import Checkpoint
from domain.archive.ports import ArchiveRow, DeadLetter
from domain.ports import Fenced, Unavailable

LETTERS_MAX: Final = 10_000


class MemoryShelf:
    """What is stored, apart from the processes that write it: rows by key, the checkpoint, and its owner."""

    def __init__(self, key: Callable[[ArchiveRow], Hashable] = lambda row: row.origin) -> None:
        self.key = key
        self.rows: dict[Hashable, ArchiveRow] = {}
        self.checkpoint = Checkpoint()
        self.owner = 0
        self.away = False


class MemoryPlace:
    """Port: domain.archive.ports.Place. One process's access to a shelf."""

    def __init__(self, shelf: MemoryShelf, fails: Callable[[str], None]) -> None:
        self._shelf = shelf
        self._fails = fails
        self._owner = 0

    async def claim(self) -> Checkpoint:
        await self.ping()
        self._shelf.owner = self._owner = self._shelf.owner + 1
        return self._shelf.checkpoint

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        await self.ping()
        if self._shelf.owner != self._owner:
            raise Fenced(f"another sink claimed the place: owner {self._shelf.owner}")
        self._shelf.rows.update((self._shelf.key(row), row) for row in rows)
        self._fails("after_rows")
        self._shelf.checkpoint = checkpoint

    async def checkpoint(self) -> Checkpoint:
        await self.ping()
        return self._shelf.checkpoint

    async def ping(self) -> None:
        if self._shelf.away:
            raise Unavailable("the place is away")

    async def close(self) -> None:
        """Leave everything on the shelf."""


class MemoryDeadLetters:
    """Port: domain.archive.ports.DeadLetters."""

    def __init__(self, letters_max: int = LETTERS_MAX) -> None:
        self._letters_max = letters_max
        self._letters: OrderedDict[tuple[object, ...], DeadLetter] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def put(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            key = (letter.place, letter.table, letter.part, letter.epoch, letter.n, letter.i)
            if key in self._letters:
                continue
            self._letters[key] = letter
            self._counts[letter.place] += 1
            if len(self._letters) > self._letters_max:
                self._letters.popitem(last=False)

    def newest(self, limit: int) -> Sequence[DeadLetter]:
        return list(reversed(self._letters.values()))[:limit]

    def counts(self) -> Mapping[str, int]:
        return dict(self._counts)
