"""Bars are what an obvious computation over the same trades says, however late, repeated or shuffled they arrive."""

import random
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.market.bars import INTERVALS, SECOND, TRADE_IDS_KEPT, WATERMARK_NS, Bar, Bars
from domain.market.records import Flag, MarketTrade
from domain.values import Side

MINUTE = INTERVALS["1m"]
DAY = INTERVALS["1d"]
LATER = 4 * DAY


def trade(
    at: int, price: str = "100", quantity: str = "1", trade_id: str = "", symbol: str = "BTCUSDT", venue: str = "BINANCE"
) -> MarketTrade:
    return MarketTrade(
        symbol=symbol,
        venue=venue,
        price=Decimal(price),
        quantity=Decimal(quantity),
        side=Side.BUY,
        trade_id=trade_id or f"t{at}",
        at=at,
        received=at + 1000,
    )


def built(trades: Sequence[MarketTrade], kept: int = 10_000) -> Bars:
    bars = Bars(kept)
    for each in trades:
        bars.add(each, 0)
    return bars


def obvious(trades: Sequence[MarketTrade], interval: str) -> list[tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal, int]]:
    """As a query says it: the first trade with an id counts, and of trades at one time the order of arrival decides."""
    once: dict[tuple[int, str], MarketTrade] = {}
    for each in trades:
        once.setdefault((each.at, each.trade_id), each)
    length = INTERVALS[interval]
    in_time = sorted(once.values(), key=lambda each: each.at)
    found = []
    for start, of in groupby(in_time, key=lambda each: each.at - each.at % length):
        group = list(of)
        prices = [each.price for each in group]
        found.append(
            (start, prices[0], max(prices), min(prices), prices[-1], sum((each.quantity for each in group), Decimal(0)), len(group))
        )
    return found


def rows(bars: Bars, interval: str) -> list[tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal, int]]:
    return [
        (b.at, b.open, b.high, b.low, b.close, b.volume, b.count) for b in bars.last("BINANCE", "BTCUSDT", interval, 10_000, LATER) or ()
    ]


