"""Orders in doubt: how a doubt begins, what settles it, and reports that cannot be applied. Exposure is at the worst case until then."""

from collections.abc import Container
from typing import Final

from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import State, step
from domain.order.order import Order, Route
from domain.order.route_end import leg_ended, silent
from domain.order.transition import Events, must, refused, traded
from domain.order.venue_reports import reported
from domain.values import derived_id

OPERATOR: Final = "operator"


def doubted(order: Order, command: c.DoubtRoute, now: int) -> Events:
    """Put a route in doubt, once. Silence alone does so only if no report for the route has arrived: a reply may still be on its way."""
    route = _live(order, command.route_id)
    if route is None or order.status is State.IN_DOUBT or not (command.anyway or silent(route)):
        return ()
    status = step(order.status, "no_answer")
    if status is None:
        return (refused(order, "no_answer", "exeq", command.reason, now),)
    return (
        e.OrderInDoubt(order_id=order.order_id, at=now, status=status, route_id=route.route_id, venue=route.venue, reason=command.reason),
    )


def absent(order: Order, command: c.RouteAbsent, now: int) -> Events:
    """Settle a doubt: the venue does not have the order, so the route never arrived. Only evidence settles a doubt, never a timer."""
    route = _live(order, command.route_id)
    if route is None or not silent(route) or order.status is not State.IN_DOUBT:
        return ()
    return leg_ended(order, route, e.OrderRejected, now, source="exeq", reason="never_arrived", found=command.evidence)


def confirmed(order: Order, command: c.ConfirmRoute, now: int) -> Events:
    """Settle a doubt: the venue reports that the order works there. A cancel that was pending before the doubt is pending again."""
    route = _live(order, command.route_id)
    if route is None or order.status is not State.IN_DOUBT:
        return ()
    acknowledged = _working_again(order, route, command.venue_order_id, now)
    if not command.cancelling:
        return (acknowledged,)
    return acknowledged, e.CancelRequested(
        order_id=order.order_id,
        at=now,
        status=must(acknowledged.status, "cancel"),
        source=order.source or "oms",  # a cancel by a kill switch stays one
        reason=order.reason or "asked_before_the_doubt",
    )


def _working_again(order: Order, route: Route, venue_order_id: str, now: int) -> e.RouteAcknowledged:
    return e.RouteAcknowledged(
        order_id=order.order_id,
        at=now,
        status=must(order.status, traded(order, "venue_ack")),
        route_id=route.route_id,
        venue=route.venue,
        venue_order_id=venue_order_id or route.venue_order_id,
    )


def set_aside(order: Order | None, command: c.SetReportAside, now: int) -> Events:
    """Quarantine a report unchanged, so that the reports behind it proceed.

    If it may be a trade of a working order, that order is in doubt.
    """
    kept = e.ReportQuarantined(
        order_id=command.order_id,
        at=now,
        status=order.status if order else State.NEW,
        reason=command.reason,
        venue=command.venue,
        report_seq=command.report_seq or None,
        report=command.report,
    )
    route = next((r for r in order.routes if r.venue == command.venue and r.live), None) if order else None
    if order is None or route is None:
        return (kept,)
    return kept, *doubted(order, c.DoubtRoute(order_id=order.order_id, route_id=route.route_id, reason=command.reason, anyway=True), now)


def settled(order: Order, command: c.SettleOrder, now: int, *, negative_prices: Container[str] = ()) -> Events:
    """Settle an order in doubt for an operator: journal who and why, and then the events that follow."""
    route = _live(order, command.route_id) if command.route_id else _doubtful(order)
    if order.status is not State.IN_DOUBT or route is None:
        return (refused(order, "settle", command.who, command.reason, now),)
    settlement = e.DoubtSettled(
        order_id=order.order_id,
        at=now,
        status=order.status,
        by=command.by,
        route_id=route.route_id,
        venue=route.venue,
        outcome=str(command.outcome),
        who=command.who,
        reason=command.reason,
    )
    return settlement, *_follows(order, route, command, now, negative_prices)


def _follows(order: Order, route: Route, command: c.SettleOrder, now: int, negative_prices: Container[str]) -> Events:
    match command.outcome:
        case c.Outcome.WORKING:
            return (_working_again(order, route, command.venue_order_id, now),)
        case c.Outcome.FILLED:
            return reported(order, _trade(order, route, command, now), now, negative_prices=negative_prices)
        case c.Outcome.NEVER_ARRIVED:
            return leg_ended(order, route, e.OrderRejected, now, source=OPERATOR, reason="never_arrived")
        case c.Outcome.CANCELLED:
            return leg_ended(order, route, e.OrderCancelled, now, source=OPERATOR, reason="cancelled_at_venue")


def _trade(order: Order, route: Route, command: c.SettleOrder, now: int) -> c.VenueReport:
    """Return the trade that the operator read at the venue. Without an execution id it gets one derived from its content."""
    return c.VenueReport(
        report=c.ReportKind.FILL,
        order_id=order.order_id,
        route_id=route.route_id,
        venue=route.venue,
        report_seq=0,
        at=now,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        exec_id=command.exec_id or derived_id("settled", route.route_id, str(command.quantity), str(command.price)),
        quantity=command.quantity,
        price=command.price,
        fee=command.fee,
    )


def _live(order: Order, route_id: str) -> Route | None:
    return next((r for r in order.routes if r.route_id == route_id and r.live), None)


def _doubtful(order: Order) -> Route | None:
    """Return the route that is meant if none is named: the only one without any report, or the only live one."""
    live = order.live_routes
    quiet = [route for route in live if silent(route)] or live
    return quiet[0] if len(quiet) == 1 else None
