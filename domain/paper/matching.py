"""The events of one decision of a paper venue, numbered as they are created. The venue is unchanged; what is taken is kept here."""

from collections.abc import Iterable
from copy import copy
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from domain.instruments import Instrument, flags_denial, terms_denial
from domain.market.quotes import Quote
from domain.order.commands import ReportKind, VenueReport, VenueRequest
from domain.paper.book import STOPS, Display, PaperBook, PaperOrder, PaperState, PaperTrade, reaches
from domain.paper.events import (
    BustTrade,
    Cancel,
    CorrectTrade,
    DeepQuote,
    ForcedFill,
    Forget,
    Halt,
    Message,
    OrderForgotten,
    QueueAdvanced,
    QueueJoined,
    Refuse,
    Replace,
    Reported,
    RequestTaken,
    StopTriggered,
    TradingHalted,
    TradingResumed,
    UnsolicitedCancel,
    VenueEvent,
)
from domain.paper.orders import PaperOrders
from domain.paper.rules import PaperRules
from domain.values import ZERO, Liquidity, Side, TimeInForce, opposite

AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


class MatchingVenue(Protocol):
    """The parts of a venue that a decision reads."""

    name: str
    instruments: Any
    rules: PaperRules
    fee_rates: dict[Liquidity, Decimal]
    displays: dict[str, Display]
    books: dict[str, PaperBook]
    orders: PaperOrders
    halted: set[str]
    report_seqs: dict[int, int]
    taken: int
    executions: int

    def due(self, now_ns: int) -> Iterable[PaperOrder]: ...
    def display_of(self, message: Quote | DeepQuote) -> Display: ...
    def traded(self, exec_id: str) -> tuple[PaperOrder, PaperTrade] | None: ...


