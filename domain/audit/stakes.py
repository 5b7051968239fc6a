"""What one account may come to hold of one symbol, as the journal alone shows it: the checker's own sums of open orders."""

from decimal import Decimal

import msgspec

from domain.order.group import ALTERNATIVE_ROLES, UNCOUNTED_ROLES
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.values import ZERO, Side

ASKED_FOR_LESS = (State.PENDING_CANCEL, State.PENDING_REPLACE)
"""States of an order that its list has already asked to end or to shrink: its venue answers later."""


class Share(msgspec.Struct, frozen=True):
    """What one order of a list may still trade. `price`: None for one that only closes what its entry opens: it counts at the mark.

    `unsettled`: a request for less is pending, or was refused.
    """

    side: Side
    quantity: Decimal
    price: Decimal | None
    unsettled: bool


class Alternatives(msgspec.Struct):
    """The orders of one list that trade no more together than the largest of them alone. One in doubt: none of them is resized."""

    shares: dict[str, Share] = {}
    doubtful: set[str] = set()

    def largest(self) -> Share | None:
        """Return the largest order that has all of its answers; none while one is in doubt."""
        settled = [] if self.doubtful else [share for share in self.shares.values() if not share.unsettled]
        return max(settled, key=lambda share: share.quantity, default=None)


class Stake(msgspec.Struct):
    """What the open orders of one account may still trade of one symbol."""

    buys_notional: Decimal = ZERO
    sells: Decimal = ZERO
    closing_buys: Decimal = ZERO
    """Buys that only close what their entry has sold."""
    surprised: bool = False
    """A late, unexpected or busted trade, or exits that traded too much: no earlier check could have known."""
    pools: dict[str, Alternatives] = {}
    """By list."""
    rests: dict[str, Share] = {}
    """What legs may come to besides their present orders, by their first order: see list_rests.py."""

    def count(self, order: Order, price: Decimal | None, *, refused: bool) -> None:
        """Count an open order. `refused`: its last request was, and its list asks again later."""
        if order.role in ALTERNATIVE_ROLES:
            self._pool(order, price, refused=refused)
        else:
            self._add(order, price, 1)

    def uncount(self, order: Order, price: Decimal | None) -> None:
        """Take back what `count` added for the order as it was then."""
        if order.role not in ALTERNATIVE_ROLES:
            self._add(order, price, -1)
        elif (pool := self.pools.get(order.group_id)) is not None:
            pool.shares.pop(order.order_id, None)
            pool.doubtful.discard(order.order_id)
            if not pool.shares:
                del self.pools[order.group_id]

    def sells_at_worst(self) -> Decimal:
        """Return how much the open orders may sell."""
        return self.sells + sum((share.quantity for share in self._shares() if share.side is Side.SELL), ZERO)

    def buys_at_worst(self, mark: Decimal) -> Decimal:
        """Return what the open orders may buy, in money."""
        shares = (share.quantity * (mark if share.price is None else share.price) for share in self._shares() if share.side is Side.BUY)
        return self.buys_notional + self.closing_buys * mark + sum(shares, ZERO)

    def _shares(self) -> list[Share]:
        return [share for pool in self.pools.values() if (share := pool.largest()) is not None] + list(self.rests.values())

    def _add(self, order: Order, price: Decimal | None, sign: int) -> None:
        closes = order.role in UNCOUNTED_ROLES
        if closes and order.status is State.RISK_CHECKED:
            return  # it waits for its entry
        leaves = sign * order.leaves_quantity
        if order.side is not Side.BUY:
            self.sells += leaves
        elif closes:
            self.closing_buys += leaves
        else:
            self.buys_notional += leaves * abs(price or ZERO)

    def _pool(self, order: Order, price: Decimal | None, *, refused: bool) -> None:
        closes = order.role in UNCOUNTED_ROLES
        held = closes and order.status is State.RISK_CHECKED
        worth = None if closes else abs(price or ZERO)
        unsettled = refused or order.status in ASKED_FOR_LESS
        pool = self.pools.setdefault(order.group_id, Alternatives())
        pool.shares[order.order_id] = Share(order.side, ZERO if held else order.leaves_quantity, worth, unsettled)
        if order.status is State.IN_DOUBT:
            pool.doubtful.add(order.order_id)
