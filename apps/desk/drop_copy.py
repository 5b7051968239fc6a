"""Drop copy on `oms.orders.<account>.<order_id>`: one message per order and commit, published only while it has subscribers."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Announcements, Interest, Send
from domain.order.events import OrderEvent
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.values import OrderType, Side


class OrderUpdate(msgspec.Struct, kw_only=True, gc=False):
    """A drop copy message. `at` is in nanoseconds UTC; `events` are as in the journal."""

    order_id: str
    client_order_id: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    status: State
    cum_quantity: Decimal
    quantity: Decimal
    leaves_quantity: Decimal
    average_price: Decimal | None
    seq: int
    at: int
    events: tuple[OrderEvent, ...]


class DropCopy:
    """Announces each order as it is after a commit. Commits of before the start of this process are not announced."""

    def __init__(self, interest: Interest, send: Send) -> None:
        self._copies: Announcements[OrderUpdate] = Announcements(interest, send, subjects.ORDER_COPIES, _messages)

    def __call__(self, order: Order, seq: int, events: Sequence[OrderEvent]) -> None:
        """Announce an order with its own events of the commit `seq`."""
        self._copies.announce(
            OrderUpdate(
                order_id=order.order_id,
                client_order_id=order.client_order_id,
                account=order.account,
                symbol=order.symbol,
                side=order.side,
                type=order.order_type,
                status=order.status,
                cum_quantity=order.cum_quantity,
                quantity=order.quantity,
                leaves_quantity=order.leaves_quantity,
                average_price=order.average_price,
                seq=seq,
                at=events[-1].at,
                events=tuple(events),
            )
        )

    def stats(self) -> dict[str, object]:
        return self._copies.stats()


def _messages(updates: Sequence[OrderUpdate]) -> Iterator[tuple[str, bytes]]:
    for update in updates:
        yield subjects.order_copy(update.account, update.order_id), encode(update)
