"""What the stream shows of an order and of a position, encoded once for all streams that show it."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.order.lifecycle import State
from domain.order.order import Order
from domain.position.position import Position
from domain.values import OrderType, Side, TimeInForce, plain, rfc3339

Number = msgspec.Raw | str
"""An exact decimal: a JSON number, or a string for clients whose parser would round it."""


class OrderRow(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """An order as `GET /orders/{id}` has it, without its routes. Always whole, so a client merges rows by `order_id`.

    The fields at the end are left out of orders that do not have them.
    """

    order_id: str
    client_order_id: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Number
    price: Number | None
    stop_price: Number | None
    time_in_force: TimeInForce
    status: State
    cum_quantity: Number
    leaves_quantity: Number
    average_price: Number | None
    fees: Number
    reason: str | None
    created_at: str
    updated_at: str
    seq: int
    group_id: str = ""
    role: str = ""
    display_quantity: Number | None = None


class PositionRow(msgspec.Struct, kw_only=True, gc=False):
    account: str
    symbol: str
    quantity: Number
    average_price: Number
    last_price: Number
    realised_pnl: Number
    fees: Number
    seq: int


class Formats(msgspec.Struct, frozen=True):
    """How decimals are written: as JSON numbers, or `as_text` as strings."""

    as_text: bool

    def number(self, value: Decimal) -> Number:
        return plain(value) if self.as_text else msgspec.Raw(plain(value).encode())

    def optional(self, value: Decimal | None) -> Number | None:
        return None if value is None else self.number(value)


NUMBERS: Final = Formats(False)
TEXTS: Final = Formats(True)


class Row:
    """One order with the sequence of its last event, and its encodings, which are made when a stream first shows them."""

    __slots__ = ("_as_numbers", "_as_texts", "order", "seq")

    def __init__(self, order: Order, seq: int) -> None:
        self.order = order
        self.seq = seq
        self._as_numbers: bytes | None = None
        self._as_texts: bytes | None = None

    def changed(self, seq: int) -> None:
        self.seq = seq
        self._as_numbers = self._as_texts = None

    def encoded(self, formats: Formats) -> bytes:
        found = self._as_texts if formats.as_text else self._as_numbers
        if found is None:
            found = msgspec.json.encode(order_row(self.order, self.seq, formats))
            if formats.as_text:
                self._as_texts = found
            else:
                self._as_numbers = found
        return found


def order_row(order: Order, seq: int, formats: Formats) -> OrderRow:
    number, optional = formats.number, formats.optional
    return OrderRow(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        type=order.order_type,
        quantity=number(order.quantity),
        price=optional(order.price),
        stop_price=optional(order.stop_price),
        time_in_force=order.time_in_force,
        status=order.status,
        cum_quantity=number(order.cum_quantity),
        leaves_quantity=number(order.leaves_quantity),
        average_price=optional(order.average_price),
        fees=number(order.fees),
        reason=order.reason,
        created_at=rfc3339(order.created_at),
        updated_at=rfc3339(order.updated_at),
        seq=seq,
        group_id=order.group_id,
        role=order.role,
        display_quantity=optional(order.display_quantity),
    )


def position_row(position: Position, formats: Formats) -> PositionRow:
    number = formats.number
    return PositionRow(
        account=position.account,
        symbol=position.symbol,
        quantity=number(position.quantity),
        average_price=number(position.average_price),
        last_price=number(position.last_price),
        realised_pnl=number(position.realised_pnl),
        fees=number(position.fees),
        seq=position.seq,
    )
