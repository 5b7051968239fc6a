"""Every order of a shard, with the indexes that reads and limits need. A fold of the journal and nothing else."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Final

from domain import events as e
from domain.lifecycle import State, step
from domain.order import Order, evolve

TRIGGERS_OF: Final[dict[type[e.Fact], tuple[str, ...]]] = {
    e.OrderRiskChecked: ("risk_pass",),
    e.OrderQueued: ("enqueue", "venue_reject_requeue"),
    e.OrderRejected: ("risk_fail", "no_route", "venue_reject"),
    e.OrderRouted: ("route",),
    e.RouteAcknowledged: ("venue_ack", "venue_ack_traded"),
    e.OrderInDoubt: ("no_answer",),
    e.OrderFilled: ("trade_part", "trade_full"),
    e.TradeBusted: ("bust", "bust_traded", "bust_full", "bust_ended"),
    e.CancelRequested: ("cancel",),
    e.CancelRejected: ("cancel_rejected", "cancel_rejected_traded"),
    e.OrderCancelled: ("cancel", "venue_cancelled"),
    e.OrderExpired: ("expire",),
}
"""The steps that a kind of fact may stand for; the states before and after it say which one it was."""


@cache
def trigger_of(kind: type[e.Fact], before: State, after: State) -> str | None:
    """The trigger that an event took; None for facts that are no step of the machine."""
    return next((trigger for trigger in TRIGGERS_OF.get(kind, ()) if step(before, trigger) is after), None)


class Orders:
    """Orders by id and account, newest last; open ones counted; the last report number of every venue."""

    def __init__(self) -> None:
        self.by_id: dict[str, Order] = {}
        self.by_account: dict[str, list[Order]] = {}
        self.newest: list[Order] = []
        self.open: Counter[str] = Counter()
        self.states: Counter[State] = Counter()
        self.steps: Counter[tuple[State, str]] = Counter()
        self.report_seqs: dict[str, int] = {}

    def apply(self, event: e.OrderEvent) -> Order | None:
        """The order after the event; None for a report that belongs to no order."""
        order = self.by_id.get(event.order_id)
        seq = getattr(event, "report_seq", None)
        if seq is not None:
            venue: str = event.venue  # type: ignore[union-attr, assignment]
            self.report_seqs[venue] = max(seq, self.report_seqs.get(venue, 0))
        if order is None and type(event) is e.ReportQuarantined:
            return None
        before = order.status if order else None
        was_open = order is not None and not order.closed
        order = evolve(order, event)
        if before is None:
            self._add(order)
        else:
            self.states[before] -= 1
            if trigger := trigger_of(type(event), before, order.status):
                self.steps[before, trigger] += 1
        self.states[order.status] += 1
        self.open[order.account] += (not order.closed) - was_open
        return order

    def _add(self, order: Order) -> None:
        self.by_id[order.order_id] = order
        self.newest.append(order)
        self.by_account.setdefault(order.account, []).append(order)

    def replay(self, seq: int, facts: Iterable[e.OrderEvent]) -> None:
        """One commit read back from the journal."""
        for event in facts:
            order = self.apply(event)
            if order is not None:
                note(order, seq)


def note(order: Order, seq: int) -> None:
    """The order remembers in which commits its events are; its timeline is read from there."""
    if not order.seqs or order.seqs[-1] != seq:
        order.seqs += (seq,)
