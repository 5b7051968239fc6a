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
from domain.order.trail import Trail, TrailTrigger
from domain.values import OrderType, Side, TimeInForce

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


def terms_tags(event: e.OrderEvent) -> dict[str, str | Decimal]:
    """Return the terms of a new order by FIX tag; empty for other events.

    OrdType (40), TimeInForce (59), CashOrderQty (152) of an amount of money, MaxFloor (111) of an iceberg; of a trailing stop also
    ExecInst (18), PegOffsetValue (211) and PegOffsetType (836).
    """
    if not isinstance(event, e.OrderSubmitted):
        return {}
    tags: dict[str, str | Decimal] = {"40": ORD_TYPES[event.order_type], "59": TIMES_IN_FORCE[event.time_in_force]}
    if event.notional is not None:
        tags["152"] = event.notional
    if (shown := max_floor(event)) is not None:
        tags["111"] = shown
    return tags if event.trail is None else tags | _peg(event.trail, event.side)


def _peg(trail: Trail, side: Side) -> dict[str, str | Decimal]:
    """Return how a trailing stop is pegged: below the market, with a minus, for a sell. A percentage is in basis points."""
    kind, offset = (PRICE_OFFSET, trail.amount) if trail.percent is None else (BASIS_POINTS, trail.percent.scaleb(2))
    assert offset is not None, "a trail has an amount or a percentage"
    return {"18": PEGS[trail.trigger], "211": -offset if side is Side.SELL else offset, "836": kind}


ORD_TYPES: Final = {
    OrderType.MARKET: "1",
    OrderType.LIMIT: "2",
    OrderType.STOP: "3",
    OrderType.STOP_LIMIT: "4",
    OrderType.TRAILING_STOP: "P",
}
"""OrdType (40). A trailing stop is a pegged order."""
TIMES_IN_FORCE: Final = {
    TimeInForce.DAY: "0",
    TimeInForce.GTC: "1",
    TimeInForce.OPG: "2",
    TimeInForce.IOC: "3",
    TimeInForce.FOK: "4",
    TimeInForce.GTD: "6",
    TimeInForce.CLS: "7",
}
"""TimeInForce (59)."""
PEGS: Final = {TrailTrigger.TOUCH: "a", TrailTrigger.MID: "a M", TrailTrigger.LAST: "a L"}
"""ExecInst (18): a trailing stop peg; M and L name the midpoint and the last price."""
PRICE_OFFSET, BASIS_POINTS = "0", "1"
"""PegOffsetType (836)."""

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
