"""Positions: a fold of trades and busts. Netting, average cost, a reversal split at zero."""

from decimal import Decimal

import msgspec

from domain.order import events as e
from domain.values import ZERO, average, divide, signed


class Position(msgspec.Struct, kw_only=True, gc=False):
    """One position. `quantity` is signed; `cost` is the price paid (negative: received) for the open quantity; averages and PnL follow."""

    account: str
    symbol: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    last_price: Decimal = ZERO
    updated_at: int = 0
    seq: int = 0

    @property
    def average_price(self) -> Decimal:
        return average(self.cost, self.quantity) if self.quantity else ZERO

    def unrealised_pnl(self, mark: Decimal) -> Decimal:
        return self.quantity * mark - self.cost + ZERO  # no minus zero


def apply_trade(position: Position, quantity: Decimal, price: Decimal) -> None:
    """Add a signed quantity at a price. The closing part realises PnL against the average cost; the rest opens at the price.

    The released part of the cost is the only rounded number (12 places): the rounding error stays in the cost, so cash is conserved.
    """
    held = position.quantity
    closing = min(abs(held), abs(quantity)) if held * quantity < ZERO else ZERO
    if closing:
        released = position.cost if closing == abs(held) else divide(position.cost * closing, abs(held))
        proceeds = closing * price if held > ZERO else -closing * price
        position.realised_pnl += proceeds - released
        position.cost -= released
    opening = abs(quantity) - closing
    if opening:
        position.cost += opening * price if quantity > ZERO else -opening * price
    position.quantity = held + quantity
    position.last_price = price


def apply(position: Position, event: e.OrderFilled | e.TradeBusted) -> None:
    """Apply a trade, or a bust as the opposite trade at the trade's own price, with its fee returned."""
    quantity = signed(event.side, event.quantity)
    busted = type(event) is e.TradeBusted
    apply_trade(position, -quantity if busted else quantity, event.price)
    position.fees += -event.fee if busted else event.fee
    position.updated_at = event.at


class PositionBook:
    """Every position of a set of accounts, by (account, symbol)."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], Position] = {}

    def apply(self, event: e.OrderEvent, seq: int) -> Position | None:
        """Return the position that the event changed, or None. Only trades and busts change a position."""
        if not isinstance(event, (e.OrderFilled, e.TradeBusted)):
            return None
        key = (event.account, event.symbol)
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(account=event.account, symbol=event.symbol)
        apply(position, event)
        position.seq = seq
        return position

    def of(self, account: str) -> list[Position]:
        return [p for p in self.positions.values() if p.account == account]
