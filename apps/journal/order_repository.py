"""Keeps the orders of a shard: open ones in memory, all of them in the store, and the two together equal to the journal."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from decimal import Decimal
from functools import partial
from typing import Final

import structlog

from adapters.codec import ORDER_COMMITS, encode
from apps.journal.watermark import verify_chain
from apps.runtime.failpoint import failpoint
from domain.execution.owner import NO_OWNER, owner_of
from domain.order import events as e
from domain.order.holdings import Holdings, Key
from domain.order.index import OrderFilter, Orders, note, reported_by
from domain.order.interning import Shared
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Head, Journal, OrderStore, StoredOrders, Unavailable

log = structlog.get_logger()

Durable = Callable[[], tuple[Head, int]]
"""The head that is on disk now, and the ticket up to which all added events are."""

TRADES: Final = (e.OrderFilled, e.TradeBusted)
SAVE_EVERY_S: Final = 0.2
SAVE_RETRY_S: Final = 5.0
ABSENT_MAX: Final = 4096
"""Ids that the store was asked for and does not have. A submit asks twice, a moment apart."""
DIRTY_MAX: Final = 20_000
"""Changed orders that a recovery holds before it saves and forgets them."""


class OrderRepository:
    """`find` sees every order there ever was. What changed and is durable is saved a few times a second; closed orders are then forgotten.

    The checkpoint is fuzzy: an order whose next change is still on its way to the disk is saved later, and the checkpoint stays before it.
    Going on from there is right all the same, because an order knows which commits it has seen (`seqs`) and sees none twice.
    """

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self._dirty: dict[str, int] = {}
        self._absent: dict[str, None] = {}
        self._report_seqs: dict[str, int] = {}
        self._verified = Head()
        self.latest = 0
        """The highest stamp that a recovery saw: of the last commit, of what was replayed, of the orders that are open."""
        self.orders = Orders()
        self.holdings = Holdings()
        """What accounts hold, the commits on their way to the disk included."""
        self._recorded = Holdings()
        """The same as of the last commit that is on disk."""
        self._moved: set[Key] = set()
        self._held_at = 0
        """The sequence that the stored holdings are as of."""
        self.owner = NO_OWNER
        """Who sends for the shard, as the journal has it."""
        self.save_failures = 0
        self.on_opened: Callable[[e.OrderFilled, Decimal], None] = lambda event, quantity: None
        """A reduce-only order opened or flipped a position by so much. Not called while a journal is read back."""

    def find(self, order_id: str) -> Order | None:
        """From memory or from the store. Unavailable when the store cannot be read: unknown is not the same as new."""
        order = self.orders.by_id.get(order_id)
        if order is not None or order_id in self._absent:
            return order
        order = self._store.find(order_id)
        if order is None:
            self._absent[order_id] = None
            if len(self._absent) > ABSENT_MAX:
                del self._absent[next(iter(self._absent))]
        return order

    def apply(self, order: Order | None, events: Iterable[e.OrderEvent]) -> Order | None:
        """Evolve at once, in memory. `order` is what `find` gave."""
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
        """These facts are on disk."""
        self._note(order, events, seq)
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

    def unsaved(self) -> list[Order]:
        """Orders whose stored state is older than the journal."""
        return [self.orders.by_id[order_id] for order_id in self._dirty]

    async def page(self, wanted: OrderFilter, below: tuple[int, str] | None, limit: int) -> list[Order]:
        """Stored orders, newest first. Unavailable."""
        return await asyncio.to_thread(self._store.page, wanted, below, limit)

    async def recover(self, journal: Journal) -> Head:
        """Memory and store as the journal has them; the head that the next append must follow. Unavailable, Corrupt."""
        stored, after = await self._begin(journal)
        await verify_chain(journal, self._verified, after)  # what is not replayed is read all the same, once in a process
        last = await journal.head()
        head, shared = after, Shared()
        async for batch in journal.follow(after, until=last.seq):
            for recorded in batch:
                self._replay(recorded.head, ORDER_COMMITS.read(recorded).events)
            failpoint("during_recovery")
            head = batch[-1].head
            if len(self._dirty) >= DIRTY_MAX:
                changed = self.unsaved()
                await self._save(lambda head=head: (head, 0))  # type: ignore[misc]
                for order in changed:
                    shared.order(order)
            await asyncio.sleep(0)
        self._verified = head
        log.info("recovered", store_at=after.seq, sequence=head.seq, from_store=stored, open=sum(map(len, self.orders.open.values())))
        return head

    async def _begin(self, journal: Journal) -> tuple[int, Head]:
        """What the store has, if it belongs to this journal; else an empty store."""
        stored = await asyncio.to_thread(self._store.load)
        self.orders, self._dirty, self._report_seqs, self.owner = Orders(), {}, {}, NO_OWNER
        self._absent = {}
        self.holdings, self._recorded, self._moved, self._held_at = Holdings(), Holdings(), set(), 0
        if stored is None or not await _belongs(stored, journal):
            await asyncio.to_thread(self._store.clear)
            return 0, Head()
        self.orders.report_seqs = dict(stored.report_seqs)
        self._report_seqs, self.owner = dict(stored.report_seqs), stored.owner
        self.holdings, self._recorded, self._held_at = Holdings(stored.held), Holdings(stored.held), stored.head.seq
        self.orders.states.update({State(status): count for status, count in stored.counts.items()})
        for order in stored.open:
            self.orders.adopt(order)
            self.latest = max(self.latest, order.updated_at)
        began = await journal.read(stored.checkpoint) if stored.checkpoint else None
        if began is not None:
            self._stamped(ORDER_COMMITS.read(began).events)
        return len(stored.open), began.head if began else Head()

    def _stamped(self, events: Sequence[e.OrderEvent]) -> None:
        for last in events[-1:]:  # within a commit stamps rise: one process wrote it
            self.latest = max(self.latest, last.at)

    def _replay(self, head: Head, events: Sequence[e.OrderEvent]) -> None:
        """One commit read back. What an order has seen, as it came from the store, it does not see again; holdings are as of a commit."""
        self._stamped(events)
        seq, seen = head.seq, dict[str, bool]()
        for event in events:
            if isinstance(event, e.OF_NO_ORDER):
                self.owner = owner_of(event, head.n) if isinstance(event, e.ShardTaken) else self.owner
                continue
            order = self.find(event.order_id)
            if event.order_id not in seen:
                seen[event.order_id] = order is not None and bool(order.seqs) and order.seqs[-1] >= seq
            if not seen[event.order_id]:
                self._note(self._evolve(order, (event,)), (event,), seq)
            if seq > self._held_at and isinstance(event, TRADES):
                self.holdings.apply(event)
                self._record(event)

    async def run(self, durable: Durable) -> None:
        """Save what changed, for ever."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            if self._dirty and not await self._save(durable):
                await asyncio.sleep(SAVE_RETRY_S)

    async def _save(self, durable: Durable) -> bool:
        """One step of saving. A full disk stops the saving, not the trading: what is not saved stays in memory."""
        head, ticket = durable()
        taken = {order_id: seq for order_id, seq in self._dirty.items() if self.orders.by_id[order_id].commit <= ticket}
        orders = [self.orders.by_id[order_id] for order_id in taken]
        rows = [(copy(order), encode(order)) for order in orders]  # while the thread writes them, the orders themselves move on
        self._dirty = {order_id: seq for order_id, seq in self._dirty.items() if order_id not in taken}
        checkpoint = min(self._dirty.values(), default=head.seq + 1) - 1
        reports, owner = dict(self._report_seqs), self.owner
        moved, self._moved = self._moved, set()
        held = {key: self._recorded.of(key) for key in moved}
        save = partial(self._store.save, rows, checkpoint=checkpoint, head=head, report_seqs=reports, owner=owner, held=held)
        try:
            await asyncio.to_thread(save)
        except Unavailable as trouble:
            self.save_failures += 1
            log.warning("the order store cannot be written: orders stay in memory", reason=str(trouble), unsaved=len(taken))
            self._dirty.update({order_id: min(seq, self._dirty.get(order_id, seq)) for order_id, seq in taken.items()})
            self._moved |= moved
            return False
        self._forget(orders, durable()[1])
        return True

    def _forget(self, saved: Iterable[Order], ticket: int) -> None:
        """Closed orders leave memory, unless something came while they were being saved."""
        for order in saved:
            unchanged = order.order_id not in self._dirty and order.commit <= ticket
            if order.closed and unchanged and self.orders.by_id.get(order.order_id) is order:
                self.orders.forget(order)


async def _belongs(stored: StoredOrders, journal: Journal) -> bool:
    """Is the store a projection of this journal? A commit it has seen must be there, with the same chain value."""
    if not stored.head.seq:
        return not stored.checkpoint
    found = await journal.read(stored.head.seq)
    if found is not None and found.head == stored.head:
        return True
    log.warning("the order store is of another journal and is made again", sequence=stored.head.seq)
    return False
