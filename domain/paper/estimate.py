"""The place of resting orders in the market's queue, estimated from the sizes that the market shows. Its trades: `Matching.trade`."""

from decimal import Decimal

from domain.paper.book import Display, Ladder, PaperBook, reaches
from domain.paper.events import QueueLowered
from domain.paper.outcome import VenueOutcome
from domain.values import ZERO, Side


class QueueEstimate:
    """What one decision learns about sizes ahead of resting orders that left."""

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

    def trade_through(self, symbol: str, book: PaperBook, side: Side, price: Decimal) -> None:
        """Note that the market traded at a price: at better ones nothing is ahead any more, the taker would have met it first."""
        ladder = book.limits[side]
        for better in ladder.prices():
            if reaches(side, price, better):
                return
            self._lower(symbol, side, ladder, better, ZERO)

    def _lower(self, symbol: str, side: Side, ladder: Ladder, price: Decimal, size: Decimal) -> None:
        behind = ladder.gone(price) + size
        if any(order.behind > behind and order.number not in self.outcome.ended for order in ladder.at(price)):
            self.outcome.events.append(QueueLowered(symbol=symbol, side=side, price=price, behind=behind))
