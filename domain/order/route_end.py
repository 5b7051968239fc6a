"""The end of a route: reported by its venue, or by exeq, which never sent it or found that it never arrived."""

from typing import Any

from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import State, step
from domain.order.order import Order, Route
from domain.order.replace import UNKNOWN, applied_in_queue
from domain.order.transition import Events, must, refused, traded

Ending = type[e.OrderRejected] | type[e.OrderCancelled] | type[e.OrderExpired]

OF_THE_VENUE = frozenset({"halted", "market_closed", "unknown_symbol", "venue_busy"})
"""Reasons for which a venue refuses any order, so another venue may take this one."""

NOT_YET = frozenset({UNKNOWN, "too_early"})
"""Reasons for which a venue refuses a request about an order that it may still receive."""

_TRIGGERS: dict[Ending, str] = {e.OrderRejected: "venue_reject", e.OrderCancelled: "venue_cancelled", e.OrderExpired: "expire"}


def leg_ended(
    order: Order,
    route: Route,
    kind: Ending,
    now: int,
    *,
    source: str,
    reason: str,
    found: str | None = None,
    report_seq: int | None = None,
) -> Events:
    """End a route. The order works on if other routes are live. A reject after a trade becomes a cancel of the rest."""
    if any(other.live and other.route_id != route.route_id for other in order.routes):
        status = must(order.status, _leg_trigger(order, route))
        closed = e.RouteClosed(
            order_id=order.order_id,
            at=now,
            status=status,
            route_id=route.route_id,
            venue=route.venue,
            reason=reason,
            report_seq=report_seq,
        )
        return (closed,)
    if kind is e.OrderRejected and source == "venue" and reason in OF_THE_VENUE and not order.trades:
        if not order.cancel_wanted and step(order.status, "venue_reject_requeue"):
            return _queued_again(order, route, now, reason, report_seq)
        if order.cancel_wanted and order.status is not State.IN_DOUBT:  # another venue could take it, but its cancel was requested
            kind = e.OrderExpired if order.expiring else e.OrderCancelled
            source, reason = cancelled_by(order, reason)
    if kind is e.OrderRejected and order.cum_quantity:
        kind = e.OrderCancelled
    more: dict[str, Any] = {"found": found} if kind is e.OrderRejected else {}
    ended = kind(
        order_id=order.order_id,
        at=now,
        status=must(order.status, _TRIGGERS[kind]),
        source=source,
        reason=reason,
        route_id=route.route_id,
        venue=route.venue,
        report_seq=report_seq,
        **more,
    )
    return (ended,)


def cancelled_by(order: Order, reason: str) -> tuple[str, str]:
    """Return source and reason of an order that ended at its venue.

    The cause of the cancel takes precedence: the venue only reports the cancel.
    """
    return (order.source, order.reason) if order.source and order.reason else ("venue", reason)


def _queued_again(order: Order, route: Route, now: int, reason: str, report_seq: int | None) -> Events:
    """Queue the order again, with its pending new terms if any. One commit, so the old terms are never routed again."""
    queued = e.OrderQueued(
        order_id=order.order_id,
        at=now,
        status=must(order.status, "venue_reject_requeue"),
        route_id=route.route_id,
        venue=route.venue,
        reason=reason,
        report_seq=report_seq,
    )
    return queued, *applied_in_queue(order, now)


def _leg_trigger(order: Order, ended: Route) -> str:
    """Return the trigger for a route that ended while others work. It settles a doubt unless another route is silent."""
    others = [route for route in order.live_routes if route.route_id != ended.route_id]
    doubt = order.status is State.IN_DOUBT and any(silent(route) for route in others)
    if doubt or order.status in (State.PENDING_CANCEL, State.PENDING_REPLACE):
        return "leg_ended_waiting"
    return traded(order, "leg_ended")


def silent(route: Route) -> bool:
    """Return whether no report for the route has arrived yet."""
    return route.live and not route.venue_order_id and not route.cum_quantity


def not_sent(order: Order, command: c.RefuseRoute, now: int) -> Events:
    """End an order for which exeq had no venue, or (with a `route_id`) a recorded route that exeq did not send."""
    if order.status is State.REJECTED and order.source == "exeq":
        return ()  # repeated by an exeq that did not receive the answer
    if command.route_id is not None:
        return _route_not_sent(order, command, command.route_id, now)
    status = step(order.status, "no_route")
    if status is None:
        return (refused(order, "no_route", "exeq", command.reason, now),)
    return (e.OrderRejected(order_id=order.order_id, at=now, status=status, source="exeq", reason=command.reason, found=command.detail),)


def _route_not_sent(order: Order, command: c.RefuseRoute, route_id: str, now: int) -> Events:
    route = next((route for route in order.routes if route.route_id == route_id), None)
    if route is not None and route.ended:
        return ()
    if order.closed or route is None or not silent(route):
        return (refused(order, "venue_reject", "exeq", command.reason, now),)
    return leg_ended(order, route, e.OrderRejected, now, source="exeq", reason=command.reason, found=command.detail)
