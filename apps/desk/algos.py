"""The algos of all accounts as the journal has them, without their orders, in the order of their last change."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from apps.desk.rows import Formats, Number
from domain.access.scopes import EVERY_ACCOUNT
from domain.groups.schedule import next_due
from domain.order.algo import LIVE, AlgoState, Parent, Strategy, slices_total
from domain.order.events import OrderEvent
from domain.order.parent_fold import Parents
from domain.values import ZERO, Side, average, rfc3339

ENDED_MAX: Final = 1000
"""Algos that have ended in memory: those that changed last."""


class AlgoRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An algo with the words of `GET /algos/{algo_id}`. `seq` is the commit of the last change of it or of its orders."""

    algo_id: str
    client_algo_id: str
    account: str
    symbol: str
    side: Side
    strategy: Strategy
    status: AlgoState
    reason: str | None
    quantity: Number
    limit_price: Number | None
    start_at: str
    end_at: str | None
    cum_quantity: Number
    leaves_quantity: Number
    working_quantity: Number
    doubtful_quantity: Number
    average_price: Number | None
    slices_done: int
    slices_total: int | None
    next_at: str | None
    alert: bool
    flags: tuple[str, ...]
    created_at: str
    updated_at: str
    seq: int


class AlgosState(msgspec.Struct):
    """The algos as a snapshot. `parents` and `seqs` belong together, in the order of the last change. `children`: order and parent."""

    parents: tuple[Parent, ...] = ()
    seqs: tuple[int, ...] = ()
    children: tuple[tuple[str, str], ...] = ()
    forgotten_seq: int = 0


class Algo(msgspec.Struct, gc=False):
    """One algo with the sequence of its last event, and its encodings, which are made when a stream first shows them."""

    parent: Parent
    seq: int
    encodings: dict[bool, bytes] = {}

    def encoded(self, formats: Formats) -> bytes:
        found = self.encodings.get(formats.as_text)
        if found is None:
            found = self.encodings[formats.as_text] = msgspec.json.encode(algo_row(self.parent, self.seq, formats))
        return found


class DeskAlgos:
    """A fold of the events of algos and of their orders. An order without an algo costs two look-ups an event."""

    def __init__(self) -> None:
        self._parents = Parents()
        self._accounts: dict[str, OrderedDict[str, Algo]] = {EVERY_ACCOUNT: OrderedDict()}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self.forgotten_seq = 0
        """Algos whose last event is at this sequence or before may have left memory."""

    def apply(self, event: OrderEvent, seq: int) -> str:
        """Apply an event. Return the account of its algo; empty if it concerns none."""
        if not self._parents.concerns(event) or (parent := self._parents.apply(event)) is None:
            return ""
        self._put(parent, seq)
        while len(self._ended) > ENDED_MAX:
            self._forget(self._ended.popitem(last=False)[0])
        return parent.account

    def account_of(self, algo_id: str) -> str:
        """Return the account of an algo in memory; empty if it is not there."""
        row = self._accounts[EVERY_ACCOUNT].get(algo_id)
        return "" if row is None else row.parent.account

    def newest(self, account: str) -> list[Algo]:
        """Return the algos of an account, `*` for all, that are in memory: those that have not ended, and the newest of the others."""
        rows = self._accounts.get(account, _NONE).values()
        found = [row for row in rows if not row.parent.closed]
        found += islice((row for row in reversed(rows) if row.parent.closed), ENDED_MAX)
        return found

    def since(self, account: str, seq: int) -> Iterator[Algo]:
        """Yield the algos that changed after a sequence, the last changed one first."""
        for row in reversed(self._accounts.get(account, _NONE).values()):
            if row.seq <= seq:
                return
            yield row

    def _put(self, parent: Parent, seq: int) -> None:
        row = Algo(parent, seq)
        for name in (EVERY_ACCOUNT, parent.account):
            rows = self._accounts.setdefault(name, OrderedDict())
            rows[parent.algo_id] = row
            rows.move_to_end(parent.algo_id)
        self._ended.pop(parent.algo_id, None)
        if parent.closed and not parent.open_children:
            self._ended[parent.algo_id] = None

    def _forget(self, algo_id: str) -> None:
        row = self._accounts[EVERY_ACCOUNT].pop(algo_id)
        del self._accounts[row.parent.account][algo_id]
        self._parents.forget(algo_id)
        self.forgotten_seq = max(self.forgotten_seq, row.seq)

    # Snapshots
    def state(self) -> AlgosState:
        rows = self._accounts[EVERY_ACCOUNT].values()
        _, children = self._parents.state()
        return AlgosState(tuple(row.parent for row in rows), tuple(row.seq for row in rows), children, self.forgotten_seq)

    def restore(self, state: AlgosState) -> None:
        """Load a snapshot. ValueError if it does not fit."""
        self._parents.restore(state.parents, state.children)
        for parent, seq in zip(state.parents, state.seqs, strict=True):
            self._put(parent, seq)
        self.forgotten_seq = state.forgotten_seq


def encoded(rows: Sequence[Algo], formats: Formats) -> bytes:
    """Return a JSON array."""
    return b"[" + b",".join(row.encoded(formats) for row in rows) + b"]"


def algo_row(parent: Parent, seq: int, formats: Formats) -> AlgoRow:
    number = formats.number
    following = next_due(parent) if parent.state in LIVE else None
    return AlgoRow(
        algo_id=parent.algo_id,
        client_algo_id=parent.client_algo_id,
        account=parent.account,
        symbol=parent.symbol,
        side=parent.side,
        strategy=parent.strategy,
        status=parent.state,
        reason=parent.reason,
        quantity=number(parent.quantity),
        limit_price=formats.optional(parent.limit_price),
        start_at=rfc3339(parent.start_at),
        end_at=None if parent.end_at is None else rfc3339(parent.end_at),
        cum_quantity=number(parent.cum_quantity),
        leaves_quantity=number(ZERO if parent.closed else parent.leaves_quantity),
        working_quantity=number(parent.working_quantity),
        doubtful_quantity=number(parent.doubtful_quantity),
        average_price=number(average(parent.notional, parent.cum_quantity)) if parent.cum_quantity else None,
        slices_done=parent.slices,
        slices_total=slices_total(parent),
        next_at=None if following is None else rfc3339(following),
        alert=parent.alert,
        flags=parent.flags,
        created_at=rfc3339(parent.created_at),
        updated_at=rfc3339(parent.updated_at),
        seq=seq,
    )


_NONE: Final[OrderedDict[str, Algo]] = OrderedDict()
