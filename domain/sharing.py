"""Equal values of many orders kept once: most of what an open order costs in memory is names and numbers that others have too."""

from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from domain.order import Order, Route

VALUES_MAX: Final = 100_000
"""Values that are remembered; what comes later is kept as it is."""

T = TypeVar("T", str, int)


class Shared:
    """Goes over orders as they come into memory. They stay equal to what they were, to the last digit."""

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        self._values_max = values_max
        self._plain: dict[str | int, str | int] = {}
        self._numbers: dict[Decimal, Decimal] = {}

    def order(self, order: Order) -> Order:
        """The same order, its values shared."""
        order.account, order.symbol = self._one(order.account), self._one(order.symbol)
        order.quantity = self._number(order.quantity)
        order.price = None if order.price is None else self._number(order.price)
        order.cum_quantity, order.notional, order.fees = map(self._number, (order.cum_quantity, order.notional, order.fees))
        if order.updated_at == order.created_at:
            order.updated_at = order.created_at
        order.routes = tuple(map(self._route, order.routes))
        order.seqs = tuple(map(self._one, order.seqs))
        return order

    def _route(self, route: Route) -> Route:
        quantity, cum = self._number(route.quantity), self._number(route.cum_quantity)
        return msgspec.structs.replace(route, venue=self._one(route.venue), quantity=quantity, cum_quantity=cum)

    def _one(self, value: T) -> T:
        if len(self._plain) >= self._values_max:
            return self._plain.get(value, value)  # type: ignore[return-value]
        return self._plain.setdefault(value, value)  # type: ignore[return-value]

    def _number(self, value: Decimal) -> Decimal:
        """1.0 and 1.00 are equal and not the same."""
        found = self._numbers.get(value)
        if found is None and len(self._numbers) < self._values_max:
            self._numbers[value] = value
        return found if found is not None and found.same_quantum(value) else value
