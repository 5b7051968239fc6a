"""Orders as they were: evolved from the journal up to a sequence, never from live state."""

import asyncio
from typing import Final

from adapters.codec import ORDER_COMMITS
from apps.journal.shard_host import ShardHost
from domain.order.index import note
from domain.order.order import Order, evolve
from domain.ports import Journal, Unavailable

READY_EVERY_S: Final = 0.05


class OrderPast:
    """Answers for the fold of updates. It waits while the shard recovers: an order that is not found then may exist."""

    def __init__(self, host: ShardHost, journal: Journal) -> None:
        self._host = host
        self._journal = journal

    async def account_of(self, order_id: str) -> str | None:
        order = await self._order(order_id)
        return None if order is None else order.account

    async def before(self, order_id: str, seq: int) -> Order | None:
        live, past = await self._order(order_id), None
        for each in () if live is None else [found for found in live.seqs if found < seq]:
            recorded = await self._journal.read(each)
            assert recorded is not None, f"the journal lost sequence {each}"
            for event in ORDER_COMMITS.read(recorded).events:
                if event.order_id == order_id:
                    past = evolve(past, event)
            if past is not None:
                note(past, each)
        return past

    async def _order(self, order_id: str) -> Order | None:
        while True:
            if self._host.ready:
                try:
                    return self._host.find(order_id)
                except Unavailable:  # its store is busy or away: the order may be there
                    pass
            await asyncio.sleep(READY_EVERY_S)
