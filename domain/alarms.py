"""Alarms of orders as records: what a person must look at, made from the events of the journal."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from domain.narrative import told
from domain.order import events as e
from domain.values import rfc3339

KEPT_MAX: Final = 200
"""Alarms that a service keeps. The oldest one is dropped for a further one; the journal has all that were recorded."""
ALARMING: Final = frozenset({e.TransitionRefused, e.ReportQuarantined, e.OrderInDoubt, e.OrderFilled, e.ListFlagged})
"""Types of events that are alarms, always or, as a fill, sometimes."""

REFUSED_STEP: Final = "refused_step"
QUARANTINE: Final = "quarantine"
DOUBT: Final = "doubt"
OVERFILL: Final = "overfill"
LATE_FILL: Final = "late_fill"
ACCOUNT_STOPPED: Final = "account_stopped"
LIST: Final = "list"
DIFFERENCE: Final = "difference"


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """One alarm. `at`: nanoseconds UTC. `seq`: of the journal that records it; None if none does. `order_id` may be empty."""

    at: int
    kind: str
    sentence: str
    order_id: str = ""
    account: str = ""
    seq: int | None = None


def alarm_of(event: e.OrderEvent, account: str, seq: int | None) -> Alarm | None:
    """Return the alarm that an event is; None for all others."""
    kind = _kind(event)
    return None if kind is None else Alarm(event.at, kind, told(event), event.order_id, account, seq)


def _kind(event: e.OrderEvent) -> str | None:
    match event:
        case e.TransitionRefused():
            return REFUSED_STEP
        case e.ReportQuarantined():
            return QUARANTINE
        case e.OrderInDoubt():
            return DOUBT
        case e.ListFlagged():
            return LIST
        case e.OrderFilled(overfill=True):
            return OVERFILL
        case e.OrderFilled(late=True):
            return LATE_FILL
        case _:
            return None


def alarm_views(alarms: Iterable[Alarm]) -> list[dict[str, Any]]:
    """Build the alarms for `/stats`, newest first."""
    return [
        {
            "at": rfc3339(each.at),
            "kind": each.kind,
            "order_id": each.order_id or None,
            "account": each.account or None,
            "sentence": each.sentence,
            "seq": each.seq,
        }
        for each in sorted(alarms, key=lambda each: (each.at, each.seq or 0), reverse=True)
    ]
