"""Daily closes of each symbol, and which of them value at risk uses. Each symbol is independent of the others."""

from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

from domain.values import ZERO, divide

SIMULATED: Final = "simulated"
"""The source of closes from a simulated market. They count while there are too few real ones."""

FROM_BARS: Final = "bars:"
"""How the source of a close begins that is the last trade of a day at a venue of the market. The venue follows."""

RISE_MAX: Final = 16
"""A close above this multiple of the previous one is a typing error or another unit: it would distort everything else."""


class DailyClose(msgspec.Struct, frozen=True, gc=False):
    """The close of one day. `day` counts from 1970-01-01; `source` is where the close came from."""

    day: int
    symbol: str
    price: Decimal
    source: str


class Series(msgspec.Struct, frozen=True):
    """The closes by which one symbol is measured, oldest first, and their days."""

    days: tuple[int, ...]
    prices: tuple[Decimal, ...]


class History(msgspec.Struct, frozen=True):
    """The measurable symbols, and why the others are not: missing, old, short, not_positive or jump.

    `simulated` are measured by a simulated market, wholly or before their real closes; the number is how many real closes they have.
    `by_difference` are those whose prices may be zero and below: a return has no meaning there, so differences are measured.
    """

    series: Mapping[str, Series] = {}
    unusable: Mapping[str, str] = {}
    simulated: Mapping[str, int] = {}
    by_difference: Set[str] = frozenset()


def history_of(
    closes: Iterable[DailyClose],
    symbols: Iterable[str],
    today: int,
    *,
    returns: int,
    age_max_days: int,
    by_difference: Set[str] = frozenset(),
) -> History:
    """Return the last `returns` + 1 closes of each symbol, independent of other symbols.

    One rule for all symbols: the real closes if there are enough of them; else the real ones behind the simulated ones that end where they
    begin; else the simulated ones, if those continue; else none.
    """
    found = _by_symbol(closes)
    series: dict[str, Series] = {}
    unusable: dict[str, str] = {}
    simulated: dict[str, int] = {}
    for symbol in symbols:
        real, made_up = found.get((symbol, False), {}), found.get((symbol, True), {})
        ratios = symbol not in by_difference
        chosen: Mapping[int, Decimal] = real
        if len(real) <= returns:
            instead = _joined(made_up, real, age_max_days, ratios=ratios)
            if not real or _trouble(instead, today, returns, age_max_days, ratios=ratios) is None:
                chosen = instead
        trouble = _trouble(chosen, today, returns, age_max_days, ratios=ratios)
        if trouble is not None:
            unusable[symbol] = trouble
            continue
        days = tuple(sorted(chosen)[-returns - 1 :])
        series[symbol] = Series(days, tuple(chosen[day] for day in days))
        if chosen is not real:
            simulated[symbol] = len(real)
    return History(series, unusable, simulated, by_difference)


def _by_symbol(closes: Iterable[DailyClose]) -> dict[tuple[str, bool], dict[int, Decimal]]:
    """Return prices by day for each symbol: the real ones (False) and the simulated ones (True)."""
    found: dict[tuple[str, bool], dict[int, Decimal]] = {}
    for close in closes:
        found.setdefault((close.symbol, close.source == SIMULATED), {})[close.day] = close.price
    return found


def _joined(made_up: Mapping[int, Decimal], real: Mapping[int, Decimal], age_max_days: int, *, ratios: bool) -> Mapping[int, Decimal]:
    """Return the simulated closes up to the first real one, and the real ones; only the simulated ones if they continue beyond the last.

    The two markets have other prices. So the simulated ones are scaled to end at the first real one: their returns (or differences) stay,
    and there is no step from one market to the other. Nothing is joined over more than `age_max_days`.
    """
    if not real or not made_up or max(made_up) > max(real):
        return made_up
    begin = min(real)
    before = {day: price for day, price in made_up.items() if day < begin}
    if not before or max(before) < begin - age_max_days:
        return real
    end, first = before[max(before)], real[begin]
    if not ratios:
        return {day: price + first - end for day, price in before.items()} | dict(real)
    if end <= ZERO:
        return real
    return {day: divide(price * first, end) for day, price in before.items()} | dict(real)


def _trouble(closes: Mapping[int, Decimal], today: int, returns: int, age_max_days: int, *, ratios: bool) -> str | None:
    """Return why the closes cannot be used, or None. `ratios`: whether the ratio of two closes has a meaning."""
    if not closes:
        return "missing"
    if max(closes) < today - age_max_days:
        return "old"
    if len(closes) <= returns:
        return "short"
    prices = [closes[day] for day in sorted(closes)[-returns - 1 :]]
    if ratios and min(prices) <= 0:
        return "not_positive"
    return "jump" if ratios and any(now > before * RISE_MAX for before, now in pairwise(prices)) else None
