"""The best bid and ask of each symbol over all venues, for streams and positions."""

from collections import OrderedDict
from typing import Any

from apps.desk.rows import Formats
from domain.market.quotes import Market, Quote
from domain.values import Side, rfc3339


class BestQuotes:
    """Quotes as they arrive. `version` counts them; a stream asks for the symbols that changed after the version that it has."""

    def __init__(self) -> None:
        self.version = 0
        self.market = Market()
        self._changed: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """By symbol, the last changed one at the end: the version, and the market's time of its last quote."""

    def update(self, quote: Quote, arrived_ns: int) -> None:
        self.version += 1
        self.market.update(quote, arrived_ns)
        self._changed[quote.symbol] = self.version, quote.at
        self._changed.move_to_end(quote.symbol)

    def since(self, version: int, formats: Formats) -> dict[str, Any]:
        """Return the marks that changed after a version, by symbol."""
        found: dict[str, Any] = {}
        for symbol, (changed, at) in reversed(self._changed.items()):
            if changed <= version:
                break
            bid, ask = self.market.best(symbol, Side.SELL), self.market.best(symbol, Side.BUY)
            found[symbol] = {"bid": formats.optional(bid), "ask": formats.optional(ask), "at": rfc3339(at)}
        return found
