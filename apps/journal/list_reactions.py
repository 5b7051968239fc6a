"""The lists of a shard: one event of a member, and everything that follows for the others, decided and applied in one step."""

from collections.abc import Callable, Sequence, Set
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from apps.journal.event_time import EventClock
from apps.journal.group_commit import Done, GroupCommit
from apps.journal.order_repository import OrderRepository
from apps.journal.repetition import RepetitionFilter
from domain.groups.contingency import Rules, follow, waits_for
from domain.order.algo import Parent
from domain.order.commands import ExtendList, FlagList, OrderCommand, RecordList, SubmitOrder, TriggerOrder
from domain.order.decider import Events, decide
from domain.order.events import OrderEvent
from domain.order.group import RULES_FAILED
from domain.order.index import lead_of
from domain.order.order import Order, evolve
from domain.ports import Unavailable
from domain.values import ZERO

log = structlog.get_logger()

UNRULED: Final = Rules(on_lot=lambda symbol, quantity: quantity, tradable=lambda order, quantity: True, forbids=lambda order: False)
"""Rules of a shard without a catalogue and controls."""


class Landed(msgspec.Struct, frozen=True):
    """The result of one command, once on disk. If it changed nothing, `seq` is the order's last commit.

    A refusal is for the caller only: it is among `events`, but not in the journal. `parent`: the events are those of this parent.
    """

    order: Order | None
    events: Events
    seq: int
    cum_quantity: Decimal = ZERO
    notional: Decimal = ZERO
    parent: Parent | None = None


def result_of(order: Order, facts: Events) -> Landed:
    """Return the result of a command that changed the order, as it is now. The sequence follows with the commit."""
    return Landed(order, facts, 0, order.cum_quantity, order.notional)


def add_together(commits: GroupCommit[OrderEvent], facts: Events, results: Sequence[Landed], done: Done) -> int:
    """Add the events and those of the results to one commit; return its ticket."""
    ticket = commits.add((*facts, *(event for each in results for event in each.events)) if results else facts, done)
    for each in results:
        if each.order is not None:
            each.order.commit = ticket
        if each.parent is not None:
            each.parent.commit = ticket
    return ticket


Members = dict[str, Order]
FAILED: Final = "orders that should follow may be missing"


class ListReactions:
    """Decides and evolves what an event of a list's order means for its other orders. The caller puts all of it into one commit."""

    def __init__(
        self,
        book: OrderRepository,
        stamps: EventClock,
        repeats: Callable[[], RepetitionFilter],
        negative_prices: Set[str],
        rules: Rules,
    ) -> None:
        """`repeats`: the filter of the current recovery."""
        self._book = book
        self._stamps = stamps
        self._repeats = repeats
        self._negative_prices = negative_prices
        self._rules = rules
        self.failures = 0

    def members(self, order: Order) -> Members:
        """Return the orders of this order's list, itself among them. Unavailable."""
        found = self._book.members(order.group_id)
        found[order.order_id] = order
        return found

    def follow(self, members: Members, facts: Events) -> Sequence[Landed]:
        """Return what follows from these events of a member, decided and applied. `members` are the list's orders.

        Never raises: the events have happened, and memory has what was applied so far. If the rules fail with an error, exits may be
        missing: the list is flagged in the same commit, which alarms, and is looked at again later.
        """
        lead = lead_of(members)
        if lead is None:
            return ()
        found: list[Landed] = []
        try:
            follow(lead.order_id, members, facts, self._rules, lambda command: self._perform(command, members, found))
        except Exception:  # a bug of the rules may cost neither a fill its place in the journal, nor memory its agreement with it
            self.failures += 1
            log.exception("the rules of a list failed", group_id=lead.group_id)
            leg = facts[0].order_id if facts else lead.order_id
            self._perform(FlagList(order_id=lead.order_id, flag=RULES_FAILED, leg=leg, reason=FAILED), members, found)
        return found

    def follow_reduced(self, order: Order, facts: Events) -> Sequence[Landed]:
        """Return what follows from a cut of this order that is applied already. Of a list that cannot be read, nothing does."""
        try:
            return self.follow(self.members(order), facts)
        except Unavailable as trouble:
            log.warning("a list cannot be read", list_id=order.group_id, reason=str(trouble))
            return ()

    def submit(self, legs: Sequence[SubmitOrder], record: RecordList) -> Sequence[Landed]:
        """Return the orders of a new list and then its lead, decided and applied. The first order leads.

        All of it is decided before any of it is applied: after an error, memory has no orders that the journal lacks.
        """
        decided = [decide(None, leg, self._stamps.now(0), self._negative_prices) for leg in legs]
        lead: Order | None = None
        for event in decided[0]:
            lead = evolve(lead, event)
        decided.append(decide(lead, record, self._stamps.now(0), self._negative_prices))
        return [result_of(self._applied(self._book.orders.by_id.get(facts[0].order_id), facts), facts) for facts in decided]

    def _perform(self, command: OrderCommand, members: Members, found: list[Landed]) -> Events:
        order = members.get(command.order_id)
        if order is None and self._exists(command.order_id):
            return ()
        if isinstance(command, ExtendList) and command.member not in members:
            return ()  # it was not submitted: a list that named it could not be read
        at = self._stamps.now(order.updated_at if order else 0)
        facts = self._repeats().facts(decide(order, command, at, self._negative_prices))
        if facts:
            order = members[command.order_id] = self._applied(order, facts)
            found.append(result_of(order, facts))
        return facts

    def _applied(self, order: Order | None, facts: Events) -> Order:
        order = self._book.apply(order, facts)
        assert order is not None, "a fact is of an order"
        return order

    def _exists(self, order_id: str) -> bool:
        """Return whether there is such an order. If that cannot be read, nothing is submitted now: the list is looked at again later."""
        try:
            return self._book.find(order_id) is not None
        except Unavailable as trouble:
            log.warning("an order of a list cannot be submitted again", order_id=order_id, reason=str(trouble))
            return True


def waiting_for(members: Members, stop: Order, command: TriggerOrder) -> TriggerOrder:
    """Return the trigger with the orders that the stop must wait for."""
    lead = lead_of(members)
    return command if lead is None else msgspec.structs.replace(command, waits_for=waits_for(lead, members, stop))
