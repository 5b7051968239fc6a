"""Which unit owns a shard: when a unit waits, takes it, holds it, steps down or releases it. Pure.

The lease says who should own the shard, and may be wrong. The journal says who does: from the acknowledgement of a ShardTaken on, no commit
of the previous owner can be stored. All times are nanoseconds of the unit's own monotonic clock; no time of a server, and no wall clock,
has any effect.
"""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

LEASE_NS: Final = 3_000_000_000
"""How long a shard must have been silent before another unit may take it."""
TRUST_NS: Final = LEASE_NS - 500_000_000
"""How long an owner may answer from memory, counted from the sending of its last acknowledged renewal or append."""
GAP_NS: Final = 1_200_000_000
"""A longer time between two of the unit's own heartbeats in its watch is a time in which the lease store did not answer."""
RENEW_NS: Final = 1_000_000_000
"""The pace of an owner's renewals, and of the proofs that it appends where renewals prove nothing."""
BEAT_NS: Final = 500_000_000
"""The pace of a unit's heartbeats: twice as fast, so that one late heartbeat makes no gap."""
RANK_NS: Final = 500_000_000
RANK_MAX: Final = 2
"""Units of this rank and behind it wait equally long."""
BACK_NS: Final = 60_000_000_000
"""How long a unit does not take back a shard that it lost, while another unit can take it."""
FIRST_NS: Final = 30_000_000_000
"""How long a shard with an empty journal, which never had an owner, waits for the unit of the first rank."""
UNITS_MAX: Final = 256
"""How many units are remembered; those that are gone make room for others."""


class Duty(StrEnum):
    """What a unit has to do about a shard now."""

    WAIT = "wait"
    TAKE = "take"
    HOLD = "hold"
    STEP_DOWN = "step_down"
    RELEASE = "release"


class Phase(StrEnum):
    """What a unit is to a shard. Only an owner takes orders; it no longer does once it is releasing."""

    FOLLOWING = "following"
    TAKING = "taking"
    OWNING = "owning"
    RELEASING = "releasing"


def ranked(shard: int, units: Iterable[str]) -> list[str]:
    """Return the units in the order in which they should own the shard, by rendezvous hashing.

    A unit that joins or leaves changes the order of no two others.
    """
    return sorted(units, key=lambda unit: (hashlib.blake2b(f"{shard} {unit}".encode(), digest_size=8).digest(), unit))


class UnitsSeen:
    """The heartbeats in one unit's watch of the lease store. The unit's own heartbeat there proves that the store answers."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._seen: dict[str, tuple[int, frozenset[int]]] = {}
        self._since: int | None = None

    def heartbeat(self, unit: str, shards: Iterable[int], now: int) -> None:
        """Note a heartbeat that the watch showed, with the shards that the unit may take."""
        if unit not in self._seen and len(self._seen) >= UNITS_MAX:
            self._seen = {name: seen for name, seen in self._seen.items() if name == self.unit or now - seen[0] < LEASE_NS}
            if len(self._seen) >= UNITS_MAX:
                return
        if unit == self.unit and (self._since is None or now - self._seen[unit][0] > GAP_NS):
            self._since = now
        self._seen[unit] = (now, frozenset(shards))

    def left(self, unit: str) -> None:
        """Forget a unit that gave its key back."""
        if unit != self.unit:
            self._seen.pop(unit, None)

    def away(self) -> None:
        """Note that the watch ended: the store's answers count from the next heartbeat on."""
        self._since = None

    def answered_ns(self, now: int) -> int:
        """Return for how long the store has answered without a gap; 0 if it does not answer now."""
        if self._since is None or now - self._seen[self.unit][0] > GAP_NS:
            return 0
        return now - self._since

    def others(self, now: int) -> list[str] | None:
        """Return the other units alive; None while the lease store does not answer."""
        if not self.answered_ns(now):
            return None
        return sorted(unit for unit, (at, _) in self._seen.items() if unit != self.unit and now - at < LEASE_NS)

    def heirs(self, shard: int, now: int) -> list[str]:
        """Return the units alive that may take the shard, in the order of their ranks.

        If none of them may, any unit alive takes a shard rather than leave it without an owner.
        """
        alive = {unit: shards for unit, (at, shards) in self._seen.items() if now - at < LEASE_NS}
        return ranked(shard, [unit for unit, shards in alive.items() if shard in shards] or alive)


