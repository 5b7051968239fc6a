"""What others hear of an order: the drop copy on `oms.orders.<account>.<order_id>`, one message an order and commit."""

import asyncio
from decimal import Decimal

import msgspec
import structlog

from adapters.codec import encode
from apps.host import Landed
from apps.oms.metrics import OmsMetrics
from apps.outbox import Outbox
from domain.actor import Events
from domain.events import OrderFilled, OrderInDoubt, ReplaceRefused, ReportQuarantined, TransitionRefused
from domain.lifecycle import CLOSED, State
from domain.order import Order
from domain.values import ZERO, OrderType, Side, average

log = structlog.get_logger()


class Notice(msgspec.Struct, kw_only=True, gc=False):
    """The drop copy's words. `at` is in nanoseconds UTC; `events` as in the journal."""

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


class Notices:
    """Runs after the ack, never before. Alarms what the lifecycle page wants alarmed."""

    def __init__(self, outbox: Outbox, metrics: OmsMetrics) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._landed: dict[str, Landed] = {}
        """The last word of each order in this commit; its events are all that the commit has of it."""

    def __call__(self, landed: Landed) -> None:
        for event in landed.events:
            self._alarm(event)
        order = landed.order
        if order is None:
            return
        if not self._landed:
            asyncio.get_running_loop().call_soon(self._tell)  # all of a commit land in one turn of the loop
        before = self._landed.get(order.order_id)
        self._landed[order.order_id] = msgspec.structs.replace(landed, events=before.events + landed.events) if before else landed

    def unrecorded(self, events: Events) -> None:
        """Refusals, and what was recorded before: counted and said, but in no journal and no drop copy."""
        for event in events:
            if type(event) is TransitionRefused:
                self._alarm(event)
            elif isinstance(event, ReportQuarantined | ReplaceRefused):
                self._metrics.repeated(type(event).__name__)

    def _tell(self) -> None:
        told, self._landed = self._landed, {}
        for landed in told.values():
            order = landed.order
            assert order is not None, "others are not gathered"
            self._outbox.put(f"oms.orders.{order.account}.{order.order_id}", encode(_notice(order, landed)))

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


def _notice(order: Order, landed: Landed) -> Notice:
    last, cum = landed.events[-1], landed.cum_quantity
    return Notice(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        type=order.order_type,
        status=last.status,
        cum_quantity=cum,
        quantity=order.quantity,
        leaves_quantity=ZERO if last.status in CLOSED else max(order.quantity - cum, ZERO),
        average_price=average(landed.notional, cum) if cum else None,
        seq=landed.seq,
        at=last.at,
        events=landed.events,
    )
