"""Replace the terms of an open order: the request, the venue's reply, and the exposure in between."""

from collections.abc import Callable, Container
from decimal import Decimal
from functools import partial

from domain.order import commands as c
from domain.order import events as e
from domain.order.generations import GENERATIONS_MAX
from domain.order.index import names_of
from domain.order.lifecycle import UNROUTED, State, step
from domain.order.order import Asked, Order
from domain.order.trail import Trail
from domain.order.transition import Events, may_be_negative, must, quarantined, refused, traded
from domain.values import ZERO, OrderType, Side, bounded

UNKNOWN = "unknown"
"""The venue has no such order: no evidence that it works there."""


def terms_wanted(
    order: Order, quantity: Decimal | None, price: Decimal | None, stop_price: Decimal | None, trail: Trail | None = None
) -> Asked:
    """Return the order's numbers with the given ones changed."""
    return Asked(
        order.quantity if quantity is None else quantity,
        order.price if price is None else price,
        order.stop_price if stop_price is None else stop_price,
        order.trail if trail is None else trail,
    )


def weighs_more(order: Order, wanted: Asked) -> bool:
    """Return whether the new terms may increase exposure. A smaller size or a lower bid cannot; any other new price may, or a new trail.

    A bid that falls below zero is lower and can still be worth more: then its absolute value counts.
    """
    if wanted.quantity > order.quantity or wanted.trail != order.trail:
        return True
    moved = ((order.price, wanted.price), (order.stop_price, wanted.stop_price))
    return any(
        old is not None and new is not None and new != old and not (order.side is Side.BUY and new < old and abs(new) <= abs(old))
        for old, new in moved
    )


def under_way(order: Order, wanted: Asked) -> bool:
    """Return whether these terms are pending already, or are the current terms."""
    if (asked := order.replacing) is not None:
        return wanted == Asked(asked.quantity, asked.price, asked.stop_price, order.trail)
    return wanted == Asked(order.quantity, order.price, order.stop_price, order.trail)


def reason_against(order: Order, wanted: Asked) -> str | None:
    """Return why the order cannot be replaced now, or None. Risk's reasons are not included: see `replace`."""
    if step(order.status, "replace") is None:
        return str(order.status)
    if wanted.quantity <= ZERO:
        return "quantity"
    if wanted.trail != order.trail and order.triggered:
        return "triggered"
    return "several_legs" if order.status not in UNROUTED and len(order.live_routes) > 1 else None


def replace(order: Order, command: c.ReplaceOrder, now: int) -> Events:
    """Replace in place while no venue has the order; otherwise journal the request before it is sent.

    Pending or equal terms change nothing, nor does a name that a replace of the order has already. A venue that has not reported on the
    order yet is asked after its first report: see domain/execution/projection.py.
    """
    wanted = terms_wanted(order, command.quantity, command.price, command.stop_price, command.trail)
    if not order.closed and under_way(order, wanted):
        return ()
    if command.client_order_id and (order.account, command.client_order_id) in names_of(order):
        return ()
    why = reason_against(order, wanted)
    if why is None and command.replace_id != order.next_replace_id:
        why = "replaced_meanwhile"
    if why is None and command.client_order_id and order.replaces >= GENERATIONS_MAX:
        why = "too_many_replaces"
    if why is not None:
        return (refused(order, "replace", command.source, why, now),)
    decision = command.decision
    if decision is not None and decision.denial is not None:
        return (_refused_by_risk(order, decision, command.by, now),)
    kind: Callable[..., e.OrderEvent] = partial(e.OrderReplaced, trail=command.trail) if command.trail else e.OrderReplaced
    if order.status not in UNROUTED:
        route = order.live_routes[0]
        quantity = wanted.quantity - order.elsewhere(route.route_id)
        kind = partial(e.ReplaceRequested, leg=e.Leg(route.route_id, route.venue, quantity))
    return (
        kind(
            order_id=order.order_id,
            at=now,
            status=must(order.status, "replace"),
            by=command.by,
            replace_id=command.replace_id,
            client_order_id=command.client_order_id,
            quantity=wanted.quantity,
            price=wanted.price,
            stop_price=wanted.stop_price,
            leaves_quantity=max(wanted.quantity - order.cum_quantity, ZERO),
            reference=_reference(order, wanted, decision),
            limits_version=decision.limits_version if decision else None,
            checks=decision.checks if decision else "",
        ),
    )


