"""Prices for risk: the mid that values a position, and the touch that an order would meet."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from domain.market.quotes import STALE, Market, Quote
from domain.values import Side

MILLISECOND: Final = 1_000_000


class Marks:
    """The last mid of each symbol in USD, however old, and when it arrived; it values positions. `version` counts the changes."""

    def __init__(self, rates: Mapping[str, Decimal], quote_age_max_ns: int, units: Mapping[str, Decimal] | None = None) -> None:
        """`units`: the rates of the symbols whose prices may be zero and below, which value at risk measures by differences."""
        self.rates = rates
        self.units = units or {}
        self.mids: dict[str, Decimal] = {}
        self.mids_at_ns: dict[str, int] = {}
        self.version = 0
        self._market = Market()
        self._age_max_ns = quote_age_max_ns

    def update(self, quote: Quote, now_ns: int) -> None:
        self._market.update(quote, now_ns)
        mid = self._market.mid(quote.symbol, now_ns - self._age_max_ns)
        if mid is None:
            if (
                STALE in quote.flags and quote.symbol in self.mids_at_ns
            ):  # it was the last one: too old for an order, but it values positions
                self.mids_at_ns[quote.symbol] = min(self.mids_at_ns[quote.symbol], now_ns - self._age_max_ns - MILLISECOND)
            return
        self.mids_at_ns[quote.symbol] = now_ns
        usd = mid * self.rates[quote.symbol]
        if self.mids.get(quote.symbol) != usd:
            self.mids[quote.symbol] = usd
            self.version += 1

    def touch(self, symbol: str, side: Side, now_ns: int) -> tuple[Decimal, int] | None:
        """Return the price that an aggressive order meets, in its currency, and when it arrived; None without a recent quote."""
        return self._market.touched(symbol, side, now_ns - self._age_max_ns)
