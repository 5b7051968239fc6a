"""The rules in which paper venues differ: fees, depth, queue, self-trades, hours."""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from domain.market.trading_hours import ALWAYS, Calendar

SelfTrade = Literal["allow", "cancel_newest", "cancel_oldest"]

CLOSED_MAX: Final = 20_000
"""How many closed orders a venue remembers. A route id repeated after that many others have closed would be taken for a new one."""


class PaperRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one venue.

    `levels` are displayed on each side, `level_ticks` apart, each of the touch's size. `queue`: the size displayed at a price is ahead of
    an order that comes to rest there. `estimated`: as `queue`, and what the market trades at a price goes to those ahead first and then to
    the orders of this venue.
    """

    levels: int = 1
    level_ticks: int = 1
    queue: bool = False
    self_trade: SelfTrade = "allow"
    calendar: Calendar = ALWAYS
    closed_max: int = CLOSED_MAX
    estimated: bool = False


PLAIN: Final = PaperRules()
BPS_PLACES: Final = -4


def fee_rate(bps: Decimal) -> Decimal:
    return bps.scaleb(BPS_PLACES)
