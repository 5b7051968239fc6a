"""Absurd prints: trades and touches of one venue that are too far from its own last valid price. A true move is confirmed by repetition."""

from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from domain.market.quotes import Quote
from domain.values import ZERO, plain

HALF: Final = Decimal("0.5")


class CollarRule(NamedTuple):
    """`share`: how far a price may be from the last valid one. `confirm`: the print in a row beyond it that is believed; 1: every one."""

    share: Decimal = Decimal("0.2")
    confirm: int = 5


class _Known(msgspec.Struct):
    """The last valid price of a symbol and the bounds around it. `run`: prints in a row near `level`, which is beyond the bounds.

    `held`: the touch that the venue shows now, if it is beyond them. `touched`: the price was once that of a touch.
    """

    price: Decimal
    low: Decimal
    high: Decimal
    touched: bool
    level: Decimal = ZERO
    run: int = 0
    held: Quote | None = None


class Collar:
    """The last valid price of each symbol at one venue: the mid of its last valid touch; without a valid book its last valid trade.

    Prices are above zero. The first price of a symbol has nothing to be compared with, and is valid. So is its first touch, because trades
    before it may be days old.
    """

    def __init__(self, rule: CollarRule) -> None:
        self._rule = rule
        self._known: dict[str, _Known] = {}
        self._past: dict[str, _Known] = {}
        """Of trades that were fetched later: those of a backfill are compared with one another, and change nothing for the present."""

    def refuses_trade(self, symbol: str, price: Decimal, *, quoted: bool, past: bool = False) -> str | None:
        """Return why a trade is refused; None if it is valid. `quoted`: the symbol has a valid book, which is the better reference.

        `past`: it was fetched later.
        """
        known = (self._past if past else self._known).get(symbol)
        if known is None:
            (self._past if past else self._known)[symbol] = self._around(price)
        elif known.low <= price <= known.high:
            known.run = 0
            if past or not quoted:
                self._centre(known, price, touched=known.touched)
        elif not self._is_confirmed(known, price):
            return self._reason(known, price)
        else:
            self._centre(known, price, touched=known.touched)
        return None

    def refuses_quote(self, quote: Quote) -> str | None:
        """Return why a touch is refused; None if it is valid. A refused touch is held until the venue shows another one.

        A touch with one side is compared only where it would be the best of all venues: a cheap ask, a dear bid.
        """
        known, symbol = self._known.get(quote.symbol), quote.symbol
        if not quote.bid_size or not quote.ask_size:
            if known is None or not known.touched:
                return None
            if quote.ask_size and quote.ask < known.low:
                price = quote.ask
            elif quote.bid_size and quote.bid > known.high:
                price = quote.bid
            else:
                known.held = None
                return None
        else:
            price = (quote.bid + quote.ask) * HALF
            if known is None:
                known = self._known[symbol] = self._around(price)
            if not known.touched or known.low <= price <= known.high:
                self._centre(known, price, touched=True)
                known.held = None
                return None
        if self._is_confirmed(known, price):
            self._centre(known, price, touched=True)
            known.held = None
            return None
        known.held = quote
        return self._reason(known, price)

    def heard(self, symbol: str) -> Quote | None:
        """Note an update of a book that left its touch as it is. Return the held touch if this confirms it."""
        known = self._known.get(symbol)
        if known is None or known.held is None:
            return None
        quote = known.held
        return None if self.refuses_quote(quote) else quote

    def holds(self, symbol: str) -> bool:
        """Return whether the touch that the venue shows was refused."""
        known = self._known.get(symbol)
        return known is not None and known.held is not None

    def end(self, symbol: str) -> None:
        """Forget a held touch: its book is not valid any more."""
        known = self._known.get(symbol)
        if known is not None:
            known.held = None

    def end_past(self, symbol: str) -> None:
        """Forget the trades that were fetched later: those of the next backfill may be of quite another time."""
        self._past.pop(symbol, None)

    def _is_confirmed(self, known: _Known, price: Decimal) -> bool:
        """Count a print beyond the bounds. Prints count together while they are within the collar of the first of them."""
        far = known.level * self._rule.share
        if known.run and known.level - far <= price <= known.level + far:
            known.run += 1
        else:
            known.level, known.run = price, 1
        return known.run >= self._rule.confirm

    def _around(self, price: Decimal) -> _Known:
        known = _Known(price, price, price, touched=False)
        self._centre(known, price, touched=False)
        return known

    def _centre(self, known: _Known, price: Decimal, *, touched: bool) -> None:
        far = price * self._rule.share
        known.price, known.low, known.high, known.touched = price, price - far, price + far, touched
        known.run = 0

    def _reason(self, known: _Known, price: Decimal) -> str:
        return f"{plain(price)} is beyond the collar of {plain(self._rule.share.scaleb(2))} % around {plain(known.price)}"
