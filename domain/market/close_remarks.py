"""Remarks on suspicious closes that value at risk uses. They are for people; the closes are used all the same."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Final

from domain.market.close_file import day_text
from domain.market.price_history import History
from domain.values import plain

FLAT_CLOSES: Final = 5
"""How many equal closes in a row suggest that the source stopped."""

GAP_DAYS_MAX: Final = 5
"""From a Thursday to the Tuesday after: the longest that stock exchanges usually close."""

LEAP: Final = Decimal("1.5")
"""The ratio of a close to the one before, or its inverse, from which the step is reported."""

SPLIT_RATIOS: Final = (Decimal("1.5"), *map(Decimal, range(2, 21)))
WIDE: Final = 10
"""For symbols that are measured by differences, a move of this many times the median move is reported."""

SPLIT_TOLERANCE: Final = Decimal("0.03")
"""A split's ratio also contains the market move of its day."""


def remarks_on(history: History) -> Mapping[str, tuple[str, ...]]:
    """Return the remarks by symbol, at most one of each kind: `simulated`, `flat`, `split-like`, `jump`, `gaps`. The newest is reported."""
    found: dict[str, tuple[str, ...]] = {}
    for symbol, (days, prices) in ((symbol, (series.days, series.prices)) for symbol, series in history.series.items()):
        real = history.simulated.get(symbol)
        made_up = [f"simulated: only {real} of the {len(days)} real closes that are needed"] if real else []
        kinds = BY_DIFFERENCE if symbol in history.by_difference else BY_RATIO
        if remarks := (*made_up, *(remark for kind in kinds if (remark := kind(days, prices)))):
            found[symbol] = remarks
    return found


def _flat(days: Sequence[int], prices: Sequence[Decimal]) -> str | None:
    found, place = None, 0
    for price, run in groupby(prices):
        length = len(list(run))
        place += length
        if length >= min(FLAT_CLOSES, len(prices)):
            found = f"flat: {length} closes of {plain(price)} up to {day_text(days[place - 1])}"
    return found


def _split(days: Sequence[int], prices: Sequence[Decimal]) -> str | None:
    return _leap("split-like", days, [step for step in _leaps(prices) if _is_split(step[1], step[2])])


def _jump(days: Sequence[int], prices: Sequence[Decimal]) -> str | None:
    return _leap("jump", days, [step for step in _leaps(prices) if not _is_split(step[1], step[2])])


def _wide_move(days: Sequence[int], prices: Sequence[Decimal]) -> str | None:
    """Return the newest move of WIDE times the median move, for prices whose ratios mean nothing. Days without a move are ignored."""
    moves = sorted(move for before, now in pairwise(prices) if (move := abs(now - before)))
    if not moves:
        return None
    usual = moves[(len(moves) - 1) // 2]
    wide = [(place, before, now) for place, (before, now) in enumerate(pairwise(prices), 1) if abs(now - before) >= usual * WIDE]
    return _leap("jump", days, wide)


def _gaps(days: Sequence[int], prices: Sequence[Decimal]) -> str | None:
    wide = [(before, now) for before, now in pairwise(days) if now - before > GAP_DAYS_MAX]
    return f"gaps: no close between {day_text(wide[-1][0])} and {day_text(wide[-1][1])}" if wide else None


def _leaps(prices: Sequence[Decimal]) -> Iterator[tuple[int, Decimal, Decimal]]:
    """Yield place, close before and close of each leap."""
    for place, (before, now) in enumerate(pairwise(prices), 1):
        if max(before, now) >= min(before, now) * LEAP:
            yield place, before, now


def _is_split(before: Decimal, now: Decimal) -> bool:
    """Return whether one close is a usual split ratio of the other."""
    low, high = min(before, now), max(before, now)
    return any(abs(high - low * ratio) <= low * ratio * SPLIT_TOLERANCE for ratio in SPLIT_RATIOS)


def _leap(kind: str, days: Sequence[int], steps: Sequence[tuple[int, Decimal, Decimal]]) -> str | None:
    if not steps:
        return None
    place, before, now = steps[-1]
    return f"{kind}: from {plain(before)} to {plain(now)} on {day_text(days[place])}"


BY_RATIO: Final = (_flat, _split, _jump, _gaps)
BY_DIFFERENCE: Final = (_flat, _wide_move, _gaps)
