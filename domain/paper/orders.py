"""The orders that a paper venue remembers: open ones as objects, closed ones encoded."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from domain.paper.book import PaperOrder, PaperState

NOT_CLOSED: Final = frozenset({PaperState.TAKEN, PaperState.WORKING})

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(PaperOrder).decode


class PaperOrders(Mapping[str, PaperOrder]):
    """Orders by route id. A closed order is seldom read again, and takes half the memory encoded.

    A closed order is returned as a copy: `put` stores a change of it. Beyond `closed_max` the order that closed first is forgotten.
    """

    def __init__(self, closed_max: int) -> None:
        self._closed_max = closed_max
        self._alive: dict[str, PaperOrder] = {}
        self._closed: dict[str, bytes] = {}

    def __getitem__(self, route_id: str) -> PaperOrder:
        order = self._alive.get(route_id)
        return _DECODE(self._closed[route_id]) if order is None else order

    def __contains__(self, route_id: object) -> bool:
        return route_id in self._alive or route_id in self._closed

    def __iter__(self) -> Iterator[str]:
        yield from self._closed
        yield from self._alive

    def __len__(self) -> int:
        return len(self._closed) + len(self._alive)

    def put(self, order: PaperOrder) -> None:
        """Store the order in its current state, open or closed."""
        route_id = order.request.route_id
        if order.state in NOT_CLOSED:
            self._closed.pop(route_id, None)
            self._alive[route_id] = order
            return
        self._alive.pop(route_id, None)
        self._closed[route_id] = _ENCODE(order)
        if len(self._closed) > self._closed_max:
            del self._closed[next(iter(self._closed))]

    def pop(self, route_id: str) -> PaperOrder:
        """Forget an order and return it. Raises KeyError for an unknown one."""
        order = self[route_id]
        self._alive.pop(route_id, None)
        self._closed.pop(route_id, None)
        return order
