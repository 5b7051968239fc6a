"""The latest quote of every venue: best touch, mid, age."""

from decimal import Decimal

import msgspec

from domain.values import ZERO, Side


class Quote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One venue's top of book as it travels on `ticks.<symbol>`. `at` is the market's time, nanoseconds UTC."""

    symbol: str
    venue: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    at: int

    def touch(self, side: Side) -> Decimal:
        """The price an aggressive order of this side meets."""
        return self.ask if side is Side.BUY else self.bid

    def size(self, side: Side) -> Decimal:
        return self.ask_size if side is Side.BUY else self.bid_size


class Market:
    """Latest quotes by symbol and venue, with the local time they arrived, by which age is told (a recorded market's own time is old)."""

    def __init__(self) -> None:
        self._quotes: dict[str, dict[str, tuple[Quote, int]]] = {}

    def update(self, quote: Quote, arrived_ns: int) -> None:
        self._quotes.setdefault(quote.symbol, {})[quote.venue] = (quote, arrived_ns)

    def quotes(self, symbol: str, since_ns: int = 0) -> list[Quote]:
        """One quote a venue, none that arrived before `since_ns`."""
        return [quote for quote, arrived in self._quotes.get(symbol, {}).values() if arrived >= since_ns]

    def best(self, symbol: str, side: Side, since_ns: int = 0) -> Decimal | None:
        """The far touch over all venues: lowest ask for a buy, highest bid for a sell."""
        prices = [q.touch(side) for q in self.quotes(symbol, since_ns) if q.size(side) > ZERO]
        if not prices:
            return None
        return min(prices) if side is Side.BUY else max(prices)

    def touched(self, symbol: str, side: Side, since_ns: int = 0) -> tuple[Decimal, int] | None:
        """The far touch over all venues, and when it arrived."""
        found = [(q.touch(side), at) for q, at in self._quotes.get(symbol, {}).values() if at >= since_ns and q.size(side) > ZERO]
        if not found:
            return None
        return min(found) if side is Side.BUY else max(found)

    def mid(self, symbol: str, since_ns: int = 0) -> Decimal | None:
        """Half-way between the best bid and the best ask of all venues."""
        bid, ask = self.best(symbol, Side.SELL, since_ns), self.best(symbol, Side.BUY, since_ns)
        return None if bid is None or ask is None else (bid + ask) * Decimal("0.5")
