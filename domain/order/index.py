"""The orders of a shard, with the indexes that limits need. A pure fold of the journal."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from domain.order import events as e
from domain.order.algo import CHILD
from domain.order.holdings import Key
from domain.order.lifecycle import State, step
from domain.order.order import Order, evolve

TRIGGERS_OF: Final[dict[type[e.Event], tuple[str, ...]]] = {
    e.OrderRiskChecked: ("risk_pass",),
    e.OrderQueued: ("enqueue", "venue_reject_requeue"),
    e.OrderRejected: ("risk_fail", "no_route", "venue_reject"),
    e.OrderRouted: ("route",),
    e.RouteAcknowledged: ("venue_ack", "venue_ack_traded"),
    e.RouteClosed: ("leg_ended", "leg_ended_traded", "leg_ended_waiting"),
    e.OrderInDoubt: ("no_answer",),
    e.OrderFilled: ("trade_part", "trade_full"),
    e.TradeBusted: ("bust", "bust_traded", "bust_full", "bust_ended"),
    e.CancelRequested: ("cancel",),
    e.CancelRejected: ("cancel_rejected", "cancel_rejected_traded", "cancel_rejected_replacing"),
    e.ReplaceRequested: ("replace",),
    e.OrderReplaced: ("replace", "replaced", "replaced_traded", "replaced_full"),
    e.ReplaceRejected: ("replace_rejected", "replace_rejected_traded"),
    e.OrderCancelled: ("cancel", "venue_cancelled"),
    e.OrderExpired: ("expire",),
}
"""The steps that a kind of event may stand for; the states before and after the event determine which one it was."""


@cache
def trigger_of(kind: type[e.Event], before: State, after: State) -> str | None:
    """Return the trigger that an event took; None for events that are not a step of the state machine."""
    return next((trigger for trigger in TRIGGERS_OF.get(kind, ()) if step(before, trigger) is after), None)


Name = tuple[str, str]
"""An account, and what its client called a replace."""


def names_of(order: Order) -> list[Name]:
    """Return the names that the client gave to replaces of the order."""
    return [(order.account, each.client_order_id) for each in order.generations if each.number and each.client_order_id]


def lead_of(members: Mapping[str, Order]) -> Order | None:
    """Return the order that keeps the state of a list; None if it is not among these orders."""
    return next((order for order in members.values() if order.leads), None)


STATUSES: Final = ("open", "closed", *(str(state) for state in State))
"""The status filters of a list: one state, or all states before or after the end of an order's life."""


class OrderFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects the orders that equal every field that is not None. An order has also the names that its replaces were given.

    `closed`: only closed or only open orders. `leads`: only orders that keep the state of a list.
    `since_ns` (inclusive) and `until_ns` (exclusive) bound `created_at`.
    """

    account: str | None = None
    symbol: str | None = None
    client_order_id: str | None = None
    group_id: str | None = None
    status: State | None = None
    closed: bool | None = None
    leads: bool | None = None
    since_ns: int | None = None
    until_ns: int | None = None

    def takes(self, order: Order) -> bool:
        if self.since_ns is not None and order.created_at < self.since_ns:
            return False
        if self.until_ns is not None and order.created_at >= self.until_ns:
            return False
        if self.client_order_id is not None and not is_called(order, self.client_order_id):
            return False
        return all(getattr(self, name) in (None, getattr(order, name)) for name in EQUAL_FIELDS)


def is_called(order: Order, client_order_id: str) -> bool:
    """Return whether the client gave this name to the order, or to a replace of it."""
    return order.client_order_id == client_order_id or any(each.client_order_id == client_order_id for each in order.generations)


EQUAL_FIELDS: Final = ("account", "symbol", "group_id", "status", "closed", "leads")


class Orders:
    """The orders in memory: all open ones, and those closed ones that are in use. Counts cover all orders there ever were."""

    def __init__(self) -> None:
        self.by_id: dict[str, Order] = {}
        self.open: dict[str, dict[str, Order]] = {}
        self.states: Counter[State] = Counter()
        self.steps: Counter[tuple[State, str]] = Counter()
        self.report_seqs: dict[str, int] = {}
        self.reducing: dict[Key, dict[str, Order]] = {}
        """The open reduce-only orders of each account and symbol. Empty for most accounts, which keeps fills fast."""
        self.groups: dict[str, dict[str, Order]] = {}
        """The orders in memory of each list; closed ones may be in the store only."""
        self.waiting: dict[str, Order] = {}
        """Triggered stops that wait for the other exit of their list."""
        self.names: dict[Name, str] = {}
        """The names of replaces, with their orders, of the orders in memory."""
        self.naming: set[str] = set()
        """The accounts that ever named a replace: the names of all others are those of their orders."""

    def apply(self, event: e.OrderEvent) -> Order | None:
        """Apply the event and return its order; None for an event that belongs to no order."""
        order = self.by_id.get(event.order_id)
        self._record_report_seq(event)
        if order is None and isinstance(event, (e.ReportQuarantined, *e.OF_NO_ORDER)):
            return None
        before = order.status if order else None
        order = evolve(order, event)
        if before is None:
            self.by_id[order.order_id] = order
        else:
            self.states[before] -= 1
            if trigger := trigger_of(type(event), before, order.status):
                self.steps[before, trigger] += 1
        self.states[order.status] += 1
        self._index(order)
        return order

    def adopt(self, order: Order) -> None:
        """Load an order back into memory, as it was stored."""
        self.by_id[order.order_id] = order
        for name in names_of(order):
            self._called(name, order)
        self._index(order)

    def forget(self, order: Order) -> None:
        """Drop a closed order from memory; it is stored."""
        del self.by_id[order.order_id]
        if order.group_id and (members := self.groups.get(order.group_id)) and members.pop(order.order_id, None) and not members:
            del self.groups[order.group_id]
        for name in names_of(order):
            self.names.pop(name, None)

    def _called(self, name: Name, order: Order) -> None:
        self.names[name] = order.order_id
        self.naming.add(order.account)

    def open_of(self, account: str) -> list[Order]:
        return list(self.open.get(account, {}).values())

    def open_count(self, account: str) -> int:
        return len(self.open.get(account, ()))

    def _index(self, order: Order) -> None:
        if order.generations and (name := order.generations[-1].client_order_id):
            self._called((order.account, name), order)
        if order.reduce_only:
            self._index_reducing(order)
        if order.group_id and order.role != CHILD:
            self._index_group(order)
        if not order.closed:
            self.open.setdefault(order.account, {})[order.order_id] = order
        elif (opened := self.open.get(order.account)) and opened.pop(order.order_id, None) and not opened:
            del self.open[order.account]

    def _index_group(self, order: Order) -> None:
        self.groups.setdefault(order.group_id, {})[order.order_id] = order
        if order.waits_for and not order.closed:
            self.waiting[order.order_id] = order
        else:
            self.waiting.pop(order.order_id, None)

    def _index_reducing(self, order: Order) -> None:
        key = order.account, order.symbol
        if not order.closed:
            self.reducing.setdefault(key, {})[order.order_id] = order
        elif (opened := self.reducing.get(key)) and opened.pop(order.order_id, None) and not opened:
            del self.reducing[key]

    def _record_report_seq(self, event: e.OrderEvent) -> None:
        """Keep the last report number of each venue, from which its session continues."""
        if (reported := reported_by(event)) is not None:
            venue, seq = reported
            self.report_seqs[venue] = max(seq, self.report_seqs.get(venue, 0))


def reported_by(event: e.OrderEvent) -> tuple[str, int] | None:
    """Return the venue and the number of the report that caused the event; None if no report did."""
    seq: int | None = getattr(event, "report_seq", None)
    return None if seq is None else (getattr(event, "venue"), seq)  # noqa: B009 - not every event has one


def note(order: Order, seq: int) -> None:
    """Record that the order has events in commit `seq`; its timeline is read from these."""
    if not order.seqs or order.seqs[-1] != seq:
        order.seqs += (seq,)