class MatchingDecision:
    def __init__(self, venue: MatchingVenue, now_ns: int) -> None:
        self.venue = venue
        self.now_ns = now_ns
        self.events: list[VenueEvent] = []
        self.display: Display | None = None
        self._ended: set[int] = set()
        self._gone: dict[tuple[Side, Decimal], Decimal] = {}
        self._seqs: dict[int, int] = {}
        self._executions = venue.executions

    def of(self, message: Message) -> tuple[VenueEvent, ...]:
        for order in self.venue.due(self.now_ns):
            self._end(ReportKind.EXPIRED, order)
        match message:
            case VenueRequest():
                self._new(message)
            case Cancel():
                self._cancel(message.request)
            case Replace():
                self._replace(message.request)
            case Quote():
                self._quote(message, message)
            case DeepQuote():
                self._quote(message.quote, message)
            case Halt():
                self._halt(message)
            case Refuse():
                if self._taken(message.request):
                    self._end(ReportKind.REJECTED, self._order_of(message.request), reason=message.reason)
            case UnsolicitedCancel() | ForcedFill() | Forget():
                if (known := self.venue.orders.get(message.route_id)) is not None:
                    self._done_to(known, message)
            case BustTrade() | CorrectTrade():
                self._taken_back(message)
        return tuple(self.events)

    # Requests

    def _taken(self, request: VenueRequest) -> bool:
        """Record the request; return whether it is a new one."""
        day = self.venue.rules.calendar.session_end(self.now_ns) if request.time_in_force is TimeInForce.DAY else None
        self.events.append(RequestTaken(at=self.now_ns, request=request, expire_at=day))
        return request.route_id not in self.venue.orders

    def _order_of(self, request: VenueRequest) -> PaperOrder:
        number = self.venue.taken + 1
        return PaperOrder(number=number, request=request, venue_order_id=f"{self.venue.name}-o{number}", leaves=request.quantity)

    def _new(self, request: VenueRequest) -> None:
        if not self._taken(request):
            return
        order = self._order_of(request)
        self._look_at(request.symbol)
        if why := self._against(request) or self._against_new(order):
            self._end(ReportKind.REJECTED, order, reason=why)
            return
        self.report(ReportKind.ACCEPTED, order)
        if order.due(self.now_ns):
            self._end(ReportKind.EXPIRED, order)
        elif request.type not in STOPS or self._stop_reached(request):
            self._work(order)

    def _look_at(self, symbol: str) -> None:
        display = self.venue.displays.get(symbol)
        self.display = display.copy() if display else None

    def _against(self, request: VenueRequest) -> str | None:
        """Return why these terms are not acceptable now, or None."""
        instrument: Instrument | None = self.venue.instruments.get(request.symbol)
        if instrument is None:
            return "unknown_symbol"
        if request.symbol in self.venue.halted:
            return "halted"
        if not self.venue.rules.calendar.is_open(self.now_ns):
            return "market_closed"
        if request.time_in_force is TimeInForce.GTD and request.expire_at is None:
            return "expire_at_required"
        denial = terms_denial(
            instrument, request.type, request.quantity, request.price, request.stop_price, reduce_only=request.reduce_only
        )
        denial = denial or flags_denial(request.type, request.time_in_force, request.post_only)
        return denial.code if denial else None

    def _against_new(self, order: PaperOrder) -> str | None:
        return "post_only" if self._would_take(order) else None

    def _would_take(self, order: PaperOrder) -> bool:
        """Return whether a post-only order may trade at once. If so it is refused, whether or not there is size left."""
        request = order.request
        if not request.post_only or order.waits_for_stop or self.display is None or request.price is None:
            return False
        return reaches(request.side, request.price, self.display.quote.touch(request.side))

    def _cancel(self, request: VenueRequest) -> None:
        order = self._found(request)
        if order is None:
            self.report(ReportKind.CANCEL_REJECTED, _stranger(request), reason="unknown")
        elif not self._works(order):
            self.report(ReportKind.CANCEL_REJECTED, order, reason="too_late")
        else:
            self._end(ReportKind.CANCELLED, order, reason="requested")

    def _found(self, request: VenueRequest) -> PaperOrder | None:
        order = self.venue.orders.get(request.route_id)
        return order if order is not None and order.request.account == request.account else None

    def _works(self, order: PaperOrder) -> bool:
        return order.state is PaperState.WORKING and order.number not in self._ended

    def _replace(self, request: VenueRequest) -> None:
        order = self._found(request)
        if order is None:
            self.report(ReportKind.REPLACE_REJECTED, _stranger(request), reason="unknown", replace_id=request.replace_id)
        elif request.replace_id and order.replace_id == request.replace_id:
            return  # a repeat: it was answered
        elif not self._works(order):
            self.report(ReportKind.REPLACE_REJECTED, order, reason="too_late", replace_id=request.replace_id)
        else:
            self._look_at(request.symbol)
            self._replace_working(order, request)

    def _replace_working(self, order: PaperOrder, request: VenueRequest) -> None:
        quantity = max(request.quantity, order.cum_quantity)
        terms = {"quantity": quantity, "price": request.price, "stop_price": request.stop_price}
        new = copy(order)
        new.request, new.leaves = msgspec.structs.replace(order.request, **terms), quantity - order.cum_quantity
        moved = (request.price, request.stop_price) != (order.request.price, order.request.stop_price)
        why = self._against(new.request) if new.leaves else None
        if why is None and new.leaves and moved and self._would_take(new):
            why = "post_only"
        if why is not None:
            self.report(ReportKind.REPLACE_REJECTED, order, reason=why, replace_id=request.replace_id)
            return
        self.report(ReportKind.REPLACED, new, replace_id=request.replace_id, **terms)
        if not new.leaves:
            self._ended.add(order.number)
        elif new.waits_for_stop and not self._stop_reached(new.request):
            return
        elif moved or new.leaves > order.leaves:
            self._work(new)

    # The market

    def _quote(self, quote: Quote, message: Quote | DeepQuote) -> None:
        book = self.venue.books.get(quote.symbol)
        if book is None or quote.symbol in self.venue.halted or not self.venue.rules.calendar.is_open(self.now_ns):
            return
        self.display = self.venue.display_of(message)
        for side in Side:
            touch = quote.touch(side)
            for order in book.markets[side].reached(ZERO):
                if not self.display.size(side, None):
                    break
                self._take(order)
            self._sweep(book, side, touch)
            for order in book.stops[side].reached(touch):
                if order.number not in self._ended:
                    self._work(order)

    def _sweep(self, book: PaperBook, side: Side, touch: Decimal) -> None:
        """Fill limits that the touch has reached at their own price, best first, until the display is used up."""
        assert self.display is not None, "only a quote sweeps"
        ladder = book.limits[side]
        for order in ladder.reached(touch):
            price = order.request.price
            assert price is not None, "only orders with a limit rest"
            if order.number in self._ended:
                continue
            if price == touch and not self._crowd_passes(order, order.behind - ladder.gone(price)):
                return
            left = self.display.size(side, price)
            if not left:
                return
            quantity = min(order.leaves, left)
            self.display.take(side, quantity)
            self._fill(order, quantity, price, Liquidity.MAKER)
            self._full_after(order, quantity)

    def _crowd_passes(self, order: PaperOrder, behind: Decimal) -> bool:
        """Trade others' size ahead of the order at its price. Return False if that uses up the display."""
        assert self.display is not None, "only a quote sweeps"
        side, price = order.request.side, order.request.price
        assert price is not None, "only orders with a limit rest"
        behind -= self._gone.get((side, price), ZERO)
        if behind <= ZERO:
            return True
        passed = min(behind, self.display.size(side, price))
        if passed:
            self.display.take(side, passed)
            self._gone[side, price] = self._gone.get((side, price), ZERO) + passed
            self.events.append(QueueAdvanced(symbol=order.request.symbol, side=side, price=price, quantity=passed))
        return passed == behind

    def _stop_reached(self, request: VenueRequest) -> bool:
        """Return whether the touch that a stop watches has reached its price."""
        assert request.stop_price is not None, "a stop without its price is rejected on arrival"
        if self.display is None:
            return False
        return reaches(opposite(request.side), request.stop_price, self.display.quote.touch(request.side))

    def _work(self, order: PaperOrder) -> None:
        """Match the order as a taker: from the touch on, against what is left there, and no further than its limit."""
        request = order.request
        if order.waits_for_stop:
            self.events.append(StopTriggered(at=self.now_ns, route_id=request.route_id))
            order = copy(order)
            order.triggered = True
            if self._would_take(order):
                self._end(ReportKind.CANCELLED, order, reason="post_only")
                return
        if self._trades_with_itself(order):
            return
        all_or_nothing = request.time_in_force is TimeInForce.FOK
        size = ZERO if self.display is None else self.display.size(request.side, request.price)
        left = order.leaves if all_or_nothing and size < order.leaves else self._take(order)
        if left and request.time_in_force in AT_ONCE:
            self._end(ReportKind.CANCELLED, order, reason=str(request.time_in_force))
        elif left and request.price is not None:
            self._rest(order, request.price)

    def _take(self, order: PaperOrder) -> Decimal:
        """Take what the display has for the order, level by level, each a trade of its own. Return what is left of the order."""
        request = order.request
        if self.display is None or order.number in self._ended:
            return order.leaves
        quantity = min(order.leaves, self.display.size(request.side, request.price))
        for price, taken in self.display.take(request.side, quantity):
            self._fill(order, taken, price, Liquidity.TAKER)
        self._full_after(order, quantity)
        return order.leaves - quantity

    def _full_after(self, order: PaperOrder, quantity: Decimal) -> None:
        """Note that the order is full; the order itself changes only after this decision."""
        if quantity == order.leaves:
            self._ended.add(order.number)

    def _rest(self, order: PaperOrder, price: Decimal) -> None:
        """Queue the order behind what others show at its price, and behind whatever was ahead of the last order there."""
        if not self.venue.rules.queue or self.display is None:
            return
        side = order.request.side
        book = self.venue.books.get(order.request.symbol)
        ladder = book.limits[side] if book else None
        last = ladder.last_but(price, order) if ladder else None
        gone = ladder.gone(price) + self._gone.get((side, price), ZERO) if ladder and last else ZERO
        behind = max(gone + self.display.shown_at(side, price), last.behind if last else ZERO)
        if behind > gone:
            self.events.append(QueueJoined(route_id=order.request.route_id, behind=behind))

    def _trades_with_itself(self, order: PaperOrder) -> bool:
        """Apply the self-trade rule against orders of the same account. Return True if it ends this order; else the others end."""
        rule, request = self.venue.rules.self_trade, order.request
        book = self.venue.books.get(request.symbol)
        limit = request.price if request.price is not None else self.display.quote.touch(request.side) if self.display else None
        if rule == "allow" or book is None or limit is None:
            return False
        there = (other for other in book.limits[opposite(request.side)].reached(limit) if other.number not in self._ended)
        own = [other for other in there if other.request.account == request.account]
        if not own:
            return False
        for ended in (order,) if rule == "cancel_newest" else own:
            self._end(ReportKind.CANCELLED, ended, reason="self_trade")
        return rule == "cancel_newest"

    # Actions of an exchange's staff, and faults

    def _halt(self, message: Halt) -> None:
        halted = message.symbol in self.venue.halted
        if message.symbol in self.venue.instruments and halted is message.resume:
            kind = TradingResumed if message.resume else TradingHalted
            self.events.append(kind(at=self.now_ns, symbol=message.symbol))

    def _done_to(self, order: PaperOrder, message: UnsolicitedCancel | ForcedFill | Forget) -> None:
        match message:
            case UnsolicitedCancel():
                if self._works(order):
                    self._end(ReportKind.CANCELLED, order, reason=message.reason)
            case ForcedFill():
                self._fill(order, message.quantity, message.price, Liquidity.TAKER)
            case Forget():
                self.events.append(OrderForgotten(at=self.now_ns, route_id=message.route_id))

    def _taken_back(self, message: BustTrade | CorrectTrade) -> None:
        found = self.venue.traded(message.exec_id)
        if found is None:
            return
        order, trade = found
        if isinstance(message, BustTrade):
            self.report(ReportKind.BUST, order, exec_id=trade.exec_id, quantity=trade.quantity, price=trade.price)
        else:
            more = {"kind": ReportKind.CORRECTION, "ref_exec_id": trade.exec_id}
            self._fill(order, message.quantity, message.price, trade.liquidity, **more)

    # Reports

    def _fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, liquidity: Liquidity, **more: Any) -> None:
        self._executions += 1
        self.report(
            more.pop("kind", ReportKind.FILL),
            order,
            exec_id=f"{self.venue.name}-{self._executions}",
            quantity=quantity,
            price=price,
            fee=quantity * abs(price) * self.venue.fee_rates[liquidity],
            liquidity=liquidity,
            **more,
        )

    def _end(self, kind: ReportKind, order: PaperOrder, *, reason: str = "") -> None:
        self._ended.add(order.number)
        self.report(kind, order, reason=reason)

    def report(self, kind: ReportKind, order: PaperOrder, **fields: Any) -> None:
        request = order.request
        shard = request.shard
        seq = self._seqs[shard] = self._seqs.get(shard, self.venue.report_seqs.get(shard, 0)) + 1
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
            **fields,
        )
        self.events.append(Reported(report=report, shard=shard))


def _stranger(request: VenueRequest) -> PaperOrder:
    return PaperOrder(number=0, request=request, venue_order_id="", leaves=ZERO)
