"""Terms in every form they take: as they were asked for, as they were recorded, and as an order has them now.

A field of `Terms` has the same name in `OrderSubmitted` and `Order`, and these functions carry it. A test compares the three structs.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from domain.order.commands import Terms
from domain.order.events import OrderSubmitted
from domain.order.order import Asked, Order, copier

FIELDS: Final = tuple(name for name in Terms.__struct_fields__ if name not in ("order_id", "replaces"))
"""What an order keeps of its terms, under the same names."""
FIRST: Final = ("quantity", "price", "stop_price")
"""Of those, what a replace may change."""
LASTING: Final = tuple(name for name in FIELDS if name not in FIRST)

_fields: Final[Callable[[Any], tuple[Any, ...]]] = attrgetter(*FIELDS)
_first: Final[Callable[[Any], tuple[Any, ...]]] = attrgetter(*FIRST)
_lasting: Final[Callable[[Any], tuple[Any, ...]]] = attrgetter(*LASTING)

recorded: Final[Callable[[Terms, int], OrderSubmitted]] = copier(
    OrderSubmitted, FIELDS, "terms", "now_ns", order_id="terms.order_id", at="now_ns", status="State.NEW"
)
"""The event that creates an order with these terms, at a time in nanoseconds UTC."""


def replacement(order: Order, wanted: Asked, replace_id: str) -> Terms:
    """The terms that risk checks before a replace: those of the order, with new numbers, under the id of the replace.

    `wanted.quantity` is what would be left to trade.
    """
    values = dict(zip(FIELDS, _fields(order), strict=True)) | dict(zip(FIRST, _first(wanted), strict=True))
    return Terms(order_id=replace_id, replaces=order.order_id, **values)


def same_terms(order: Order, terms: Terms) -> bool:
    """Whether a repeated submit asks for what the first one asked for. What replaced it since does not matter."""
    return _first(order.asked or order) == _first(terms) and _lasting(order) == _lasting(terms)
