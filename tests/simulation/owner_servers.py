"""The lease store and the journals as units reach them: latency, cuts in one direction, outages, and a deposed leader's old answers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Context
from typing import Any, Final, TypeVar

from adapters.chain import GENESIS, following
from adapters.memory import MemoryLog
from adapters.memory_leases import MemoryBucket
from domain.leases import LeaseEntry, LeaseValue, name_in
from domain.ports import Fenced, Head, JournalEntry, Unavailable
from tests.simulation.world import World

T = TypeVar("T")

STORE: Final = "store"
JOURNAL: Final = "journal"
WAY_S: Final = 0.004
ANSWER_S: Final = 1.0
DEAF_MAX_S: Final = 5.0
"""After this time without a word from the server a client connects again."""
EXPIRE_S: Final = 3.0


class Bucket(MemoryBucket):
    """The lease store. `expires`: it forgets leases by its own clock, which no good unit relies on."""

    expires = False

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.clock_step_s = 0.0
        self._written: dict[str, float] = {}

    def clock_s(self) -> float:
        return self._world.loop.time() + self.clock_step_s

    def put(self, key: str, value: LeaseValue | None, after: int) -> int:
        self._written[key] = self.clock_s()
        return super().put(key, value, after)

    def forget(self) -> None:
        """Drop the leases that are too old, by the server's clock."""
        if self.expires and not self.down:
            for key, entry in list(self.entries.items()):
                if name_in(key)[0] == "shard" and entry.value is not None and self.clock_s() - self._written[key] > EXPIRE_S:
                    super().put(key, None, entry.revision)


