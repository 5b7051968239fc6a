"""Who is routed next: higher priority first, then who was queued first."""

import heapq

from domain.events import OrderSubmitted


class PriorityQueue:
    """Orders waiting for a route. Taking one out of the middle (a cancel) costs nothing now and a little later."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, str]] = []
        self._waiting: dict[str, tuple[OrderSubmitted, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._waiting

    def put(self, order: OrderSubmitted, at: int) -> None:
        """Queue it, at the time (ns) its OrderQueued bears; once is enough."""
        if order.order_id in self._waiting:
            return
        self._count += 1
        self._waiting[order.order_id] = (order, at)
        heapq.heappush(self._heap, (-order.priority, at, self._count, order.order_id))

    def discard(self, order_id: str) -> None:
        self._waiting.pop(order_id, None)

    def take(self) -> OrderSubmitted | None:
        """The next order, out of the queue; None when it is empty."""
        while self._heap:
            order_id = heapq.heappop(self._heap)[-1]
            if waiting := self._waiting.pop(order_id, None):
                return waiting[0]
        return None

    def oldest(self) -> int | None:
        """When the order that has waited longest was queued, nanoseconds UTC."""
        return min((at for _, at in self._waiting.values()), default=None)
