"""The last trade of a symbol at any venue of the market."""

from decimal import Decimal

import msgspec


class TradedPrice(msgspec.Struct, frozen=True, gc=False):
    """Where a symbol traded last. `arrived_ns` is of our steady clock."""

    venue: str
    price: Decimal
    arrived_ns: int


class LastTrades:
    """By symbol. A trade that is too old is none."""

    def __init__(self) -> None:
        self._last: dict[str, TradedPrice] = {}

    def update(self, symbol: str, venue: str, price: Decimal, arrived_ns: int) -> None:
        self._last[symbol] = TradedPrice(venue, price, arrived_ns)

    def of(self, symbol: str, since_ns: int) -> TradedPrice | None:
        """Return the last trade if it arrived at `since_ns` or later."""
        last = self._last.get(symbol)
        return last if last is not None and last.arrived_ns >= since_ns else None

    def forget(self, symbol: str) -> None:
        self._last.pop(symbol, None)
