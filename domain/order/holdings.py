"""Holdings per account and symbol: an exact fold of trades and busts that keeps only non-zero quantities."""

from collections.abc import Mapping
from decimal import Decimal

from domain.order import events as e
from domain.values import ZERO, Side

Key = tuple[str, str]
"""An account and a symbol."""


class Holdings:
    """Signed `quantities` per account and symbol. Costs and averages are not kept: see position.py."""

    def __init__(self, quantities: Mapping[Key, Decimal] | None = None) -> None:
        self.quantities: dict[Key, Decimal] = dict(quantities or {})

    def of(self, key: Key) -> Decimal:
        return self.quantities.get(key, ZERO)

    def apply(self, event: e.OrderFilled | e.TradeBusted) -> None:
        """Add the trade, or take the busted one back."""
        bought = (event.side is Side.BUY) is (type(event) is e.OrderFilled)
        self._move((event.account, event.symbol), event.quantity if bought else -event.quantity)

    def take_back(self, event: e.OrderFilled | e.TradeBusted) -> None:
        """Undo `apply`."""
        bought = (event.side is Side.BUY) is (type(event) is e.OrderFilled)
        self._move((event.account, event.symbol), -event.quantity if bought else event.quantity)

    def _move(self, key: Key, moved: Decimal) -> None:
        before = self.quantities.get(key)
        if before is None:
            self.quantities[key] = moved
        elif after := before + moved:
            self.quantities[key] = after
        else:
            del self.quantities[key]

    def opened_by(self, trade: e.OrderFilled) -> Decimal:
        """Return by how much the trade, not applied yet, opens or flips the position; 0 if it only closes."""
        return max(trade.quantity - closable(self.of((trade.account, trade.symbol)), trade.side), ZERO)


def closable(held: Decimal, side: Side) -> Decimal:
    """Return how much orders of a side can trade before they have closed the position."""
    return max(held if side is Side.SELL else -held, ZERO)
