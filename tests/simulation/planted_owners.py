"""Bugs of owners, each planted for a test: the checker must see every one of them."""

import contextlib
from functools import partial
from typing import Final

import msgspec

from apps.journal.shard_keeper import Opened, ShardKeeper
from domain.leases import Lease, shard_key
from domain.ownership import Phase, ShardOwnership, UnitsSeen
from domain.ports import Unavailable
from tests.simulation import planting
from tests.simulation.owner_servers import Bucket
from tests.simulation.owner_units import CountingSeat
from tests.simulation.owners import OwnersOutcome, simulate
from tests.simulation.planting import Patch, Plants

CATCH_WITHIN: Final = 60
OWNER_PLANTS: Final[Plants] = {}
"""By what the bug is, in words: how it is planted, and the only kinds of faults of its seeds."""
ALWAYS_NS: Final = 10**18

plant: Final = partial(planting.plant, among=OWNER_PLANTS)
planted_bug: Final = partial(planting.planted, among=OWNER_PLANTS)


@plant("an owner trusts what any server answers", "deposed leader")
def _trusts_an_answer() -> list[Patch]:
    renew = ShardKeeper._renew

    async def answered(self: ShardKeeper, shard: int, mine: ShardOwnership) -> None:
        await renew(self, shard, mine)
        sent_at = self._now()
        with contextlib.suppress(Unavailable):
            entry = await self._leases.read(shard_key(shard))
            if isinstance(entry.value, Lease) and entry.value.unit == self.unit:
                mine.renewed(mine.revision, sent_at, self._now())

    return [(ShardKeeper, "_renew", answered)]


@plant("a silence counts while the store is away", "servers away")
def _silence_of_the_store() -> list[Patch]:
    return [(UnitsSeen, "answered_ns", lambda self, now: ALWAYS_NS)]


@plant("a lease ends by the server's clock", "store away", "server clock")
def _ends_by_a_clock() -> list[Patch]:
    def may_take(self: ShardOwnership, now: int) -> bool:
        heirs = self._units.heirs(self.shard, now)
        return not self.holder and self._units.unit in heirs and bool(self._units.answered_ns(now))

    return [(Bucket, "expires", True), (ShardOwnership, "_may_take", may_take)]


@plant("a unit opens a shard without a ShardTaken", "cut", "stop")
def _no_shard_taken() -> list[Patch]:
    async def take(self: CountingSeat, lease: int) -> Opened:
        self._open = True
        return Opened(self.owner.epoch, self.memory.n)

    return [(CountingSeat, "take", take), (CountingSeat, "is_mine", lambda self: True)]


@plant("a unit takes a shard back at once", "stop", "cut")
def _taken_back() -> list[Patch]:
    return [(ShardOwnership, "able", lambda self, now: True)]


@plant("a commit at the end of the journal is no sign of life", "unheard owner")
def _deaf_heir() -> list[Patch]:
    return [(ShardOwnership, "ends", lambda self, n, now: True)]


@plant("an owner continues although its lease has another name", "cut", "stop")
def _goes_on() -> list[Patch]:
    def lease(self: ShardOwnership, unit: str, epoch: int, revision: int, now: int) -> None:
        if self.phase is Phase.OWNING:
            self.revision = max(revision, self.revision)
        else:
            noted(self, unit, epoch, revision, now)

    noted = ShardOwnership.lease
    return [(ShardOwnership, "lease", lease), (ShardOwnership, "taken", _ignored)]


def _ignored(self: ShardOwnership, epoch: int, n: int, now: int, *, mine: bool) -> None:
    self.commit(n, now)
    self.epoch = max(epoch, self.epoch)


@plant("trust is counted from the answer", "stop", "slow network")
def _trust_from_the_answer() -> list[Patch]:
    def prove(self: ShardOwnership, sent_at: int) -> None:
        self._proven_at = max(self._renewed_at, self._life_at, sent_at)

    return [(ShardOwnership, "_prove", prove)]


class Found(msgspec.Struct):
    """The first seed that noticed a bug, and the same seed without it. None when none did."""

    count: int
    outcome: OwnersOutcome | None = None
    clean: OwnersOutcome | None = None


def hunt(words: str) -> Found:
    only = OWNER_PLANTS[words][1]
    for seed in range(CATCH_WITHIN):
        with planted_bug(words):
            outcome = simulate(seed, only=only)
        if outcome.violations:
            return Found(seed + 1, outcome, simulate(seed, only=only))
    return Found(CATCH_WITHIN)
