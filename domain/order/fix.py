"""An order's life in FIX 4.4: OrdStatus (39) and ExecType (150) after each event."""

from decimal import Decimal
from typing import Final

from domain.order import events as e
from domain.order.lifecycle import State
from domain.order.order import Order

REJECT: Final = "9"
"""Not an ExecType: the request was answered with an OrderCancelReject (35=9), and the order is unchanged."""

_STATUS: Final = {
    State.PARTIALLY_FILLED: "1",
    State.FILLED: "2",
    State.CANCELLED: "4",
    State.PENDING_CANCEL: "6",
    State.REJECTED: "8",
    State.EXPIRED: "C",
    State.PENDING_REPLACE: "E",
}
_TYPES: Final[dict[type[e.Event], str]] = {
    e.OrderSubmitted: "A",
    e.OrderTriggered: "L",
    e.RouteAcknowledged: "0",
    e.OrderFilled: "F",
    e.TradeBusted: "H",
    e.CancelRequested: "6",
    e.ReplaceRequested: "E",
    e.OrderReplaced: "5",
    e.OrderCancelled: "4",
    e.OrderExpired: "C",
    e.OrderRejected: "8",
    e.CancelRejected: REJECT,
    e.ReplaceRejected: REJECT,
    e.ReplaceRefused: REJECT,
    e.TransitionRefused: REJECT,
}


def ord_status(order: Order) -> str:
    """Return the OrdStatus: new once a venue has acknowledged the order, pending new before.

    An order in doubt keeps its last known status.
    """
    if known := _STATUS.get(order.status):
        return known
    if order.cum_quantity:
        return "1"
    return "0" if order.routes and any(route.venue_order_id and route.live for route in order.routes) else "A"


def exec_type(event: e.OrderEvent) -> str | None:
    """Return the ExecType of the event's execution report; None for events that are not reported to a counterparty."""
    if isinstance(event, e.OrderFilled) and event.corrects:
        return "G"
    return _TYPES.get(type(event))


def max_floor(event: e.OrderEvent) -> Decimal | None:
    """Return MaxFloor (111) of a new order: what an iceberg shows at a time. None for one that is shown whole, and for other events."""
    return event.display_quantity if isinstance(event, e.OrderSubmitted) else None
