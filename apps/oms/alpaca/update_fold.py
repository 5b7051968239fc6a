"""A fold of the journal that makes the updates of some accounts, with each order as of its event."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from adapters.codec import ORDER_COMMITS
from apps.oms.alpaca.ids import dashed
from apps.oms.alpaca.order_classes import class_of
from apps.oms.alpaca.update_frames import Shown, TradeUpdate, encoded, trade_update
from apps.oms.alpaca.updates import Updates, stage, updates_after, updates_before
from domain.order import events as e
from domain.order.group import ListSubmitted
from domain.order.holdings import Holdings
from domain.order.index import note
from domain.order.order import Order, evolve
from domain.ports import JournalEntry

FOREIGN_MAX: Final = 50_000
"""Orders of other accounts that are remembered as such."""


Made = tuple[str, TradeUpdate]
"""An account and one of its updates."""


class EarlierOrders(Protocol):
    """What the fold asks about orders that it does not have."""

    async def account_of(self, order_id: str) -> str | None:
        """Return the account of an order; None if there is no such order."""

    async def before(self, order_id: str, seq: int) -> Order | None:
        """Return an order as it was before the commit at `seq`; None if it did not exist. Unavailable."""


class FoldedAccount:
    """One account: its holdings, and the sequence of the commit behind which its updates begin."""

    def __init__(self, holdings: Holdings, since: int) -> None:
        self.holdings = holdings
        self.since = since


class UpdateFold:
    """Orders are loaded when their first event comes, and dropped when they have closed. Events of other accounts are skipped."""

    def __init__(self, accounts: Mapping[str, FoldedAccount], past: EarlierOrders, shown: Shown) -> None:
        """`accounts` may change at any time; call `forget` then."""
        self._accounts = accounts
        self._past = past
        self._shown = shown
        self._orders: dict[str, Order] = {}
        self._foreign: dict[str, None] = {}

    def forget(self) -> None:
        """Drop the orders of accounts that the fold is no longer for, and which orders were of none that it was for until now."""
        self._foreign.clear()
        self._orders = {order_id: order for order_id, order in self._orders.items() if order.account in self._accounts}

    async def updates(self, entry: JournalEntry) -> list[tuple[str, str]]:
        """Apply a commit and return its updates, each with its account. Unavailable, and nothing applied, if an order cannot be loaded."""
        events, seq = ORDER_COMMITS.read(entry).events, entry.head.seq
        created = {event.order_id for event in events if type(event) is e.OrderSubmitted}
        for event in events:
            if event.order_id not in created:
                await self._load(event, seq)
        found: list[Made] = []
        touched: set[str] = set()
        for place, (event, following) in enumerate(_with_following(events)):
            if self._is_wanted(event, seq):
                found += self._apply(event, following, (seq, place))
                touched.add(event.order_id)
        self._name_classes(events, found)
        for order_id in touched:
            if self._orders[order_id].closed:
                del self._orders[order_id]
        return _encoded(found)

    def _name_classes(self, events: Sequence[e.OrderEvent], found: Sequence[Made]) -> None:
        """Give the entries of new lists their class: a list is recorded behind its orders, so their first updates lack it."""
        for event in events:
            if type(event) is ListSubmitted and (lead := self._orders.get(event.order_id)) is not None:
                for _, update in found:
                    if update.order.id == dashed(event.order_id):
                        update.order.order_class = class_of(lead)

    async def _load(self, event: e.OrderEvent, seq: int) -> None:
        """Load the order of the event, unless it is known not to be wanted."""
        order_id = event.order_id
        if isinstance(event, _WITHOUT_ORDER) or order_id in self._orders or order_id in self._foreign:
            return
        account = event.account if isinstance(event, _TRADES) else await self._past.account_of(order_id)
        folded = self._accounts.get(account) if account is not None else None
        if folded is None:
            self._note_foreign(order_id)
        elif seq > folded.since and (order := await self._past.before(order_id, seq)) is not None:
            self._orders[order_id] = order

    def _is_wanted(self, event: e.OrderEvent, seq: int) -> bool:
        """Return whether the event is of an account that the fold is for now: that may have changed since its order was loaded."""
        if event.order_id in self._orders:
            return True
        if type(event) is not e.OrderSubmitted:
            return False
        folded = self._accounts.get(event.account)
        if folded is None:
            self._note_foreign(event.order_id)
        return folded is not None and seq > folded.since

    def _note_foreign(self, order_id: str) -> None:
        self._foreign[order_id] = None
        if len(self._foreign) > FOREIGN_MAX:
            del self._foreign[next(iter(self._foreign))]

    def _apply(self, event: e.OrderEvent, following: e.OrderEvent | None, place: tuple[int, int]) -> Iterator[Made]:
        order, before = self._orders.get(event.order_id), None
        if order is not None:
            yield from self._frames(updates_before(event, order), event, place)
            before = stage(order)
        yield from self._frames(updates_after(event, before, self._evolved(order, event, place), following), event, place)

    def _evolved(self, order: Order | None, event: e.OrderEvent, place: tuple[int, int]) -> Order:
        order = self._orders[event.order_id] = evolve(order, event)
        note(order, place[0])
        if isinstance(event, _TRADES):
            self._accounts[order.account].holdings.apply(event)
        return order

    def _frames(self, updates: Updates, event: e.OrderEvent, place: tuple[int, int]) -> Sequence[Made]:
        if not updates:
            return ()
        order = self._orders[event.order_id]
        held = self._accounts[order.account].holdings.of((order.account, order.symbol))
        return [(order.account, trade_update(each, event, order, place, held, self._shown)) for each in updates]


def _with_following(events: Sequence[e.OrderEvent]) -> list[tuple[e.OrderEvent, e.OrderEvent | None]]:
    """Return each event of a commit with the next one of the same order."""
    found: list[tuple[e.OrderEvent, e.OrderEvent | None]] = []
    later: dict[str, e.OrderEvent] = {}
    for event in reversed(events):
        found.append((event, later.get(event.order_id)))
        later[event.order_id] = event
    return found[::-1]


def _encoded(updates: Sequence[Made]) -> list[tuple[str, str]]:
    """Return the messages of one commit. All updates of an account but the last say that more follow."""
    last = {account: place for place, (account, _) in enumerate(updates)}
    for place, (account, update) in enumerate(updates):
        if place != last[account]:
            update.more = True
    return [(account, encoded(update)) for account, update in updates]


_WITHOUT_ORDER: Final[tuple[type[e.Event], ...]] = (e.ReportQuarantined, *e.OF_NO_ORDER)
"""Events for which no order is loaded: they belong to none, or change nothing that a client sees."""
_TRADES: Final = (e.OrderFilled, e.TradeBusted)
"""Events that name their account."""
