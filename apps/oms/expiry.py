"""Time that runs out: orders of a day, until a date, or older than is allowed. Expired at once, or by way of a cancel at the venue."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from apps.journal.shard_host import Landed, ShardHost
from domain.market.trading_hours import ALWAYS, Calendar
from domain.order.commands import ExpireOrder
from domain.order.events import OrderSubmitted
from domain.order.order import Order
from domain.ports import Clock, Unavailable
from domain.values import TimeInForce

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.25
VENUE_GRACE_NS: Final = 5_000_000_000
"""A venue ends an order of the day, or until a date, by itself: so long it is given before it is asked to."""
AGAIN_NS: Final = 5_000_000_000
AGAIN_MAX_NS: Final = 60_000_000_000
"""What is still open then is asked about again, for a cancel may have been refused: each time after as long as it is overdue by then."""

Due = tuple[int, str]
"""When, and the order: `_due` by the wall clock, which deadlines are about; `_again` by the steady clock, as every pause."""


class OrderExpiry:
    """Knows the deadlines of open orders. Orders without one, the most by far, cost a look at two fields."""

    def __init__(self, host: ShardHost, clock: Clock, timeout_ns: int | None, calendars: Mapping[str, Sequence[Calendar]]) -> None:
        self._host = host
        self._clock = clock
        self._timeout_ns = timeout_ns
        self._calendars = calendars
        self._due: list[Due] = []
        self._again: list[Due] = []
        self.expired = 0

    def restart(self) -> None:
        """The shard recovered: the deadlines of all that is open."""
        self._due, self._again = [], []
        for orders in self._host.orders.open.values():
            for order in orders.values():
                self._note(order)

    def landed(self, landed: Landed) -> None:
        """A new order may have a deadline."""
        if landed.order is not None and type(landed.events[0]) is OrderSubmitted:
            self._note(landed.order)

    def _note(self, order: Order) -> None:
        if self._timeout_ns is None and order.time_in_force not in (TimeInForce.GTD, TimeInForce.DAY):
            return
        deadline = self.deadline(order)
        if deadline is not None and not order.closed:
            heapq.heappush(self._due, (deadline[0], order.order_id))

    def deadline(self, order: Order) -> tuple[int, str] | None:
        """The first moment at which its time is over, and why; None when it has no end."""
        found: list[tuple[int, str]] = []
        if self._timeout_ns is not None:
            found.append((order.created_at + self._timeout_ns, "order_timeout"))
        if order.time_in_force is TimeInForce.GTD and order.expire_at is not None:
            found.append((order.expire_at, "expire_at"))
        if order.time_in_force is TimeInForce.DAY:
            calendars = self._calendars.get(order.symbol) or (ALWAYS,)
            found.append((max(calendar.session_end(order.created_at) for calendar in calendars), "session_end"))
        return min(found, default=None)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, steady = self._clock.now_ns(), self._clock.monotonic_ns()
            while self._host.ready and self._due and self._due[0][0] <= now:
                self._expire(heapq.heappop(self._due)[1], now)
            while self._host.ready and self._again and self._again[0][0] <= steady:
                self._expire(heapq.heappop(self._again)[1], None)

    def _expire(self, order_id: str, now: int | None) -> None:
        """`now`: when it is looked at for the first time; None when its pause is over, so that the venue had its grace."""
        try:
            order = self._host.find(order_id)
        except Unavailable as trouble:
            log.warning("an order whose time is over cannot be read", order_id=order_id, reason=str(trouble))
            self._after(AGAIN_NS, order_id)
            return
        if order is None or order.closed or (deadline := self.deadline(order)) is None:
            return
        at, reason = deadline
        if order.live_routes and reason != "order_timeout" and now is not None and now < at + VENUE_GRACE_NS:
            self._after(at + VENUE_GRACE_NS - now, order_id)
            return
        self.expired += 1
        self._host.execute(ExpireOrder(order_id=order_id, reason=reason), _nothing)
        if not order.closed:
            self._after(min(max(AGAIN_NS, self._clock.now_ns() - at), AGAIN_MAX_NS), order_id)

    def _after(self, pause_ns: int, order_id: str) -> None:
        heapq.heappush(self._again, (self._clock.monotonic_ns() + pause_ns, order_id))


def _nothing(outcome: Landed | Unavailable) -> None:
    """Lost with its commit it is asked for again: the order is open still."""
