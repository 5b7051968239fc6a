"""What must hold of owners: one at a time, no answer from an old memory, and no move without a fault that explains it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from adapters.codec import ORDER_COMMITS
from domain.audit.owner_audit import OwnerAudit
from domain.order.events import OrderEvent, ShardReleased, ShardTaken
from tests.simulation.owner_servers import JOURNAL, STORE, ShardLog
from tests.simulation.world import World

TAKEN_WITHIN_S: Final = 10.0
"""How long after the end of a fault a move may still be its consequence, and every shard must have an owner again."""
BACK_S: Final = 60.0
HEALTHY_S: Final = 6.0
"""A unit without a fault in this last time could have taken a shard."""


class Fault(msgspec.Struct):
    """What was done, to whom (a unit, or a server), and when (seconds). A harmful one may cost the unit its shards, each once."""

    kind: str
    whom: str
    begun: float
    ended: float
    harmful: bool


class OwnerChecker:
    """Watches a run. `faults` are noted by who injects them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[Fault] = []
        self.moves = 0
        self.acks = 0
        self.reads = 0
        self._acked: Counter[int] = Counter()
        self._units: dict[tuple[int, int], str] = {}

    def acked(self, shard: int, unit: str, n: int, epoch: int) -> None:
        """A client was told that its commit is stored."""
        self.acks += 1
        self._acked[shard] = max(n, self._acked[shard])
        first = self._units.setdefault((shard, epoch), unit)
        if first != unit:
            self.world.violated("one_unit_an_epoch", f"shard {shard}", f"{unit} acknowledged in epoch {epoch}, and {first} did before")

    def known(self, shard: int) -> int:
        """The last commit of which any client was told."""
        return self._acked[shard]

    def read(self, shard: int, unit: str, n: int, known: int) -> None:
        """A client that asked when commit `known` was acknowledged was answered from a memory of `n` commits."""
        self.reads += 1
        if n < known:
            self.world.violated("old_memory", f"shard {shard}", f"{unit} answered from commit {n}, and {known} was acknowledged before")

    def trusting(self, shard: int, units: Sequence[str]) -> None:
        if len(units) > 1:
            self.world.violated("one_trusts", f"shard {shard}", f"{' and '.join(units)} trust their memory")

    def settled(self, shard: int, units: Sequence[str]) -> None:
        """All faults ended TAKEN_WITHIN_S ago."""
        if len(units) != 1:
            self.world.violated("one_owner_at_last", f"shard {shard}", f"owned by {', '.join(units) or 'no unit'}")

    def journal(self, shard: int, log: ShardLog) -> None:
        """Check a whole journal after the run."""
        audit = OwnerAudit()
        history: list[tuple[float, OrderEvent]] = []
        for at, (head, payload) in zip(log.stored_at, log.commits, strict=True):
            events = ORDER_COMMITS.decode(payload).events
            history += [(at, event) for event in events]
            for found in audit.take(head.n, events):
                self.world.violated("one_owner", f"shard {shard}", found)
        self._moves(shard, history)

    def _moves(self, shard: int, history: Sequence[tuple[float, OrderEvent]]) -> None:
        owner, heir, lost, used = "", "", dict[str, float](), set[int]()
        took = dict[str, float]()
        for at, event in history:
            if isinstance(event, ShardReleased):
                heir = event.to or "anyone"
            if not isinstance(event, ShardTaken):
                continue
            if owner and event.unit != owner:
                self.moves += 1
                if not heir and not self._explained(owner, at, used):
                    self.world.violated("moved_without_a_fault", f"shard {shard}", f"from {owner} to {event.unit} at {at:.2f} s")
                lost[owner] = at
                if heir != event.unit:
                    self._taken_back(shard, event.unit, at, lost, took)
            owner, heir, took[event.unit] = event.unit, "", at

    def _explained(self, owner: str, at: float, used: set[int]) -> bool:
        """Whether a fault of the owner explains that it lost this shard. Each fault explains one move."""
        for place, fault in enumerate(self.faults):
            if fault.harmful and fault.whom == owner and place not in used and fault.begun <= at <= self._felt_until(fault):
                used.add(place)
                return True
        return False

    def _felt_until(self, fault: Fault) -> float:
        """Until when a move may be the consequence of a fault. An outage of a server puts it off."""
        until = fault.ended + TAKEN_WITHIN_S
        for outage in sorted(self.faults, key=lambda each: each.begun):
            if outage.whom in (STORE, JOURNAL) and fault.begun <= outage.ended and outage.begun <= until:
                until = max(until, outage.ended + TAKEN_WITHIN_S)
        return until

    def _taken_back(self, shard: int, unit: str, at: float, lost: dict[str, float], took: dict[str, float]) -> None:
        """Check that a unit takes a shard that it lost in the last minute only where no other unit could take it."""
        if at - lost.get(unit, -BACK_S) >= BACK_S or self._began_again(unit, took[unit]):
            return
        able = [other for other in self._healthy(at) if other != unit and at - lost.get(other, -BACK_S) >= BACK_S]
        if able:
            when = at - lost[unit]
            self.world.violated("taken_back", f"shard {shard}", f"by {unit}, {when:.1f} s after it lost it, and {able[0]} could take it")

    def _began_again(self, unit: str, since: float) -> bool:
        """Whether a new process of the unit began since then, which does not remember what the old one owned."""
        return any(fault.kind in ("crash", "clean stop") and fault.whom == unit and fault.ended >= since for fault in self.faults)

    def _healthy(self, at: float) -> Iterator[str]:
        troubled = {fault.whom for fault in self.faults if fault.begun <= at and fault.ended >= at - HEALTHY_S}
        if not troubled & {STORE, JOURNAL}:
            yield from (unit for unit in ("unit-a", "unit-b", "unit-c") if unit not in troubled)
