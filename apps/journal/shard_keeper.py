"""A unit's shards: it renews its leases, takes shards whose owners are gone, and gives its own up when it must or should.

domain/ownership.py decides. The lease store may be wrong; what a unit writes counts only if its ShardTaken is the last in the journal.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from domain.execution.owner import Owner, owner_of
from domain.leases import CLUSTER, SHARD, UNIT, Cluster, Lease, LeaseEntry, UnitAlive, agreed, name_in, shard_key, unit_key
from domain.order.events import OrderEvent, ShardReleased, ShardTaken
from domain.ownership import BEAT_NS, RENEW_NS, Duty, Phase, ShardOwnership, UnitsSeen
from domain.ports import Clock, Fenced, Leases, Unavailable

log = structlog.get_logger()

LOOK_S: Final = 0.1
AGAIN_S: Final = 0.1
"""Pause before a failed watch or heartbeat is repeated."""


class Opened(NamedTuple):
    """An acknowledged ShardTaken: the epoch that it begins, and the number of its commit."""

    epoch: int
    n: int


class ShardSeat(Protocol):
    """A shard's orders and journal in this unit. What it reads and appends it reports to the keeper."""

    async def end(self) -> None:
        """Read the journal to its end and apply it. Raises Unavailable."""

    async def take(self, lease: int) -> Opened:
        """Append ShardTaken behind what was read, and open the shard once it is stored. Raises Fenced, Unavailable."""

    async def hold(self) -> None:
        """Append ShardHeld. Raises Fenced, Unavailable."""

    async def release(self, to: str) -> None:
        """Take no more orders, settle those in flight, and append ShardReleased, in at most a second. Raises Fenced, Unavailable.

        It is called again until it is stored, or another unit has the shard.
        """

    async def stop(self) -> None:
        """Take no more orders, settle those in flight, and follow."""


async def join(leases: Leases, mine: Cluster) -> Cluster:
    """Create the cluster, or return the one that exists. Raises OtherShards if it has another number of shards; Unavailable."""
    try:
        await leases.write(CLUSTER, mine, 0)
    except Fenced:
        found = (await leases.read(CLUSTER)).value
        if not isinstance(found, Cluster):
            raise Unavailable("the lease store has no readable cluster") from None
        return agreed(mine, found)
    return mine


