"""The checker's own fold of parents: their slices are decided again, and their children's quantities are counted at every prefix.

It shares `evolve` and the schedule with the core. Each breach is a Violation with the invariant's name.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.audit.journal_audit import ObservedCommit, Violation
from domain.groups import schedule
from domain.order import algo as a
from domain.order import events as e
from domain.order.algo import AlgoState, Parent
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.order.parent_fold import evolve as evolve_parent
from domain.values import ZERO, plain

MAY_SLICE: Final = (AlgoState.ACCEPTED, AlgoState.WORKING)
LEAVING: Final = (State.PENDING_CANCEL, State.IN_DOUBT)
"""States of the open children of a parent that is ending."""


class ObservedParent(msgspec.Struct):
    """One parent, as its events and those of its children describe it.

    `surprised`: a venue traded what the parent could not know of, after the end of a child or beyond its quantity. `refused`: children
    whose venue has refused their cancel, which is requested again later.
    """

    parent: Parent
    children: dict[str, Order] = {}
    surprised: bool = False
    refused: set[str] = set()

    @property
    def cum(self) -> Decimal:
        return sum((child.cum_quantity for child in self.children.values()), ZERO)

    @property
    def committed(self) -> Decimal:
        """What has traded, and what open children may still trade, also those in doubt."""
        return self.cum + sum((child.leaves_quantity for child in self.children.values() if not child.closed), ZERO)


class AlgoAudit:
    """A pass over one shard's journal. It forgets parents that have ended, except for their names."""

    def __init__(self) -> None:
        self._parents: dict[str, ObservedParent] = {}
        self._of: dict[str, str] = {}
        self._ids: dict[tuple[str, str], str] = {}

    def take(self, commit: ObservedCommit) -> Iterator[Violation]:
        """Check the next commit."""
        touched: dict[str, None] = {}
        for event in commit.events:
            if isinstance(event, a.AnyAlgoEvent):
                yield from self._own(event, commit)
                touched[event.order_id] = None
            elif isinstance(event, e.OrderSubmitted) and event.role == a.CHILD:
                yield from self._born(event, commit)
            elif event.order_id in self._of:
                self._moved(event)
            if event.order_id in self._of:
                touched[self._of[event.order_id]] = None
        for algo_id in touched:
            if (found := self._parents.get(algo_id)) is not None:
                yield from self._counted(found, commit.seq)

    def rooms(self) -> dict[str, Decimal]:
        """Return what each live parent may still put into children, if anything: risk keeps it reserved, and no more."""
        found = {algo_id: each.parent.quantity - each.committed for algo_id, each in self._parents.items() if each.parent.state in a.LIVE}
        return {algo_id: room for algo_id, room in found.items() if room > ZERO}

    def _own(self, event: a.AnyAlgoEvent, commit: ObservedCommit) -> Iterator[Violation]:
        found = self._parents.get(event.order_id)
        if isinstance(event, a.AlgoSubmitted):
            yield from self._submitted(event, commit.seq)
            return
        if found is None:
            yield Violation(
                "algo_after_end", str(commit.seq), f"{type(event).__name__} of parent {event.order_id}, which has none or ended"
            )
            return
        if isinstance(event, a.AlgoSliced):
            yield from self._sliced(found, event, commit)
        elif isinstance(event, a.AlgoEnded):
            yield from self._ended(found, event, commit.seq)
        found.parent = evolve_parent(found.parent, event)

    def _submitted(self, event: a.AlgoSubmitted, seq: int) -> Iterator[Violation]:
        key = event.terms.account, event.terms.client_algo_id
        if key in self._ids:
            yield Violation("one_algo_an_id", str(seq), f"{key[0]} {key[1]} was submitted twice")
        self._ids[key] = event.order_id
        self._parents[event.order_id] = ObservedParent(evolve_parent(None, event))

    def _sliced(self, found: ObservedParent, event: a.AlgoSliced, commit: ObservedCommit) -> Iterator[Violation]:
        """A slice has the next number, its child in the same commit, and the quantity that the schedule gives for its inputs."""
        parent, where = found.parent, f"{commit.seq} parent {event.order_id}"
        if parent.state not in MAY_SLICE or (parent.end_at is not None and event.at >= parent.end_at):
            yield Violation("algo_after_end", where, f"slice {event.n} of a parent that is {parent.state}")
        if event.n != parent.slices + 1 or event.due_at < parent.due_at:
            yield Violation("algo_slices", where, f"slice {event.n} due at {event.due_at} follows {parent.slices} due at {parent.due_at}")
        child = next((each for each in commit.events if isinstance(each, e.OrderSubmitted) and each.order_id == event.child), None)
        if bool(event.quantity) is not bool(event.child) or (event.child and child is None):
            yield Violation("algo_slices", where, f"slice {event.n} of {plain(event.quantity)} has no child in its commit")
        again = schedule.decide(parent, event.n, event.due_at, event.inputs)
        if (again.quantity, again.target, again.reason) != (event.quantity, event.target, event.reason):
            what = f"{plain(event.quantity)} {event.reason}, and its inputs give {plain(again.quantity)} {again.reason}"
            yield Violation("algo_schedule", where, f"slice {event.n} has {what}")
        elif child is not None:
            asked = child.quantity, child.price, child.order_type, child.time_in_force
            if asked != (again.quantity, again.price, again.order_type, again.time_in_force):
                yield Violation("algo_schedule", where, f"the child of slice {event.n} has terms that its inputs do not give: {asked}")
        if schedule.due(parent, event.inputs.at) != event.due_at:
            yield Violation("algo_schedule", where, f"slice {event.n} was not due at {event.due_at} when it was decided")
        if event.child:
            self._of[event.child] = event.order_id

    def _born(self, event: e.OrderSubmitted, commit: ObservedCommit) -> Iterator[Violation]:
        found = self._parents.get(event.group_id)
        sliced = any(isinstance(each, a.AlgoSliced) and each.child == event.order_id for each in commit.events)
        if found is None or not sliced:
            yield Violation("algo_slices", str(commit.seq), f"child {event.order_id} is of no slice in its commit")
            return
        parent = found.parent
        if (event.account, event.symbol, event.side) != (parent.account, parent.symbol, parent.side):
            yield Violation("algo_slices", str(commit.seq), f"child {event.order_id} is not of its parent's account, symbol and side")
        found.children[event.order_id] = evolve(None, event)

    def _moved(self, event: e.OrderEvent) -> None:
        found = self._parents.get(self._of[event.order_id])
        if found is None or event.order_id not in found.children:
            return
        found.children[event.order_id] = evolve(found.children[event.order_id], event)
        if isinstance(event, e.OrderFilled) and (event.late or event.overfill):
            found.surprised = True
        if isinstance(event, e.CancelRejected):
            found.refused.add(event.order_id)
        else:
            found.refused.discard(event.order_id)

    def _ended(self, found: ObservedParent, event: a.AlgoEnded, seq: int) -> Iterator[Violation]:
        where = f"{seq} parent {event.order_id}"
        if event.cum_quantity != found.cum:
            yield Violation("algo_sum", where, f"it ended with {plain(event.cum_quantity)}, its children have {plain(found.cum)}")
        if any(not child.closed for child in found.children.values()):
            yield Violation("algo_after_end", where, "it ended before its last child")

    def _counted(self, found: ObservedParent, seq: int) -> Iterator[Violation]:
        parent = found.parent
        if found.committed > parent.quantity and not found.surprised:
            where = f"{seq} parent {parent.algo_id}"
            yield Violation("algo_sum", where, f"its children have and may trade {plain(found.committed)} of {plain(parent.quantity)}")
        if parent.state is AlgoState.ENDING:
            for child in found.children.values():
                if not child.closed and child.status not in LEAVING and child.order_id not in found.refused:
                    yield Violation("algo_after_end", f"{seq} parent {parent.algo_id}", f"its child {child.order_id} is {child.status}")
        if parent.closed and all(child.closed for child in found.children.values()):
            del self._parents[parent.algo_id]
            for order_id in found.children:
                del self._of[order_id]


