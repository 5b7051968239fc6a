"""Order expiry: DAY, OPG, CLS, GTD and the maximum age. An order expires at once, or through a cancel at its venue."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from apps.journal.shard_host import Landed, ShardHost
from domain.market.trading_hours import ALWAYS, Calendar
from domain.order.commands import ExpireOrder
from domain.order.events import OrderSubmitted, TradeBusted
from domain.order.order import Order
from domain.ports import Clock, Unavailable
from domain.values import TimeInForce

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.25
VENUE_GRACE_NS: Final = 5_000_000_000
"""Grace for a venue, which ends DAY and GTD orders by itself; after that oms requests a cancel."""
AGAIN_NS: Final = 5_000_000_000
AGAIN_MAX_NS: Final = 60_000_000_000
"""Bounds of the pause before a cancel is repeated, as it may have been refused. The pause is the time that the order is overdue."""
Due = tuple[int, str]
"""Time and order id. `_due` uses the wall clock, as deadlines do; `_again` uses the monotonic clock, as pauses do."""


class OrderExpiry:
    """Tracks the deadlines of open orders. An order without one, the common case, costs a test of two fields."""

    def __init__(self, host: ShardHost, clock: Clock, timeout_ns: int | None, calendars: Mapping[str, Sequence[Calendar]]) -> None:
        self._host = host
        self._clock = clock
        self._timeout_ns = timeout_ns
        self._calendars = calendars
        self._due: list[Due] = []
        self._again: list[Due] = []
        self.expired = 0

    def restart(self) -> None:
        """Collect the deadlines of all open orders after a recovery of the shard."""
        self._due, self._again = [], []
        for orders in self._host.orders.open.values():
            for order in orders.values():
                self._note(order)

    def landed(self, landed: Landed) -> None:
        """Note the deadline of a new order, and of one that a bust opens again: it may have passed while the order was filled."""
        order = landed.order
        if order is None:
            return
        first = landed.events[0]
        if type(first) is OrderSubmitted or (type(first) is TradeBusted and landed.cum_quantity + first.quantity >= order.quantity):
            self._note(order)

    def _note(self, order: Order) -> None:
        if self._timeout_ns is None and order.time_in_force not in (TimeInForce.GTD, TimeInForce.DAY) and order.auction is None:
            return
        deadline = self.deadline(order)
        if deadline is not None and not order.closed:
            heapq.heappush(self._due, (deadline[0], order.order_id))

    def deadline(self, order: Order) -> tuple[int, str] | None:
        """Return the earliest deadline, in nanoseconds, and its reason; None without a deadline."""
        found: list[tuple[int, str]] = []
        if self._timeout_ns is not None:
            found.append((order.created_at + self._timeout_ns, "order_timeout"))
        if order.time_in_force is TimeInForce.GTD and order.expire_at is not None:
            found.append((order.expire_at, "expire_at"))
        if order.auction is not None:
            found.append((order.auction.ends_at, "session_end"))
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
        """Expire an order that is due. `now`: the time of the first attempt; None for a repeated one, when the venue's grace is over."""
        try:
            order = self._host.find(order_id)
        except Unavailable as trouble:
            log.warning("an expired order cannot be read", order_id=order_id, reason=str(trouble))
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
    """Ignore the outcome: if the commit is lost, the order is still open and the expiry is repeated."""
