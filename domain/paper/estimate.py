"""The place of resting orders in the market's queue, estimated: from the sizes that the market shows, and from its trades."""

from decimal import Decimal

from domain.market.simulated import whole_lots
from domain.paper.book import UNSEEN, Display, Ladder, PaperBook, PaperOrder, reaches
from domain.paper.events import QueueAdvanced, QueueLowered, TradePrint
from domain.paper.icebergs import Turns, show_part
from domain.paper.outcome import VenueOutcome
from domain.values import ZERO, Liquidity, Side, opposite


class QueueEstimate:
    """What one decision learns about the sizes ahead of resting orders."""

    def __init__(self, outcome: VenueOutcome) -> None:
        self.outcome = outcome
        self.venue = outcome.venue

    def look(self, symbol: str, book: PaperBook, display: Display) -> None:
        """Lower the size ahead of orders to what is shown at their price: the size that left was ahead."""
        for side in Side:
            ladder = book.limits[side]
            for price in ladder.prices():
                size = display.size_ahead(side, price)
                if size is None:
                    break
                self._lower(symbol, side, ladder, price, size)

    def trade(self, printed: TradePrint) -> None:
        """Give a trade of the market to the orders at better prices, then to those ahead at its price and to the orders there, in turn.

        At better prices no size can be ahead any more: the taker would have met it first. Orders fill at their own limit, in whole lots.
        """
        symbol, side, left = printed.symbol, opposite(printed.side), printed.quantity
        book = self.venue.books.get(symbol)
        if book is None or symbol in self.venue.halted or not self.venue.rules.calendar.is_open(self.outcome.now_ns):
            return
        ladder, passed = book.limits[side], ZERO
        for better in ladder.prices():
            if reaches(side, printed.price, better):
                break
            self._lower(symbol, side, ladder, better, ZERO)
        turns = Turns(ladder.reached(printed.price))
        for order in turns:
            price = order.request.price
            assert price is not None, "only orders with a limit rest"
            if order.number in self.outcome.ended:
                continue
            if price == printed.price and (step := min(order.behind - ladder.gone(price) - passed, left)) > ZERO:
                self.outcome.events.append(QueueAdvanced(symbol=symbol, side=side, price=price, quantity=step, printed=True))
                passed, left = passed + step, left - step
            quantity = min(order.visible, whole_lots(left, self.venue.instruments[symbol]))
            if quantity <= ZERO:
                return
            left -= quantity
            self.outcome.fill(order, quantity, price, Liquidity.MAKER, printed=True)
            if quantity == order.visible < order.leaves:
                turns.again(self._refilled(order, price, ladder, None if price != printed.price else passed))

    def _refilled(self, order: PaperOrder, price: Decimal, ladder: Ladder, passed: Decimal | None) -> PaperOrder:
        """Show the next part of an iceberg, behind what others show there and this trade has not taken.

        `passed`: how much of that the trade took; None at a price that it went through, where no size can be ahead.
        """
        request = order.request
        new = show_part(self.outcome, order, order.leaves - order.visible)
        if passed is not None:
            display = self.venue.displays.get(request.symbol)
            size = display.size_ahead(request.side, price) if display else None
            gone, ahead = ladder.gone(price) + passed, UNSEEN if size is None else max(size - passed, ZERO)
            if ahead:
                new.behind = gone + ahead
                self.outcome.join(order, new.behind)
        return new

    def _lower(self, symbol: str, side: Side, ladder: Ladder, price: Decimal, size: Decimal) -> None:
        behind = ladder.gone(price) + size
        there = (order for order in ladder.at(price) if order.number not in self.outcome.ended)
        if any(self.outcome.joined.get(order.number, order.behind) > behind for order in there):
            self.outcome.events.append(QueueLowered(symbol=symbol, side=side, price=price, behind=behind))
