"""The checker's own fold of icebergs at a venue: no more of them is ever shown, or traded at once, than their display quantity.

It reads the venue's journal and what clients asked for, and nothing of the code that shows them.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from domain.audit.journal_audit import Audit, Violation
from domain.order.commands import ReportKind, VenueReport, VenueRequest
from domain.paper.events import PartShown, Reported, RequestTaken, VenueEvent
from domain.values import ZERO, Liquidity

NAME: Final = "displayed"
ENDS: Final = (ReportKind.CANCELLED, ReportKind.EXPIRED, ReportKind.REJECTED)


class ObservedIceberg(msgspec.Struct):
    """One iceberg in its venue's journal. `shown`: what is left of the part that others see. `trades`: the ids of its trades."""

    request: VenueRequest
    display: Decimal
    shown: Decimal = ZERO
    cum: Decimal = ZERO
    ended: bool = False
    trades: set[str] = set()


def check_displayed(audit: Audit, venue: str, events: Iterable[VenueEvent]) -> Iterator[Violation]:
    """Check that a venue was asked to show of each order what its client said, shows no more, and trades only what it shows."""
    icebergs: dict[str, ObservedIceberg] = {}
    for event in events:
        match event:
            case RequestTaken(request=request) if request.route_id not in icebergs:
                line = audit.lines.get(request.order_id)
                display = None if line is None else line.order.display_quantity
                if line is not None and request.display_quantity != display:
                    yield Violation(
                        NAME, request.route_id, f"{venue} may show {request.display_quantity} of it, and the client said {display}"
                    )
                if display is not None:
                    icebergs[request.route_id] = ObservedIceberg(request, display)
            case PartShown() if (found := icebergs.get(event.route_id)) is not None:
                found.shown = event.quantity
                if event.quantity > found.display:
                    yield Violation(NAME, event.route_id, f"{venue} shows {event.quantity} of it, and may show {found.display}")
            case Reported(report=report) if (found := icebergs.get(report.route_id)) is not None:
                yield from _reported(found, report, venue)


def _reported(found: ObservedIceberg, report: VenueReport, venue: str) -> Iterator[Violation]:
    match report.report:
        case ReportKind.FILL if _is_new(found, report):
            quantity = report.quantity or ZERO
            found.trades.add(report.exec_id)
            found.cum += quantity
            found.ended = found.cum >= found.request.quantity
            if report.liquidity is not Liquidity.MAKER or found.cum > found.request.quantity:
                return  # a taker is not shown yet; what is beyond the quantity is an overfill, which other checks see
            if quantity > found.shown:
                yield Violation(NAME, found.request.route_id, f"{venue} traded {quantity} of it at once, and showed {found.shown}")
            found.shown -= quantity
        case ReportKind.BUST | ReportKind.CORRECTION:
            found.shown, found.ended = found.display, False  # a full order that is open again shows a part again
        case ReportKind.REPLACED if report.quantity is not None:
            found.request = msgspec.structs.replace(found.request, quantity=report.quantity)
        case kind if kind in ENDS:
            found.ended = True


def _is_new(found: ObservedIceberg, report: VenueReport) -> bool:
    """Return whether the report is a readable trade of an open order that was not reported before."""
    readable = report.quantity is not None and report.quantity > ZERO and report.side is found.request.side
    return readable and not found.ended and report.exec_id not in found.trades
