"""One order, one writer: `decide` turns a command into events and changes nothing; `evolve` (order.py) changes and never refuses."""

from collections.abc import Callable, Container
from decimal import Decimal
from typing import Any

from domain.order import commands as c
from domain.order import events as e
from domain.order.group import HELD_ROLES
from domain.order.in_doubt import absent, confirmed, doubted, set_aside, settled
from domain.order.lifecycle import UNROUTED, State, step
from domain.order.list_record import LIST_COMMANDS
from domain.order.order import Order, evolve
from domain.order.replace import replace
from domain.order.route_end import not_sent
from domain.order.terms import recorded
from domain.order.trail import limit_after, tighter
from domain.order.transition import Events, must, refused
from domain.order.venue_reports import reported
from domain.values import ZERO, bounded

__all__ = ["Events", "decide", "evolve"]


def decide(order: Order | None, command: c.OrderCommand, now_ns: int, negative_prices: Container[str] = ()) -> Events:
    """Return the events that follow from the command. An empty result: the command is a duplicate or stale.

    A refusal is a TransitionRefused for the sender: see transition.py. `negative_prices` are the symbols that may trade at zero and below
    according to the current catalogue.
    """
    if isinstance(command, c.VenueReport):
        return reported(order, command, now_ns, negative_prices=negative_prices)
    if isinstance(command, c.BookReport):
        return reported(order, command.report, now_ns, negative_prices=negative_prices)
    if isinstance(command, c.SubmitOrder):
        return () if order else _submit(command, now_ns)
    if isinstance(command, c.SetReportAside):
        return set_aside(order, command, now_ns)
    assert order is not None, f"the host loads the order before it decides: {command.order_id}"
    if isinstance(command, c.SettleOrder):
        return settled(order, command, now_ns, negative_prices=negative_prices)
    return COMMANDS[type(command)](order, command, now_ns)


def _submit(command: c.SubmitOrder, now: int) -> Events:
    t, decision = command.terms, command.decision
    submitted = recorded(t, now, command.by)
    if decision.denial is not None:
        return submitted, _risk_rejected(t.order_id, decision, now)
    checked = e.OrderRiskChecked(
        order_id=t.order_id,
        at=now,
        status=must(State.NEW, "risk_pass"),
        limits_version=decision.limits_version,
        checks=decision.checks,
        reference=decision.reference,
    )
    if t.role in HELD_ROLES and not command.at_once:
        return submitted, checked
    return submitted, checked, e.OrderQueued(order_id=t.order_id, at=now, status=must(checked.status, "enqueue"))


def _risk_rejected(order_id: str, decision: c.RiskDecision, now: int) -> e.OrderRejected:
    denial = decision.denial
    assert denial is not None
    return e.OrderRejected(
        order_id=order_id,
        at=now,
        status=must(State.NEW, "risk_fail"),
        source=decision.source,
        reason=denial.code,
        found=denial.found,
        limit=denial.limit,
        unit=denial.unit,
        limits_version=decision.limits_version,
        checks=decision.checks,
    )


def _cancel(order: Order, command: c.CancelOrder, now: int) -> Events:
    if order.status in (State.PENDING_CANCEL, State.CANCELLED):
        return ()
    status = step(order.status, "cancel")
    if status is None:
        return (refused(order, "cancel", command.source, command.reason, now),)
    kind = e.OrderCancelled if order.status in UNROUTED else e.CancelRequested
    return (kind(order_id=order.order_id, at=now, status=status, by=command.by, source=command.source, reason=command.reason),)


def _expire(order: Order, command: c.ExpireOrder, now: int) -> Events:
    """Expire or cancel the order. Expiry is not a request: an order that is closed or pending cancel stays as it is."""
    if order.closed or order.status is State.PENDING_CANCEL:
        return ()
    waits = order.status in UNROUTED
    kind: Callable[..., e.OrderEvent] = e.OrderExpired if waits else e.CancelRequested
    trigger = "expire" if waits else "cancel"
    if order.status is State.RISK_CHECKED:  # a held leg: the table has no expiry before the queue
        kind, trigger = e.OrderCancelled, "cancel"
    status = must(order.status, trigger)
    return (kind(order_id=order.order_id, at=now, status=status, source="oms", reason=command.reason),)


