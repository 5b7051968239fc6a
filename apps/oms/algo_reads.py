"""Reads of parents. Everything shown is durable."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from adapters.codec import ORDER_COMMITS
from apps.http.app import Refusal
from apps.http.caller import Caller, account_not_yours
from apps.http.order_view import View
from apps.journal.shard_host import ShardHost
from apps.journal.shard_hosts import Hosts
from apps.oms.algo_view import algo_event_view, algo_view, slice_view
from apps.oms.algos import AlgoHandler
from apps.oms.reads import ForeignIds, OrderReads
from apps.oms.submit import unavailable
from domain.instruments import Instrument
from domain.narrative import OwnerOf, no_owner
from domain.order.algo import AlgoFilter, AlgoSliced, Parent, child_name_of
from domain.order.events import OrderEvent
from domain.ports import Clock, Unavailable

NO_LOT: Final = Decimal("1e-12")
"""The lot of a symbol that is in no catalogue any more."""


class AlgoReads:
    """Reads of single parents, pages of them, their slices and stories."""

    def __init__(
        self,
        hosts: Hosts,
        algos: AlgoHandler,
        reads: OrderReads,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        owner_of: OwnerOf = no_owner,
    ) -> None:
        self._hosts = hosts
        self._algos = algos
        self._reads = reads
        self._instruments = instruments
        self._clock = clock
        self._owner_of = owner_of
        self._foreign = ForeignIds()

    async def find(self, algo_id: str, caller: Caller) -> Parent:
        """Return a parent that the caller may read. Refusal 404, 503.

        A foreign parent is refused in the same time as one that does not exist, as a foreign order is: see OrderReads.find.
        """
        await self._reads.proven(algo_id)
        parent = self._algos.find(f"{algo_id}?" if self._foreign.has(caller, algo_id) else algo_id)
        if parent is not None and caller.sees(parent.account):
            return parent
        if parent is not None:
            self._foreign.add(caller, algo_id)
            if algo_id in self._hosts.of_id(algo_id).book.parents.by_id:
                self._algos.find(f"{algo_id}?")  # an absent parent is looked for in the store
        raise Refusal(404, "algo_not_found", f"unknown algo {algo_id[:64]!r}")

    async def own(self, algo_id: str, caller: Caller) -> Parent:
        """Return a parent that the caller may change. Refusal 403, 404, 503."""
        parent = await self.find(algo_id, caller)
        if not caller.owns(parent.account):
            raise account_not_yours()
        return parent

    async def one(self, algo_id: str, caller: Caller) -> View:
        """Refusal 404, 503."""
        return (await self.views(await self.find(algo_id, caller)))[0]

    async def views(self, *parents: Parent) -> list[View]:
        """Return the present views of these parents once they are durable. Refusal 503."""
        now = self._clock.now_ns()
        shown = [(parent, algo_view(parent, now, self._lot(parent.symbol))) for parent in parents]
        await self._algos.settled(*parents)
        return [view | {"seq": parent.seen} | self.shard_of(parent) for parent, view in shown]

    def shard_of(self, parent: Parent) -> dict[str, int]:
        """Return the field that says of which shard a sequence is; nothing where there is only one."""
        return self._hosts.shards.field(parent.account)

    def _lot(self, symbol: str) -> Decimal:
        instrument = self._instruments.get(symbol)
        return NO_LOT if instrument is None else instrument.lot

    async def page(self, wanted: AlgoFilter, limit: int, cursor: str | None) -> View:
        """Return a page of parents, newest first. Refusal 503."""
        below = None if cursor is None else _place(cursor)
        hosts = self._hosts.all if wanted.account is None else (self._hosts.of(wanted.account),)
        found = [parent for host in hosts for parent in await self._page_of(host, wanted, below, limit)]
        found.sort(key=_place_of, reverse=True)
        shown, more = found[:limit], len(found) > limit
        return {"algos": await self.views(*shown), "next": "-".join(map(str, _place_of(shown[-1]))) if more else None}

    async def _page_of(self, host: ShardHost, wanted: AlgoFilter, below: tuple[int, str] | None, limit: int) -> list[Parent]:
        """Return parents of one shard: those not saved yet come from memory, all others from the store. Refusal 503."""
        await self._reads.proven_by(host)
        book = host.book.parents
        unsaved = {parent.algo_id: parent for parent in book.unsaved()}
        try:
            stored = await asyncio.to_thread(book.page, wanted, below, limit + 1 + len(unsaved))
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        found = [book.by_id.get(parent.algo_id, parent) for parent in stored if parent.algo_id not in unsaved]
        found += [parent for parent in unsaved.values() if wanted.takes(parent) and (below is None or _place_of(parent) < below)]
        found.sort(key=_place_of, reverse=True)
        return found[: limit + 1]

    async def slices(self, algo_id: str, limit: int, after: int, caller: Caller) -> View:
        """Return slices, the first one first, from the journal. Refusal 404, 503.

        `after`: how many of the parent's commits to pass over.
        """
        parent = await self.find(algo_id, caller)
        await self._algos.settled(parent)
        shown: list[View] = []
        for place, seq in enumerate(parent.seqs[after:], after + 1):
            shown += [self._slice(parent, event, seq) for event in await self._events(parent, seq) if _is_slice(event, algo_id)]
            if len(shown) >= limit and place < len(parent.seqs):
                return {"slices": shown, "next": str(place)}
        return {"slices": shown, "next": None}

    def _slice(self, parent: Parent, event: OrderEvent, seq: int) -> View:
        assert isinstance(event, AlgoSliced), "only slices are shown"
        try:
            child = self._hosts.of_id(event.child).find(event.child) if event.child else None
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        return slice_view(event, seq, child)

    async def story(self, algo_id: str, limit: int, after: int, caller: Caller) -> View:
        """Return the events of the parent and of its children in the same commits, in the order of the journal. Refusal 404, 503."""
        parent = await self.find(algo_id, caller)
        await self._algos.settled(parent)
        children = {self._hosts.shards.order_id(parent.account, child_name_of(algo_id, n)) for n in range(1, parent.slices + 1)}
        shown: list[View] = []
        for place, seq in enumerate(parent.seqs[after:], after + 1):
            events = [event for event in await self._events(parent, seq) if event.order_id == algo_id or event.order_id in children]
            shown += [algo_event_view(event, seq, self._owner_of) for event in events]
            if len(shown) >= limit and place < len(parent.seqs):
                return {"algo_id": algo_id, "events": shown, "next": str(place)}
        return {"algo_id": algo_id, "events": shown, "next": None}

    async def _events(self, parent: Parent, seq: int) -> tuple[OrderEvent, ...]:
        try:
            recorded = await self._hosts.of(parent.account).journal.read(seq)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        assert recorded is not None, f"the journal lost sequence {seq}"
        return ORDER_COMMITS.read(recorded).events


def _is_slice(event: OrderEvent, algo_id: str) -> bool:
    return type(event) is AlgoSliced and event.order_id == algo_id


def _place_of(parent: Parent) -> tuple[int, str]:
    return parent.created_at, parent.algo_id


def _place(cursor: str) -> tuple[int, str]:
    """Decode the sort key of the last parent on a page."""
    at, _, algo_id = cursor.partition("-")
    return min(int(at), 2**63 - 1), algo_id