class ShardKeeper:
    """The leases of one unit. `sender` names this process, so that it knows its own ShardTaken."""

    def __init__(self, unit: str, sender: str, seats: Mapping[int, ShardSeat], leases: Leases, clock: Clock, alive: UnitAlive) -> None:
        self.unit = unit
        self.sender = sender
        self._seats = seats
        self._leases = leases
        self._clock = clock
        self._alive = alive
        self._units = UnitsSeen(unit)
        self._shards = {shard: ShardOwnership(shard, self._units, self._now()) for shard in seats}
        self._renewal_at: dict[int, int] = {}
        self._draining = False
        self.takes = 0

    def _now(self) -> int:
        return self._clock.monotonic_ns()

    def trusted(self, shard: int) -> bool:
        """Return whether this unit may take orders of the shard, and answer from its memory."""
        return self._shards[shard].trusted(self._now())

    def phase(self, shard: int) -> Phase:
        return self._shards[shard].phase

    def epoch(self, shard: int) -> int:
        """Return the shard's epoch, as far as the journal was read."""
        return self._shards[shard].epoch

    def holder(self, shard: int) -> str:
        """Return the unit that the lease of the shard names; empty if it was given back."""
        return self._shards[shard].holder

    def others(self) -> Sequence[str] | None:
        """Return the other units alive; None while the lease store does not answer."""
        return self._units.others(self._now())

    # What the seats report

    def recovered(self, shard: int, n: int, owner: Owner) -> None:
        """Note that the journal was read to commit `n`, and the owner of the shard there."""
        mine, now = self._shards[shard], self._now()
        mine.commit(n, now)
        if owner.unit:
            mine.taken(owner.epoch, n, now, mine=owner.sender == self.sender)
        elif owner.epoch:
            mine.taken(owner.epoch, n, now, mine=False)
            mine.released("", n, now)

    def applied(self, shard: int, n: int, events: Sequence[OrderEvent]) -> None:
        """Note a commit that was read from the journal."""
        mine, now = self._shards[shard], self._now()
        mine.commit(n, now)
        for event in events:
            if isinstance(event, ShardTaken) and event.lease:
                mine.taken(owner_of(event, n).epoch, n, now, mine=event.sender == self.sender)
            elif isinstance(event, ShardReleased):
                mine.released(event.to, n, now)

    def appended(self, shard: int, n: int, sent_at: int) -> None:
        """Note a commit of this unit that was acknowledged. `sent_at` is monotonic."""
        self._shards[shard].appended(n, sent_at, self._now())

    # What operators ask

    def move(self, shard: int, to: str) -> None:
        """Give an owned shard to another unit; to the first in rank if `to` is empty."""
        self._shards[shard].release(to)

    def drain(self) -> None:
        """Give up all shards before a stop, and take none. `drained` tells when that is done."""
        self._draining = True
        for mine in self._shards.values():
            mine.release("")

    @property
    def drained(self) -> bool:
        return self._draining and all(mine.phase is Phase.FOLLOWING for mine in self._shards.values())

    # The tasks

    async def watch(self) -> None:
        """Read the lease store until cancelled."""
        while True:
            try:
                async with contextlib.aclosing(self._leases.watch()) as batches:
                    async for entries in batches:
                        for entry in entries:
                            self._read(entry)
            except Unavailable as trouble:
                log.warning("the lease store cannot be watched", reason=str(trouble))
            self._units.away()
            await asyncio.sleep(AGAIN_S)

    async def beat(self) -> None:
        """Write this unit's heartbeat until cancelled."""
        key, revision = unit_key(self.unit), 0
        while True:
            began = self._now()
            able = () if self._draining else tuple(shard for shard, mine in self._shards.items() if mine.able(began))
            try:
                revision = await self._leases.write(key, msgspec.structs.replace(self._alive, shards=able), revision)
            except Fenced:
                with contextlib.suppress(Unavailable):
                    revision = (await self._leases.read(key)).revision
                await asyncio.sleep(AGAIN_S)
                continue
            except Unavailable as trouble:
                log.warning("the lease store does not take heartbeats", reason=str(trouble))
            await asyncio.sleep(max(AGAIN_S, (BEAT_NS - (self._now() - began)) / 1e9))

    async def keep(self, shard: int) -> None:
        """Do what is due for one shard until cancelled."""
        while True:
            await self._look(shard, self._shards[shard], self._seats[shard])
            await asyncio.sleep(LOOK_S)

    async def _look(self, shard: int, mine: ShardOwnership, seat: ShardSeat) -> None:
        match mine.duty(self._now()):
            case Duty.TAKE if not self._draining:
                await self._take(shard, mine, seat)
            case Duty.HOLD if self._draining:
                mine.release("")  # it was being taken when the drain began
            case Duty.HOLD:
                await self._hold(shard, mine, seat)
            case Duty.STEP_DOWN:
                await self._step_down(shard, mine, seat)
            case Duty.RELEASE:
                await self._release(shard, mine, seat)

    async def _take(self, shard: int, mine: ShardOwnership, seat: ShardSeat) -> None:
        """Write the lease, read the journal to its end, append ShardTaken there. Each may be refused."""
        try:
            revision = await self._leases.write(shard_key(shard), Lease(self.unit), mine.revision)
        except Fenced:
            mine.refused(self._now())
            await self._read_again(shard)
            return
        except Unavailable:
            return
        if not mine.taking(revision):
            mine.refused(self._now())
            return
        try:
            await seat.end()
            if not mine.ends(mine.n, self._now()):
                raise Fenced("the journal has commits that were not seen: its owner lives")
            sent_at = self._now()
            opened = await seat.take(revision)
        except Fenced as refusal:
            log.info("the shard is not taken", shard=shard, reason=str(refusal))
            mine.refused(self._now())
            await self._give_back(shard, mine)
        except Unavailable as trouble:
            log.warning("the shard cannot be taken", shard=shard, reason=str(trouble))
            mine.given_up()
        else:
            self.takes += 1
            mine.opened(opened.epoch, opened.n, sent_at, self._now())
            log.info("this unit owns the shard", shard=shard, epoch=opened.epoch, lease=revision)

    async def _hold(self, shard: int, mine: ShardOwnership, seat: ShardSeat) -> None:
        """Renew the lease once a second, and prove by a commit that the shard is still this unit's where a renewal does not."""
        if await self._renewed(shard, mine) and mine.must_prove(self._now()):
            try:
                await seat.hold()
            except (Fenced, Unavailable) as trouble:
                log.warning("the shard cannot be held by a commit", shard=shard, reason=str(trouble))

    async def _renewed(self, shard: int, mine: ShardOwnership) -> bool:
        """Try to renew the lease if that is due. Return whether it was."""
        now = self._now()
        if now - self._renewal_at.get(shard, now - RENEW_NS) < RENEW_NS:
            return False
        self._renewal_at[shard] = now
        await self._renew(shard, mine)
        return True

    async def _renew(self, shard: int, mine: ShardOwnership) -> None:
        sent_at = self._now()
        try:
            revision = await self._leases.write(shard_key(shard), Lease(self.unit, mine.epoch), mine.revision)
        except Fenced:
            await self._read_again(shard)
        except Unavailable as trouble:
            log.warning("the lease is not renewed", shard=shard, reason=str(trouble))
        else:
            mine.renewed(revision, sent_at, self._now())

    async def _step_down(self, shard: int, mine: ShardOwnership, seat: ShardSeat) -> None:
        log.warning("another process has the shard: this unit follows it", shard=shard, holder=mine.holder)
        await seat.stop()
        mine.stepped_down(self._now())

    async def _release(self, shard: int, mine: ShardOwnership, seat: ShardSeat) -> None:
        """Give the shard up. The lease is kept until that is stored, so that no other unit takes the shard meanwhile."""
        await self._renewed(shard, mine)
        try:
            await seat.release(mine.heir)
        except Unavailable as trouble:
            log.warning("the shard cannot be released yet", shard=shard, reason=str(trouble))
            return
        except Fenced:
            await self._step_down(shard, mine, seat)
            return
        mine.stepped_down(self._now())
        await self._give_back(shard, mine)

    async def _give_back(self, shard: int, mine: ShardOwnership) -> None:
        with contextlib.suppress(Fenced, Unavailable):
            await self._leases.give_back(shard_key(shard), mine.revision)

    async def _read_again(self, shard: int) -> None:
        """A write was refused: learn the revision that the next one must expect."""
        with contextlib.suppress(Unavailable):
            self._read(await self._leases.read(shard_key(shard)))

    def _read(self, entry: LeaseEntry) -> None:
        kind, name = name_in(entry.key)
        now = self._now()
        if kind == UNIT:
            if isinstance(entry.value, UnitAlive):
                self._units.heartbeat(name, entry.value.shards, now)
            else:
                self._units.left(name)
        elif kind == SHARD and (mine := self._shards.get(int(name))) is not None:
            lease = entry.value if isinstance(entry.value, Lease) else Lease("")
            mine.lease(lease.unit, lease.epoch, entry.revision, now)
