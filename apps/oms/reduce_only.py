"""Keeps reduce-only orders within their positions when a venue refused it, and counts what a venue traded before it heard."""

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
"""Accounts and symbols that are looked at before other tasks get their turn."""
WAITING: Final = (State.PENDING_CANCEL, State.PENDING_REPLACE)


class ReduceOnly:
    """The commit that moves a position cuts its reduce-only orders (apps/journal/shard_host.py).

    This task repeats that for what a venue refused. It needs no memory of what was asked: it compares what is open with what is held,
    so a start or a lost answer changes nothing.
    """

    def __init__(self, host: ShardHost) -> None:
        self._host = host
        self._again: dict[Key, tuple[float, float]] = {}
        """Where a venue was asked again: when it is asked next, and the pause after that."""
        self.again = 0
        self.opened = 0
        host.book.on_opened = self.on_opened

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._host.ready:
                await self.look()

    async def look(self) -> None:
        """Ask for whatever is beyond its position, each account and symbol after 5, 10, 20 and then every 40 seconds."""
        reducing = self._host.orders.reducing
        self._again = {key: when for key, when in self._again.items() if self._is_open(key)}
        for number, key in enumerate(list(reducing), 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if beyond(reducing.get(key, {}).values(), self._host.book.holdings.of(key)) and self._due(key):
                self.again += self._host.reduce(key)

    def _is_open(self, key: Key) -> bool:
        """May a venue still refuse what it was asked, or is something beyond the position?"""
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
        """A venue traded before it heard that the position has gone: a fact, which is booked, counted and alarmed."""
        self.opened += 1
        log.error(
            "a reduce-only order opened a position: its venue traded before it heard of the cancel",
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
        yield counter("oms_reduce_only_asked_again", "Cuts and cancels of reduce-only orders that a venue was asked for again", self.again)
        yield counter("oms_reduce_only_opened", "Fills of reduce-only orders that opened or flipped a position", self.opened)
