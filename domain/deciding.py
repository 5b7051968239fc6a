"""What every decision needs: the step that the table must have, the refusal where it has none, the report that nobody may apply yet."""

from decimal import Decimal

import msgspec

from domain import events as e
from domain.commands import VenueReport
from domain.lifecycle import State, step
from domain.order import Order
from domain.values import ZERO

Events = tuple[e.OrderEvent, ...]


def must(state: State, trigger: str) -> State:
    """Where the trigger leads, which the caller knows that the table has."""
    status = step(state, trigger)
    assert status is not None, f"the table lacks {state} + {trigger}"
    return status


def refused(order: Order, trigger: str, source: str, detail: str, now: int) -> e.TransitionRefused:
    return e.TransitionRefused(order_id=order.order_id, at=now, status=order.status, trigger=trigger, source=source, detail=detail)


def quarantined(report: VenueReport, status: State, reason: str, now: int) -> e.ReportQuarantined:
    """The whole report is kept as JSON, so that reconciliation can read it back."""
    return e.ReportQuarantined(
        order_id=report.order_id,
        at=now,
        status=status,
        reason=reason,
        venue=report.venue,
        report_seq=report.report_seq or None,
        report=msgspec.json.encode(report).decode(),
    )


def traded(order: Order, trigger: str) -> str:
    """The trigger's name for an order that has, or has not, traded."""
    return f"{trigger}_traded" if order.cum_quantity else trigger


def works_on(order: Order, route_id: str, change: Decimal) -> bool:
    """Does any leg still work when one of them traded by `change`?"""
    return any(not r.ended and r.cum_quantity + (change if r.route_id == route_id else ZERO) < r.quantity for r in order.routes)
