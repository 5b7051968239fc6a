"""Order reads. A view is built from memory and returned only after everything it shows is durable."""

from collections.abc import Sequence
from typing import Any, Final

from adapters.codec import ORDER_COMMITS
from apps.http.app import Refusal
from apps.http.caller import Caller, account_not_yours
from apps.http.order_view import View, order_view, timeline_view
from apps.journal.shard_host import ShardHost
from apps.journal.shard_hosts import Hosts
from apps.oms.submit import unavailable
from domain.narrative import OwnerOf, no_owner
from domain.order.events import OrderEvent
from domain.order.index import OrderFilter
from domain.order.order import Order, evolved
from domain.ports import Unavailable

FOREIGN_MAX: Final = 10_000
CREATED_AT_MAX: Final = 2**63 - 1
"""The latest time that a store query accepts, in nanoseconds."""

Place = tuple[int, str]
"""The place of an order in lists: its time of creation (ns) and its id."""


class ForeignIds:
    """Foreign orders or lists that an account was refused, at most FOREIGN_MAX. None of them ever changes its account."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], None] = {}

    def has(self, caller: Caller, id_: str) -> bool:
        return (caller.account, id_) in self._refused

    def add(self, caller: Caller, id_: str) -> None:
        self._refused[caller.account, id_] = None
        if len(self._refused) > FOREIGN_MAX:
            del self._refused[next(iter(self._refused))]


class OrderReads:
    """Reads of single orders, lists and timelines."""

    def __init__(self, hosts: Hosts, owner_of: OwnerOf = no_owner) -> None:
        """`owner_of` names the owners of keys in timelines."""
        self._hosts = hosts
        self._owner_of = owner_of
        self._foreign = ForeignIds()

    async def find(self, order_id: str, caller: Caller) -> Order:
        """Return an order that the caller may read. Refusal 404, 503.

        A foreign order is refused exactly like one that does not exist, in the same time: ids follow from account and client_order_id,
        so a caller can compute those of others, and could measure which exist.
        """
        await self.proven(order_id)
        try:
            order = None if self._foreign.has(caller, order_id) else self._hosts.of_id(order_id).find(order_id)
            if order is not None:
                if caller.sees(order.account):
                    return order
                self._refused(order_id, caller)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        raise Refusal(404, "order_not_found", f"unknown order {order_id[:64]!r}")

    def _refused(self, order_id: str, caller: Caller) -> None:
        """Do what a search for an absent order does: read the store in vain the first time, and remember it for the next."""
        host = self._hosts.of_id(order_id)
        if order_id in host.orders.by_id:
            host.find(f"{order_id}?")
        self._foreign.add(caller, order_id)

    async def find_own(self, order_id: str, caller: Caller) -> Order:
        """Return an order that the caller may change. Refusal 403 if it may only read it, 404, 503."""
        order = await self.find(order_id, caller)
        if not caller.owns(order.account):
            raise account_not_yours()
        return order

    async def proven(self, id_: str) -> None:
        """Wait until memory is known to match the journal of the shard that this id of an order or list names. Refusal 503."""
        await self.proven_by(self._hosts.of_id(id_))

    async def proven_of(self, account: str) -> None:
        """Wait until memory is known to match the journal of the account's shard. Refusal 503."""
        await self.proven_by(self._hosts.of(account))

    async def proven_by(self, host: ShardHost) -> None:
        """Wait until the memory of this shard is known to match its journal. Refusal 503."""
        if not host.ready:
            raise unavailable(host.trouble, unknown=False)
        try:
            await host.proven()
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def views(self, orders: Sequence[Order], asked: Sequence[ShardHost] = ()) -> list[View]:
        """Return the current views of these orders once they are durable. `asked`: the hosts that were asked for them. Refusal 503."""
        shown = [(order, order_view(order)) for order in orders]
        await self.settled(orders, asked)
        return [view | {"seq": order.seqs[-1]} | self.shard_of(order.account) for order, view in shown]

    async def settled(self, orders: Sequence[Order], asked: Sequence[ShardHost] = ()) -> None:
        """Wait until everything that these orders show is on disk, and that `asked`, or their shards, have no others. Refusal 503."""
        hosts = asked or tuple(dict.fromkeys(self._hosts.of(order.account) for order in orders)) or self._hosts.all
        try:
            for host in hosts:
                await host.settled(*(orders if len(hosts) == 1 else [order for order in orders if self._hosts.of(order.account) is host]))
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    def shard_of(self, account: str) -> dict[str, int]:
        """Return the field that says of which shard a sequence is; nothing where there is only one."""
        return self._hosts.shards.field(account)

    async def one(self, order_id: str, caller: Caller) -> View:
        return (await self.views([await self.find(order_id, caller)]))[0]

    async def as_of(self, order_id: str, at_seq: int, caller: Caller) -> View:
        """Return the order as of a sequence, evolved from its journaled events, never from live state. Refusal 404, 422, 503."""
        order = await self.find(order_id, caller)
        await self.reached(order.account, at_seq)
        seen = [seq for seq in order.seqs if seq <= at_seq]
        past = evolved([event for seq in seen for event in await self._events(order, seq)])
        if past is None:
            raise Refusal(404, "order_not_found", f"order {order_id} did not exist at sequence {at_seq}")
        return order_view(past) | {"seq": seen[-1]} | self.shard_of(order.account)

    async def reached(self, account: str, at_seq: int) -> None:
        """Check that the journal of the account has reached `at_seq`. Refusal 422 when it has not, 503."""
        await self.proven_of(account)
        head = self._hosts.of(account).head
        if at_seq > head.seq:
            raise Refusal(422, "seq_not_reached", f"the journal is at sequence {head.seq}", as_of_seq=head.seq)

    async def page(self, wanted: OrderFilter, limit: int, cursor: str | None) -> dict[str, Any]:
        """Return a page of orders, newest first. Refusal 503."""
        found = await self.some(wanted, _place(cursor) if cursor is not None else None, limit + 1)
        shown, more = found[:limit], len(found) > limit
        return {"orders": await self.views(shown, self._asked(wanted)), "next": "-".join(map(str, place_of(shown[-1]))) if more else None}

    async def some(self, wanted: OrderFilter, behind: Place | None, limit: int, *, oldest_first: bool = False) -> list[Order]:
        """Return at most `limit` orders, newest first, older than `behind`; or oldest first, newer than it. Refusal 503.

        A filter without an account asks every shard. If one of them is not available, all is refused: a short list would look whole.
        """
        hosts = self._asked(wanted)
        if len(hosts) == 1:
            return await self._some_of(hosts[0], wanted, behind, limit, oldest_first)
        found = [order for host in hosts for order in await self._some_of(host, wanted, behind, limit, oldest_first)]
        found.sort(key=place_of, reverse=not oldest_first)
        return found[:limit]

    def _asked(self, wanted: OrderFilter) -> Sequence[ShardHost]:
        """Return the hosts that may have such orders."""
        return self._hosts.all if wanted.account is None else (self._hosts.of(wanted.account),)

    async def _some_of(self, host: ShardHost, wanted: OrderFilter, behind: Place | None, limit: int, oldest_first: bool) -> list[Order]:
        """Return orders of one shard. Those not saved yet come from memory, all others from the store. Refusal 503."""
        if not host.ready:
            raise unavailable(host.trouble, unknown=False)
        unsaved = {order.order_id: order for order in host.book.unsaved()}
        try:
            stored = await host.book.page(wanted, behind, limit + len(unsaved), oldest_first=oldest_first)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        found = [order for order in stored if order.order_id not in unsaved]
        found += [order for order in unsaved.values() if wanted.takes(order) and _is_behind(order, behind, oldest_first)]
        found.sort(key=place_of, reverse=not oldest_first)
        return found[:limit]

    async def timeline(self, order_id: str, caller: Caller) -> list[View]:
        """Return every event of the order, read from the journal itself. Refusal 404, 503."""
        order = await self.find(order_id, caller)
        await self.settled([order])
        return timeline_view([(seq, event) for seq in order.seqs for event in await self._events(order, seq)], self._owner_of)

    async def _events(self, order: Order, seq: int) -> list[OrderEvent]:
        """Read the order's own events of one commit from the journal."""
        try:
            recorded = await self._hosts.of(order.account).journal.read(seq)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        assert recorded is not None, f"the journal lost sequence {seq}"
        return [event for event in ORDER_COMMITS.read(recorded).events if event.order_id == order.order_id]


def place_of(order: Order) -> Place:
    return order.created_at, order.order_id


def _is_behind(order: Order, behind: Place | None, oldest_first: bool) -> bool:
    if behind is None:
        return True
    return place_of(order) > behind if oldest_first else place_of(order) < behind


def _place(cursor: str) -> Place:
    """Decode the sort key of the last order on a page."""
    at, _, order_id = cursor.partition("-")
    return min(int(at), CREATED_AT_MAX), order_id
