"""Updates as the messages of the stream: the order as of the event, and the numbers of the trade."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.oms.alpaca.ids import dashed, execution_id
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.orders import ACCEPTED, NEW, PENDING_NEW, AlpacaOrder
from apps.oms.alpaca.updates import NEW_EVENT, NamedUpdate
from domain.order import events as e
from domain.order.order import Order
from domain.values import derived_id, plain

TRADE_UPDATES: Final = "trade_updates"
"""The only stream that there is."""

Shown = Callable[[Order, int], AlpacaOrder]
"""An order as one generation of its terms."""


class TradeUpdate(msgspec.Struct, kw_only=True, gc=False):
    """`qty` and `price` are those of the trade; `position_qty` is what the account holds after it, negative when short.

    `seq` is the sequence of the commit, with which a client continues after a loss of its connection. `more` is there, and true, while
    other updates of the same commit follow: a client that continues from this sequence would miss them.
    """

    event: str
    execution_id: str
    seq: int
    timestamp: str
    order: AlpacaOrder
    price: str | UnsetType = UNSET
    qty: str | UnsetType = UNSET
    position_qty: str | UnsetType = UNSET
    previous_execution_id: str | UnsetType = UNSET
    more: bool | UnsetType = UNSET


class _Message(msgspec.Struct, gc=False):
    stream: str
    data: TradeUpdate


def trade_update(made: NamedUpdate, event: e.OrderEvent, order: Order, place: tuple[int, int], held: Decimal, shown: Shown) -> TradeUpdate:
    """Return one update. `place`: the sequence of the commit, and the place of the event in it. `held`: what is held after the event."""
    seq, number = place
    seen = shown(order, made.generation)
    if made.event == NEW_EVENT and isinstance(event, e.OrderFilled) and seen.status in (ACCEPTED, PENDING_NEW):
        seen.status = NEW  # its venue has it, as the trade shows
    update = TradeUpdate(
        event=made.event,
        execution_id=dashed(derived_id("update", order.order_id, str(seq), str(number), made.event)),
        seq=seq,
        timestamp=shown_moment(event.at),
        order=seen,
    )
    if (trade := made.trade) is not None:
        update.price, update.qty, update.position_qty = plain(trade.price), plain(trade.quantity), plain(held)
        if isinstance(trade, e.OrderFilled):
            update.execution_id = execution_id(trade.venue, trade.exec_id)
        if previous := trade.corrects if isinstance(trade, e.OrderFilled) else trade.exec_id:
            update.previous_execution_id = execution_id(trade.venue, previous)
    return update


def encoded(update: TradeUpdate) -> str:
    """Return the message of an update."""
    return _ENCODER.encode(_Message(TRADE_UPDATES, update)).decode()


_ENCODER: Final = msgspec.json.Encoder()
