"""Value at risk over daily scenarios: an account's losses in all of them are one number, to which orders and positions add.

All scenarios are packed into one integer, a lane of 96 bits each, so that an order costs one multiplication and one addition without
any float. A lane counts micro-USD with 40 more binary places; sums of products are exact, and negative lanes borrow from the next one
until they are read with a bias. docs/risk.md has the definitions; tests/domain/risk/test_var.py compares them with numpy.
"""

import math
import struct
from collections.abc import Mapping, Set
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from domain.market.close_file import day_text
from domain.market.close_remarks import remarks_on
from domain.market.price_history import History
from domain.values import MONEY_PLACES, ZERO

LANE_BITS: Final = 96
FRACTION_BITS: Final = 40
TOP_BITS: Final = 64
"""How many bits of a lane are read; the lowest 32 of its 40 binary places are dropped."""
REST_BITS: Final = FRACTION_BITS - (LANE_BITS - TOP_BITS)
HALF: Final = 1 << TOP_BITS - 1
ROUND: Final = 1 << REST_BITS - 1
ROUND_UP: Final = (1 << REST_BITS) - 1

PLACES: Final = 6
MICROS: Final = Decimal(10**PLACES)
MICRO: Final = Decimal(1).scaleb(-PLACES)


class Moves(NamedTuple):
    """The loss of one USD in each scenario if the price falls (held long), or rises (held short).

    For a symbol that is measured by differences: the loss of one unit, in its currency.
    """

    falls: int
    rises: int


class Method(NamedTuple):
    """Historical simulation: the loss that a share of `confidence` of the scenarios does not exceed.

    With a `quantile` of the normal distribution instead: that many standard deviations of the scenarios' results, their mean taken as zero.
    """

    confidence: Decimal
    quantile: Decimal | None = None


