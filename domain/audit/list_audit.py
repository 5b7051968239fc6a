"""The checker's own fold of lists: what each list's journal shows about its rules, counted without the code that applies them.

It shares `evolve` with the core. Each breach is a Violation with the invariant's name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.audit.journal_audit import ObservedCommit, Violation
from domain.order import events as e
from domain.order.algo import CHILD
from domain.order.group import DOUBLE_EXIT, HELD_ROLES, KILLED, ListType, Role, Trigger
from domain.order.lifecycle import State
from domain.order.order import RISK_CONTROL, Order, evolve
from domain.values import ZERO

REQUESTS: Final = (e.CancelRequested, e.OrderCancelled, e.ReplaceRequested, e.OrderReplaced)
REFUSALS: Final = (e.CancelRejected, e.ReplaceRejected)
WORKING: Final = (State.QUEUED, State.ROUTED, State.PARTIALLY_FILLED)


class ObservedList(msgspec.Struct):
    """One list, as its events describe it.

    `places`: the ids of each slot's orders, one behind the other. `entered`: its entry has ended once; a bust may have opened it again.
    """

    submitted: e.ListSubmitted
    account: str
    places: list[list[str]]
    flags: set[str] = set()
    ended: bool = False
    entered: bool = False


class ListAudit:
    """A pass over one shard's journal. `lots` are the smallest quantities that can be traded, by symbol."""

    def __init__(self, lots: Mapping[str, Decimal]) -> None:
        self._lots = lots
        self._orders: dict[str, Order] = {}
        self._lists: dict[str, ObservedList] = {}
        self._of: dict[str, str] = {}
        """The lead of each member."""
        self._ids: dict[tuple[str, str], str] = {}
        self._refused: set[str] = set()
        """Orders whose last request was refused: the list asks again later."""

    def take(self, commit: ObservedCommit) -> Iterator[Violation]:
        """Check the next commit."""
        before = {order_id: self._orders[order_id].status for order_id in self._touched(commit)}
        known = {each.order_id for each in commit.events if isinstance(each, e.OrderSubmitted) and _is_of_list(each)}
        for event in commit.events:
            yield from self._event(event, commit.seq)
        for order_id in known:
            if order_id not in self._of:
                yield Violation("list_together", str(commit.seq), f"order {order_id} is of a list that this commit does not record")
        for lead in dict.fromkeys(self._of[event.order_id] for event in commit.events if event.order_id in self._of):
            yield from self._standing(lead, commit, before)

    def _touched(self, commit: ObservedCommit) -> set[str]:
        leads = {self._of[event.order_id] for event in commit.events if event.order_id in self._of}
        return {order_id for lead in leads for place in self._lists[lead].places for order_id in place}

    def _event(self, event: e.OrderEvent, seq: int) -> Iterator[Violation]:
        order = self._orders.get(event.order_id)
        if (isinstance(event, e.OrderSubmitted) and _is_of_list(event)) or order is not None:
            if isinstance(event, e.OrderQueued) and order is not None and order.status is State.RISK_CHECKED:
                yield from self._released(order, seq)
            order = self._orders[event.order_id] = evolve(order, event)
            if order.closed and event.order_id in self._lists:
                self._lists[event.order_id].entered = True
        self._refused.discard(event.order_id)
        match event:
            case e.ListSubmitted() if order is not None:
                yield from self._submitted(event, order, seq)
            case e.ListExtended() if (found := self._lists.get(event.order_id)) is not None:
                self._of[event.member] = event.order_id
                next(place for place in found.places if event.instead_of in place).append(event.member)
            case e.ListFlagged() if (found := self._lists.get(event.order_id)) is not None:
                found.flags.add(event.flag)
            case e.ListEnded() if (found := self._lists.get(event.order_id)) is not None:
                found.ended = True
        if isinstance(event, REFUSALS):
            self._refused.add(event.order_id)

    def _submitted(self, event: e.ListSubmitted, lead: Order, seq: int) -> Iterator[Violation]:
        key = lead.account, event.client_list_id
        if key in self._ids or any(member in self._of for member in event.members):
            yield Violation("one_list_an_id", str(seq), f"{lead.account} {event.client_list_id} was submitted twice")
            return
        self._ids[key] = event.order_id
        self._of |= dict.fromkeys(event.members, event.order_id)
        self._lists[event.order_id] = ObservedList(event, lead.account, [[member] for member in event.members], set(), event.rejected)

    def _released(self, order: Order, seq: int) -> Iterator[Violation]:
        """A held leg is queued only because its entry has traded, and never after the end of its list."""
        if order.role not in HELD_ROLES:
            return
        found = self._lists.get(self._of.get(order.order_id, "")) or self._by_group(order.group_id)
        entry = None if found is None else self._orders[found.places[0][0]]
        if found is None or entry is None or not entry.cum_quantity:
            yield Violation("list_release", str(seq), f"{order.role} {order.order_id} is queued, and its entry has not traded")
        elif found.submitted.trigger is Trigger.FULL and not found.entered:
            yield Violation("list_release", str(seq), f"{order.role} {order.order_id} is queued before its entry has ended")
        if found is not None and found.ended:
            yield Violation("list_after_end", str(seq), f"{order.role} {order.order_id} is queued after the end of its list")

    def _by_group(self, group_id: str) -> ObservedList | None:
        return next((found for lead, found in self._lists.items() if self._orders[lead].group_id == group_id), None)

    def _standing(self, lead: str, commit: ObservedCommit, before: Mapping[str, State]) -> Iterator[Violation]:
        found = self._lists[lead]
        if found.submitted.rejected:
            return
        match found.submitted.kind:
            case ListType.BRACKET:
                yield from self._exits(found, commit.seq)
            case ListType.OCO:
                yield from self._others(found, commit, before)

    def _exits(self, found: ObservedList, seq: int) -> Iterator[Violation]:
        entry = self._orders[found.places[0][0]]
        exits = [self._orders[order_id] for place in found.places[1:] for order_id in place]
        out = sum((order.cum_quantity for order in exits), ZERO)
        if out > entry.cum_quantity and DOUBLE_EXIT not in found.flags:
            yield Violation("list_double_exit", str(seq), f"the exits of {entry.order_id} traded {out} of {entry.cum_quantity}, unflagged")
        if any(order.status is State.IN_DOUBT for order in exits):
            return
        want = max(entry.cum_quantity - out, ZERO)
        stops = [order for order in exits if order.role == Role.STOP_LOSS and order.triggered and not order.closed]
        stopped = found.ended or KILLED in found.flags or any(o.source == RISK_CONTROL for o in (entry, *exits))
        may_act = (found.submitted.trigger is Trigger.PARTIAL or found.entered) and not stopped
        for order in exits:
            if order.status is State.RISK_CHECKED and may_act and not self._fits(ZERO, order.symbol, want):
                yield Violation("list_level", str(seq), f"{order.role} {order.order_id} waits, and {want} are to be exited")
            if order.status not in WORKING or order.replacing is not None or order.order_id in self._refused:
                continue
            if found.submitted.strict and stops and order.role == Role.TAKE_PROFIT:
                yield Violation("list_level", str(seq), f"take_profit {order.order_id} works beside the triggered stop")
            elif not self._fits(order.leaves_quantity, order.symbol, want):
                yield Violation("list_level", str(seq), f"{order.role} {order.order_id} works for {order.leaves_quantity} of {want}")

    def _fits(self, has: Decimal, symbol: str, want: Decimal) -> bool:
        """Return whether what is missing is too little to be traded."""
        return ZERO <= want - has < self._lots.get(symbol, Decimal(1).scaleb(-18))

    def _others(self, found: ObservedList, commit: ObservedCommit, before: Mapping[str, State]) -> Iterator[Violation]:
        """After a trade of one member, each live other is cancelled or resized in the same commit."""
        traded = {event.order_id for event in commit.events if isinstance(event, e.OrderFilled)}
        asked = {event.order_id for event in commit.events if isinstance(event, REQUESTS)}
        last = [self._orders[place[-1]] for place in found.places]
        if not traded & {order.order_id for order in last} or any(order.status is State.IN_DOUBT for order in last):
            return
        for order in last:
            if order.order_id in traded or order.order_id in asked or before.get(order.order_id) not in WORKING:
                continue
            first = order.cum_quantity and not found.submitted.reduce  # it has traded before, so it is the others that are cancelled
            if not order.closed and not first:
                yield Violation("list_other", str(commit.seq), f"order {order.order_id} works on unchanged beside a trade of its list")


