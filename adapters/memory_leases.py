"""A lease store in memory; it passes the same contract suite as the one on NATS."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from domain.leases import KEY, LeaseEntry, LeaseValue
from domain.ports import Fenced, Unavailable


class MemoryBucket:
    """The keys, shared by several MemoryLeases, with a switch for outages in tests."""

    def __init__(self) -> None:
        self.entries: dict[str, LeaseEntry] = {}
        self.revision = 0
        self.changed = asyncio.Event()
        self._down = False

    @property
    def down(self) -> bool:
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def put(self, key: str, value: LeaseValue | None, after: int) -> int:
        """Write a key that has the revision `after`. Raises Fenced."""
        if not KEY.fullmatch(key):
            raise ValueError(f"not a key of the lease store: {key[:80]!r}")
        if after != (self.entries[key].revision if key in self.entries else 0):
            raise Fenced(f"{key} has another revision than {after}")
        self.revision += 1
        self.entries[key] = LeaseEntry(key, self.revision, value)
        self.wake()
        return self.revision

    def expire(self, key: str) -> None:
        """Remove a key that was not renewed for too long."""
        del self.entries[key]

    def behind(self, revision: int) -> list[LeaseEntry]:
        return sorted((entry for entry in self.entries.values() if entry.revision > revision), key=lambda entry: entry.revision)


class MemoryLeases:
    """Port: domain.ports.Leases."""

    def __init__(self, bucket: MemoryBucket | None = None) -> None:
        self.bucket = bucket or MemoryBucket()

    async def read(self, key: str) -> LeaseEntry:
        self._check_up()
        return self.bucket.entries.get(key, LeaseEntry(key, 0, None))

    async def watch(self) -> AsyncGenerator[Sequence[LeaseEntry]]:
        seen = 0
        while True:
            self._check_up()
            changed = self.bucket.changed
            if entries := self.bucket.behind(seen):
                seen = entries[-1].revision
                yield entries
            else:
                await changed.wait()

    async def write(self, key: str, value: LeaseValue, after: int) -> int:
        self._check_up()
        return self.bucket.put(key, value, after)

    async def give_back(self, key: str, after: int) -> int:
        self._check_up()
        return self.bucket.put(key, None, after)

    def _check_up(self) -> None:
        if self.bucket.down:
            raise Unavailable("the lease store is down")
