"""Live bars against the computation that QuestDB's views are compared with (test_tick_places.py), on the same day of trades."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest

from domain.market.bars import Bars
from domain.market.records import MarketTrade
from tests.contracts.test_tick_places import INTERVALS, computed, day

VENUES, SYMBOLS = ("ALPHA", "BETA"), ("BTCUSDT", "ETHUSDT")
LATER = 2**62


def live(trades: list[MarketTrade], interval: str) -> dict[Hashable, tuple[Any, ...]]:
    bars = Bars(100_000)
    for each in trades:
        bars.add(each, 0)
    found = [bar for venue in VENUES for symbol in SYMBOLS for bar in bars.last(venue, symbol, interval, 100_000, LATER) or ()]
    return {(b.at, b.venue, b.symbol): (b.open, b.high, b.low, b.close, b.volume, b.count) for b in found}


@pytest.mark.parametrize("view", INTERVALS)
def test_live_bars_are_those_of_the_view_also_after_late_and_repeated_trades(view: str) -> None:
    trades, interval = day(), view.removeprefix("bars_")
    assert live(trades, interval) == computed(trades, INTERVALS[view])
    times = Counter(trade.at for trade in trades)
    late = [trade for number, trade in enumerate(trades) if not number % 9 and times[trade.at] == 1]
    in_time = [trade for trade in trades if trade not in late]
    assert live([*in_time, *in_time[500:900], *late], interval) == computed(trades, INTERVALS[view])