def _is_of_list(event: e.OrderSubmitted) -> bool:
    return bool(event.group_id) and event.role != CHILD


def check_lists(commits: Iterable[ObservedCommit], lots: Mapping[str, Decimal] | None = None) -> Iterator[Violation]:
    """Check the rules of all lists of a journal, after every commit."""
    audit = ListAudit(lots or {})
    for commit in commits:
        yield from audit.take(commit)


class ObservedListAnswer(msgspec.Struct, frozen=True):
    """The reply to one submit of a list. `outcome`: submitted or rejected."""

    account: str
    client_list_id: str
    outcome: str
    list_id: str
    seq: int


def check_list_answers(commits: Sequence[ObservedCommit], answers: Iterable[ObservedListAnswer]) -> Iterator[Violation]:
    """Check that every answered list is in the journal as it was answered, and that its answer never changed."""
    found: dict[tuple[str, str], tuple[str, str, int]] = {}
    for commit in commits:
        submitted = {event.order_id: event for event in commit.events if isinstance(event, e.OrderSubmitted)}
        for event in commit.events:
            if isinstance(event, e.ListSubmitted):
                lead = submitted[event.order_id]
                found[lead.account, event.client_list_id] = ("rejected" if event.rejected else "submitted", lead.group_id, commit.seq)
    for answer in answers:
        recorded = found.get((answer.account, answer.client_list_id))
        if recorded != (answer.outcome, answer.list_id, answer.seq):
            where = f"{answer.account} {answer.client_list_id}"
            yield Violation("same_list_answer", where, f"was answered {answer.outcome} at {answer.seq}, the journal has {recorded}")
