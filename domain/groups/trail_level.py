"""How a trailing stop follows the market: a new level from the best price seen, only ever tighter."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.market.quotes import Quote
from domain.order.trail import Trail, TrailTrigger, behind, distance, tighter
from domain.values import ZERO, Side

HALF: Final = Decimal("0.5")


class Level(msgspec.Struct, frozen=True, gc=False):
    """Where a trailing stop is. `best`: the best price that it has seen, None before it is active. A sell's is the highest."""

    stop_price: Decimal | None = None
    best: Decimal | None = None


def watched(quote: Quote, side: Side, trigger: TrailTrigger) -> Decimal | None:
    """Return the price of a quote that a stop on the touch or the mid follows; None if the quote does not show it."""
    if trigger is TrailTrigger.TOUCH:
        return quote.touch(side) if quote.size(side) > ZERO else None
    assert trigger is TrailTrigger.MID, f"no quote shows the {trigger} price"
    return (quote.bid + quote.ask) * HALF if quote.bid_size > ZERO and quote.ask_size > ZERO else None


def trailed(level: Level, trail: Trail, side: Side, price: Decimal, tick: Decimal, *, negative_prices: bool = False) -> Level:
    """Return the level after the market has been at `price`.

    The stop price is on the tick, rounded away from the market. A distance that would put it at zero or below makes no stop price,
    unless there are `negative_prices`.
    """
    best = level.best
    if best is None and not _is_active(trail, side, price):
        return level
    if best is None or tighter(side, price, best):
        best = price
    found = _on_tick(behind(side, best, distance(trail, best)), side, tick)
    follows = tighter(side, found, level.stop_price) and (found > ZERO or negative_prices)
    return Level(found if follows else level.stop_price, best)


def reached(level: Level, side: Side, price: Decimal) -> bool:
    """Return whether the market is at the stop price or beyond it."""
    if level.stop_price is None:
        return False
    return price <= level.stop_price if side is Side.SELL else price >= level.stop_price


def tightest(side: Side, one: Level, other: Level) -> Level:
    """Return the nearer stop price of two levels of an order, and the better price of both."""
    stop_price, best = one.stop_price, one.best
    if other.stop_price is not None and tighter(side, other.stop_price, stop_price):
        stop_price = other.stop_price
    if other.best is not None and tighter(side, other.best, best):
        best = other.best
    return Level(stop_price, best)


def _is_active(trail: Trail, side: Side, price: Decimal) -> bool:
    """Return whether the market has come to the activation price: up to that of a sell, down to that of a buy."""
    start = trail.activation_price
    return start is None or price == start or tighter(side, price, start)


def _on_tick(price: Decimal, side: Side, tick: Decimal) -> Decimal:
    """Return the next price on the tick, down for a sell, up for a buy."""
    steps, rest = divmod(price, tick)  # towards zero
    if rest:
        steps += (side is Side.BUY) - (price < ZERO)
    return steps * tick
