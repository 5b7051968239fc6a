"""Daily closes, and the days on which all symbols that can be measured moved together."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

SIMULATED: Final = "simulated"
"""The source of closes that a simulated market made up. Real closes of the same symbol take their place."""

RISE_MAX: Final = 16
"""A close so many times that of the day before is a typing error or another unit: it would put everything else out of scale."""


class DailyClose(msgspec.Struct, frozen=True, gc=False):
    """`day` counts from 1970-01-01; `source` says where the close came from."""

    day: int
    symbol: str
    price: Decimal
    source: str


class History(msgspec.Struct, frozen=True):
    """Closes of each symbol on the same `days`, oldest first; and why the other symbols have none: missing, old, short, gaps or jump."""

    days: tuple[int, ...] = ()
    closes: Mapping[str, tuple[Decimal, ...]] = {}
    unusable: Mapping[str, str] = {}
    simulated: frozenset[str] = frozenset()


def history_of(closes: Iterable[DailyClose], symbols: Iterable[str], today: int, *, returns: int, age_max_days: int) -> History:
    """The last `returns` + 1 days that all usable symbols have in common.

    Symbols with the most closes come first; one that would leave too few days in common is left out, so that it harms itself alone.
    """
    found = _by_symbol(closes)
    unusable = {symbol: why for symbol in symbols if (why := _trouble(found.get(symbol, {}), today, returns, age_max_days))}
    days: set[int] = set()
    usable: list[str] = []
    for symbol in sorted(set(symbols) - unusable.keys(), key=lambda symbol: (-len(found[symbol]), symbol)):
        common = days & found[symbol].keys() if usable else set(found[symbol])
        if len(common) > returns:
            days = common
            usable.append(symbol)
        else:
            unusable[symbol] = "gaps"
    last = tuple(sorted(days)[-returns - 1 :])
    prices = {symbol: tuple(found[symbol][day].price for day in last) for symbol in usable}
    for symbol in usable:
        if any(now > before * RISE_MAX for before, now in pairwise(prices[symbol])):
            unusable[symbol] = "jump"
            del prices[symbol]
    simulated = frozenset(symbol for symbol in prices if found[symbol][last[-1]].source == SIMULATED)
    return History(last, prices, unusable, simulated)


def _by_symbol(closes: Iterable[DailyClose]) -> dict[str, dict[int, DailyClose]]:
    """By symbol and day. What was made up is forgotten where there is anything real."""
    real: dict[str, dict[int, DailyClose]] = {}
    made_up: dict[str, dict[int, DailyClose]] = {}
    for close in closes:
        (made_up if close.source == SIMULATED else real).setdefault(close.symbol, {})[close.day] = close
    return made_up | real


def _trouble(closes: Mapping[int, DailyClose], today: int, returns: int, age_max_days: int) -> str | None:
    if not closes:
        return "missing"
    if max(closes) < today - age_max_days:
        return "old"
    return "short" if len(closes) <= returns else None
