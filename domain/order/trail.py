"""The terms of a trailing stop: how far the stop follows the market, and which price it follows."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from domain.instruments import Denial, Instrument, price_denial
from domain.values import ZERO, OrderType, Side, is_multiple, plain

PERCENT_MIN: Final = Decimal("0.01")
PERCENT_MAX: Final = Decimal(50)


class TrailTrigger(StrEnum):
    """The price that the stop follows, and that triggers it. `touch`: the bid for a sell, the ask for a buy. `last`: the last trade."""

    TOUCH = "touch"
    MID = "mid"
    LAST = "last"


class Trail(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a stop follows the market: by `amount`, or by `percent` of the best price.

    `limit_offset`: once triggered it is a limit order, this far behind the stop price; a market order without. `activation_price`: it
    follows only after the market has been there.
    """

    amount: Decimal | None = None
    percent: Decimal | None = None
    trigger: TrailTrigger = TrailTrigger.TOUCH
    limit_offset: Decimal | None = None
    activation_price: Decimal | None = None


def distance(trail: Trail, price: Decimal) -> Decimal:
    """Return how far the stop is behind a price, to the last digit."""
    if trail.amount is not None:
        return trail.amount
    assert trail.percent is not None, "a trail has an amount or a percentage"
    return price * trail.percent.scaleb(-2)


def behind(side: Side, price: Decimal, by: Decimal) -> Decimal:
    """Return the price that is `by` behind: below it for a sell, above it for a buy."""
    return price - by if side is Side.SELL else price + by


def tighter(side: Side, stop_price: Decimal, than: Decimal | None) -> bool:
    """Return whether a stop price is nearer to the market than another: higher for a sell, lower for a buy. Any is than none."""
    return than is None or (stop_price > than if side is Side.SELL else stop_price < than)


def limit_after(trail: Trail, side: Side, stop_price: Decimal) -> Decimal | None:
    """Return the limit price of a triggered stop; None for a market order. A sell without a price above zero to wait for is one."""
    if trail.limit_offset is None:
        return None
    limit = behind(side, stop_price, trail.limit_offset)
    return limit if limit > ZERO else None


def trail_denial(instrument: Instrument, type_: OrderType, trail: Trail | None) -> Denial | None:
    """Return the first reason why an order of this type cannot trail like that, in a fixed order: presence, range, steps."""
    if type_ is not OrderType.TRAILING_STOP:
        return None if trail is None else Denial("trail_not_allowed", str(type_))
    if trail is None or (trail.amount is None and trail.percent is None):
        return Denial("trail_required")
    if trail.amount is not None and trail.percent is not None:
        return Denial("trail_ambiguous")
    if instrument.negative_prices and (trail.percent is not None or trail.limit_offset is not None):
        return Denial("trail_needs_positive_prices", instrument.symbol)
    if trail.percent is not None and not PERCENT_MIN <= trail.percent <= PERCENT_MAX:
        limit = PERCENT_MIN if trail.percent < PERCENT_MIN else PERCENT_MAX
        return Denial("trail_percent_out_of_range", plain(trail.percent), plain(limit))
    if trail.amount is not None and trail.amount <= ZERO:
        return Denial("trail_amount_not_positive", plain(trail.amount), "0")
    for name, step in (("trail_amount", trail.amount), ("limit_offset", trail.limit_offset)):
        if step is not None and not is_multiple(step, instrument.tick):
            return Denial(f"{name}_off_tick", plain(step), plain(instrument.tick))
    return None if trail.activation_price is None else price_denial(instrument, trail.activation_price, "activation_price")
