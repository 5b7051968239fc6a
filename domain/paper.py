"""A paper venue: `decide` turns a request, a quote or passing time into facts, `evolve` applies them. Rules: docs/paper-venues.md."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from domain.commands import ReportKind, VenueReport, VenueRequest
from domain.instruments import Denial, Instrument, terms_denial
from domain.paper_book import STOPS, Book, Display, PaperOrder, PaperState
from domain.paper_events import Cancel, Message, Passed, Reported, RequestTaken, StopTriggered, VenueEvent
from domain.quotes import Quote
from domain.values import ZERO, Liquidity, Side, TimeInForce

CLOSED_MAX: Final = 200_000
"""Closed orders that a venue remembers. A route id sent again after so many others have closed would be taken for a new one."""


_CLOSING: Final = {
    ReportKind.CANCELLED: PaperState.CANCELLED,
    ReportKind.EXPIRED: PaperState.EXPIRED,
    ReportKind.REJECTED: PaperState.REJECTED,
}


class PaperVenue:
    """One venue. All of its state follows from its events, but for the quotes: the market says them again."""

    def __init__(
        self, name: str, instruments: Mapping[str, Instrument], maker_bps: Decimal, taker_bps: Decimal, closed_max: int = CLOSED_MAX
    ) -> None:
        self.name = name
        self.instruments = instruments
        self.fee_rates = {Liquidity.MAKER: maker_bps.scaleb(-4), Liquidity.TAKER: taker_bps.scaleb(-4)}
        self.closed_max = closed_max
        self.displays: dict[str, Display] = {}
        self.books: dict[str, Book] = {}
        self.orders: dict[str, PaperOrder] = {}
        self.open: dict[int, PaperOrder] = {}
        self.report_seqs: dict[int, int] = {}
        self.taken = 0
        self.executions = 0
        self.sends_max = 0
        self._closed: deque[str] = deque()
        self._expiries: list[tuple[int, int]] = []

    def take(self, message: Message, now_ns: int) -> tuple[VenueEvent, ...]:
        """Decide and evolve at once, as the host does."""
        events = self.decide(message, now_ns)
        if isinstance(message, Quote):
            self.show(message)
        for event in events:
            self.evolve(event)
        return events

    def decide(self, message: Message, now_ns: int) -> tuple[VenueEvent, ...]:
        """The facts that follow. First of all, whatever the message: orders whose time has come expire."""
        decision = _Decision(self, now_ns)
        for order in self.due(now_ns):
            decision.report(ReportKind.EXPIRED, order)
        match message:
            case VenueRequest():
                self._decide_new(message, decision)
            case Cancel():
                self._decide_cancel(message.request, decision)
            case Quote():
                self._decide_quote(message, decision)
            case Passed():
                pass
        return tuple(decision.events)

    def due(self, now_ns: int) -> Iterator[PaperOrder]:
        for expire_at, number in self._expiries:
            if expire_at > now_ns:
                return
            yield self.open[number]

    def show(self, quote: Quote) -> None:
        """Put the quote on display in the place of the last one, whole."""
        self.displays[quote.symbol] = Display.of(quote)

    def _decide_new(self, request: VenueRequest, decision: "_Decision") -> None:
        decision.events.append(RequestTaken(at=decision.now_ns, request=request))
        if request.route_id in self.orders:
            return
        number = self.taken + 1
        order = PaperOrder(number=number, request=request, venue_order_id=f"{self.name}-o{number}", leaves=request.quantity)
        if denial := self._denial(request):
            decision.report(ReportKind.REJECTED, order, reason=denial.code)
            return
        decision.report(ReportKind.ACCEPTED, order)
        display = self.displays.get(request.symbol)
        decision.display = display.copy() if display else None
        if order.due(decision.now_ns):
            decision.report(ReportKind.EXPIRED, order)
        elif request.type not in STOPS or decision.reaches(request):
            decision.work(order)

    def _denial(self, request: VenueRequest) -> Denial | None:
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            return Denial("unknown_symbol", request.symbol)
        if request.time_in_force is TimeInForce.GTD and request.expire_at is None:
            return Denial("expire_at_required")
        return terms_denial(instrument, request.type, request.quantity, request.price, request.stop_price)

    def _decide_cancel(self, request: VenueRequest, decision: "_Decision") -> None:
        order = self.orders.get(request.route_id)
        if order is None or order.request.account != request.account:
            stranger = PaperOrder(number=0, request=request, venue_order_id="", leaves=ZERO)
            decision.report(ReportKind.CANCEL_REJECTED, stranger, reason="unknown")
        elif order.state is not PaperState.WORKING or order.due(decision.now_ns):
            decision.report(ReportKind.CANCEL_REJECTED, order, reason="too_late")
        else:
            decision.report(ReportKind.CANCELLED, order, reason="requested")

    def _decide_quote(self, quote: Quote, decision: "_Decision") -> None:
        book = self.books.get(quote.symbol)
        if book is None:
            return
        decision.display = Display.of(quote)
        for side in Side:
            touch = quote.touch(side)
            decision.sweep(book.markets[side].reached(ZERO), touch, Liquidity.TAKER)
            decision.sweep(book.limits[side].reached(touch), None, Liquidity.MAKER)
            for order in book.stops[side].reached(touch):
                if not order.due(decision.now_ns):
                    decision.work(order)

    def evolve(self, event: VenueEvent) -> None:
        match event:
            case RequestTaken():
                self._taken(event.request)
            case StopTriggered():
                order = self.orders[event.route_id]
                book = self.books[order.request.symbol]
                book.remove(order)
                order.triggered = True
                book.add(order)
            case Reported():
                self._reported(event.report, event.shard)

    def _taken(self, request: VenueRequest) -> None:
        order = self.orders.get(request.route_id)
        if order is None:
            self.taken += 1
            order = PaperOrder(number=self.taken, request=request, venue_order_id=f"{self.name}-o{self.taken}", leaves=request.quantity)
            self.orders[request.route_id] = order
        order.sends += 1
        self.sends_max = max(self.sends_max, order.sends)

    def _reported(self, report: VenueReport, shard: int) -> None:
        self.report_seqs[shard] = report.report_seq
        order = self.orders.get(report.route_id)
        if order is None or order.request.account != report.account:
            return
        order.reports += (report.report_seq,)
        if report.report is ReportKind.ACCEPTED:
            self._open(order)
        elif report.report is ReportKind.FILL:
            self._filled(order, report.quantity or ZERO)
        elif state := _CLOSING.get(report.report):
            self._close(order, state)

    def _open(self, order: PaperOrder) -> None:
        order.state = PaperState.WORKING
        self.open[order.number] = order
        self.books.setdefault(order.request.symbol, Book()).add(order)
        if order.expire_at is not None:
            insort(self._expiries, (order.expire_at, order.number))

    def _filled(self, order: PaperOrder, quantity: Decimal) -> None:
        self.executions += 1
        order.leaves -= quantity
        if display := self.displays.get(order.request.symbol):
            display.left[order.request.side] -= quantity
        if not order.leaves:
            self._close(order, PaperState.FILLED)

    def _close(self, order: PaperOrder, state: PaperState) -> None:
        if order.state is PaperState.WORKING:
            del self.open[order.number]
            self.books[order.request.symbol].remove(order)
            if order.expire_at is not None:
                del self._expiries[bisect_left(self._expiries, (order.expire_at, order.number))]
        order.state = state
        self._closed.append(order.request.route_id)
        if len(self._closed) > self.closed_max:
            del self.orders[self._closed.popleft()]


class _Decision:
    """The facts of one decision, numbered as they are made. The venue stays as it was; what is taken from the display is kept here."""

    def __init__(self, venue: PaperVenue, now_ns: int) -> None:
        self.venue = venue
        self.now_ns = now_ns
        self.events: list[VenueEvent] = []
        self.display: Display | None = None
        self._seqs: dict[int, int] = {}
        self._executions = venue.executions

    def reaches(self, request: VenueRequest) -> bool:
        """Has the touch that a stop watches come to its price?"""
        assert request.stop_price is not None, "a stop without its price is rejected at the door"
        if self.display is None:
            return False
        touch = self.display.quote.touch(request.side)
        return touch >= request.stop_price if request.side is Side.BUY else touch <= request.stop_price

    def work(self, order: PaperOrder) -> None:
        """The order meets the display as a taker: at the touch, against what is left there, and no further than its limit."""
        request = order.request
        if order.waits_for_stop:
            self.events.append(StopTriggered(at=self.now_ns, route_id=request.route_id))
        quantity = min(order.leaves, self._available(request))
        if request.time_in_force is TimeInForce.FOK and quantity < order.leaves:
            quantity = ZERO
        if quantity and self.display:
            self._fill(order, quantity, self.display.quote.touch(request.side), Liquidity.TAKER)
        if quantity < order.leaves and request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.report(ReportKind.CANCELLED, order, reason=str(request.time_in_force))

    def sweep(self, orders: Iterable[PaperOrder], price: Decimal | None, liquidity: Liquidity) -> None:
        """Fill resting orders in their order until the display is used up: at `price`, or each at its own limit."""
        assert self.display is not None, "only a quote sweeps"
        for order in orders:
            request = order.request
            left = self.display.left[request.side]
            if not left:
                return
            at = request.price if price is None else price
            if at is not None and not order.due(self.now_ns):
                self._fill(order, min(order.leaves, left), at, liquidity)

    def _available(self, request: VenueRequest) -> Decimal:
        if self.display is None:
            return ZERO
        touch = self.display.quote.touch(request.side)
        if request.price is not None and (touch > request.price if request.side is Side.BUY else touch < request.price):
            return ZERO
        return self.display.left[request.side]

    def _fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, liquidity: Liquidity) -> None:
        assert self.display is not None, "nothing fills without a quote"
        self.display.left[order.request.side] -= quantity
        self._executions += 1
        self.report(
            ReportKind.FILL,
            order,
            exec_id=f"{self.venue.name}-{self._executions}",
            quantity=quantity,
            price=price,
            fee=quantity * price * self.venue.fee_rates[liquidity],
            liquidity=liquidity,
        )

    def report(
        self,
        kind: ReportKind,
        order: PaperOrder,
        *,
        exec_id: str = "",
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        fee: Decimal | None = None,
        liquidity: Liquidity | None = None,
        reason: str = "",
    ) -> None:
        request = order.request
        shard = request.shard
        seq = self._seqs.get(shard, self.venue.report_seqs.get(shard, 0)) + 1
        self._seqs[shard] = seq
        report = VenueReport(
            report=kind,
            order_id=request.order_id,
            route_id=request.route_id,
            venue=self.venue.name,
            report_seq=seq,
            at=self.now_ns,
            account=request.account,
            symbol=request.symbol,
            side=request.side,
            venue_order_id=order.venue_order_id,
            exec_id=exec_id,
            quantity=quantity,
            price=price,
            fee=fee,
            liquidity=liquidity,
            reason=reason,
        )
        self.events.append(Reported(report=report, shard=shard))
