"""An order's life in FIX 4.4: OrdStatus (39) and ExecType (150) after each event; and a list's, as its ListStatus (35=N) would say it.

A list is a NewOrderList (35=E) whose ListID (66) is its `list_id`. ContingencyType (1385) is a field of FIX 5.0, which is read and never
sent.
"""

from decimal import Decimal
from typing import Final

from domain.order import events as e
from domain.order.group import ListType, OrderGroup
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
    e.StopTrailed: "D",
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


OCO, OTO, OUO = "1", "2", "3"
_LIST_STATUS_TYPES: Final[dict[type[e.Event], str]] = {
    e.ListSubmitted: "1",  # acknowledgement
    e.ListCancelRequested: "2",  # response
    e.ListExtended: "2",
    e.ListEnded: "5",  # all done
    e.ListFlagged: "6",  # alert
}


def contingency_type(group: OrderGroup) -> str | None:
    """Return the ContingencyType (1385). A bracket is one-triggers-other with two exits; None for a basket."""
    if group.kind is ListType.OCO:
        return OUO if group.reduce else OCO
    return None if group.kind is ListType.NONE else OTO


def list_status_type(event: e.OrderEvent) -> str | None:
    """Return the ListStatusType (429) of a list's event; None for events of orders."""
    return _LIST_STATUS_TYPES.get(type(event))


def list_order_status(group: OrderGroup) -> str:
    """Return the ListOrderStatus (431) by what is recorded of a list: executing, cancelling, alert, all done or rejected."""
    if group.rejected:
        return "7"
    if group.flags:
        return "5"
    if group.ended:
        return "6"
    return "4" if group.cancelling else "3"
