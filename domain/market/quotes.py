"""The latest quote of every venue: validity, best touch, mid, age."""

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Final

import msgspec

from domain.values import ZERO, Side


class Quote(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One venue's top of book as it travels on `ticks.<symbol>`. `at` is the market's time, nanoseconds UTC.

    Quotes of a real market also have our time of receipt, the venue's own number of the update, and flags (`domain.market.records`).
    """

    symbol: str
    venue: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    at: int
    received: int = 0
    seq: int = 0
    flags: tuple[str, ...] = ()

    def touch(self, side: Side) -> Decimal:
        """Return the price that an aggressive order of this side meets."""
        return self.ask if side is Side.BUY else self.bid

    def size(self, side: Side) -> Decimal:
        return self.ask_size if side is Side.BUY else self.bid_size


DIGITS_MAX: Final = 30
ADJUSTED_MIN, ADJUSTED_MAX = -12, 18
"""A price or size other than zero is at least 1e-12 and below 1e19."""
AT_END: Final = 2**63

UNKNOWN_SYMBOL: Final = "unknown_symbol"
UNKNOWN_VENUE: Final = "unknown_venue"
NOT_LISTED: Final = "not_listed"
NUMBER: Final = "number"
PRICE: Final = "price"
SIZE: Final = "size"
CROSSED: Final = "crossed"
TIME: Final = "time"
REFUSED: Final = (UNKNOWN_SYMBOL, UNKNOWN_VENUE, NOT_LISTED, NUMBER, PRICE, SIZE, CROSSED, TIME)
"""Why a quote is not used, in the order of the checks."""


def unsound(quote: Quote, *, negative_prices: bool = False) -> str | None:
    """Return why the numbers of a quote are not usable; None if they are. The one rule for every source of quotes.

    Each number is finite, of at most DIGITS_MAX digits, between 1e-12 and 1e19 in size. Prices are above zero, unless the instrument has
    `negative_prices`; a size of zero is legal and shows nothing.
    One venue's bid may equal its ask: a locked market is legal, and short-lived ones are usual. A bid above the ask (crossed) is refused:
    such a venue would win every comparison, and the mid would be outside its own market. Bids and asks of different venues may cross.
    The time is from 1970 to 2262. It is the market's, which may be years ago: age is measured from the arrival.
    """
    numbers = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
    if not all(map(in_bounds, numbers)):
        return NUMBER
    if not negative_prices and (quote.bid <= ZERO or quote.ask <= ZERO):
        return PRICE
    if quote.bid_size < ZERO or quote.ask_size < ZERO:
        return SIZE
    if quote.bid > quote.ask:
        return CROSSED
    return None if 0 <= quote.at < AT_END else TIME


def in_bounds(number: Decimal) -> bool:
    """Return whether a number is finite, of at most DIGITS_MAX digits, and zero or between 1e-12 and 1e19 in size."""
    if not number.is_finite():
        return False
    lowest, highest = (ADJUSTED_MIN, ADJUSTED_MAX) if number else (-DIGITS_MAX, DIGITS_MAX)
    return lowest <= number.adjusted() <= highest and len(number.as_tuple().digits) <= DIGITS_MAX


class Listed:
    """The known venues and the symbols of each. Called with a quote, returns one of REFUSED, or None if the quote may be used."""

    def __init__(self, symbols: Set[str], venues: Mapping[str, Set[str]], negative: Set[str] = frozenset()) -> None:
        """`negative` are the symbols whose prices may be zero or below."""
        self._symbols = symbols
        self._negative = negative
        self._venues = venues

    def __call__(self, quote: Quote) -> str | None:
        if quote.symbol not in self._symbols:
            return UNKNOWN_SYMBOL
        traded = self._venues.get(quote.venue)
        if traded is None:
            return UNKNOWN_VENUE
        if quote.symbol not in traded:
            return NOT_LISTED
        return unsound(quote, negative_prices=quote.symbol in self._negative)


class Market:
    """Latest quotes by symbol and venue, with the steady time of their arrival, because a recorded market's own time is old."""

    def __init__(self) -> None:
        self._quotes: dict[str, dict[str, tuple[Quote, int]]] = {}

    def update(self, quote: Quote, arrived_ns: int) -> None:
        self._quotes.setdefault(quote.symbol, {})[quote.venue] = (quote, arrived_ns)

    def quotes(self, symbol: str, since_ns: int = 0) -> list[Quote]:
        """Return one quote for each venue, without those that arrived before `since_ns`."""
        return [quote for quote, arrived in self._quotes.get(symbol, {}).values() if arrived >= since_ns]

    def best(self, symbol: str, side: Side, since_ns: int = 0) -> Decimal | None:
        """Return the far touch over all venues: lowest ask for a buy, highest bid for a sell."""
        prices = [q.touch(side) for q in self.quotes(symbol, since_ns) if q.size(side) > ZERO]
        if not prices:
            return None
        return min(prices) if side is Side.BUY else max(prices)

    def touched(self, symbol: str, side: Side, since_ns: int = 0) -> tuple[Decimal, int] | None:
        """Return the far touch over all venues, and when it arrived."""
        found = [(q.touch(side), at) for q, at in self._quotes.get(symbol, {}).values() if at >= since_ns and q.size(side) > ZERO]
        if not found:
            return None
        return min(found) if side is Side.BUY else max(found)

    def mid(self, symbol: str, since_ns: int = 0) -> Decimal | None:
        """Return the middle of the best bid and the best ask of all venues."""
        bid, ask = self.best(symbol, Side.SELL, since_ns), self.best(symbol, Side.BUY, since_ns)
        return None if bid is None or ask is None else (bid + ask) * Decimal("0.5")
