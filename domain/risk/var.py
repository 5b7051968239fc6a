"""Value at risk over daily scenarios: what an account would lose on each of them is one number that orders and positions add to.

All scenarios travel in one integer, a lane of 96 bits each, so that an order costs one multiplication and one addition and nothing is
ever a float. A lane counts micro-USD with 40 more binary places; sums of products are exact, and negative lanes borrow from the next
one until they are read with a bias. docs/risk.md has the definitions, tests/domain/test_risk_var.py holds them against numpy.
"""

import math
import struct
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from domain.closes import day_text
from domain.risk.history import History
from domain.values import MONEY_PLACES, ZERO

LANE_BITS: Final = 96
FRACTION_BITS: Final = 40
TOP_BITS: Final = 64
"""What is read of a lane; the lowest 32 of its 40 binary places are left behind."""
REST_BITS: Final = FRACTION_BITS - (LANE_BITS - TOP_BITS)
HALF: Final = 1 << TOP_BITS - 1
ROUND: Final = 1 << REST_BITS - 1

PLACES: Final = 6
MICROS: Final = Decimal(10**PLACES)
MICRO: Final = Decimal(1).scaleb(-PLACES)


class Moves(NamedTuple):
    """What one USD loses in each scenario when the price falls (held long), or rises (held short)."""

    falls: int
    rises: int


class Method(NamedTuple):
    """Historical simulation: the loss that a share of `confidence` of the scenarios does not exceed. With a `quantile` of the normal
    distribution instead: so many standard deviations of the scenarios' results, their mean taken as zero."""

    confidence: Decimal
    quantile: Decimal | None = None


class Var:
    """One state of the price history. Never changes; a newer history makes a new one."""

    def __init__(self, history: History, method: Method) -> None:
        self.history = history
        self.scenarios = max(len(history.days) - 1, 0)
        self.method = method
        self.closes_to = day_text(history.days[-1]) if history.days else ""
        rates = {symbol: _returns(closes) for symbol, closes in history.closes.items()}
        self.moves = {symbol: _packed(returns) for symbol, returns in rates.items()}
        largest = max((abs(r) for returns in rates.values() for r in returns), default=0)
        # Beyond this the lanes would run into each other.
        self.notional_max = Decimal((1 << LANE_BITS - 2) // max(largest, 1 << FRACTION_BITS)) * MICRO
        self._rank = math.ceil(method.confidence * self.scenarios)
        self._bias = sum(1 << LANE_BITS * lane + LANE_BITS - 1 for lane in range(self.scenarios))
        self._bytes = self.scenarios * LANE_BITS // 8
        self._read = struct.Struct("<" + "4xQ" * self.scenarios).unpack
        self._quantile = None if method.quantile is None else int(method.quantile.scaleb(MONEY_PLACES))

    def shift(self, moves: Moves, before: tuple[int, int], after: tuple[int, int]) -> int:
        """What a symbol's losses change by when its reaches on both sides do (`micros` of them, see `domain.risk.exposure.reach`)."""
        if self._quantile is not None:
            return (moves.falls - moves.rises) * (_larger(*after) - _larger(*before))
        long, short = after[0] - before[0], after[1] - before[1]
        if not short:
            return moves.falls * long
        return moves.rises * short + (moves.falls * long if long else 0)

    def stretched(self, symbol: str, before: tuple[int, int], side: Decimal, sells: bool) -> int:
        """`shift`, when one side alone comes to reach as far as `side`."""
        moves, after = self.moves[symbol], int(side * MICROS)
        if self._quantile is not None:
            return self.shift(moves, before, (before[0], after) if sells else (after, before[1]))
        return moves[sells] * (after - before[sells])

    def measure(self, losses: int) -> Decimal:
        """Value at risk in USD, never below zero."""
        if not self.scenarios:
            return ZERO
        tops: tuple[int, ...] = self._read((losses + self._bias).to_bytes(self._bytes, "little"))
        if self._quantile is None:
            loss = (max(tops) if self._rank == self.scenarios else sorted(tops)[self._rank - 1]) - HALF
        else:
            loss = _deviation(tops) * self._quantile // 10**MONEY_PLACES
        micros = loss + ROUND >> REST_BITS
        return Decimal(micros) * MICRO if micros > 0 else ZERO


def micros(usd: Decimal) -> int:
    """Whole micro-USD, towards zero: equal amounts are equal numbers, so that what was added is what is taken away."""
    return int(usd * MICROS)


def _larger(long: int, short: int) -> int:
    """The larger of the two reaches, with its sign: what parametric value at risk counts of a symbol."""
    return long if long >= short else -short


def _deviation(tops: tuple[int, ...]) -> int:
    """The sample standard deviation, rounded down."""
    count = len(tops)
    total = sum(tops)
    squares = sum(top * top for top in tops)
    return math.isqrt((count * squares - total * total) // (count * (count - 1)))


def _returns(closes: tuple[Decimal, ...]) -> list[int]:
    """Simple returns from each close to the next, with 40 binary places, towards zero."""
    whole = [int(close.scaleb(MONEY_PLACES)) for close in closes]
    return [_quotient(now - before << FRACTION_BITS, before) for before, now in pairwise(whole)]


def _quotient(change: int, before: int) -> int:
    return change // before if change >= 0 else -(-change // before)


def _packed(returns: list[int]) -> Moves:
    falls = sum(max(-r, 0) << LANE_BITS * lane for lane, r in enumerate(returns))
    rises = sum(max(r, 0) << LANE_BITS * lane for lane, r in enumerate(returns))
    return Moves(falls, rises)


UNMEASURED: Final = Var(History(), Method(Decimal("0.99")))
"""Before there is any history, and where nobody measures."""
