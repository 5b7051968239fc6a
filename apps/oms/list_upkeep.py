"""Releases triggered stops that waited too long for the other exit, and applies the rules of lists again after a refused request."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import structlog
from prometheus_client.core import Metric

from apps.journal.shard_host import ShardHost
from apps.oms.kill_switch import AGAIN_MAX_S, AGAIN_S
from apps.runtime.metrics import counter, gauge
from domain.order.commands import ReleaseOrder
from domain.ports import Unavailable

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.05
RULES_EVERY_S: Final = 5.0
AT_ONCE: Final = 20
"""Lists to which the rules are applied before other tasks run."""


class ListUpkeep:
    """Looks at waiting stops every LOOK_EVERY_S, and at all open lists every RULES_EVERY_S.

    Nothing depends on its memory: the rules compare levels, and a stop that still waits after a restart waits its time once more.
    """

    def __init__(self, host: ShardHost, exclusive_wait_s: float) -> None:
        self._host = host
        self._wait_s = exclusive_wait_s
        self._since: dict[str, float] = {}
        """Waiting stops, and when each was first seen."""
        self._again: dict[str, tuple[float, float]] = {}
        """Lists that the rules changed: when they are looked at again, and the pause after that."""
        self._rules_at = 0.0
        self.forced = 0
        self.changed = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._host.ready:
                self.release()
                await self.look()

    def release(self) -> None:
        """Release the stops whose time is over."""
        now, waiting = asyncio.get_running_loop().time(), self._host.orders.waiting
        self._since = {order_id: self._since.get(order_id, now) for order_id in waiting}
        for order_id, since in self._since.items():
            if now - since >= self._wait_s:
                self.forced += 1
                self._host.execute(ReleaseOrder(order_id=order_id, forced=True), lambda outcome: None)

    async def look(self) -> None:
        """Apply the rules to every list in memory. A list that changed is looked at again after 5, 10, 20, then every 40 seconds."""
        now = asyncio.get_running_loop().time()
        if now < self._rules_at:
            return
        self._rules_at = now + RULES_EVERY_S
        groups = self._host.orders.groups
        self._again = {group_id: when for group_id, when in self._again.items() if group_id in groups}
        for number, group_id in enumerate(list(groups), 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            at, pause = self._again.get(group_id, (now, AGAIN_S))
            if now < at or group_id not in groups or all(order.closed for order in groups[group_id].values()):
                continue
            try:
                changed = self._host.look_at(group_id)
            except Unavailable as trouble:
                log.warning("a list cannot be read", list_id=group_id, reason=str(trouble))
                return
            if changed:
                self.changed += changed
                self._again[group_id] = now + pause, min(2 * pause, AGAIN_MAX_S)

    def stats(self) -> dict[str, Any]:
        return {
            "in_memory": len(self._host.orders.groups),
            "waiting": len(self._host.orders.waiting),
            "forced": self.forced,
            "rules_failed": self._host.list_failures,
        }

    def series(self) -> Iterator[Metric]:
        yield gauge("oms_lists_in_memory", "Lists with orders in memory", len(self._host.orders.groups))
        yield gauge("oms_stops_waiting", "Triggered stops that wait for the other exit of their list", len(self._host.orders.waiting))
        yield counter("oms_stops_forced", "Stops that went before the other exit of their list had ended", self.forced)
        yield counter("oms_list_rules_failed", "Errors in the rules of lists: what should follow did not", self._host.list_failures)
        yield counter("oms_lists_asked_again", "Requests of lists that were repeated after a refusal", self.changed)
