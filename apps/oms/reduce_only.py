"""Keep reduce-only orders within their positions after a venue refused the change, and count fills that opened a position."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import structlog
from prometheus_client.core import Metric

from apps.journal.shard_host import ShardHost
from apps.oms.kill_switch import AGAIN_MAX_S, AGAIN_S
from apps.runtime.metrics import counter
from domain.order.events import OrderFilled
from domain.order.holdings import Key
from domain.order.lifecycle import State
from domain.order.reduce_only import beyond

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
AT_ONCE: Final = 200
"""Accounts and symbols checked before other tasks run."""
WAITING: Final = (State.PENDING_CANCEL, State.PENDING_REPLACE)


class ReduceOnly:
    """Repeats cuts of reduce-only orders that a venue refused.

    The commit that moves a position cuts its reduce-only orders (apps/journal/shard_host.py). This task compares open orders with
    holdings and keeps no record of earlier requests, so a restart or a lost reply changes nothing.
    """

    def __init__(self, host: ShardHost) -> None:
        self._host = host
        self._again: dict[Key, tuple[float, float]] = {}
        """Keys whose request was repeated: the time of the next request, and the pause after that."""
        self.again = 0
        self.opened = 0
        host.book.on_opened = self.on_opened

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._host.ready:
                await self.look()

    async def look(self) -> None:
        """Cut or cancel what exceeds its position; repeat per account and symbol after 5, 10, 20, then every 40 seconds."""
        reducing = self._host.orders.reducing
        self._again = {key: when for key, when in self._again.items() if self._is_open(key)}
        for number, key in enumerate(list(reducing), 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if beyond(reducing.get(key, {}).values(), self._host.book.holdings.of(key)) and self._due(key):
                self.again += self._host.reduce(key)

    def _is_open(self, key: Key) -> bool:
        """Return whether a venue may still refuse a request, or orders exceed the position."""
        orders = self._host.orders.reducing.get(key, {}).values()
        return any(order.status in WAITING for order in orders) or bool(beyond(orders, self._host.book.holdings.of(key)))

    def _due(self, key: Key) -> bool:
        now = asyncio.get_running_loop().time()
        at, pause = self._again.get(key, (now, AGAIN_S))
        if now < at:
            return False
        self._again[key] = now + pause, min(2 * pause, AGAIN_MAX_S)
        return True

    def on_opened(self, event: OrderFilled, quantity: Decimal) -> None:
        """Count and log a fill that a venue made before it received the cancel. The fill is booked like any other."""
        self.opened += 1
        log.error(
            "a reduce-only order opened a position: its venue traded before it received the cancel",
            order_id=event.order_id,
            account=event.account,
            symbol=event.symbol,
            venue=event.venue,
            exec_id=event.exec_id,
            opened=str(quantity),
        )

    def stats(self) -> dict[str, Any]:
        return {"asked_again": self.again, "opened": self.opened}

    def series(self) -> Iterator[Metric]:
        yield counter("oms_reduce_only_asked_again", "Repeated cuts and cancels of reduce-only orders", self.again)
        yield counter("oms_reduce_only_opened", "Fills of reduce-only orders that opened or flipped a position", self.opened)
