"""Orders that wait in exeq for a price or a time. They are not in the queue until then."""

from decimal import Decimal

from domain.order.events import OrderSubmitted
from domain.order.trail import TrailTrigger
from domain.values import OrderType, TimeInForce

Held = dict[str, OrderSubmitted]
"""By order id."""


class HeldOrders:
    """Stops, trailing stops, and orders for an opening or closing, by what releases them."""

    def __init__(self, *, holds_stops: bool = False) -> None:
        """`holds_stops`: whether all stops wait here. Without it only the exclusive ones do, and the others wait at venues."""
        self._holds_stops = holds_stops
        self.sleeping: dict[str, Held] = {}
        """Stops that wait for their price, by symbol."""
        self.timed: dict[tuple[int, str, TimeInForce], Held] = {}
        """Orders for an opening or closing, by its time, their symbol and what they wait for."""
        self.trailing: dict[str, Held] = {}
        """Trailing stops, by symbol, with their recorded stop prices. All of them wait here."""
        self.on_trades: dict[str, set[str]] = {}
        """Ids of the trailing stops that follow the last trade, by symbol."""
        self.best: dict[str, Decimal] = {}
        """The best price recorded of a trailing stop."""

    def put(self, terms: OrderSubmitted) -> bool:
        """Hold the order if it waits for something; with other terms it takes its own place. Return whether it waits."""
        if terms.auction is not None:
            self.timed.setdefault((terms.auction.at, terms.symbol, terms.time_in_force), {})[terms.order_id] = terms
        elif terms.order_type is OrderType.TRAILING_STOP:
            self.trailing.setdefault(terms.symbol, {})[terms.order_id] = terms
            if terms.trail is not None and terms.trail.trigger is TrailTrigger.LAST:
                self.on_trades.setdefault(terms.symbol, set()).add(terms.order_id)
        elif terms.stop_price is not None and (self._holds_stops or terms.exclusive):
            self.sleeping.setdefault(terms.symbol, {})[terms.order_id] = terms
        else:
            return False
        return True

    def wake(self, terms: OrderSubmitted) -> None:
        """Take the order out, if it waits."""
        if (stops := self.sleeping.get(terms.symbol)) and stops.pop(terms.order_id, None) and not stops:
            del self.sleeping[terms.symbol]
        if terms.auction is not None:
            key = terms.auction.at, terms.symbol, terms.time_in_force
            if (held := self.timed.get(key)) and held.pop(terms.order_id, None) and not held:
                del self.timed[key]
        if (trails := self.trailing.get(terms.symbol)) and trails.pop(terms.order_id, None):
            self.best.pop(terms.order_id, None)
            if not trails:
                del self.trailing[terms.symbol]
            if (waiting := self.on_trades.get(terms.symbol)) is not None:
                waiting.discard(terms.order_id)
                if not waiting:
                    del self.on_trades[terms.symbol]
