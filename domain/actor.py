"""One order, one writer: `decide` turns a command into facts and changes nothing; `evolve` (order.py) changes and never refuses."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from domain import commands as c
from domain import events as e
from domain.lifecycle import CLOSED, UNROUTED, State, step
from domain.order import Order, Route, Trade, evolve
from domain.values import MONEY_PLACES, ZERO, Liquidity, bounded

Events = tuple[e.OrderEvent, ...]
__all__ = ["Events", "decide", "evolve", "same_terms"]


def decide(order: Order | None, command: c.OrderCommand, now_ns: int) -> Events:
    """The facts that follow from the command. None of them: it was seen before, or is stale. A step that the table lacks is a fact too."""
    if isinstance(command, c.VenueReport):
        return _report(order, command, now_ns)
    if isinstance(command, c.SubmitOrder):
        return () if order else _submit(command, now_ns)
    assert order is not None, f"the host looks orders up before it asks: {command.order_id}"
    return COMMANDS[type(command)](order, command, now_ns)


def same_terms(order: Order, terms: c.Terms) -> bool:
    """Does a repeated submit ask for what the first one asked for?"""
    return (
        order.symbol == terms.symbol
        and order.side is terms.side
        and order.order_type is terms.order_type
        and order.quantity == terms.quantity
        and order.price == terms.price
        and order.stop_price == terms.stop_price
        and order.time_in_force is terms.time_in_force
        and order.expire_at == terms.expire_at
        and order.priority == terms.priority
    )


def _submit(command: c.SubmitOrder, now: int) -> Events:
    t, decision = command.terms, command.decision
    submitted = e.OrderSubmitted(
        order_id=t.order_id,
        at=now,
        status=State.NEW,
        account=t.account,
        client_order_id=t.client_order_id,
        symbol=t.symbol,
        side=t.side,
        order_type=t.order_type,
        quantity=t.quantity,
        price=t.price,
        stop_price=t.stop_price,
        time_in_force=t.time_in_force,
        expire_at=t.expire_at,
        priority=t.priority,
    )
    if decision.denial is not None:
        return submitted, _risk_rejected(t.order_id, decision, now)
    checked = e.OrderRiskChecked(
        order_id=t.order_id,
        at=now,
        status=_must(State.NEW, "risk_pass"),
        limits_version=decision.limits_version,
        checks=decision.checks,
        reference=decision.reference,
    )
    return submitted, checked, e.OrderQueued(order_id=t.order_id, at=now, status=_must(checked.status, "enqueue"))


def _risk_rejected(order_id: str, decision: c.Decision, now: int) -> e.OrderRejected:
    denial = decision.denial
    assert denial is not None
    return e.OrderRejected(
        order_id=order_id,
        at=now,
        status=_must(State.NEW, "risk_fail"),
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
        return (_refused(order, "cancel", command.source, command.reason, now),)
    kind = e.OrderCancelled if order.status in UNROUTED else e.CancelRequested
    return (kind(order_id=order.order_id, at=now, status=status, source=command.source, reason=command.reason),)


def _route(order: Order, command: c.RouteOrder, now: int) -> Events:
    known = {route.route_id for route in order.routes}
    if all(leg.route_id in known for leg in command.legs):
        return ()
    status = step(order.status, "route")
    readable = all(bounded(leg.quantity) and leg.quantity > ZERO for leg in command.legs)
    if status is None or not readable or order.cum_quantity + sum((leg.quantity for leg in command.legs), ZERO) > order.quantity:
        legs = ", ".join(f"{leg.quantity} to {leg.venue}" for leg in command.legs)
        return (_refused(order, "route", "exeq", legs, now),)
    return (
        e.OrderRouted(
            order_id=order.order_id, at=now, status=status, legs=command.legs, policy=command.policy, candidates=command.candidates
        ),
    )


def _no_route(order: Order, command: c.RefuseRoute, now: int) -> Events:
    if order.status is State.REJECTED and order.source == "exeq":
        return ()  # asked again by an exeq that did not hear the answer
    trigger = "no_route" if command.route_id is None else "venue_reject"
    status = step(order.status, trigger)
    if status is None:
        return (_refused(order, trigger, "exeq", command.reason, now),)
    return (
        e.OrderRejected(
            order_id=order.order_id,
            at=now,
            status=status,
            source="exeq",
            reason=command.reason,
            found=command.detail,
            route_id=command.route_id,
        ),
    )


def _doubt(order: Order, command: c.DoubtRoute, now: int) -> Events:
    """Only a route that nobody has said a word about can be in doubt; once is enough."""
    route = _silent_route(order, command.route_id)
    if route is None or order.status is State.IN_DOUBT:
        return ()
    status = step(order.status, "no_answer")
    if status is None:
        return (_refused(order, "no_answer", "exeq", command.reason, now),)
    return (
        e.OrderInDoubt(order_id=order.order_id, at=now, status=status, route_id=route.route_id, venue=route.venue, reason=command.reason),
    )


def _absent(order: Order, command: c.RouteAbsent, now: int) -> Events:
    """Evidence settles a doubt, never a timer: the venue does not have the order, so the route never arrived."""
    route = _silent_route(order, command.route_id)
    if route is None or order.status is not State.IN_DOUBT:
        return ()
    if any(other.live and other.route_id != route.route_id for other in order.routes):
        return ()
    return (
        e.OrderRejected(
            order_id=order.order_id,
            at=now,
            status=_must(order.status, "venue_reject"),
            source="exeq",
            reason="never_arrived",
            found=command.evidence,
            route_id=route.route_id,
            venue=route.venue,
        ),
    )


def _silent_route(order: Order, route_id: str) -> Route | None:
    return next((r for r in order.routes if r.route_id == route_id and r.live and not r.venue_order_id and not r.cum_quantity), None)


COMMANDS: dict[type[c.OrderCommand], Callable[[Order, Any, int], Events]] = {
    c.CancelOrder: _cancel,
    c.RouteOrder: _route,
    c.RefuseRoute: _no_route,
    c.DoubtRoute: _doubt,
    c.RouteAbsent: _absent,
}


# A venue's reports: facts, so each has an answer in every state.


def _report(order: Order | None, report: c.VenueReport, now: int) -> Events:
    if order is None:
        return (_quarantined(report, State.NEW, "unknown_order", now),)
    return REPORTS[report.report](order, report, now)


def _accepted(order: Order, report: c.VenueReport, now: int) -> Events:
    route = next((r for r in order.routes if r.route_id == report.route_id), None)
    if route is None or route.venue_order_id or order.closed:
        return ()
    traded = "_traded" if order.status is State.IN_DOUBT and order.cum_quantity else ""
    status = step(order.status, "venue_ack" + traded)
    if status is None:
        return (_refused(order, "venue_ack", report.venue, report.venue_order_id, now),)
    return (
        e.RouteAcknowledged(
            order_id=order.order_id,
            at=now,
            status=status,
            route_id=report.route_id,
            venue=report.venue,
            venue_order_id=report.venue_order_id,
            report_seq=report.report_seq,
        ),
    )


def _fill(order: Order, report: c.VenueReport, now: int) -> Events:
    quantity, price, fee = report.quantity, report.price, report.fee or ZERO
    if quantity is None or price is None or not report.exec_id or not _possible(quantity, price, fee):
        return (_quarantined(report, order.status, "unreadable", now),)
    if not _ours(order, report):
        return (_quarantined(report, order.status, "mismatch", now),)
    if seen := order.trade(report.venue, report.exec_id):
        return () if _same_trade(seen, report) else (_quarantined(report, order.status, "conflict", now),)
    cum = order.cum_quantity + quantity
    filled = e.OrderFilled(
        order_id=order.order_id,
        at=now,
        status=_must(order.status, "trade_full" if cum >= order.quantity else "trade_part"),
        account=order.account,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=quantity,
        price=price,
        fee=fee,
        liquidity=report.liquidity or Liquidity.TAKER,
        exec_id=report.exec_id,
        venue=report.venue,
        route_id=report.route_id,
        report_seq=report.report_seq,
        late=order.closed,
        overfill=cum > order.quantity,
    )
    if filled.status in CLOSED or _works_on(order, report.route_id, quantity):
        return (filled,)
    return filled, _rest_cancelled(order.order_id, filled.status, now)


def _possible(quantity: Decimal, price: Decimal, fee: Decimal) -> bool:
    """A decoder lets NaN and 1e999999 through. A fee may be negative (a rebate), and long: it is a product of price and quantity."""
    return bounded(quantity) and bounded(price) and bounded(fee, 2 * MONEY_PLACES) and quantity > ZERO and price >= ZERO


def _ours(order: Order, report: c.VenueReport) -> bool:
    return report.account == order.account and report.symbol == order.symbol and report.side is order.side


def _works_on(order: Order, route_id: str, change: Decimal) -> bool:
    """Does any leg still work when one of them traded by `change`?"""
    return any(not r.ended and r.cum_quantity + (change if r.route_id == route_id else ZERO) < r.quantity for r in order.routes)


def _rest_cancelled(order_id: str, status: State, now: int) -> e.OrderCancelled:
    """The last leg that worked is full, the others had ended before: nobody will trade the rest."""
    return e.OrderCancelled(order_id=order_id, at=now, status=_must(status, "venue_cancelled"), source="oms", reason="no_live_leg")


def _same_trade(seen: Trade, report: c.VenueReport) -> bool:
    return seen.quantity == report.quantity and seen.price == report.price and seen.fee == (report.fee or ZERO)


def _bust(order: Order, report: c.VenueReport, now: int) -> Events:
    seen = order.trade(report.venue, report.exec_id)
    if seen is None:
        return (_quarantined(report, order.status, "unknown_trade", now),)
    if not _ours(order, report):
        return (_quarantined(report, order.status, "mismatch", now),)
    if seen.busted:
        return ()
    return (
        e.TradeBusted(
            order_id=order.order_id,
            at=now,
            status=_must(order.status, _bust_trigger(order, seen)),
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            quantity=seen.quantity,
            price=seen.price,
            fee=seen.fee,
            exec_id=seen.exec_id,
            venue=seen.venue,
            report_seq=report.report_seq,
        ),
    )


def _bust_trigger(order: Order, seen: Trade) -> str:
    cum = order.cum_quantity - seen.quantity
    if cum >= order.quantity:
        return "bust_full"
    if order.status is State.FILLED and not _works_on(order, seen.route_id, -seen.quantity):
        return "bust_ended"
    return "bust_traded" if cum else "bust"


def _ended(order: Order, report: c.VenueReport, now: int) -> Events:
    """The venue ended a leg. With other legs alive the order works on; a reject after a trade is a cancel of the rest."""
    if order.closed or not any(r.route_id == report.route_id and not r.ended for r in order.routes):
        return ()
    reason = report.reason or str(report.report)
    if any(r.live and r.route_id != report.route_id for r in order.routes):
        return (
            e.RouteClosed(
                order_id=order.order_id,
                at=now,
                status=order.status,
                route_id=report.route_id,
                venue=report.venue,
                reason=reason,
                report_seq=report.report_seq,
            ),
        )
    trigger, kind = _ENDINGS[report.report]
    if report.report is c.ReportKind.REJECTED and order.cum_quantity:
        trigger, kind = _ENDINGS[c.ReportKind.CANCELLED]
    return (
        kind(
            order_id=order.order_id,
            at=now,
            status=_must(order.status, trigger),
            source="venue",
            reason=reason,
            route_id=report.route_id,
            venue=report.venue,
            report_seq=report.report_seq,
        ),
    )


def _cancel_rejected(order: Order, report: c.VenueReport, now: int) -> Events:
    status = step(order.status, "cancel_rejected_traded" if order.cum_quantity else "cancel_rejected")
    if order.closed or status is None:
        return ()
    return (
        e.CancelRejected(
            order_id=order.order_id, at=now, status=status, reason=report.reason, venue=report.venue, report_seq=report.report_seq
        ),
    )


_ENDINGS: dict[c.ReportKind, tuple[str, type[e.OrderRejected | e.OrderCancelled | e.OrderExpired]]] = {
    c.ReportKind.REJECTED: ("venue_reject", e.OrderRejected),
    c.ReportKind.CANCELLED: ("venue_cancelled", e.OrderCancelled),
    c.ReportKind.EXPIRED: ("expire", e.OrderExpired),
}

REPORTS: dict[c.ReportKind, Callable[[Order, c.VenueReport, int], Events]] = {
    c.ReportKind.ACCEPTED: _accepted,
    c.ReportKind.REJECTED: _ended,
    c.ReportKind.FILL: _fill,
    c.ReportKind.CANCELLED: _ended,
    c.ReportKind.EXPIRED: _ended,
    c.ReportKind.CANCEL_REJECTED: _cancel_rejected,
    c.ReportKind.BUST: _bust,
}


def _must(state: State, trigger: str) -> State:
    status = step(state, trigger)
    assert status is not None, f"the table lacks {state} + {trigger}"
    return status


def _refused(order: Order, trigger: str, source: str, detail: str, now: int) -> e.TransitionRefused:
    return e.TransitionRefused(order_id=order.order_id, at=now, status=order.status, trigger=trigger, source=source, detail=detail)


def _quarantined(report: c.VenueReport, status: State, reason: str, now: int) -> e.ReportQuarantined:
    """The whole report is kept as JSON, so that reconciliation can read it back."""
    return e.ReportQuarantined(
        order_id=report.order_id,
        at=now,
        status=status,
        reason=reason,
        venue=report.venue,
        report_seq=report.report_seq,
        report=msgspec.json.encode(report).decode(),
    )
