"""The price of a quantity at one venue: an order walks the levels from the touch on."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from domain.market.records import Level
from domain.values import ZERO, Side


class Walk(NamedTuple):
    """`money` is price x quantity over the whole order; `gross` is the same with all prices positive, for fees.

    `reached` are the levels that it meets, with the sizes that they show.
    """

    money: Decimal
    gross: Decimal
    reached: tuple[Level, ...]


def walk(levels: Sequence[Level], side: Side, quantity: Decimal, limit: Decimal | None = None) -> Walk:
    """Walk `levels` (at least one, touch first) for the quantity, no further than the limit.

    What they do not show is valued at the limit, where it would rest; of a market order at the last price that they show. An order whose
    limit does not reach the touch is valued at the touch.
    """
    left, money, gross = quantity, ZERO, ZERO
    reached: list[Level] = []
    for price, size in levels:
        if not left or not reaches(side, price, limit):
            break
        taken = min(size, left)
        money += price * taken
        gross += abs(price) * taken
        left -= taken
        reached.append((price, size))
    rest = levels[0][0] if not reached else reached[-1][0] if limit is None else limit
    return Walk(money + rest * left, gross + abs(rest) * left, tuple(reached))


def reaches(side: Side, price: Decimal, limit: Decimal | None) -> bool:
    """Return whether an order of this side and limit may trade at the price."""
    return limit is None or (price <= limit if side is Side.BUY else price >= limit)
