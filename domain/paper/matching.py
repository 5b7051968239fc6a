"""Orders meet what a paper venue displays. What is taken is kept here; the venue is unchanged."""

from copy import copy
from decimal import Decimal

from domain.market.quotes import Quote
from domain.order.commands import ReportKind, VenueRequest
from domain.paper.book import UNSEEN, Display, PaperBook, PaperOrder, reaches
from domain.paper.estimate import QueueEstimate
from domain.paper.events import DeepQuote, QueueAdvanced, StopTriggered
from domain.paper.icebergs import Turns, show_part
from domain.paper.outcome import VenueOutcome
from domain.values import ZERO, Liquidity, Side, TimeInForce, opposite

AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


class Matching:
    """The matching of one decision. `display` is what is left of the quote after the trades so far."""

    def __init__(self, outcome: VenueOutcome) -> None:
        self.outcome = outcome
        self.venue = outcome.venue
        self.display: Display | None = None
        self._gone: dict[tuple[Side, Decimal], Decimal] = {}

    def look_at(self, symbol: str) -> None:
        display = self.venue.displays.get(symbol)
        self.display = display.copy() if display else None

    def quote(self, quote: Quote, message: Quote | DeepQuote) -> None:
        book = self.venue.books.get(quote.symbol)
        if book is None or quote.symbol in self.venue.halted or not self.venue.rules.calendar.is_open(self.outcome.now_ns):
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
                if order.number not in self.outcome.ended:
                    self.work(order)
        if self.venue.rules.estimated:
            QueueEstimate(self.outcome).look(quote.symbol, book, self.display)

    def _sweep(self, book: PaperBook, side: Side, touch: Decimal) -> None:
        """Fill limits that the touch has reached at their own price, best first, until the display is used up."""
        assert self.display is not None, "only a quote sweeps"
        ladder = book.limits[side]
        turns = Turns(ladder.reached(touch))
        for order in turns:
            price = order.request.price
            assert price is not None, "only orders with a limit rest"
            if order.number in self.outcome.ended:
                continue
            if price == touch and self.venue.rules.queue and not self._crowd_passes(order, order.behind - ladder.gone(price)):
                return
            left = self.display.size(side, price)
            if not left:
                return
            quantity = min(order.visible, left)
            self.display.take(side, quantity)
            self.outcome.fill(order, quantity, price, Liquidity.MAKER)
            self._full_after(order, quantity)
            if quantity == order.visible < order.leaves:
                turns.again(self._refilled(order, price))

    def _refilled(self, order: PaperOrder, price: Decimal) -> PaperOrder:
        """Show the next part of an iceberg whose visible part has traded; return the order as it is then."""
        new = show_part(self.outcome, order, order.leaves - order.visible)
        new.behind = self._rest(new, price, again=True)
        return new

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
            self.outcome.events.append(QueueAdvanced(symbol=order.request.symbol, side=side, price=price, quantity=passed))
        return passed == behind

    def stop_reached(self, request: VenueRequest) -> bool:
        """Return whether the touch that a stop watches has reached its price."""
        assert request.stop_price is not None, "a stop without its price is rejected on arrival"
        if self.display is None:
            return False
        return reaches(opposite(request.side), request.stop_price, self.display.quote.touch(request.side))

    def work(self, order: PaperOrder) -> None:
        """Match the order as a taker: from the touch on, against what is left there, and no further than its limit."""
        request = order.request
        if order.waits_for_stop:
            self.outcome.events.append(StopTriggered(at=self.outcome.now_ns, route_id=request.route_id))
            order = copy(order)
            order.triggered = True
            if self.would_take(order):
                self.outcome.end(ReportKind.CANCELLED, order, reason="post_only")
                return
        if self._trades_with_itself(order):
            return
        all_or_nothing = request.time_in_force is TimeInForce.FOK
        size = ZERO if self.display is None else self.display.size(request.side, request.price)
        left = order.leaves if all_or_nothing and size < order.leaves else self._take(order)
        if left and request.time_in_force in AT_ONCE:
            self.outcome.end(ReportKind.CANCELLED, order, reason=str(request.time_in_force))
        elif left and request.price is not None:
            if request.display_quantity is not None:
                show_part(self.outcome, order, left)
            self._rest(order, request.price)

    def _take(self, order: PaperOrder) -> Decimal:
        """Take what the display has for the order, level by level, each a trade of its own. Return what is left of the order."""
        request = order.request
        if self.display is None or order.number in self.outcome.ended:
            return order.leaves
        quantity = min(order.leaves, self.display.size(request.side, request.price))
        for price, taken in self.display.take(request.side, quantity):
            self.outcome.fill(order, taken, price, Liquidity.TAKER)
        self._full_after(order, quantity)
        return order.leaves - quantity

    def _full_after(self, order: PaperOrder, quantity: Decimal) -> None:
        """Note that the order is full; the order itself changes only after this decision."""
        if quantity == order.leaves:
            self.outcome.ended.add(order.number)

    def _rest(self, order: PaperOrder, price: Decimal, *, again: bool = False) -> Decimal:
        """Queue the order behind what others show at its price, and behind whatever was ahead of the last order there.

        Return its mark; zero if nothing is ahead. `again`: it has rested there before.
        """
        side, shown = order.request.side, self._size_ahead(order.request.side, price)
        if shown is None:
            return ZERO
        book = self.venue.books.get(order.request.symbol)
        ladder = book.limits[side] if book else None
        last = ladder.last_but(price, order, self.outcome.ended) if ladder else None
        gone = ladder.gone(price) + self._gone.get((side, price), ZERO) if ladder and (last or again) else ZERO
        behind = max(gone + shown, last.behind if last else ZERO)
        if behind <= gone:
            return ZERO
        self.outcome.join(order, behind)
        return behind

    def _size_ahead(self, side: Side, price: Decimal) -> Decimal | None:
        """Return the size of others at a price among the orders of this side; None if this venue has no queue."""
        if self.venue.rules.estimated:
            known = self.display.size_ahead(side, price) if self.display else None
            return UNSEEN if known is None else known
        return self.display.shown_at(side, price) if self.venue.rules.queue and self.display else None

    def _trades_with_itself(self, order: PaperOrder) -> bool:
        """Apply the self-trade rule against orders of the same account. Return True if it ends this order; else the others end."""
        rule, request = self.venue.rules.self_trade, order.request
        book = self.venue.books.get(request.symbol)
        limit = request.price if request.price is not None else self.display.quote.touch(request.side) if self.display else None
        if rule == "allow" or book is None or limit is None:
            return False
        there = (other for other in book.limits[opposite(request.side)].reached(limit) if other.number not in self.outcome.ended)
        own = [other for other in there if other.request.account == request.account]
        if not own:
            return False
        for ended in (order,) if rule == "cancel_newest" else own:
            self.outcome.end(ReportKind.CANCELLED, ended, reason="self_trade")
        return rule == "cancel_newest"

    def would_take(self, order: PaperOrder) -> bool:
        """Return whether a post-only order may trade at once. If so it is refused, whether or not there is size left."""
        request = order.request
        if not request.post_only or order.waits_for_stop or self.display is None or request.price is None:
            return False
        return reaches(request.side, request.price, self.display.quote.touch(request.side))
