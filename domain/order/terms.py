"""Conversions of an order's terms: as requested, as recorded, and as the order has them now.

A field of `Terms` has the same name in `OrderSubmitted` and `Order`, and these functions copy it. A test compares the three structs.
"""

from collections.abc import Callable
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from domain.order.commands import Terms
from domain.order.copier import copier
from domain.order.events import OrderSubmitted
from domain.order.order import Asked, Order
from domain.shards import ONE_SHARD, Shards
from domain.values import OrderType

FIELDS: Final = tuple(name for name in Terms.__struct_fields__ if name not in ("order_id", "replaces", "notional", "quote"))
"""The fields of the terms that an order keeps, under the same names. Of the others it keeps `notional` as `asked_notional`."""
FIRST: Final = ("quantity", "price", "stop_price", "trail")
"""The fields of these that a replace may change; the quantity comes first."""
LASTING: Final = tuple(name for name in FIELDS if name not in (*FIRST, "auction"))
"""Those that stay. An auction follows from the time in force and the time of the submit: that of a repetition may be another one."""

_fields: Final[Callable[[Any], tuple[Any, ...]]] = attrgetter(*FIELDS)
_first: Final[Callable[[Any], tuple[Any, ...]]] = attrgetter(*FIRST)
_lasting: Final[Callable[[Any], tuple[Any, ...]]] = attrgetter(*LASTING)

recorded: Final[Callable[[Terms, int, str], OrderSubmitted]] = copier(
    OrderSubmitted,
    (*FIELDS, "notional", "quote"),
    "terms",
    "now_ns",
    "by",
    order_id="terms.order_id",
    at="now_ns",
    status="State.NEW",
    by="by",
)
"""The event that creates an order with these terms, at a time in nanoseconds UTC, and by whom (a key id or `local`)."""


def replacement(order: Order, wanted: Asked, replace_id: str) -> Terms:
    """Return the terms that risk checks before a replace: those of the order, with new numbers, under the id of the replace.

    `wanted.quantity` is what would be left to trade. A trailing stop that has triggered is a market or limit order.
    """
    values = dict(zip(FIELDS, _fields(order), strict=True)) | dict(zip(FIRST, _first(wanted), strict=True))
    if order.trail is not None and order.triggered:
        values |= {"order_type": OrderType.MARKET if order.price is None else OrderType.LIMIT, "stop_price": None, "trail": None}
    return Terms(order_id=replace_id, replaces=order.order_id, **values)


def again(order: Order, client_order_id: str, quantity: Decimal, shards: Shards = ONE_SHARD) -> Terms:
    """Return the order's current terms for another order of its account, under a new id and for another quantity."""
    values = dict(zip(FIELDS, _fields(order), strict=True)) | {"client_order_id": client_order_id, "quantity": quantity}
    if order.trail is not None:
        values["price"] = None  # it has a limit only once it has triggered
    return Terms(order_id=shards.order_id(order.account, client_order_id), **values)


def same_terms(order: Order, terms: Terms) -> bool:
    """Return whether a repeated submit has the terms of the first one. Later replaces do not matter.

    Of orders for an amount of money the amounts are compared: each quantity was made with the quote of its time.
    """
    first, again = _first(order.asked or order), _first(terms)
    if terms.notional is not None:
        first, again = first[1:], again[1:]
    return first == again and order.asked_notional == terms.notional and _lasting(order) == _lasting(terms)
