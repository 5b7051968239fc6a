"""The level of a trailing stop, in tables: prices that the market shows, and where the stop is then."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from domain.groups.trail_level import Level, reached, tightest, trailed, watched
from domain.market.quotes import Quote
from domain.order.trail import Trail, TrailTrigger, tighter
from domain.values import Side

D = Decimal
TICK = D("0.5")


def run(side: Side, trail: Trail, story: str, level: Level | None = None) -> Level:
    """Play `100 95, 103 98, 97.5 triggered`: each price with the stop after it, `-` for none."""
    level = level or Level()
    for step in story.split(","):
        price, expected = step.split()
        level = trailed(level, trail, side, D(price), TICK)
        if expected == "triggered":
            assert reached(level, side, D(price)), step
        else:
            assert not reached(level, side, D(price)), step
            assert level.stop_price == (None if expected == "-" else D(expected)), step
    return level


@pytest.mark.parametrize(
    ("side", "trail", "story"),
    [
        (Side.SELL, {"amount": D(5)}, "100 95, 103 98, 101 98, 98.5 98, 97.9 triggered"),
        (Side.BUY, {"amount": D(5)}, "100 105, 97 102, 99 102, 101.5 102, 102 triggered"),
        (Side.SELL, {"percent": D(10)}, "100 90, 110 99, 105 99, 99 triggered"),
        (Side.SELL, {"percent": D("1.3")}, "100 98.5, 101 99.5, 99.5 triggered"),
        (Side.BUY, {"percent": D("1.3")}, "100 101.5, 99 100.5, 100.5 triggered"),
        (Side.SELL, {"amount": D(5), "activation_price": D(102)}, "100 -, 80 -, 102 97, 101 97, 104 99, 99 triggered"),
        (Side.BUY, {"amount": D(5), "activation_price": D(98)}, "100 -, 120 -, 98 103, 99 103, 96 101, 101 triggered"),
        (Side.SELL, {"amount": D(150)}, "100 -, 149 -, 151 1, 160 10, 10 triggered"),
    ],
)
def test_a_level_follows_the_market(side: Side, trail: dict[str, Any], story: str) -> None:
    run(side, Trail(**trail), story)


def test_a_first_stop_price_holds_until_the_market_pulls_it() -> None:
    level = run(Side.SELL, Trail(amount=D(5)), "100 97, 101 97, 102.5 97.5, 97.5 triggered", Level(D(97)))
    assert level.best == D("102.5")
    run(Side.SELL, Trail(amount=D(5), activation_price=D(110)), "105 97, 97 triggered", Level(D(97)))


def test_a_narrower_trail_counts_from_the_best_price_and_a_wider_one_does_not_loosen() -> None:
    level = run(Side.SELL, Trail(amount=D(5)), "100 95")
    assert trailed(level, Trail(amount=D(2)), Side.SELL, D(99), TICK) == Level(D(98), D(100))
    assert trailed(level, Trail(amount=D(9)), Side.SELL, D(101), TICK) == Level(D(95), D(101))


def test_negative_prices_have_stops_below_zero() -> None:
    assert trailed(Level(), Trail(amount=D(5)), Side.SELL, D(2), TICK, negative_prices=True) == Level(D(-3), D(2))
    assert trailed(Level(), Trail(amount=D("1.2")), Side.SELL, D(0), TICK, negative_prices=True).stop_price == D("-1.5")
    assert trailed(Level(), Trail(amount=D("1.2")), Side.BUY, D(-3), TICK, negative_prices=True).stop_price == D("-1.5")


def test_a_touch_is_the_side_that_it_would_trade_with_and_a_mid_needs_both() -> None:
    quote = Quote(symbol="S", venue="V", bid=D(99), bid_size=D(1), ask=D(102), ask_size=D(0), at=1)
    assert watched(quote, Side.SELL, TrailTrigger.TOUCH) == D(99)
    assert watched(quote, Side.BUY, TrailTrigger.TOUCH) is None
    assert watched(quote, Side.SELL, TrailTrigger.MID) is None
    whole = Quote(symbol="S", venue="V", bid=D(99), bid_size=D(1), ask=D(102), ask_size=D(1), at=1)
    assert watched(whole, Side.SELL, TrailTrigger.MID) == D("100.5")


prices = st.integers(1, 400).map(lambda n: n * TICK)
trails = st.builds(Trail, amount=prices, activation_price=st.none() | prices) | st.builds(
    Trail, percent=st.integers(1, 5000).map(lambda n: D(n).scaleb(-2)), activation_price=st.none() | prices
)


@over(side=st.sampled_from(Side), changes=st.lists(trails, min_size=1, max_size=3), seen=st.lists(prices, max_size=30))
def test_a_level_never_loosens(side: Side, changes: list[Trail], seen: list[Decimal]) -> None:
    """Whatever the market does, and however often the trail is replaced."""
    level = Level()
    for number, price in enumerate(seen):
        after = trailed(level, changes[number % len(changes)], side, price, TICK)
        assert tightest(side, level, after) == after
        if level.stop_price is not None:
            assert after.stop_price is not None
            assert not tighter(side, level.stop_price, after.stop_price)
        if after.stop_price is not None:
            assert not after.stop_price % TICK
            assert after.stop_price > 0
        level = after


@over(side=st.sampled_from(Side), trail=trails, seen=st.lists(prices, max_size=20), lost=st.integers(0, 20))
def test_a_restart_from_a_recorded_level_is_never_tighter_than_memory(side: Side, trail: Trail, seen: list[Decimal], lost: int) -> None:
    whole = resumed = Level()
    for number, price in enumerate(seen):
        whole = trailed(whole, trail, side, price, TICK)
        if number >= lost:
            resumed = trailed(resumed, trail, side, price, TICK)
    assert tightest(side, whole, resumed) == whole
