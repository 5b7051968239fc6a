"""Orders that wait for a route: higher priority first, then the earliest queued."""

import heapq

from domain.order.events import OrderSubmitted

Rank = tuple[int, int, int]
"""Priority (negative), time, and the sequence of arrival; lower is earlier."""


class PriorityQueue:
    """Orders that wait for a route. Removal from the middle (a cancel) is lazy: it costs nothing now and a little later."""

    def __init__(self) -> None:
        self._heap: list[tuple[Rank, str]] = []
        self._waiting: dict[str, tuple[Rank, OrderSubmitted]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._waiting

    def put(self, order: OrderSubmitted, at: int) -> None:
        """Queue the order at the time (ns) of its OrderQueued. Ignored if it is queued already."""
        if order.order_id in self._waiting:
            return
        self._count += 1
        self.put_back((-order.priority, at, self._count), order)

    def put_back(self, rank: Rank, order: OrderSubmitted) -> None:
        """Return the order to the place from which it was taken."""
        self._waiting[order.order_id] = (rank, order)
        heapq.heappush(self._heap, (rank, order.order_id))

    def change(self, order: OrderSubmitted) -> None:
        """Change the order's terms and keep its place; ignored if it is not queued."""
        if waiting := self._waiting.get(order.order_id):
            self._waiting[order.order_id] = (waiting[0], order)

    def discard(self, order_id: str) -> None:
        self._waiting.pop(order_id, None)

    def take(self) -> OrderSubmitted | None:
        """Take the next order out of the queue; None if it is empty."""
        ranked = self.take_ranked()
        return ranked[1] if ranked else None

    def take_ranked(self) -> tuple[Rank, OrderSubmitted] | None:
        """Take the next order, with the place it had."""
        while self._heap:
            rank, order_id = heapq.heappop(self._heap)
            if (waiting := self._waiting.get(order_id)) and waiting[0] == rank:
                del self._waiting[order_id]
                return waiting
        return None

    def oldest(self) -> int | None:
        """Return when the order that has waited longest was queued, nanoseconds UTC."""
        return min((rank[1] for rank, _ in self._waiting.values()), default=None)
