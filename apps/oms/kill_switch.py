"""Controls in oms: forbidden orders are refused, and open ones are cancelled for as long as the control is in force."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import structlog

from apps.journal.shard_host import ShardHost
from domain.order.algo import LIVE
from domain.order.algo_commands import CancelAlgo
from domain.order.commands import CancelOrder, Terms
from domain.order.lifecycle import State
from domain.order.order import RISK_CONTROL, Order
from domain.risk.controls import ALL, ControlEvent, Controls, KillThrown, SymbolBlocked

log = structlog.get_logger()

AGAIN_S: Final = 5.0
AGAIN_MAX_S: Final = 40.0
"""A refused cancel is repeated after 5, 10, 20, then every 40 seconds: each attempt adds two events."""
READY_EVERY_S: Final = 0.1
AT_ONCE: Final = 200
"""Orders checked, and cancels issued, before other tasks run."""


class OmsKillSwitch:
    """Follows the controls. `known`: whether the controls have been read up to now."""

    def __init__(self, host: ShardHost, controls: Controls) -> None:
        self._host = host
        self._controls = controls
        self._changed = asyncio.Event()
        self._again: dict[str, tuple[float, float]] = {}
        """Open orders with a requested cancel: the time of the next request, and the pause after that."""
        self.known: Callable[[], bool] = lambda: False
        self.cancels = 0

    def heard(self, event: ControlEvent) -> None:
        if isinstance(event, KillThrown | SymbolBlocked):
            self._again.clear()
            self._changed.set()

    def forbids(self, terms: Terms) -> str | None:
        """Return the reason to refuse a new order, or new terms that weigh more; None if no control does."""
        return self._controls.refuses(terms.account, terms.symbol)

    async def run(self) -> None:
        """Cancel forbidden open orders: at once after a control changes, and every AGAIN_S."""
        while True:
            if not (self._host.ready and self.known()):
                await asyncio.sleep(READY_EVERY_S)
                continue
            self._changed.clear()
            self._end_forbidden()
            await self._cancel_forbidden()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):  # wait_for can lose a cancellation that coincides with the event
                    await self._changed.wait()

    def _end_forbidden(self) -> None:
        """End the parents that a control forbids to trade: they cancel their children, and no slice follows."""
        for parent in list(self._host.book.parents.by_id.values()):
            reason = self._controls.forbids(parent.account, parent.symbol) if parent.state in LIVE else None
            if reason is not None:
                log.warning("a parent is ended", algo_id=parent.algo_id, reason=reason)
                command = CancelAlgo(order_id=parent.algo_id, source=RISK_CONTROL, reason=reason)
                self._host.parents.execute(command, lambda outcome: None)

    async def _cancel_forbidden(self) -> None:
        found, candidates = 0, list(self._candidates())
        self._again = {order.order_id: self._again[order.order_id] for order in candidates if order.order_id in self._again}
        for number, order in enumerate(candidates, 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if order.closed or order.status is State.PENDING_CANCEL or not (reason := self._why(order)) or not self._due(order):
                continue
            found += 1
            self._host.execute(CancelOrder(order_id=order.order_id, source=RISK_CONTROL, reason=reason), lambda outcome: None)
        if found:
            self.cancels += found
            log.warning("forbidden open orders cancelled", orders=found)

    def _due(self, order: Order) -> bool:
        now = asyncio.get_running_loop().time()
        at, pause = self._again.get(order.order_id, (now, AGAIN_S))
        if now < at:
            return False
        self._again[order.order_id] = now + pause, min(2 * pause, AGAIN_MAX_S)
        return True

    def _candidates(self) -> Iterator[Order]:
        """Yield the open orders that may be forbidden: without a block or a wider switch, only those of the named accounts."""
        opened, controls = self._host.orders.open, self._controls
        accounts: Iterable[str]
        if controls.blocks or any(scope == ALL or not scope.startswith("account:") for scope in controls.kills):
            accounts = list(opened)
        else:
            accounts = [scope.partition(":")[2] for scope in controls.kills]
        for account in accounts:
            yield from opened.get(account, {}).values()

    def _why(self, order: Order) -> str | None:
        if reason := self._controls.forbids(order.account, order.symbol):
            return reason
        venues = {route.venue for route in order.routes}
        return next((reason for venue in venues if (reason := self._controls.forbids(order.account, order.symbol, venue))), None)

    def stats(self) -> dict[str, Any]:
        return {"killed": sorted(self._controls.kills), "blocked": sorted(self._controls.blocks), "cancels": self.cancels}
