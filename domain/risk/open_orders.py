"""What is counted at risk for an open order, and for open orders of which only one trades."""

from decimal import Decimal

import msgspec

from domain.values import Side


class Open(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an order may still trade, and the absolute price in USD at which it is counted.

    Of the open orders of one `pool`, only the largest counts: see Pool. `orders` is how many open orders of the account it is: 0 for a
    claim, see Exposure.claimed.
    """

    account: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    pool: str = ""
    orders: int = 1


class Pool(msgspec.Struct, gc=False):
    """Open orders of one list, account, symbol and side that trade no more together than the largest of them alone.

    While one is `doubtful`, it may have traded without a report: it then counts beside the others.
    """

    orders: dict[str, Open] = {}
    doubtful: set[str] = set()

    def counted(self) -> list[Open]:
        """Return what counts: the worst of the orders without a doubt, and each one in doubt."""
        found = [self.orders[order_id] for order_id in self.orders if order_id in self.doubtful]
        sure = [open_ for order_id, open_ in self.orders.items() if order_id not in self.doubtful]
        if sure:
            found.append(msgspec.structs.replace(sure[0], quantity=max(o.quantity for o in sure), price=max(o.price for o in sure)))
        return found
