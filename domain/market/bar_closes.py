"""Daily closes from bars: the last trade of a day at one venue is the close of its symbol, once the day is complete there."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from domain.market.csv_rows import kept
from domain.market.price_history import FROM_BARS, DailyClose
from domain.values import ZERO


class DayBar(msgspec.Struct, frozen=True, gc=False):
    """The bar of one day. `day` counts from 1970-01-01, UTC."""

    day: int
    venue: str
    symbol: str
    close: Decimal
    volume: Decimal


class HeldClose(NamedTuple):
    """What is stored for a day. `price` is None if it was removed by a person."""

    source: str
    price: Decimal | None


def bar_closes(
    bars: Iterable[DayBar],
    held: Mapping[tuple[int, str], HeldClose],
    complete: Collection[tuple[int, str, str]],
    venues: Sequence[str],
) -> list[DailyClose]:
    """Return the closes to be written. `held`: closes by day and symbol, without simulated ones. `complete`: day, venue and symbol.

    A close that a person loaded or removed stays as it is. One from bars changes only if a late trade changed the bar of its venue. A day
    without a close gets that of its first complete venue in `venues`, else that of the complete venue with the largest volume.
    """
    by_close: dict[tuple[int, str], list[DayBar]] = {}
    for bar in bars:
        by_close.setdefault((bar.day, bar.symbol), []).append(bar)
    rank = {venue: place for place, venue in enumerate(venues)}
    found = []
    for key, its in sorted(by_close.items()):
        known = held.get(key)
        if known is not None:
            its = [bar for bar in its if FROM_BARS + bar.venue == known.source]
        else:
            its = [bar for bar in its if (bar.day, bar.venue, bar.symbol) in complete]
        best = min(its, key=lambda bar: (rank.get(bar.venue, len(rank)), -bar.volume, bar.venue), default=None)
        if best is None:
            continue
        price = kept(best.close)
        if price > ZERO and (known is None or known.price != price):
            found.append(DailyClose(best.day, best.symbol, price, FROM_BARS + best.venue))
    return found
