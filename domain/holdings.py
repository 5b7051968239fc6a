"""How much each account holds of each symbol: an exact fold of trades and busts that keeps only what is not zero."""

from collections.abc import Mapping
from decimal import Decimal

from domain import events as e
from domain.values import ZERO, Side, signed

Key = tuple[str, str]
"""An account and a symbol."""


class Holdings:
    """`quantities` are signed. Costs and averages are not kept: see position.py."""

    def __init__(self, quantities: Mapping[Key, Decimal] | None = None) -> None:
        self.quantities: dict[Key, Decimal] = dict(quantities or {})

    def of(self, key: Key) -> Decimal:
        return self.quantities.get(key, ZERO)

    def apply(self, event: e.OrderFilled | e.TradeBusted) -> Decimal:
        """Add the trade, or take the busted one back. Returns by how much the position was opened or flipped, 0 when it only shrank."""
        key = event.account, event.symbol
        moved = signed(event.side, event.quantity)
        if type(event) is e.TradeBusted:
            moved = -moved
        before = self.quantities.get(key, ZERO)
        if after := before + moved:
            self.quantities[key] = after
        else:
            self.quantities.pop(key, None)
        return max(abs(moved) - closable(before, Side.BUY if moved > ZERO else Side.SELL), ZERO)


def closable(held: Decimal, side: Side) -> Decimal:
    """How much orders of a side can trade before they have closed the position."""
    return max(held if side is Side.SELL else -held, ZERO)