def check_algos(commits: Iterable[ObservedCommit]) -> Iterator[Violation]:
    """Check the rules of all parents of a journal, after every commit."""
    audit = AlgoAudit()
    for commit in commits:
        yield from audit.take(commit)


class ObservedAlgoAnswer(msgspec.Struct, frozen=True):
    """The reply to one submit of a parent. `outcome`: submitted or rejected."""

    account: str
    client_algo_id: str
    outcome: str
    algo_id: str
    seq: int


def check_algo_answers(commits: Sequence[ObservedCommit], answers: Iterable[ObservedAlgoAnswer]) -> Iterator[Violation]:
    """Check that every answered parent is in the journal as it was answered, and that its answer never changed."""
    found: dict[tuple[str, str], tuple[str, str, int]] = {}
    for commit in commits:
        for event in commit.events:
            if isinstance(event, a.AlgoSubmitted):
                outcome = "submitted" if event.denial is None else "rejected"
                found[event.terms.account, event.terms.client_algo_id] = outcome, event.order_id, commit.seq
    for answer in answers:
        recorded = found.get((answer.account, answer.client_algo_id))
        if recorded != (answer.outcome, answer.algo_id, answer.seq):
            where = f"{answer.account} {answer.client_algo_id}"
            yield Violation("same_algo_answer", where, f"was answered {answer.outcome} at {answer.seq}, the journal has {recorded}")
