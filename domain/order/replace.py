"""Changing the terms of an order that is open: what is asked for, what its venue makes of it, and what it counts at meanwhile."""

from collections.abc import Callable, Container
from decimal import Decimal
from functools import partial

from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import UNROUTED, State, step
from domain.order.order import Asked, Order, may_be_negative
from domain.order.transition import Events, must, quarantined, refused, traded
from domain.values import ZERO, OrderType, Side, bounded

UNKNOWN = "unknown"
"""The venue has no such order: no evidence that it works there."""


def terms_wanted(order: Order, quantity: Decimal | None, price: Decimal | None, stop_price: Decimal | None) -> Asked:
    """The order's numbers with those changed that were given."""
    return Asked(
        order.quantity if quantity is None else quantity,
        order.price if price is None else price,
        order.stop_price if stop_price is None else stop_price,
    )


def weighs_more(order: Order, wanted: Asked) -> bool:
    """May the new terms add to what is at stake? Less of it, or a lower bid, cannot; any other new price may.

    A bid that comes down through zero is lower and can be worth more: then its size counts.
    """
    if wanted.quantity > order.quantity:
        return True
    moved = ((order.price, wanted.price), (order.stop_price, wanted.stop_price))
    return any(
        old is not None and new is not None and new != old and not (order.side is Side.BUY and new < old and abs(new) <= abs(old))
        for old, new in moved
    )


def under_way(order: Order, wanted: Asked) -> bool:
    """Is this what was asked for already, or how the order is?"""
    if (asked := order.replacing) is not None:
        return wanted == Asked(asked.quantity, asked.price, asked.stop_price)
    return wanted == Asked(order.quantity, order.price, order.stop_price)


def reason_against(order: Order, wanted: Asked) -> str | None:
    """Why the order cannot be replaced now. A risk check never says so: see `replace`."""
    if step(order.status, "replace") is None:
        return str(order.status)
    if wanted.quantity <= ZERO:
        return "quantity"
    return "several_legs" if order.status not in UNROUTED and len(order.live_routes) > 1 else None


def replace(order: Order, command: c.ReplaceOrder, now: int) -> Events:
    """In place while no venue has the order; else logged before the wire. What is asked for already changes nothing.

    A venue that has not said a word about the order yet is asked after that word: see domain/execution/projection.py.
    """
    wanted = terms_wanted(order, command.quantity, command.price, command.stop_price)
    if not order.closed and under_way(order, wanted):
        return ()
    why = reason_against(order, wanted)
    if why is None and command.replace_id != order.next_replace_id:
        why = "replaced_meanwhile"
    if why is not None:
        return (refused(order, "replace", command.source, why, now),)
    decision = command.decision
    if decision is not None and decision.denial is not None:
        return (_refused_by_risk(order, decision, now),)
    kind: Callable[..., e.OrderEvent] = e.OrderReplaced
    if order.status not in UNROUTED:
        route = order.live_routes[0]
        quantity = wanted.quantity - order.elsewhere(route.route_id)
        kind = partial(e.ReplaceRequested, leg=e.Leg(route.route_id, route.venue, quantity))
    return (
        kind(
            order_id=order.order_id,
            at=now,
            status=must(order.status, "replace"),
            replace_id=command.replace_id,
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
    """The terms that were asked of a venue that had no answer to give: it refused the order, which waits for another one with them."""
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


def _reference(order: Order, wanted: Asked, decision: c.RiskReply | None) -> Decimal | None:
    if decision is not None and decision.reference is not None:
        return decision.reference
    return wanted.price if order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else order.reference


def _refused_by_risk(order: Order, decision: c.RiskReply, now: int) -> e.ReplaceRefused:
    denial = decision.denial
    assert denial is not None
    return e.ReplaceRefused(
        order_id=order.order_id,
        at=now,
        status=order.status,
        source=decision.source,
        reason=denial.code,
        found=denial.found,
        limit=denial.limit,
        unit=denial.unit,
        limits_version=decision.limits_version,
        checks=decision.checks,
    )


def replaced(order: Order, report: c.VenueReport, now: int, negative_prices: Container[str] = ()) -> Events:
    """The venue says how a leg stands now; asked or not, its word is final. A quantity at or below what was traded is full."""
    if order.closed or not any(r.route_id == report.route_id and not r.ended for r in order.routes):
        return ()
    if not _readable(order, report, negative_prices):
        return (quarantined(report, order.status, "unreadable", now),)
    assert report.quantity is not None
    asked = order.replacing if order.replacing and order.replacing.replace_id == report.replace_id else None
    rule = asked or order
    said = terms_wanted(
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
            price=said.price,
            stop_price=said.stop_price,
            leaves_quantity=quantity - order.cum_quantity,
            reference=asked.reference if asked else _reference(order, said, None),
            route_id=report.route_id,
            venue=report.venue,
            report_seq=report.report_seq or None,
        ),
    )


def _readable(order: Order, report: c.VenueReport, negative_prices: Container[str]) -> bool:
    """Its quantity is there; prices that it does not say are those that were asked for."""
    prices = [number for number in (report.price, report.stop_price) if number is not None]
    if report.quantity is None or not all(map(bounded, (report.quantity, *prices))):
        return False
    return report.quantity > ZERO and (all(price > ZERO for price in prices) or may_be_negative(order, negative_prices))


def replace_rejected(order: Order, report: c.VenueReport, now: int) -> Events:
    """The old terms stay. Only an answer to what is open counts; that a venue does not know the order settles no doubt."""
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