class Scenarios:
    """Symbols that have their closes on the same days. A scenario is the move of all of them from one of these days to the next."""

    def __init__(
        self, days: tuple[int, ...], closes: Mapping[str, tuple[Decimal, ...]], method: Method, by_difference: Set[str] = frozenset()
    ) -> None:
        self.days = days
        self.count = len(days) - 1
        self.closes_from, self.closes_to = day_text(days[0]), day_text(days[-1])
        rates = {symbol: (_differences if symbol in by_difference else _returns)(prices) for symbol, prices in closes.items()}
        self.moves = {symbol: _packed(returns) for symbol, returns in rates.items()}
        largest = max((abs(r) for symbol, returns in rates.items() if symbol not in by_difference for r in returns), default=0)
        self.widest = {s: max(abs(now - before) for before, now in pairwise(closes[s])) for s in closes.keys() & by_difference}
        """The largest move of each symbol that is measured by differences, in its currency."""
        # Beyond this the lanes would overflow into each other.
        self.notional_max = Decimal((1 << LANE_BITS - 2) // max(largest, 1 << FRACTION_BITS)) * MICRO
        self._beyond = self.count - math.ceil(method.confidence * self.count)
        self._bias = sum(1 << LANE_BITS * lane + LANE_BITS - 1 for lane in range(self.count))
        self._bytes = self.count * LANE_BITS // 8
        self._read = struct.Struct("<" + "4xQ" * self.count).unpack
        self._quantile = None if method.quantile is None else int(method.quantile.scaleb(MONEY_PLACES))

    def shift(self, moves: Moves, before: tuple[int, int], after: tuple[int, int]) -> int:
        """Return the change of a symbol's losses if its reaches on both sides change (`micros`, see `domain.risk.exposure.Holding`)."""
        if self._quantile is not None:
            return (moves.falls - moves.rises) * (_larger(*after) - _larger(*before))
        long, short = after[0] - before[0], after[1] - before[1]
        if not short:
            return moves.falls * long
        return moves.rises * short + (moves.falls * long if long else 0)

    def stretched(self, symbol: str, before: tuple[int, int], side: Decimal, sells: bool) -> int:
        """Return `shift` if one side alone comes to reach `side`."""
        moves, after = self.moves[symbol], int(side * MICROS)
        if self._quantile is not None:
            return self.shift(moves, before, (before[0], after) if sells else (after, before[1]))
        return moves[sells] * (after - before[sells])

    def measure(self, losses: int, apart: int = 1) -> Decimal:
        """Return value at risk in USD, never below zero. `apart`: how many groups of symbols share what the confidence leaves out."""
        tops: tuple[int, ...] = self._read((losses + self._bias).to_bytes(self._bytes, "little"))
        if self._quantile is None:
            beyond = self._beyond // apart
            loss = (sorted(tops)[-1 - beyond] if beyond else max(tops)) - HALF
        else:
            loss = _deviation(tops) * self._quantile // 10**MONEY_PLACES
        # Parts are rounded up, so that their sum is never below one common measurement.
        micros = loss + (ROUND if apart == 1 else ROUND_UP) >> REST_BITS
        return Decimal(micros) * MICRO if micros > 0 else ZERO


Losses = Mapping[Scenarios, int]
"""What an account would lose in each scenario, by the group of symbols with these scenarios."""


class Var:
    """One state of the price history. Immutable; a newer history needs a new one.

    Symbols with closes on the same days are measured together. Those with other days, even by one missing day, have scenarios of their
    own, and the values at risk of such groups are added up. No diversification between groups is assumed, so a missing day never lowers
    what an account has at risk, and no symbol changes the days of another one. Sources: the simple sum over categories whose correlations
    are not recognised (Basel Committee, Amendment to the Capital Accord to incorporate market risks, 1996, part B.4); the undiversified
    value at risk (Jorion, Value at Risk); docs/risk.md explains why the sum is never too small.
    """

    def __init__(self, history: History, method: Method) -> None:
        self.history = history
        self.remarks = remarks_on(history)
        same_days: dict[tuple[int, ...], dict[str, tuple[Decimal, ...]]] = {}
        for symbol, series in history.series.items():
            same_days.setdefault(series.days, {})[symbol] = series.prices
        self.groups = tuple(Scenarios(days, closes, method, history.by_difference) for days, closes in sorted(same_days.items()))
        self.group_of = {symbol: group for group in self.groups for symbol in group.moves}
        self.scenarios = self.groups[0].count if self.groups else 0
        self.closes_to = {symbol: group.closes_to for symbol, group in self.group_of.items()}

    def widest(self, symbol: str) -> Decimal:
        """Return the largest move of a symbol that is measured by differences; zero for others."""
        group = self.group_of.get(symbol)
        return ZERO if group is None else group.widest.get(symbol, ZERO)


def micros(usd: Decimal) -> int:
    """Return whole micro-USD, towards zero: equal amounts give equal numbers, so that subtraction reverses addition exactly."""
    return int(usd * MICROS)


def _larger(long: int, short: int) -> int:
    """Return the larger of the two reaches, with its sign: what parametric value at risk counts of a symbol."""
    return long if long >= short else -short


def _deviation(tops: tuple[int, ...]) -> int:
    """Return the sample standard deviation, rounded down."""
    count = len(tops)
    total = sum(tops)
    squares = sum(top * top for top in tops)
    return math.isqrt((count * squares - total * total) // (count * (count - 1)))


def _returns(closes: tuple[Decimal, ...]) -> list[int]:
    """Return simple returns from each close to the next, with 40 binary places, towards zero."""
    whole = [int(close.scaleb(MONEY_PLACES)) for close in closes]
    return [_quotient(now - before << FRACTION_BITS, before) for before, now in pairwise(whole)]


def _differences(closes: tuple[Decimal, ...]) -> list[int]:
    """Return differences from each close to the next, in the symbol's currency, with 40 binary places, towards zero.

    For prices that may be zero or below: a return divides by the price, and has no meaning near zero. This is the normal (Bachelier) model
    of price changes, to which CME Clearing switched for oil on 22 April 2020 (Advisory 20-171).
    """
    whole = [int(close.scaleb(MONEY_PLACES)) for close in closes]
    return [_quotient(now - before << FRACTION_BITS, 10**MONEY_PLACES) for before, now in pairwise(whole)]


def _quotient(change: int, before: int) -> int:
    return change // before if change >= 0 else -(-change // before)


def _packed(returns: list[int]) -> Moves:
    falls = sum(max(-r, 0) << LANE_BITS * lane for lane, r in enumerate(returns))
    rises = sum(max(r, 0) << LANE_BITS * lane for lane, r in enumerate(returns))
    return Moves(falls, rises)


UNMEASURED: Final = Var(History(), Method(Decimal("0.99")))
"""Used before there is any history, and if value at risk is off."""
