"""Cancels the open orders and the algos of an account after a key of it was revoked with `cancel_orders`."""

import asyncio
from typing import Final

import structlog

from apps.journal.shard_host import ShardHost
from domain.access.events import AccessChange, KeyRevoked
from domain.access.keys import KeyRing
from domain.order.algo import LIVE
from domain.order.algo_commands import CancelAlgo
from domain.order.commands import CancelOrder
from domain.order.lifecycle import State

log = structlog.get_logger()

SOURCE: Final = "access"
REASON: Final = "key_revoked"
READY_EVERY_S: Final = 0.1


class RevokedKeys:
    """Revocations whose orders are not cancelled yet. One that was recorded before this process read the journal is not repeated."""

    def __init__(self, host: ShardHost, keys: KeyRing) -> None:
        self._host = host
        self._keys = keys
        self._accounts: asyncio.Queue[str] = asyncio.Queue()

    def heard(self, event: AccessChange) -> None:
        if isinstance(event, KeyRevoked) and event.cancel_orders and (key := self._keys.by_id.get(event.key_id)) is not None:
            if self._host.shards.of(key.account) != self._host.shard:
                return
            self._accounts.put_nowait(key.account)

    async def run(self) -> None:
        """Cancel as soon as the shard takes commands, until cancelled."""
        while True:
            account = await self._accounts.get()
            while not self._host.ready:  # noqa: ASYNC110 - it recovers from the journal meanwhile
                await asyncio.sleep(READY_EVERY_S)
            parents = [each for each in self._host.book.parents.by_id.values() if each.account == account and each.state in LIVE]
            for parent in parents:
                self._host.parents.execute(CancelAlgo(order_id=parent.algo_id, source=SOURCE, reason=REASON), lambda outcome: None)
            orders = [order for order in self._host.orders.open_of(account) if order.status is not State.PENDING_CANCEL]
            for order in orders:
                self._host.execute(CancelOrder(order_id=order.order_id, source=SOURCE, reason=REASON), lambda outcome: None)
            log.warning("orders of an account are cancelled: a key was revoked", account=account, orders=len(orders), algos=len(parents))
