"""Drop copy on `oms.orders.<account>.<order_id>`: one message per order and commit, published only while it has subscribers."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Final

import msgspec
import structlog

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Announcements, Interest, Send
from apps.journal.shard_host import Landed
from apps.oms.metrics import OmsMetrics
from domain.order.decider import Events
from domain.order.events import OrderFilled, OrderInDoubt, ReplaceRefused, ReportQuarantined, TransitionRefused
from domain.order.lifecycle import CLOSED, State
from domain.order.order import Order
from domain.values import ZERO, OrderType, Side, average

log = structlog.get_logger()


class OrderUpdate(msgspec.Struct, kw_only=True, gc=False):
    """A drop copy message. `at` is in nanoseconds UTC; `events` are as in the journal."""

    order_id: str
    client_order_id: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    status: State
    cum_quantity: Decimal
    quantity: Decimal
    leaves_quantity: Decimal
    average_price: Decimal | None
    seq: int
    at: int
    events: Events


ALARMING: Final = frozenset({TransitionRefused, ReportQuarantined, OrderInDoubt, OrderFilled})

Noted = tuple[Landed, Decimal]
"""What was committed, and the order's quantity at that time: its terms may change before the message is published."""


class DropCopy:
    """Logs the alarms of the lifecycle page and announces the drop copy. Called only after the commit is acknowledged."""

    def __init__(self, interest: Interest, send: Send, metrics: OmsMetrics) -> None:
        self._copies: Announcements[Noted] = Announcements(interest, send, subjects.ORDER_COPIES, _messages)
        self._metrics = metrics

    def __call__(self, landed: Landed) -> None:
        for event in landed.events:
            if type(event) in ALARMING:
                self._alarm(event)
        if landed.order is not None:
            self._copies.announce((landed, landed.order.quantity))

    def stats(self) -> dict[str, object]:
        return self._copies.stats()

    def unrecorded(self, events: Events) -> None:
        """Count and log refusals and repeated events, which are neither journaled nor in the drop copy."""
        for event in events:
            if type(event) is TransitionRefused:
                self._alarm(event)
            elif isinstance(event, ReportQuarantined | ReplaceRefused):
                self._metrics.repeated(type(event).__name__)

    def _alarm(self, event: object) -> None:
        if type(event) is TransitionRefused:
            self._metrics.transition_refused(event.trigger)
            log.warning("transition refused", order_id=event.order_id, state=event.status, trigger=event.trigger, source=event.source)
        elif type(event) is ReportQuarantined:
            self._metrics.quarantined(event.reason)
            log.error("venue report quarantined", order_id=event.order_id, venue=event.venue, reason=event.reason, report=event.report)
        elif type(event) is OrderInDoubt:
            self._metrics.doubted(event.reason)
            log.error("order in doubt", order_id=event.order_id, route_id=event.route_id, venue=event.venue, reason=event.reason)
        elif type(event) is OrderFilled and (event.late or event.overfill):
            log.error("unexpected fill booked", order_id=event.order_id, exec_id=event.exec_id, late=event.late, overfill=event.overfill)


def _messages(noted: Sequence[Noted]) -> Iterator[tuple[str, bytes]]:
    for _, commit in groupby(noted, lambda each: each[0].seq):
        for landed, quantity in _by_order(commit):
            order = landed.order
            assert order is not None, "only commits with an order are announced"
            yield subjects.order_copy(order.account, order.order_id), encode(_update(order, landed, quantity))


def _by_order(commit: Iterable[Noted]) -> Iterable[Noted]:
    """Merge a commit by order: the last state of each order, with all its events of the commit."""
    found: dict[str, Noted] = {}
    for landed, quantity in commit:
        assert landed.order is not None, "only commits with an order are announced"
        before = found.get(landed.order.order_id)
        whole = msgspec.structs.replace(landed, events=before[0].events + landed.events) if before else landed
        found[landed.order.order_id] = whole, quantity
    return found.values()


def _update(order: Order, landed: Landed, quantity: Decimal) -> OrderUpdate:
    last, cum = landed.events[-1], landed.cum_quantity
    return OrderUpdate(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        type=order.order_type,
        status=last.status,
        cum_quantity=cum,
        quantity=quantity,
        leaves_quantity=ZERO if last.status in CLOSED else max(quantity - cum, ZERO),
        average_price=average(landed.notional, cum) if cum else None,
        seq=landed.seq,
        at=last.at,
        events=landed.events,
    )