class ShardLog(MemoryLog):
    """The journal of one shard, and when each commit was stored."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.stored_at: list[float] = []

    @property
    def head(self) -> Head:
        return self.commits[-1][0] if self.commits else GENESIS

    def put(self, payload: bytes, after: Head) -> Head:
        """Append behind `after`. Raises Fenced."""
        if self.last != after.seq:
            raise Fenced(f"sequence {self.last} was written by another writer")
        head = Head(after.seq + 1, after.n + 1, following(after, payload))
        self.stored_at.append(self._world.loop.time())
        self.store(head, payload)
        return head


class Old:
    """What a deposed leader still answers: everything as of the moment when it was cut off from the others."""

    def __init__(self, bucket: Bucket, logs: Sequence[ShardLog]) -> None:
        self.entries = dict(bucket.entries)
        self.heads = {id(log): log.head for log in logs}


class Net:
    """Who receives what.

    `cut` has the directions that are cut, `deposed` the units that have only an old leader, `deaf` those whose watch of the journals shows
    nothing although requests are answered. `slow_s` is added to each way.
    """

    def __init__(self, world: World, logs: Sequence[ShardLog], bucket: Bucket) -> None:
        self.world = world
        self.logs = logs
        self.bucket = bucket
        self.down: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.deposed: dict[str, Old] = {}
        self.deaf: set[str] = set()
        self.slow_s = 0.0
        self._random = world.random("the network")

    def way_s(self) -> float:
        return (WAY_S + self.slow_s) * (0.2 + self._random.random())

    def reaches(self, unit: str, server: str) -> bool:
        return (unit, server) not in self.cut and unit not in self.deposed and server not in self.down

    def answers_reach(self, unit: str, server: str) -> bool:
        return (server, unit) not in self.cut and unit not in self.deposed and server not in self.down

    def changed(self) -> None:
        """Wake everyone who waits for a server."""
        self.bucket.down = STORE in self.down
        for log in self.logs:
            log.arrived.set()
            log.arrived = asyncio.Event()

    async def ask(self, unit: str, server: str, what: Callable[[], T], old: Callable[[Old], T] | None = None) -> T:
        """Send one request and wait for its answer. Raises what `what` raises, and Unavailable without an answer in time."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if old is not None and unit in self.deposed:
            self._later(self.way_s(), lambda: _answer(answer, old(self.deposed[unit]) if unit in self.deposed else what()))
        elif self.reaches(unit, server):
            self._later(self.way_s(), lambda: self._serve(unit, server, what, answer))
        try:
            async with asyncio.timeout(ANSWER_S):
                outcome = await answer
        except TimeoutError as silence:
            raise Unavailable(f"{server} does not answer {unit}", unknown=True) from silence
        if isinstance(outcome, Fenced):
            raise outcome
        result: T = outcome
        return result

    def _serve(self, unit: str, server: str, what: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        if server in self.down:
            return
        try:
            outcome = what()
        except Fenced as refusal:
            outcome = refusal
        self._later(self.way_s(), lambda: _answer(answer, outcome) if self.answers_reach(unit, server) else None)

    def _later(self, wait_s: float, call: Callable[[], object]) -> None:
        """On the server's side: a unit that is stopped does not stop it."""
        self.world.loop.call_later(wait_s, call, context=Context())

    async def silence(self, unit: str, server: str, arrived: asyncio.Event) -> bool:
        """Wait for a change at a server. Return False after DEAF_MAX_S without a word from it."""
        deaf_s = 0.0
        while not self.answers_reach(unit, server):
            await asyncio.sleep(ANSWER_S / 4)
            deaf_s += ANSWER_S / 4
            if deaf_s >= DEAF_MAX_S:
                return False
        if not deaf_s:
            await arrived.wait()
        return True


def _answer(answer: "asyncio.Future[Any]", outcome: object) -> None:
    if not answer.done():
        answer.set_result(outcome)


class SimLeases:
    """One unit's way to the lease store. Port: domain.ports.Leases."""

    def __init__(self, net: Net, unit: str) -> None:
        self._net = net
        self._unit = unit
        self._bucket = net.bucket

    async def read(self, key: str) -> LeaseEntry:
        none = LeaseEntry(key, 0, None)
        return await self._net.ask(self._unit, STORE, lambda: self._bucket.entries.get(key, none), lambda old: old.entries.get(key, none))

    async def write(self, key: str, value: LeaseValue, after: int) -> int:
        return await self._net.ask(self._unit, STORE, lambda: self._bucket.put(key, value, after))

    async def give_back(self, key: str, after: int) -> int:
        return await self._net.ask(self._unit, STORE, lambda: self._bucket.put(key, None, after))

    async def watch(self) -> AsyncGenerator[Sequence[LeaseEntry]]:
        seen = 0
        while True:
            changed = self._bucket.changed
            entries = self._bucket.behind(seen) if self._net.answers_reach(self._unit, STORE) else []
            if entries:
                seen = entries[-1].revision
                await asyncio.sleep(self._net.way_s())
                yield entries
            elif not await self._net.silence(self._unit, STORE, changed):
                raise Unavailable("the lease store is silent")


class SimShardJournal:
    """One unit's way to the journal of a shard."""

    def __init__(self, net: Net, unit: str, log: ShardLog) -> None:
        self._net = net
        self._unit = unit
        self.log = log

    async def append(self, payload: bytes, after: Head) -> Head:
        return await self._net.ask(self._unit, JOURNAL, lambda: self.log.put(payload, after))

    async def behind(self, after: Head) -> list[JournalEntry]:
        """The commits behind `after`. An old leader has only old ones."""
        log = self.log
        return await self._net.ask(
            self._unit,
            JOURNAL,
            lambda: [JournalEntry(*commit) for commit in log.commits[after.seq :]],
            lambda old: [JournalEntry(*commit) for commit in log.commits[after.seq : old.heads[id(log)].seq]],
        )

    async def follow(self, after: Callable[[], Head]) -> AsyncGenerator[Sequence[JournalEntry]]:
        """Yield the commits behind the reader's own position, as they come."""
        while True:
            arrived = self.log.arrived
            shown = self._net.answers_reach(self._unit, JOURNAL) and self._unit not in self._net.deaf
            commits = self.log.commits[after().seq :] if shown else []
            if commits:
                await asyncio.sleep(self._net.way_s())
                yield [JournalEntry(*commit) for commit in commits]
            elif not await self._net.silence(self._unit, JOURNAL, arrived):
                raise Unavailable("the journal is silent")
