"""What a paper venue decides about a request: a new order, a cancel, a replace."""

from copy import copy
from typing import Any

import msgspec

from domain.instruments import Instrument, display_denial, flags_denial, terms_denial
from domain.order.commands import ReportKind, VenueRequest
from domain.paper.book import STOPS, PaperOrder
from domain.paper.events import RequestTaken
from domain.paper.matching import Matching
from domain.paper.outcome import VenueOutcome
from domain.values import ZERO, TimeInForce


class RequestDecision:
    """The decision about one request."""

    def __init__(self, outcome: VenueOutcome) -> None:
        self.outcome = outcome
        self.matching = Matching(outcome)
        self.venue = outcome.venue

    def new(self, request: VenueRequest) -> None:
        if not self._taken(request):
            return
        order = self._order_of(request)
        self.matching.look_at(request.symbol)
        if why := self._against(request) or self._against_new(order):
            self.outcome.end(ReportKind.REJECTED, order, reason=why)
            return
        self.outcome.report(ReportKind.ACCEPTED, order)
        if order.due(self.outcome.now_ns):
            self.outcome.end(ReportKind.EXPIRED, order)
        elif request.type not in STOPS or self.matching.stop_reached(request):
            self.matching.work(order)

    def refuse(self, request: VenueRequest, reason: str) -> None:
        """Reject a new order, whatever its terms are."""
        if self._taken(request):
            self.outcome.end(ReportKind.REJECTED, self._order_of(request), reason=reason)

    def _taken(self, request: VenueRequest) -> bool:
        """Record the request; return whether it is a new one."""
        day = self.venue.rules.calendar.session_end(self.outcome.now_ns) if request.time_in_force is TimeInForce.DAY else None
        self.outcome.events.append(RequestTaken(at=self.outcome.now_ns, request=request, expire_at=day))
        return request.route_id not in self.venue.orders

    def _order_of(self, request: VenueRequest) -> PaperOrder:
        number = self.venue.taken + 1
        return PaperOrder(number=number, request=request, venue_order_id=f"{self.venue.name}-o{number}", leaves=request.quantity)

    def _against(self, request: VenueRequest) -> str | None:
        """Return why these terms are not acceptable now, or None."""
        instrument: Instrument | None = self.venue.instruments.get(request.symbol)
        if instrument is None:
            return "unknown_symbol"
        if request.symbol in self.venue.halted:
            return "halted"
        if not self.venue.rules.calendar.is_open(self.outcome.now_ns):
            return "market_closed"
        if request.time_in_force is TimeInForce.GTD and request.expire_at is None:
            return "expire_at_required"
        denial = terms_denial(
            instrument, request.type, request.quantity, request.price, request.stop_price, reduce_only=request.reduce_only
        )
        denial = denial or flags_denial(request.type, request.time_in_force, request.post_only)
        denial = denial or display_denial(instrument, request.type, request, may_cover=True)
        return denial.code if denial else None

    def _against_new(self, order: PaperOrder) -> str | None:
        return "post_only" if self.matching.would_take(order) else None

    def cancel(self, request: VenueRequest) -> None:
        order = self._found(request)
        if order is None:
            self.outcome.report(ReportKind.CANCEL_REJECTED, _stranger(request), reason="unknown")
        elif not self.outcome.works(order):
            self.outcome.report(ReportKind.CANCEL_REJECTED, order, reason="too_late")
        else:
            self.outcome.end(ReportKind.CANCELLED, order, reason="requested")

    def _found(self, request: VenueRequest) -> PaperOrder | None:
        order = self.venue.orders.get(request.route_id)
        return order if order is not None and order.request.account == request.account else None

    def replace(self, request: VenueRequest) -> None:
        order = self._found(request)
        if order is None:
            self.outcome.report(ReportKind.REPLACE_REJECTED, _stranger(request), reason="unknown", replace_id=request.replace_id)
        elif request.replace_id and order.replace_id == request.replace_id:
            return  # a repeat: it was answered
        elif not self.outcome.works(order):
            self.outcome.report(ReportKind.REPLACE_REJECTED, order, reason="too_late", replace_id=request.replace_id)
        else:
            self.matching.look_at(request.symbol)
            self._replace_working(order, request)

    def _replace_working(self, order: PaperOrder, request: VenueRequest) -> None:
        quantity = max(request.quantity, order.cum_quantity)
        terms: dict[str, Any] = {"quantity": quantity, "price": request.price, "stop_price": request.stop_price}
        new = copy(order)
        new.request, new.leaves = msgspec.structs.replace(order.request, **terms), quantity - order.cum_quantity
        moved = (request.price, request.stop_price) != (order.request.price, order.request.stop_price)
        why = self._against(new.request) if new.leaves else None
        if why is None and new.leaves and moved and self.matching.would_take(new):
            why = "post_only"
        if why is not None:
            self.outcome.report(ReportKind.REPLACE_REJECTED, order, reason=why, replace_id=request.replace_id)
            return
        self.outcome.report(ReportKind.REPLACED, new, replace_id=request.replace_id, **terms)
        if not new.leaves:
            self.outcome.ended.add(order.number)
        elif new.waits_for_stop and not self.matching.stop_reached(new.request):
            return
        elif moved or new.leaves > order.leaves:
            self.matching.work(new)


def _stranger(request: VenueRequest) -> PaperOrder:
    return PaperOrder(number=0, request=request, venue_order_id="", leaves=ZERO)
