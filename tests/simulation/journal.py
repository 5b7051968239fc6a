"""Journals that outlive their writers, and the trouble in reaching them: latency, lost acks, late copies, outages, stale readers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from adapters.chain import GENESIS, following, verified
from adapters.memory import MemoryJournal, MemoryLog
from domain.order.events import Foreign
from domain.ports import Fenced, Head, JournalEntry, Unavailable
from tests.simulation.bus import Client
from tests.simulation.world import World

APPEND_S, READ_S = 0.0008, 0.0005
GIVE_UP_S = 0.7
"""A writer that receives nothing waits so long, then says that it does not know."""
LATE_MAX_S = 0.8
"""How long after that a copy may still be stored. All together less than a reservation of risk holds: see docs/verification.md."""


class Disk:
    """The server's side of one journal: what is stored is stored, its writer may be dead by then."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.log = MemoryLog()
        self.random = world.random(f"disk {name}")
        self.slow_s = 0.0
        self.lose = 0.0
        self.lose_acks = 0.0
        self.late = 0.0
        self.lags: dict[str, float] = {}
        """Services that read late, and by how much."""

    @property
    def head(self) -> Head:
        return self.log.commits[-1][0] if self.log.commits else GENESIS

    def store(self, payload: bytes, after: Head) -> Head | None:
        """What the server does with an append: None when another writer was first."""
        last = self.head
        if last.seq != after.seq:
            return None
        head = Head(last.seq + 1, last.n + 1, following(last, payload))
        self.log.store(head, payload)
        return head

    def disturb(self) -> None:
        """A reader that waits finds the connection gone or the server down."""
        self.log.arrived.set()
        self.log.arrived = asyncio.Event()

    def calm(self) -> None:
        self.log.down = False
        self.slow_s = self.lose = self.lose_acks = self.late = 0.0


class SimJournal:
    """One process's way to a disk. Port: Journal. A process that is cut off does not reach it, a dead one gets no answer."""

    def __init__(self, disk: Disk, client: Client) -> None:
        self._disk = disk
        self._client = client
        self._world = disk.world
        self._memory = MemoryJournal(disk.log)

    async def head(self) -> Head:
        await self._way(READ_S)
        return await self._memory.head()

    async def read(self, seq: int) -> JournalEntry | None:
        await self._way(READ_S)
        return await self._memory.read(seq)

    @property
    def passed(self) -> Sequence[Foreign]:
        return self._memory.passed

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        return await self._memory.foreign(after)  # at once: the trouble of a run stays what its seed says

    async def append(self, payload: bytes, after: Head) -> Head:
        """Every outcome the real one has: stored, fenced, surely not stored, or unknown (and then perhaps stored later)."""
        disk, chance = self._disk, self._disk.random
        self._check_up(sent=False)
        await self._world.step(self._client, f"append {after.n + 1}", before=True)
        wait_s = (APPEND_S + disk.slow_s) * chance.random()
        fate = chance.random()
        lost, late = fate < disk.lose, disk.lose <= fate < disk.lose + disk.late
        ack_lost = disk.lose + disk.late <= fate < disk.lose + disk.late + disk.lose_acks
        stored: asyncio.Future[Head | None] = asyncio.get_running_loop().create_future()
        if not lost:
            late_s = GIVE_UP_S + LATE_MAX_S * chance.random() if late else 0.0
            self._world.loop.call_later(wait_s / 2 + late_s, self._store, payload, after, stored)
        if lost or late or ack_lost:
            self._world.fired("append lost" if lost else "append late" if late else "ack lost")
            await asyncio.sleep(GIVE_UP_S)
            await self._forever_when_dead()
            raise Unavailable("the append was not acknowledged", unknown=True)
        head = await stored
        await asyncio.sleep(wait_s / 2)
        await self._world.step(self._client, f"append {after.n + 1}", before=False)
        await self._forever_when_dead()
        self._check_up(sent=True)
        if head is None:
            raise Fenced(f"another writer was first after {after.seq}")
        return head

    def _store(self, payload: bytes, after: Head, stored: "asyncio.Future[Head | None]") -> None:
        head = self._disk.store(payload, after)
        if not stored.done():
            stored.set_result(head)

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        head = after
        await self._way(READ_S)
        while until is None or head.seq < until:
            arrived = self._disk.log.arrived
            batch = []
            for stored, payload in self._disk.log.commits[head.seq : until]:
                head = verified(head, stored.seq, stored.n, stored.chain, payload)
                batch.append(JournalEntry(head, payload))
            if batch:
                await self._way(READ_S + self._disk.lags.get(self._client.name, 0.0))
                yield batch
            else:
                await arrived.wait()
                await self._forever_when_dead()
                self._check_up(sent=False)

    async def _way(self, wait_s: float) -> None:
        if wait_s > READ_S:
            self._world.fired("stale reader")
        await asyncio.sleep(wait_s * self._disk.random.random())
        await self._forever_when_dead()
        self._check_up(sent=False)

    def _check_up(self, *, sent: bool) -> None:
        if self._disk.log.down or not self._client.is_connected:
            raise Unavailable(f"{self._disk.name} is out of reach", unknown=sent)

    async def _forever_when_dead(self) -> None:
        if not self._client.open:
            await asyncio.Event().wait()
