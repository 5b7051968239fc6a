"""The orders and positions of all accounts as the journal has them, in the order of their last change."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from adapters.codec import Commit
from apps.desk.algos import AlgosState, DeskAlgos
from apps.desk.lists import DeskLists
from apps.desk.rows import Row
from domain.access.scopes import EVERY_ACCOUNT
from domain.alarms import ALARMING, KEPT_MAX, Alarm, alarm_of
from domain.order import events as e
from domain.order.fix import ord_status
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.order.venue_reports import UNKNOWN_ORDER
from domain.position.position import Position, PositionBook

STATE_VERSION: Final = 1
"""Increase this if the meaning of a field changes while its type stays the same."""

Commits = Sequence[tuple[int, Commit[e.OrderEvent]]]
OnOrder = Callable[[Order, int, Sequence[e.OrderEvent]], None]
"""Called with an order as it is after a commit, the commit's sequence, and the order's events in it."""


class CountedAccount(msgspec.Struct):
    """How many orders of an account are in each state, also of those that left memory."""

    account: str
    states: dict[State, int]


class DeskState(msgspec.Struct):
    """The fold as a snapshot. `orders` and `seqs` belong together; both are in the order of the last change."""

    orders: list[Order]
    seqs: list[int]
    positions: list[Position]
    accounts: list[CountedAccount]
    forgotten_seq: int
    alarms: list[Alarm] = []
    algos: AlgosState = msgspec.field(default_factory=AlgosState)


class Recorded(NamedTuple):
    """One event as a stream shows it, with its place in the commit. `fix_status` is the FIX OrdStatus of its order after it."""

    seq: int
    place: int
    account: str
    event: e.OrderEvent
    fix_status: str | None


class AccountRows:
    """The rows of one account, or of all. `seq` is that of the last commit that concerned it."""

    def __init__(self) -> None:
        self.seq = 0
        self.states: Counter[State] = Counter()
        self.open: dict[str, Row] = {}
        self.rows: OrderedDict[str, Row] = OrderedDict()
        """By order id, the last changed one at the end."""
        self.positions: OrderedDict[tuple[str, str], Position] = OrderedDict()
        """By account and symbol, the last changed one at the end."""

    def put(self, row: Row, before: State | None) -> None:
        order = row.order
        self.seq = row.seq
        if before is not None:
            self.states[before] -= 1
        self.states[order.status] += 1
        self.hold(row)

    def hold(self, row: Row) -> None:
        order_id = row.order.order_id
        self.rows[order_id] = row
        self.rows.move_to_end(order_id)
        if not row.order.closed:
            self.open[order_id] = row
        else:
            self.open.pop(order_id, None)

    def put_position(self, position: Position) -> None:
        key = position.account, position.symbol
        self.seq = max(self.seq, position.seq)
        self.positions[key] = position
        self.positions.move_to_end(key)

    def rows_since(self, seq: int) -> Iterator[Row]:
        """Yield the rows that changed after a sequence, the last changed one first."""
        for row in reversed(self.rows.values()):
            if row.seq <= seq:
                return
            yield row

    def positions_since(self, seq: int) -> Iterator[Position]:
        for position in reversed(self.positions.values()):
            if position.seq <= seq:
                return
            yield position

    def newest(self, limit: int) -> list[Row]:
        """Return at most `limit` rows: the open ones first, the newest of them first, then those that closed last."""
        found = list(islice(reversed(self.open.values()), limit))
        found += islice((row for row in reversed(self.rows.values()) if row.order.closed), limit - len(found))
        return found


class DeskFold:
    """A fold of the order journal. `apply` never waits and never refuses."""

    def __init__(self, closed_max: int, events_max: int) -> None:
        """`closed_max`: closed orders in memory, the last changed ones. `events_max`: events in memory for streams that resume."""
        self.on_order: OnOrder | None = None
        self._closed_max = closed_max
        self._closed: OrderedDict[str, None] = OrderedDict()
        """Closed orders in memory, the last changed one at the end. The first one leaves first."""
        self._positions = PositionBook()
        self._events_max = events_max
        self._accounts: dict[str, AccountRows] = {EVERY_ACCOUNT: AccountRows()}
        self.everything = self._accounts[EVERY_ACCOUNT]
        self.lists = DeskLists(self._order)
        self.algos = DeskAlgos()
        self.events: deque[Recorded] = deque()
        self.alarms: deque[Alarm] = deque(maxlen=KEPT_MAX)
        """The newest alarms of the journal, the newest one at the end."""
        self.events_after = 0
        """All events of later sequences are in `events`."""
        self.forgotten_seq = 0
        """Orders whose last event is at this sequence or before may have left memory."""

    def account(self, name: str) -> AccountRows:
        """Return the rows of an account, which may have none; `*` for all."""
        return self._accounts.get(name, _NO_ROWS)

    def _account(self, name: str) -> AccountRows:
        found = self._accounts.get(name)
        if found is None:
            found = self._accounts[name] = AccountRows()
        return found

    def find(self, order_id: str) -> Row | None:
        """Return the row of an order in memory."""
        return self.everything.rows.get(order_id)

    def _order(self, order_id: str) -> Order | None:
        row = self.everything.rows.get(order_id)
        return None if row is None else row.order

    def orders_in_memory(self) -> int:
        return len(self.everything.rows)

    def not_in_memory(self, commits: Commits) -> set[str]:
        """Return the orders that these commits change and that left memory."""
        if not self.forgotten_seq:
            return set()
        created, missing = set[str](), set[str]()
        for _, commit in commits:
            for event in commit.events:
                if type(event) is e.OrderSubmitted:
                    created.add(event.order_id)
                elif _is_of_an_order(event) and event.order_id not in self.everything.rows and event.order_id not in created:
                    missing.add(event.order_id)
        return missing

    def adopt(self, order: Order, seq: int) -> None:
        """Take an order that had left memory back, as it was."""
        self._hold(Row(order, seq))
        if order.closed:
            self._closed[order.order_id] = None

    def apply(self, commits: Commits) -> set[str]:
        """Apply commits. Return the accounts that they concern."""
        touched: set[str] = set()
        batch: dict[Row, State | None] = {}
        """The orders that the commits change, in the order of their last change, with the state of each before all of them."""
        for seq, commit in commits:
            changed: dict[Row, list[e.OrderEvent]] = {}
            for place, event in enumerate(commit.events):
                touched.add(self._apply(event, seq, place, batch, changed))
            for row, own in changed.items():
                batch[row] = batch.pop(row)
                row.changed(seq)
                if self.on_order is not None:
                    self.on_order(row.order, seq, own)
        for row, before in batch.items():
            self._changed(row, before)
        if of_lists := [row for row in batch if row.order.group_id]:
            self._lists_changed(of_lists)
        self._forget()
        return touched

    def _apply(
        self, event: e.OrderEvent, seq: int, place: int, batch: dict[Row, State | None], changed: dict[Row, list[e.OrderEvent]]
    ) -> str:
        """Apply one event, and note its order in `batch`, and its order with its events in `changed`. Return its account."""
        row, kind = self.everything.rows.get(event.order_id), type(event)
        of_algo = self.algos.apply(event, seq)
        if of_algo:
            self._account(of_algo).seq = seq
        if row is None:
            if kind is not e.OrderSubmitted:
                return self._record(Recorded(seq, place, of_algo, event, None))  # of no order, or a report that names an unknown one
            order = evolve(None, event)
            row = self.everything.rows[order.order_id] = Row(order, seq)
            batch[row] = None
        else:
            order = row.order
            batch.setdefault(row, order.status)
            evolve(order, event)
        if row in changed:
            changed[row].append(event)
        else:
            changed[row] = [event]
        if kind in _MOVING and (position := self._positions.apply(event, seq)) is not None:
            for rows in (self.everything, self._account(position.account)):
                rows.put_position(position)
        return self._record(Recorded(seq, place, order.account, event, ord_status(order)))

    def _changed(self, row: Row, before: State | None) -> None:
        order = row.order
        for rows in (self.everything, self._account(order.account)):
            rows.put(row, before)
        if not order.closed or order.group_id:
            self._closed.pop(order.order_id, None)
        else:
            self._may_leave(order)

    def _lists_changed(self, rows: Sequence[Row]) -> None:
        """Take the lists of these rows, which are in the order of their last change, as they are now."""
        leaving = self.lists.changed(rows)
        leaving += [row.order for row in rows if row.order.closed and not self.lists.has_open(row.order.group_id)]
        for order in leaving:
            self._may_leave(order)

    def _may_leave(self, order: Order) -> None:
        """Note that a closed order may leave memory: one of a list does once the list has ended."""
        self._closed[order.order_id] = None
        self._closed.move_to_end(order.order_id)

    def _record(self, recorded: Recorded) -> str:
        self.everything.seq = recorded.seq
        if type(recorded.event) in ALARMING and (alarm := alarm_of(recorded.event, recorded.account, recorded.seq)) is not None:
            self.alarms.append(alarm)
        self.events.append(recorded)
        if len(self.events) > self._events_max:
            self.events_after = self.events.popleft().seq
        return recorded.account

    def _hold(self, row: Row) -> None:
        """Put a row that has not changed where its last change belongs: among rows that are as old, which is at the front."""
        for rows in (self.everything, self._account(row.order.account)):
            rows.hold(row)
            rows.rows.move_to_end(row.order.order_id, last=False)

    def _forget(self) -> None:
        while len(self._closed) > self._closed_max:
            order_id, _ = self._closed.popitem(last=False)
            row = self.everything.rows.pop(order_id)
            self.lists.forget(row.order)
            del self._account(row.order.account).rows[order_id]
            self.forgotten_seq = max(self.forgotten_seq, row.seq)

    def events_since(self, seq: int, accounts: Collection[str] | None) -> list[Recorded]:
        """Return the events after a sequence that is not before `events_after`, of these accounts or of all, oldest first."""
        found: list[Recorded] = []
        for recorded in reversed(self.events):
            if recorded.seq <= seq:
                break
            if accounts is None or recorded.account in accounts:
                found.append(recorded)
        return found[::-1]

    # Snapshots (apps/journal/snapshots.py)
    def state(self) -> DeskState:
        rows = self.everything.rows.values()
        return DeskState(
            orders=[row.order for row in rows],
            seqs=[row.seq for row in rows],
            positions=list(self.everything.positions.values()),
            accounts=[CountedAccount(name, dict(rows.states)) for name, rows in self._accounts.items()],
            forgotten_seq=self.forgotten_seq,
            alarms=list(self.alarms),
            algos=self.algos.state(),
        )

    def restore(self, state: DeskState) -> None:
        """Load a snapshot into a new fold. ValueError if it does not fit."""
        if len(state.orders) != len(state.seqs):
            raise ValueError("the snapshot has another number of orders than of sequences")
        for order, seq in zip(state.orders, state.seqs, strict=True):
            row = Row(order, seq)
            for rows in (self.everything, self._account(order.account)):
                rows.hold(row)
                rows.seq = max(rows.seq, seq)
            if order.closed and not order.group_id:
                self._closed[order.order_id] = None
        self._lists_changed([row for row in self.everything.rows.values() if row.order.group_id])
        for position in state.positions:
            self._positions.positions[position.account, position.symbol] = position
            for rows in (self.everything, self._account(position.account)):
                rows.put_position(position)
        for counted in state.accounts:
            self._account(counted.account).states.update(counted.states)
        self.forgotten_seq = state.forgotten_seq
        self.alarms.extend(state.alarms)
        self.algos.restore(state.algos)

    def restored_at(self, seq: int) -> None:
        """Note that this fold was restored at a sequence: earlier events are not in memory."""
        self.events_after = seq


def _is_of_an_order(event: e.OrderEvent) -> bool:
    """Return whether the journal has an order that the event belongs to: a venue may report of one that never was."""
    if type(event) is e.ReportQuarantined:
        return event.reason != UNKNOWN_ORDER
    return type(event) not in _OF_NO_ORDER


_MOVING: Final = frozenset({e.OrderFilled, e.TradeBusted})
"""Events that change a position."""
_OF_NO_ORDER: Final = frozenset(e.OF_NO_ORDER)
_NO_ROWS: Final = AccountRows()
