"""The latest quote of every venue: validity, best touch, mid, age."""

import re
from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from domain.market.last_trades import LastTrades
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


STALE: Final = "stale"
"""The flag of a quote that ends what its venue quotes for the symbol. Other flags have the names in REFUSED (`domain.market.records`)."""
MARKET_VENUE: Final = re.compile(r"[A-Z0-9_]{1,16}", re.ASCII)
"""The name of a venue, as in the catalogue."""

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
REPLAYED: Final = "replayed"
INEXACT: Final = "inexact"
REFUSED: Final = (UNKNOWN_SYMBOL, UNKNOWN_VENUE, NOT_LISTED, REPLAYED, INEXACT, NUMBER, PRICE, SIZE, CROSSED, TIME)
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
    if not lowest <= number.adjusted() <= highest:
        return False
    return len(str(number)) <= DIGITS_MAX or len(number.as_tuple().digits) <= DIGITS_MAX  # the short text first: it costs a tenth


class MarketRule(NamedTuple):
    """Which quotes of a real market are used: of any venue, for each known symbol.

    `replayed`: also those of a recorded day. `inexact`: also those that passed through binary floating point.
    """

    replayed: bool = False
    inexact: bool = False


class Listed:
    """The known venues and the symbols of each. Called with a quote, returns one of REFUSED, or None if the quote may be used."""

    def __init__(
        self, symbols: Set[str], venues: Mapping[str, Set[str]], negative: Set[str] = frozenset(), market: MarketRule | None = None
    ) -> None:
        """`negative` are the symbols whose prices may be zero or below. `market`: whether other venues may quote too; None: no."""
        self._symbols = symbols
        self._negative = negative
        self._venues = venues
        self._market = market

    def __call__(self, quote: Quote) -> str | None:
        reason = self.admits(quote.symbol, quote.venue, quote.flags)
        return unsound(quote, negative_prices=quote.symbol in self._negative) if reason is None else reason

    def admits(self, symbol: str, venue: str, flags: tuple[str, ...]) -> str | None:
        """Return why nothing that the venue says about the symbol is used; None if it is, if its numbers are sound."""
        if symbol not in self._symbols:
            return UNKNOWN_SYMBOL
        traded = self._venues.get(venue)
        if traded is None:
            if self._market is None or not MARKET_VENUE.fullmatch(venue):
                return UNKNOWN_VENUE
        elif symbol not in traded:
            return NOT_LISTED
        return self._flagged(flags) if flags else None

    def may_be_negative(self, symbol: str) -> bool:
        """Return whether prices of the symbol may be zero or below."""
        return symbol in self._negative

    def _flagged(self, flags: tuple[str, ...]) -> str | None:
        rule = self._market or MarketRule()
        if REPLAYED in flags and not rule.replayed:
            return REPLAYED
        return INEXACT if INEXACT in flags and not rule.inexact else None


class Market:
    """Latest quotes by symbol and venue, with the steady time of their arrival, because a recorded market's own time is old."""

    def __init__(self) -> None:
        self._quotes: dict[str, dict[str, tuple[Quote, int]]] = {}
        self.trades = LastTrades()

    def update(self, quote: Quote, arrived_ns: int) -> None:
        """Take a quote. One that is flagged as stale ends what its venue quotes for the symbol; other venues' quotes stay."""
        if quote.flags and STALE in quote.flags:
            self._quotes.get(quote.symbol, {}).pop(quote.venue, None)
            return
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

    def touching(self, symbol: str, side: Side, since_ns: int = 0) -> Quote | None:
        """Return the quote with the far touch over all venues, of those that arrived at `since_ns` or later."""
        shown = [quote for quote in self.quotes(symbol, since_ns) if quote.size(side) > ZERO]
        best = min if side is Side.BUY else max
        return best(shown, key=lambda quote: quote.touch(side), default=None)

    def mid(self, symbol: str, since_ns: int = 0) -> Decimal | None:
        """Return the middle of the best bid and the best ask of all venues."""
        bid, ask = self.best(symbol, Side.SELL, since_ns), self.best(symbol, Side.BUY, since_ns)
        return None if bid is None or ask is None else (bid + ask) * Decimal("0.5")


def best_source(quotes: Iterable[Quote]) -> Quote | None:
    """Return the quote that stands for its market: with sizes on both sides, then the narrowest, then the largest; None without any."""
    return min(quotes, key=_width, default=None)


def _width(quote: Quote) -> tuple[bool, Decimal, Decimal, str]:
    size = min(quote.bid_size, quote.ask_size)
    return not size, quote.ask - quote.bid, -size, quote.venue