class ShardOwnership:
    """One shard as one unit sees it, and what the unit is to it. The unit reports what it reads and does, and asks for its duty."""

    def __init__(self, shard: int, units: UnitsSeen, now: int) -> None:
        self.shard = shard
        self.phase = Phase.FOLLOWING
        self.holder = ""
        self.revision = 0
        """The last seen revision of the lease: the one that the next write of it must expect."""
        self.n = 0
        self.epoch = 0
        """The epoch of the last ShardTaken in the journal; 0: no unit ever took the shard."""
        self._units = units
        self._lease_epoch = 0
        self._life_at = now
        self._released: tuple[str, int] | None = None
        self._lost_at: int | None = None
        self._adopted_at: int | None = None
        """When an owner continued from a revision of its lease that it did not write; None once that is proven by the journal."""
        self._proven_at: int | None = None
        self._renewed_at = now
        self._end = 0
        self._heir: str | None = None
        self._replaced = False

    # What the unit reads

    def lease(self, unit: str, epoch: int, revision: int, now: int) -> None:
        """Note the shard's lease as the store shows it. `unit` is empty if it was given back or has expired.

        While this unit owns the shard the lease names it, with its epoch; anything else is of another process.
        """
        if 0 < revision <= self.revision:
            return
        self.revision, self.holder, self._lease_epoch = revision, unit, epoch
        mine = unit == self._units.unit
        if self.phase in (Phase.OWNING, Phase.RELEASING):
            if not unit:
                self._adopted_at = now
            elif not mine or epoch != self.epoch:
                self._replaced = True
        elif unit and (not mine or epoch):
            self._life_at = now
            if epoch != self.epoch:
                self._released = None  # another unit is taking the released shard

    def commit(self, n: int, now: int) -> None:
        """Note the newest commit of the journal, seen or appended."""
        if n > self.n:
            self.n = n
            self._life_at = now
            self._released = None

    def taken(self, epoch: int, n: int, now: int, *, mine: bool) -> None:
        """Note a ShardTaken by which a unit took the shard. `mine`: this process appended it."""
        self.commit(n, now)
        if epoch > self.epoch:
            self.epoch = epoch
            if not mine and self.phase in (Phase.OWNING, Phase.RELEASING):
                self._replaced = True

    def released(self, to: str, n: int, now: int) -> None:
        """Note a ShardReleased in the journal. `to` is empty if the owner named no heir.

        A lease with a later epoch shows that the shard has been taken since, by a ShardTaken that was not read yet.
        """
        self.commit(n, now)
        if self._lease_epoch <= self.epoch:
            self._released = (to, now)

    # What the unit does

    def taking(self, revision: int) -> bool:
        """The lease was written for this unit, expecting `self.revision`. Next: read the journal to its end.

        Return False if another unit has written the lease since.
        """
        if revision < self.revision:
            return False
        self.phase, self.revision, self.holder = Phase.TAKING, revision, self._units.unit
        self._end = self.n
        return True

    def ends(self, n: int, now: int) -> bool:
        """The journal was read to its end. Return whether ShardTaken may be appended there.

        A commit that was not known before is life: the watch of the journal may have been deaf.
        """
        self.commit(n, now)
        return n == self._end

    def refused(self, now: int) -> None:
        """A write of the lease or of ShardTaken was refused, or the journal showed life: begin with the silence again."""
        self.phase = Phase.FOLLOWING
        self._life_at = now

    def given_up(self) -> None:
        """An attempt to take the shard ended without an answer. That is no sign of life."""
        self.phase = Phase.FOLLOWING

    def opened(self, epoch: int, n: int, sent_at: int, now: int) -> None:
        """ShardTaken was acknowledged: this unit owns the shard, unless another one wrote the lease since `taking`."""
        self.taken(epoch, n, now, mine=True)
        self.phase, self._heir = Phase.OWNING, None
        self._adopted_at = None if self.holder else now
        self._replaced = self.holder not in ("", self._units.unit) or epoch < self.epoch
        self._proven_at = sent_at
        self._renewed_at = now

    def renewed(self, revision: int, sent_at: int, now: int) -> None:
        """A renewal was acknowledged. It is a proof if all revisions since the taking, or since a later append, are this process's own."""
        if revision >= self.revision:
            self.revision, self.holder = revision, self._units.unit
            self._renewed_at = now
            if self._adopted_at is None:
                self._prove(sent_at)

    def appended(self, n: int, sent_at: int, now: int) -> None:
        """A commit of this unit was acknowledged, which proves that no other unit took the shard before it was sent."""
        self.commit(n, now)
        if self.phase is Phase.OWNING:
            self._prove(sent_at)
            if self._adopted_at is not None and sent_at >= self._adopted_at:
                self._adopted_at = None

    def release(self, heir: str) -> None:
        """Begin a planned move, or a stop without an heir (empty). Memory is no longer answered from."""
        if self.phase is Phase.OWNING:
            self.phase, self._heir, self._proven_at = Phase.RELEASING, heir, None

    def stepped_down(self, now: int) -> None:
        """The shard was lost or released: the unit follows it, and does not take it back soon."""
        self.phase, self._proven_at, self._replaced, self._heir = Phase.FOLLOWING, None, False, None
        self._lost_at = now
        self._life_at = now

    # What follows

    @property
    def heir(self) -> str:
        """The unit that gets the shard in a planned move; empty if none is named."""
        return self._heir or ""

    def trusted(self, now: int) -> bool:
        """Return whether the unit may answer from memory, and take orders."""
        return self.phase is Phase.OWNING and not self._replaced and self._proven_at is not None and now - self._proven_at < TRUST_NS

    def must_prove(self, now: int) -> bool:
        """Return whether an owner should append a ShardHeld: its renewals are not acknowledged, or prove nothing."""
        return self.phase is Phase.OWNING and (now - self._renewed_at >= GAP_NS or self._adopted_at is not None)

    def able(self, now: int) -> bool:
        """Return whether the unit says in its heartbeat that it may take the shard: it owns it, or did not lose it a short time ago."""
        return self._lost_at is None or now - self._lost_at >= BACK_NS or self.phase is Phase.OWNING

    def duty(self, now: int) -> Duty:
        """Return what to do now. A write that was refused, or had no answer, is decided again at the next look."""
        match self.phase:
            case Phase.FOLLOWING:
                return Duty.TAKE if self._may_take(now) else Duty.WAIT
            case Phase.TAKING:
                return Duty.WAIT
        if self._replaced:
            return Duty.STEP_DOWN
        return Duty.HOLD if self.phase is Phase.OWNING else Duty.RELEASE

    def _may_take(self, now: int) -> bool:
        answered = self._units.answered_ns(now)
        if self._released is not None and self._released[0] == self._units.unit:
            return True
        heirs = self._units.heirs(self.shard, now)
        if not answered or self._units.unit not in heirs:
            return False
        rank = min(heirs.index(self._units.unit), RANK_MAX)
        if self._released is not None and not self._released[0]:
            return now - self._released[1] >= rank * RANK_NS
        quiet = min(now - self._life_at, answered)
        if not self.n and not self.holder:
            return rank == 0 or quiet >= FIRST_NS
        return quiet >= LEASE_NS + rank * RANK_NS

    def _prove(self, sent_at: int) -> None:
        self._proven_at = sent_at if self._proven_at is None else max(self._proven_at, sent_at)