def _trigger(order: Order, command: c.TriggerOrder, now: int) -> Events:
    """Record the trigger once. An order that is no longer queued needs none."""
    if not _asleep(order) or not bounded(command.price):
        return ()
    stop_price, best, limit_price = None, None, None
    if order.trail is not None:
        stop_price, best = order.stop_price, order.best
        if _follows(order, command.stop_price, command.best):
            stop_price, best = command.stop_price, command.best
        if stop_price is None:
            return ()
        limit_price = limit_after(order.trail, order.side, stop_price)
    elif order.stop_price is None:
        return ()
    return (
        e.OrderTriggered(
            order_id=order.order_id,
            at=now,
            status=order.status,
            venue=command.venue,
            price=command.price,
            waits_for=command.waits_for,
            stop_price=stop_price,
            best=best,
            limit_price=limit_price,
        ),
    )


def _trail(order: Order, command: c.TrailStop, now: int) -> Events:
    """Record the tighter stop price. One that is not tighter is late, and an order that no longer waits for its stop price needs none."""
    if not _asleep(order) or not _follows(order, command.stop_price, command.best):
        return ()
    return (
        e.StopTrailed(
            order_id=order.order_id,
            at=now,
            status=order.status,
            venue=command.venue,
            stop_price=command.stop_price,
            best=command.best,
        ),
    )


def _asleep(order: Order) -> bool:
    """Return whether the order may wait for its stop price."""
    return order.status is State.QUEUED and not order.triggered


def _follows(order: Order, stop_price: Decimal | None, best: Decimal | None) -> bool:
    """Return whether a trailing stop may move there: only nearer to the market."""
    if order.trail is None or stop_price is None or best is None or not (bounded(stop_price) and bounded(best)):
        return False
    return tighter(order.side, stop_price, order.stop_price)


def _release(order: Order, command: c.ReleaseOrder, now: int) -> Events:
    """Queue a held leg, or let a triggered stop be routed. Neither happens twice."""
    if order.status is State.RISK_CHECKED:
        return (e.OrderQueued(order_id=order.order_id, at=now, status=must(order.status, "enqueue")),)
    if order.closed or not order.waits_for:
        return ()
    return (e.OrderReleased(order_id=order.order_id, at=now, status=order.status, forced=command.forced),)


def _release_held(order: Order, command: c.ReleaseHeld, now: int) -> Events:
    """Record once that the opening or closing has come, if it has by the time of this shard."""
    auction = order.auction
    if auction is None or order.status is not State.QUEUED or order.triggered or not auction.is_on(now):
        return ()
    return (e.OrderReleased(order_id=order.order_id, at=now, status=order.status, venue=auction.venue),)


def _route(order: Order, command: c.RouteOrder, now: int) -> Events:
    """Route exactly what is left of the order. Routes chosen for terms that changed since are refused, and exeq chooses again."""
    known = {route.route_id for route in order.routes}
    if all(leg.route_id in known for leg in command.legs):
        return ()
    status = None if order.waits_for or not _is_its_time(order, now) else step(order.status, "route")
    readable = all(bounded(leg.quantity) and leg.quantity > ZERO for leg in command.legs)
    if status is None or not readable or _total(command) != order.leaves_quantity:
        legs = ", ".join(f"{leg.quantity} to {leg.venue}" for leg in command.legs)
        return (refused(order, "route", "exeq", legs, now),)
    return (
        e.OrderRouted(
            order_id=order.order_id,
            at=now,
            status=status,
            legs=command.legs,
            policy=command.policy,
            candidates=command.candidates,
            unit=command.unit,
            epoch=command.epoch,
        ),
    )


def _is_its_time(order: Order, now: int) -> bool:
    """Return whether the order is for no opening or closing, or its own has come and the session has not ended."""
    return order.auction is None or (order.triggered and order.auction.is_on(now))


def _total(command: c.RouteOrder) -> Decimal:
    return sum((leg.quantity for leg in command.legs), ZERO)


COMMANDS: dict[type[c.OrderCommand], Callable[[Order, Any, int], Events]] = {
    c.CancelOrder: _cancel,
    c.ReplaceOrder: replace,
    c.ExpireOrder: _expire,
    c.TriggerOrder: _trigger,
    c.ReleaseHeld: _release_held,
    c.TrailStop: _trail,
    c.RouteOrder: _route,
    c.RefuseRoute: not_sent,
    c.DoubtRoute: doubted,
    c.ConfirmRoute: confirmed,
    c.RouteAbsent: absent,
    c.ReleaseOrder: _release,
    **LIST_COMMANDS,
}