prices = st.integers(1, 50).map(lambda ticks: str(Decimal(ticks) / 4))
some_trades = st.lists(
    st.builds(
        trade,
        st.integers(0, 2 * DAY // SECOND).map(lambda seconds: seconds * SECOND) | st.integers(0, 3 * MINUTE),
        prices,
        prices,
        st.integers(0, 30).map(str),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(some_trades, st.randoms(use_true_random=False))
def test_every_bar_is_the_obvious_one_also_with_late_and_repeated_trades(trades: list[MarketTrade], chance: random.Random) -> None:
    arrived = [*trades, *chance.sample(trades, len(trades) // 2)]
    bars = built(arrived)
    for interval in INTERVALS:
        assert rows(bars, interval) == obvious(arrived, interval)


@settings(max_examples=40, deadline=None)
@given(some_trades, st.integers(1, 5))
def test_what_was_published_last_of_each_bar_is_the_bar(trades: list[MarketTrade], every: int) -> None:
    bars, published = Bars(10_000), dict[tuple[str, int], Bar]()
    for number, each in enumerate(trades):
        bars.add(each, 0)
        if number % every == 0:
            published |= {(bar.interval, bar.at): bar for bar in bars.changes(each.received)}
    published |= {(bar.interval, bar.at): bar for bar in bars.changes(LATER)}
    for interval in INTERVALS:
        last = {bar.at: bar for bar in bars.last("BINANCE", "BTCUSDT", interval, 10_000, LATER) or ()}
        assert {at: bar for (of, at), bar in published.items() if of == interval} == last
        assert all(bar.closed for bar in last.values())


def test_a_bar_is_open_until_the_watermark_and_a_late_trade_corrects_the_closed_one() -> None:
    bars = built([trade(10 * SECOND, "100"), trade(50 * SECOND, "101")])
    found = {bar.interval: bar for bar in bars.changes(MINUTE + WATERMARK_NS - 1)}
    assert {bar.closed for bar in found.values()} == {False}
    assert list(bars.changes(MINUTE + WATERMARK_NS - 1)) == [], "nothing changed"
    (closed,) = bars.changes(MINUTE + WATERMARK_NS)
    assert (closed.interval, closed.closed, closed.close, closed.count) == ("1m", True, Decimal(101), 2)
    bars.add(trade(5 * SECOND, "99"), 0)
    corrected = {bar.interval: bar for bar in bars.changes(2 * MINUTE)}
    assert (corrected["1m"].open, corrected["1m"].low, corrected["1m"].close, corrected["1m"].closed) == (
        Decimal(99),
        Decimal(99),
        Decimal(101),
        True,
    )
    assert not corrected["5m"].closed


def test_each_minute_that_ends_is_published_closed_once() -> None:
    bars = built([trade(number * MINUTE) for number in range(3)])
    assert sorted(bar.at for bar in bars.changes(10 * MINUTE) if bar.interval == "1m") == [0, MINUTE, 2 * MINUTE]
    assert [bar for bar in bars.changes(11 * MINUTE) if bar.interval == "1m"] == []


def test_memory_is_bounded_and_a_trade_before_it_is_counted() -> None:
    bars = built([trade(number * MINUTE) for number in range(10)], kept=3)
    assert [at for at, *_ in rows(bars, "1m")] == [7 * MINUTE, 8 * MINUTE, 9 * MINUTE]
    bars.add(trade(2 * MINUTE + 1), 0)
    assert bars.too_late == 1
    assert [at for at, *_ in rows(bars, "1m")] == [7 * MINUTE, 8 * MINUTE, 9 * MINUTE]
    assert rows(bars, "1d")[0][-1] == 11, "the day is kept, so it counts the trade"


def test_a_repeated_trade_is_recognised_among_the_last_ones() -> None:
    bars = built([trade(number) for number in range(TRADE_IDS_KEPT)])
    bars.add(trade(0), 0)
    assert (bars.duplicates, rows(bars, "1m")[0][-1]) == (1, TRADE_IDS_KEPT)


def test_a_bar_that_began_before_the_reading_is_partial() -> None:
    bars = Bars(10)
    bars.add(trade(MINUTE + 5), MINUTE + 1)
    bars.add(trade(2 * MINUTE + 5), MINUTE + 1)
    assert [bar.partial for bar in bars.last("BINANCE", "BTCUSDT", "1m", 10, LATER) or ()] == [True, False]


@pytest.mark.parametrize(("venue", "symbol"), [("KRAKEN", "BTCUSDT"), ("BINANCE", "ETHUSDT")])
def test_symbols_and_venues_have_bars_of_their_own(venue: str, symbol: str) -> None:
    bars = built([trade(1), trade(1, "200", symbol=symbol, venue=venue)])
    assert rows(bars, "1m")[0][1:3] == (Decimal(100), Decimal(100))
    assert bars.last("NOWHERE", "BTCUSDT", "1m", 10, LATER) is None


def test_a_backfilled_trade_as_old_as_the_forgotten_ones_is_left_to_the_views() -> None:
    live = [trade(LATER + each * SECOND) for each in range(TRADE_IDS_KEPT + 10)]
    bars = built(live)
    volume = sum(bar.volume for bar in bars.last("BINANCE", "BTCUSDT", "1m", 1000, LATER) or ())
    for each in (*live, trade(LATER + 5, trade_id="missed")):
        bars.add(structs.replace(each, flags=(Flag.BACKFILLED,)), 0)
    assert sum(bar.volume for bar in bars.last("BINANCE", "BTCUSDT", "1m", 1000, LATER) or ()) == volume
    assert (bars.duplicates, bars.too_late) == (TRADE_IDS_KEPT, 11)
    bars.add(structs.replace(trade(LATER + 10 * SECOND + 5), flags=(Flag.BACKFILLED,)), 0)
    assert sum(bar.volume for bar in bars.last("BINANCE", "BTCUSDT", "1m", 1000, LATER) or ()) == volume + 1, "a gap of now is filled"
