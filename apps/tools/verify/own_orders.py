"""The orders of a shard, compared with the shard that their accounts are in: no account and no order id is in two shards."""

from apps.tools.verify.fold import Seen
from domain.order.events import OrderSubmitted
from domain.shards import Shards


class OwnOrders:
    """Looks at every order of a shard's journal during the pass. `found` is the first one that is of another shard."""

    def __init__(self, shards: Shards, shard: int) -> None:
        self.found = ""
        self._shards = shards
        self._shard = shard

    async def see(self, commits: Seen) -> None:
        for seq, events in commits:
            for event in events:
                if isinstance(event, OrderSubmitted) and not self.found:
                    self._look(event, seq)

    def _look(self, event: OrderSubmitted, seq: int) -> None:
        account, named = self._shards.of(event.account), self._shards.of_id(event.order_id)
        if (account, named) != (self._shard, self._shard):
            place = f"order {event.order_id} of account {event.account} at sequence {seq} is in shard {self._shard}"
            self.found = f"{place}, but its account is in shard {account} and its id names {named}"
