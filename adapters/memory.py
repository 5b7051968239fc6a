"""Fakes that keep the ports' promises in memory; they pass the same contract suites as the real machines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from adapters.chain import GENESIS, following, verified
from domain.ports import Fenced, Head, Recorded, Unavailable


class MemoryLog:
    """What several MemoryJournals share: the stored commits of one shard, and switches for the trouble a test wants."""

    def __init__(self) -> None:
        self.commits: list[tuple[Head, bytes]] = []
        self.arrived = asyncio.Event()
        self.down = False
        self.acks_to_lose = 0

    def store(self, head: Head, payload: bytes) -> None:
        self.commits.append((head, payload))
        self.arrived.set()
        self.arrived = asyncio.Event()


class MemoryJournal:
    """The journal's promises without a server. Two of them on one MemoryLog contend like two writers. Port: Journal."""

    def __init__(self, shared: MemoryLog | None = None) -> None:
        self.log = shared or MemoryLog()

    async def head(self) -> Head:
        self._check_up()
        return self.log.commits[-1][0] if self.log.commits else GENESIS

    async def read(self, seq: int) -> Recorded | None:
        self._check_up()
        if not 1 <= seq <= len(self.log.commits):
            return None
        return Recorded(*self.log.commits[seq - 1])

    async def append(self, payload: bytes, after: Head) -> Head:
        self._check_up()
        last = await self.head()
        if last.seq != after.seq:
            raise Fenced(f"sequence {last.seq} was written by another writer")
        head = Head(last.seq + 1, last.n + 1, following(last, payload))
        self.log.store(head, payload)
        await asyncio.sleep(0)
        if self.log.acks_to_lose:
            self.log.acks_to_lose -= 1
            raise Unavailable("the ack was lost", unknown=True)
        return head

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[Recorded]]:
        head = after
        while until is None or head.seq < until:
            self._check_up()
            arrived = self.log.arrived
            batch = []
            for stored, payload in self.log.commits[head.seq : until]:
                head = verified(head, stored.seq, stored.n, stored.chain, payload)
                batch.append(Recorded(head, payload))
            if batch:
                yield batch
            else:
                await arrived.wait()

    def _check_up(self) -> None:
        if self.log.down:
            raise Unavailable("the log is down")
