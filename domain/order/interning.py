"""Keep equal values of many orders once: most of an open order's memory is names and numbers that other orders share."""

from decimal import Decimal
from typing import Any, Final

from domain.order.order import Order, Route
from domain.values import ZERO

VALUES_MAX: Final = 100_000
"""How many names, and how many numbers, are remembered; later ones are kept as they are."""


class Shared:
    """Interns the values of orders as they are loaded. The orders stay equal to what they were, to the last digit."""

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        self._values_max = values_max
        self._names: dict[Any, Any] = {}
        self._numbers: dict[Decimal, Decimal] = {}

    def order(self, order: Order) -> Order:
        """Return the same order with its values shared. Written flat, because a million orders pass here in some seconds."""
        one = self._names.setdefault if len(self._names) < self._values_max else self._names.get
        order.account, order.symbol = one(order.account, order.account), one(order.symbol, order.symbol)
        if order.updated_at == order.created_at:
            order.updated_at = order.created_at
        order.quantity = quantity = self._number(order.quantity)
        order.price = None if order.price is None else self._number(order.price)
        order.cum_quantity, order.notional, order.fees = _zero(order.cum_quantity), _zero(order.notional), _zero(order.fees)
        order.routes = tuple([self._route(route, quantity) for route in order.routes])
        order.seqs = tuple([one(seq, seq) for seq in order.seqs])
        return order

    def _route(self, route: Route, whole: Decimal) -> Route:
        """Intern a route. Most routes are of the whole quantity and have not traded."""
        venue = self._names.setdefault(route.venue, route.venue)  # there are few
        quantity = whole if route.quantity == whole and route.quantity.same_quantum(whole) else route.quantity
        return Route(route.route_id, venue, quantity, _zero(route.cum_quantity), route.venue_order_id, route.ended)

    def _number(self, value: Decimal) -> Decimal:
        """Reuse the stored value only if its exponent matches: 1.0 == 1.00, but each must print as entered."""
        found = self._numbers.get(value)
        if found is None and len(self._numbers) < self._values_max:
            self._numbers[value] = value
        return found if found is not None and found.same_quantum(value) else value


def _zero(value: Decimal) -> Decimal:
    return ZERO if not value and value.same_quantum(ZERO) and not value.is_signed() else value
