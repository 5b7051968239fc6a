"""Ends parents whose time is over, and repeats what a venue refused to a parent."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import structlog
from prometheus_client.core import Metric

from apps.journal.shard_host import ShardHost
from apps.oms.kill_switch import AGAIN_MAX_S, AGAIN_S
from apps.runtime.metrics import counter, gauge
from domain.order.algo import EXPIRED, LIVE, OMS, Parent
from domain.order.algo_commands import EndAlgo
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.1


class AlgoUpkeep:
    """Looks at all parents in memory every LOOK_EVERY_S. Nothing depends on its own memory.

    exeq ends parents too. Without it their time is over all the same, and their last child is cancelled.
    """

    def __init__(self, host: ShardHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._again: dict[str, tuple[float, float]] = {}
        """When each parent is looked at again, and the pause after that if something changes."""
        self.expired = 0
        self.repeated = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._host.ready:
                self.look()

    def look(self) -> None:
        """Look once at every parent."""
        parents = self._host.book.parents.by_id
        self._again = {algo_id: when for algo_id, when in self._again.items() if algo_id in parents}
        for parent in list(parents.values()):
            if parent.state in LIVE and parent.end_at is not None and self._clock.now_ns() >= parent.end_at:
                self.expired += 1
                self._host.parents.execute(EndAlgo(order_id=parent.algo_id, source=OMS, reason=EXPIRED), lambda outcome: None)
            elif (parent.open_children or not parent.closed) and self._due(parent):
                self._repeat(parent)

    def _due(self, parent: Parent) -> bool:
        """Return whether to look at the parent again: after 5, and while that changes something after 10, 20, then every 40 seconds."""
        now = asyncio.get_running_loop().time()
        if parent.algo_id not in self._again:
            self._again[parent.algo_id] = now + AGAIN_S, AGAIN_S
        at, pause = self._again[parent.algo_id]
        if now < at:
            return False
        self._again[parent.algo_id] = now + pause, min(2 * pause, AGAIN_MAX_S)
        return True

    def _repeat(self, parent: Parent) -> None:
        try:
            changes = self._host.parents.look_at(parent)
        except Unavailable as trouble:
            log.warning("a parent's children cannot be read", algo_id=parent.algo_id, reason=str(trouble))
            return
        self.repeated += changes
        if not changes:
            self._again.pop(parent.algo_id)

    def stats(self) -> dict[str, Any]:
        parents = self._host.book.parents.by_id.values()
        return {
            "open": sum(not parent.closed for parent in parents),
            "alert": sum(parent.alert and not parent.closed for parent in parents),
            "expired": self.expired,
        }

    def series(self) -> Iterator[Metric]:
        parents = self._host.book.parents.by_id.values()
        yield gauge("oms_algos_open", "Algos that have not ended", sum(not parent.closed for parent in parents))
        alerts = sum(parent.alert and not parent.closed for parent in parents)
        yield gauge("oms_algos_alert", "Open algos that a person should look at", alerts)
        yield counter("oms_algo_rules_failed", "Errors in the rules of algos: a cancel may be missing", self._host.parents.failures)
        yield counter("oms_algos_asked_again", "Cancels of children that were repeated after a refusal", self.repeated)
