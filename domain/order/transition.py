"""Helpers of every decision: the step that the table must have, the refusal if it has none, and the quarantine of a report.

A decision may hold more than recorded events: `is_fact` selects those that belong in the journal, and `sameness` finds repeats among them.
"""

from collections.abc import Container
from decimal import Decimal
from typing import Final

import msgspec

from domain.order import events as e
from domain.order.commands import VenueReport
from domain.order.lifecycle import State, step
from domain.order.order import Order
from domain.values import ZERO

Events = tuple[e.OrderEvent, ...]

SAID_BY_VENUES: Final = frozenset({"venue_ack"})
"""Triggers of refusals that answer no request: a venue reported something impossible, which is worth recording about the venue."""

UNMOVING: Final[frozenset[type[e.Event]]] = frozenset({e.TransitionRefused, e.ReplaceRefused, e.ReportQuarantined})
"""Events that leave the order unchanged."""

_REPORT: Final = msgspec.json.Decoder(VenueReport)


def must(state: State, trigger: str) -> State:
    """Return the target of a trigger that the caller knows to be in the table."""
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
    """Return the trigger's name for an order that has, or has not, traded."""
    return f"{trigger}_traded" if order.cum_quantity else trigger


def works_on(order: Order, route_id: str, change: Decimal) -> bool:
    """Return whether any route still works after one of them traded by `change`."""
    return any(not r.ended and r.cum_quantity + (change if r.route_id == route_id else ZERO) < r.quantity for r in order.routes)


def is_fact(event: e.OrderEvent) -> bool:
    """Return False for a refused request: it changed nothing, so it is answered and counted, and requests alone never grow a journal."""
    return not isinstance(event, e.TransitionRefused) or event.trigger in SAID_BY_VENUES


def sameness(event: e.OrderEvent) -> tuple[str, ...] | None:
    """Return a key that is equal for two events that change nothing and of which the second adds nothing.

    None: the event changes something.
    """
    match event:
        case e.TransitionRefused():
            return event.order_id, event.trigger, event.source, event.detail or "", event.status
        case e.ReplaceRefused():
            return event.order_id, event.source, event.reason, str(event.limits_version), event.by
        case e.ReportQuarantined():
            return event.order_id, event.venue, event.reason, _content(event.report)
        case _:
            return None


def _content(report: str) -> str:
    """Return a report without its number and time: a venue that repeats it may give it others."""
    try:
        decoded = _REPORT.decode(report)
    except msgspec.MsgspecError:
        return report
    return msgspec.json.encode(msgspec.structs.replace(decoded, report_seq=0, at=0)).decode()


def may_be_negative(order: Order, symbols: Container[str]) -> bool:
    """Return whether the order may trade below zero.

    Either its symbol allows it, or its own prices do, which were valid on submit: its symbol may be gone since.
    """
    return order.symbol in symbols or any(price is not None and price <= ZERO for price in (order.price, order.stop_price))