def applied_in_queue(order: Order, now: int) -> Events:
    """Apply pending new terms to an order that its venue refused and that waits for another venue."""
    asked = order.replacing
    if asked is None:
        return ()
    return (
        e.OrderReplaced(
            order_id=order.order_id,
            at=now,
            status=must(State.QUEUED, "replace"),
            replace_id=asked.replace_id,
            quantity=asked.quantity,
            price=asked.price,
            stop_price=asked.stop_price,
            leaves_quantity=asked.quantity - order.cum_quantity,
            reference=asked.reference,
        ),
    )


def _reference(order: Order, wanted: Asked, decision: c.RiskDecision | None) -> Decimal | None:
    if decision is not None and decision.reference is not None:
        return decision.reference
    return wanted.price if order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else order.reference


def _refused_by_risk(order: Order, decision: c.RiskDecision, by: str, now: int) -> e.ReplaceRefused:
    denial = decision.denial
    assert denial is not None
    return e.ReplaceRefused(
        order_id=order.order_id,
        at=now,
        status=order.status,
        by=by,
        source=decision.source,
        reason=denial.code,
        found=denial.found,
        limit=denial.limit,
        unit=denial.unit,
        limits_version=decision.limits_version,
        checks=decision.checks,
    )


def replaced(order: Order, report: c.VenueReport, now: int, negative_prices: Container[str] = ()) -> Events:
    """Apply the terms that the venue reports for a route; they are final, requested or not.

    A quantity at or below what was traded is full.
    """
    if order.closed or not any(r.route_id == report.route_id and not r.ended for r in order.routes):
        return ()
    if not _readable(order, report, negative_prices):
        return (quarantined(report, order.status, "unreadable", now),)
    assert report.quantity is not None
    asked = order.replacing if order.replacing and order.replacing.replace_id == report.replace_id else None
    rule = asked or order
    reported = terms_wanted(
        order,
        None,
        rule.price if report.price is None else report.price,
        rule.stop_price if report.stop_price is None else report.stop_price,
    )
    quantity = max(report.quantity + order.elsewhere(report.route_id), order.cum_quantity)
    full = quantity == order.cum_quantity
    return (
        e.OrderReplaced(
            order_id=order.order_id,
            at=now,
            status=must(order.status, "replaced_full" if full else traded(order, "replaced")),
            replace_id=report.replace_id,
            quantity=quantity,
            price=reported.price,
            stop_price=reported.stop_price,
            leaves_quantity=quantity - order.cum_quantity,
            reference=asked.reference if asked else _reference(order, reported, None),
            route_id=report.route_id,
            venue=report.venue,
            report_seq=report.report_seq or None,
        ),
    )


def _readable(order: Order, report: c.VenueReport, negative_prices: Container[str]) -> bool:
    """Return whether the report has a valid quantity. Prices that it omits are the requested ones."""
    prices = [number for number in (report.price, report.stop_price) if number is not None]
    if report.quantity is None or not all(map(bounded, (report.quantity, *prices))):
        return False
    return report.quantity > ZERO and (all(price > ZERO for price in prices) or may_be_negative(order, negative_prices))


def replace_rejected(order: Order, report: c.VenueReport, now: int) -> Events:
    """Keep the old terms. Only an answer to the pending request counts; an unknown order at the venue does not settle a doubt."""
    asked = order.replacing
    if order.closed or asked is None or asked.replace_id != report.replace_id:
        return ()
    if order.status is State.IN_DOUBT and report.reason == UNKNOWN:
        return ()
    return (
        e.ReplaceRejected(
            order_id=order.order_id,
            at=now,
            status=must(order.status, traded(order, "replace_rejected")),
            replace_id=report.replace_id,
            reason=report.reason,
            leaves_quantity=order.leaves_quantity,
            reference=order.reference,
            venue=report.venue,
            report_seq=report.report_seq or None,
        ),
    )
