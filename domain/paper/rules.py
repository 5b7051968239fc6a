"""What makes one paper venue another exchange than the next: fees, depth, queue, self-trades, hours."""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from domain.market.trading_hours import ALWAYS, Calendar

SelfTrade = Literal["allow", "cancel_newest", "cancel_oldest"]

CLOSED_MAX: Final = 20_000
"""Closed orders that a venue remembers. A route id sent again after so many others have closed would be taken for a new one."""


class PaperRules(msgspec.Struct, frozen=True, kw_only=True):
    """`levels` displayed on each side, `level_ticks` apart, each of the touch's size. `queue`: what is displayed at a price stands there
    before an order that comes to rest at it."""

    levels: int = 1
    level_ticks: int = 1
    queue: bool = False
    self_trade: SelfTrade = "allow"
    calendar: Calendar = ALWAYS
    closed_max: int = CLOSED_MAX


PLAIN: Final = PaperRules()
BPS_PLACES: Final = -4


def fee_rate(bps: Decimal) -> Decimal:
    return bps.scaleb(BPS_PLACES)
