"""The orders of a shard: open ones in memory, all of them in the store, and the two together equal to the journal."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from decimal import Decimal
from functools import partial
from typing import Final

import structlog

from adapters.codec import ORDER_COMMITS, encode
from apps.journal.parent_book import ParentBook
from apps.journal.watermark import verify_chain
from apps.runtime.failpoint import failpoint
from domain.execution.owner import NO_OWNER, owner_after
from domain.order import events as e
from domain.order.algo import CHILD
from domain.order.holdings import Holdings, Key
from domain.order.index import OrderFilter, Orders, lead_of, note, reported_by
from domain.order.interning import Shared
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Head, Journal, OrderStore, StoredOrders, Unavailable
from domain.shards import ONE_SHARD, Shards

log = structlog.get_logger()

Durable = Callable[[], tuple[Head, int]]
"""The head on disk now, and the ticket up to which all added events are on disk."""

TRADES: Final = (e.OrderFilled, e.TradeBusted)
SAVE_EVERY_S: Final = 0.2
SAVE_RETRY_S: Final = 5.0
ABSENT_MAX: Final = 4096
"""Ids known to be absent from the store. A submit looks up its id twice, a moment apart."""
DIRTY_MAX: Final = 20_000
"""Changed orders that a recovery holds in memory before it saves and drops them."""


class OrderRepository:
    """The orders of a shard: `find` returns any order, open or closed. Durable changes are saved every SAVE_EVERY_S.

    Closed orders leave memory once saved. The checkpoint is fuzzy: an order whose next change is not on disk yet is saved later, and the
    checkpoint stays before it. Replay from the checkpoint is correct, because an order knows which commits it has applied (`seqs`) and
    applies none twice.
    """

    def __init__(self, store: OrderStore, shards: Shards = ONE_SHARD) -> None:
        self._store = store
        self.shards = shards
        self._dirty: dict[str, int] = {}
        self._saving: dict[str, int] = {}
        """Orders that a thread is writing to the store. Until it has finished, a read of the store may miss them."""
        self._absent: dict[str, None] = {}
        self._report_seqs: dict[str, int] = {}
        self._verified = Head()
        self.latest = 0
        """The highest timestamp that a recovery read: of the last commit, of replayed events, of open orders."""
        self.orders = Orders()
        self.parents = ParentBook(store)
        self.holdings = Holdings()
        """The holdings of accounts, including commits that are not on disk yet."""
        self._recorded = Holdings()
        """The holdings as of the last commit on disk."""
        self._moved: set[Key] = set()
        self._held_at = 0
        """The sequence of the stored holdings."""
        self.owner = NO_OWNER
        """The owner that sends for the shard, by the journal."""
        self.save_failures = 0
        self.on_opened: Callable[[e.OrderFilled, Decimal], None] = lambda event, quantity: None
        """Called when a reduce-only order opens or flips a position, with the quantity. Not called during replay."""

    def find(self, order_id: str) -> Order | None:
        """Return the order from memory or the store; None if it is new. Unavailable if the store cannot be read, which is not "new"."""
        order = self.orders.by_id.get(order_id)
        if order is not None or order_id in self._absent:
            return order
        order = self._store.find(order_id)
        if order is None:
            self._absent[order_id] = None
            if len(self._absent) > ABSENT_MAX:
                del self._absent[next(iter(self._absent))]
        return order

    def members(self, group_id: str) -> dict[str, Order]:
        """Return the orders of a list by id, from memory and the store; empty if there is no such list. Unavailable."""
        here = self.orders.groups.get(group_id, {})
        if not here and self.parents.find(group_id) is not None:
            return {}  # its children may be thousands, and are no list
        if (lead := lead_of(here)) is not None and not _missing(lead, here):
            return dict(here)
        found = {order.order_id: order for order in self._store.members(group_id)} | here
        if (lead := lead_of(found)) is not None and (missing := _missing(lead, found)):
            raise Unavailable(f"the order store lacks order {missing[0]} of list {group_id}")
        return found

    def named(self, account: str, client_order_id: str) -> Order | None:
        """Return the order that the client called so, at its submit or at a replace. Unavailable."""
        order = self.find(self.shards.order_id(account, client_order_id))
        return self.replaced_as(account, client_order_id) if order is None else order

    def replaced_as(self, account: str, client_order_id: str) -> Order | None:
        """Return the order of which a replace has this name. An account that never named one costs nothing. Unavailable."""
        if account not in self.orders.naming:
            return None
        order_id = self.orders.names.get((account, client_order_id)) or self._store.named(account, client_order_id)
        return None if order_id is None else self.find(order_id)

    def apply(self, order: Order | None, events: Iterable[e.OrderEvent]) -> Order | None:
        """Evolve the order at once, in memory, and return it. `order` is the result of `find`."""
        for event in events:
            if type(event) is e.OrderFilled or type(event) is e.TradeBusted:
                self.holdings.apply(event)
        return self._evolve(order, events)

    def _evolve(self, order: Order | None, events: Iterable[e.OrderEvent]) -> Order | None:
        if order is None:
            for event in events:
                self._absent.pop(event.order_id, None)
        elif order.order_id not in self.orders.by_id:
            self.orders.adopt(order)
        for event in events:
            order = self.orders.apply(event) or order
        return order

    def landed(self, order: Order | None, events: Iterable[e.OrderEvent], seq: int) -> None:
        """Note that these events of an order are on disk, in the commit at `seq`."""
        self._note(order, events, seq)
        if order is not None and order.role == CHILD and (parent := self.parents.by_id.get(order.group_id)) is not None:
            self.parents.landed(parent, seq, own=False)
        for event in events:
            if type(event) is e.OrderFilled or type(event) is e.TradeBusted:
                if order is not None and order.reduce_only:
                    self._watch(event)
                self._record(event)

    def _watch(self, event: e.OrderFilled | e.TradeBusted) -> None:
        if isinstance(event, e.OrderFilled) and (opened := self._recorded.opened_by(event)):
            self.on_opened(event, opened)

    def _record(self, event: e.OrderFilled | e.TradeBusted) -> None:
        self._moved.add((event.account, event.symbol))
        self._recorded.apply(event)

    def _note(self, order: Order | None, events: Iterable[e.OrderEvent], seq: int) -> None:
        for event in events:
            if (reported := reported_by(event)) is not None:
                self._report_seqs[reported[0]] = max(reported[1], self._report_seqs.get(reported[0], 0))
        if order is not None:
            note(order, seq)
            self._dirty.setdefault(order.order_id, seq)

    def recorded_of(self, account: str) -> dict[Key, Decimal]:
        """Return what an account holds, as of the last commit on disk."""
        return {key: quantity for key, quantity in self._recorded.quantities.items() if key[0] == account}

    def unsaved(self) -> list[Order]:
        """Return orders whose stored state is, or may be, older than the journal."""
        return [self.orders.by_id[order_id] for order_id in self._saving | self._dirty]

    async def page(self, wanted: OrderFilter, below: tuple[int, str] | None, limit: int, *, oldest_first: bool = False) -> list[Order]:
        """Return stored orders, newest first or oldest first. Unavailable."""
        return await asyncio.to_thread(self._store.page, wanted, below, limit, oldest_first=oldest_first)

    async def recover(self, journal: Journal) -> Head:
        """Rebuild memory and store from the journal; return the head that the next append must follow. Unavailable, Corrupt."""
        stored, after = await self._begin(journal)
        await verify_chain(journal, self._verified, after)  # the part before the checkpoint is verified too, once in a process
        last = await journal.head()
        head, shared = after, Shared()
        async for batch in journal.follow(after, until=last.seq):
            for recorded in batch:
                self._replay(recorded.head, ORDER_COMMITS.read(recorded).events)
            failpoint("during_recovery")
            head = batch[-1].head
            if len(self._dirty) + len(self.parents.dirty) >= DIRTY_MAX:
                changed = self.unsaved()
                await self._save(lambda head=head: (head, 0))  # type: ignore[misc]
                for order in changed:
                    shared.order(order)
            await asyncio.sleep(0)
        self._verified = head
        log.info("recovered", store_at=after.seq, sequence=head.seq, from_store=stored, open=sum(map(len, self.orders.open.values())))
        return head

    async def _begin(self, journal: Journal) -> tuple[int, Head]:
        """Load the store if it belongs to this journal, else clear it; return its open orders and the head to replay from."""
        stored = await asyncio.to_thread(self._store.load)
        self.orders, self._dirty, self._saving, self._report_seqs, self.owner = Orders(), {}, {}, {}, NO_OWNER
        self._absent = {}
        self.parents.restart()
        self.holdings, self._recorded, self._moved, self._held_at = Holdings(), Holdings(), set(), 0
        if stored is None or not await _belongs(stored, journal):
            await asyncio.to_thread(self._store.clear)
            return 0, Head()
        self.orders.report_seqs = dict(stored.report_seqs)
        self.orders.naming = set(stored.naming)
        self._report_seqs, self.owner = dict(stored.report_seqs), stored.owner
        self.holdings, self._recorded, self._held_at = Holdings(stored.held), Holdings(stored.held), stored.head.seq
        self.orders.states.update({State(status): count for status, count in stored.counts.items()})
        self.parents.restart(stored.parents)
        for order in stored.open:
            self.orders.adopt(order)
            self.latest = max(self.latest, order.updated_at)
        began = await journal.read(stored.checkpoint) if stored.checkpoint else None
        if began is not None:
            self._stamped(ORDER_COMMITS.read(began).events)
        return len(stored.open), began.head if began else Head()

    def _stamped(self, events: Sequence[e.OrderEvent]) -> None:
        for last in events[-1:]:  # within a commit timestamps ascend: one process wrote it
            self.latest = max(self.latest, last.at)

    def _replay(self, head: Head, events: Sequence[e.OrderEvent]) -> None:
        """Apply one commit, except to orders and holdings that already contain it, as loaded from the store."""
        self._stamped(events)
        seq, seen = head.seq, dict[str, bool]()
        for event in events:
            if isinstance(event, e.OF_NO_ORDER):
                self._replay_other(event, head, seen)
                continue
            order = self.find(event.order_id)
            if event.order_id not in seen:
                seen[event.order_id] = order is not None and bool(order.seqs) and order.seqs[-1] >= seq
            if not seen[event.order_id]:
                order = self._evolve(order, (event,))
                self._note(order, (event,), seq)
            if order is not None and order.role == CHILD:
                self.parents.replay_child(order, event, seq, seen)
            if seq > self._held_at and isinstance(event, TRADES):
                self.holdings.apply(event)
                self._record(event)

    def _replay_other(self, event: e.OrderEvent, head: Head, seen: dict[str, bool]) -> None:
        """Apply an event that belongs to no order."""
        if isinstance(event, e.AnyAlgoEvent):
            self.parents.replay(event, head.seq, seen)
        else:
            self.owner = owner_after(self.owner, event, head.n)

    def follow(self, head: Head, events: Sequence[e.OrderEvent]) -> None:
        """Apply the next commit of the journal, which another process wrote."""
        self._replay(head, events)

    async def save(self, head: Head) -> None:
        """Save changes once, while another process writes the journal: everything in memory is on disk there."""
        if self._dirty or self.parents.dirty:
            await self._save(lambda: (head, 0))

    async def run(self, durable: Durable) -> None:
        """Save changes until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            if (self._dirty or self.parents.dirty) and not await self._save(durable):
                await asyncio.sleep(SAVE_RETRY_S)

    async def _save(self, durable: Durable) -> bool:
        """Save once; return False if the store cannot be written. Trading continues: unsaved orders stay in memory."""
        head, ticket = durable()
        taken = {order_id: seq for order_id, seq in self._dirty.items() if self.orders.by_id[order_id].commit <= ticket}
        orders = [self.orders.by_id[order_id] for order_id in taken]
        rows = [(copy(order), encode(order)) for order in orders]  # copied, because the orders change while the thread writes them
        self._dirty = {order_id: seq for order_id, seq in self._dirty.items() if order_id not in taken}
        self._saving = taken
        taken_parents, parents = self.parents.take(ticket)
        checkpoint = min((*self._dirty.values(), *self.parents.dirty.values()), default=head.seq + 1) - 1
        reports, owner = dict(self._report_seqs), self.owner
        moved, self._moved = self._moved, set()
        held = {key: self._recorded.of(key) for key in moved}
        save = partial(
            self._store.save, rows, checkpoint=checkpoint, head=head, report_seqs=reports, owner=owner, held=held, parents=parents
        )
        try:
            await asyncio.to_thread(save)
        except Unavailable as trouble:
            self.save_failures += 1
            log.warning("the order store cannot be written: orders stay in memory", reason=str(trouble), unsaved=len(taken))
            self._dirty.update({order_id: min(seq, self._dirty.get(order_id, seq)) for order_id, seq in taken.items()})
            self._moved |= moved
            self.parents.saved(taken_parents, ticket, failed=True)
            return False
        finally:
            self._saving = {}
        ticket = durable()[1]
        self._forget(orders, ticket)
        self.parents.saved(taken_parents, ticket, failed=False)
        return True

    def _forget(self, saved: Iterable[Order], ticket: int) -> None:
        """Drop closed orders from memory, unless they changed while they were being saved."""
        for order in saved:
            unchanged = order.order_id not in self._dirty and order.commit <= ticket
            if order.closed and unchanged and self.orders.by_id.get(order.order_id) is order:
                self.orders.forget(order)


def _missing(lead: Order, found: Mapping[str, Order]) -> list[str]:
    """Return the members of the lead's list that are not among these orders."""
    return [order_id for order_id in lead.group.members if order_id not in found] if lead.group is not None else []


async def _belongs(stored: StoredOrders, journal: Journal) -> bool:
    """Return whether the store is a projection of this journal: the commit of its head must exist with the same chain value."""
    if not stored.head.seq:
        return not stored.checkpoint
    found = await journal.read(stored.head.seq)
    if found is not None and found.head == stored.head:
        return True
    log.warning("the order store belongs to another journal and is rebuilt", sequence=stored.head.seq)
    return False
