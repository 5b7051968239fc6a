"""The fold of parents: their own events, and those of their children. It changes a parent in place and never refuses."""

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Final

import msgspec

from domain.order import algo as a
from domain.order import events as e
from domain.order.lifecycle import CLOSED, State
from domain.values import ZERO


def evolve(parent: a.Parent | None, event: a.AnyAlgoEvent) -> a.Parent:
    """Return the parent after an event of its own; the first one creates it."""
    if isinstance(event, a.AlgoSubmitted):
        return _created(event)
    assert parent is not None, f"{type(event).__name__} before AlgoSubmitted for {event.order_id}"
    parent.state, parent.updated_at, parent.version = event.state, event.at, parent.version + 1
    _CHANGES[type(event)](event, parent)
    return parent


def _created(event: a.AlgoSubmitted) -> a.Parent:
    terms = event.terms
    return a.Parent(
        algo_id=terms.algo_id,
        account=terms.account,
        client_algo_id=terms.client_algo_id,
        symbol=terms.symbol,
        side=terms.side,
        quantity=terms.quantity,
        strategy=terms.strategy,
        limit_price=terms.limit_price,
        start_at=event.at if terms.start_at is None else max(terms.start_at, event.at),
        end_at=terms.end_at,
        params=terms.params,
        arrival=event.arrival,
        state=event.state,
        created_at=event.at,
        updated_at=event.at,
        asked=terms,
        denial=event.denial,
        reference=event.reference,
        limits_version=event.limits_version,
        source=event.source or None,
        reason=event.denial.code if event.denial is not None else None,
    )


def _started(event: a.AlgoStarted, parent: a.Parent) -> None:
    """A parent that starts late, after a downtime, keeps the curve that it was given."""


def _sliced(event: a.AlgoSliced, parent: a.Parent) -> None:
    parent.slices, parent.due_at = event.n, event.due_at
    if event.child:
        parent.children += 1
        child = a.OpenChild(order_id=event.child, n=event.n, leaves_quantity=event.quantity, since=event.at)
        parent.open_children = (*parent.open_children, child)


def _paused(event: a.AlgoPaused, parent: a.Parent) -> None:
    parent.source, parent.reason, parent.keeps_child = event.source, event.reason, event.keeps_child


def _ending(event: a.AlgoEnding, parent: a.Parent) -> None:
    parent.source, parent.reason, parent.keeps_child = event.source, event.reason, False


def _resumed(event: a.AlgoResumed, parent: a.Parent) -> None:
    parent.source = parent.reason = None
    parent.refusals, parent.keeps_child = 0, False


def _amended(event: a.AlgoAmended, parent: a.Parent) -> None:
    parent.quantity, parent.limit_price, parent.end_at, parent.params = event.quantity, event.limit_price, event.end_at, event.params
    if event.reference is not None:
        parent.reference, parent.limits_version = event.reference, event.limits_version


def _ended(event: a.AlgoEnded, parent: a.Parent) -> None:
    parent.reason = event.reason


_CHANGES: Final[dict[type[e.Event], Callable[[Any, a.Parent], None]]] = {
    a.AlgoStarted: _started,
    a.AlgoSliced: _sliced,
    a.AlgoPaused: _paused,
    a.AlgoResumed: _resumed,
    a.AlgoAmended: _amended,
    a.AlgoEnding: _ending,
    a.AlgoEnded: _ended,
}


_OWN: Final = frozenset(a.ALGO_EVENTS)


def child_changed(parent: a.Parent, event: e.OrderEvent) -> None:
    """Apply an event of one of its children to the parent."""
    match event:
        case e.OrderFilled():
            _traded(parent, event)
        case e.TradeBusted():
            parent.cum_quantity -= event.quantity
            parent.notional -= event.quantity * event.price
            parent.fees -= event.fee
            if event.status not in CLOSED:
                _reopened(parent, event)
        case e.OrderReplaced() | e.ReplaceRejected():
            _set(parent, event.order_id, leaves_quantity=event.leaves_quantity)
        case e.OrderRejected():
            parent.refusals += 1
    _set(parent, event.order_id, doubtful=event.status is State.IN_DOUBT)
    if event.status in CLOSED:
        parent.open_children = tuple(child for child in parent.open_children if child.order_id != event.order_id)


def _traded(parent: a.Parent, event: e.OrderFilled) -> None:
    parent.cum_quantity += event.quantity
    parent.notional += event.quantity * event.price
    parent.fees += event.fee
    parent.refusals = 0
    child = next((child for child in parent.open_children if child.order_id == event.order_id), None)
    if child is not None:
        _set(parent, event.order_id, leaves_quantity=max(child.leaves_quantity - event.quantity, ZERO))
    if parent.closed or event.late:
        _flag(parent, a.LATE_TRADE)
    if event.overfill or parent.cum_quantity > parent.quantity:
        _flag(parent, a.OVERFILL)


def _reopened(parent: a.Parent, event: e.TradeBusted) -> None:
    """Give the quantity of a trade that was taken back to its child, which may have been closed."""
    child = next((child for child in parent.open_children if child.order_id == event.order_id), None)
    if child is None:
        again = a.OpenChild(order_id=event.order_id, n=0, leaves_quantity=event.quantity)
        parent.open_children = (*parent.open_children, again)
    else:
        _set(parent, event.order_id, leaves_quantity=child.leaves_quantity + event.quantity)


def _set(parent: a.Parent, order_id: str, **changes: object) -> None:
    parent.open_children = tuple(
        msgspec.structs.replace(child, **changes) if child.order_id == order_id else child for child in parent.open_children
    )


def _flag(parent: a.Parent, flag: str) -> None:
    if flag not in parent.flags:
        parent.flags = (*parent.flags, flag)


class Parents:
    """The parents of a journal, for readers: a pure fold. It knows which parent an order belongs to."""

    def __init__(self) -> None:
        self.by_id: dict[str, a.Parent] = {}
        self._of: dict[str, str] = {}
        self._children: dict[str, list[str]] = {}
        """The orders of each parent, so that its end costs no look at those of all others."""

    def concerns(self, event: e.OrderEvent) -> bool:
        """Return whether the event is a known parent's, or of one of its children. Cheap: it is asked of every event."""
        return type(event) in _OWN or event.order_id in self._of

    def apply(self, event: e.OrderEvent) -> a.Parent | None:
        """Apply the event; return its parent, or None if it concerns none."""
        if isinstance(event, a.AnyAlgoEvent):
            parent = self.by_id[event.order_id] = evolve(self.by_id.get(event.order_id), event)
            if isinstance(event, a.AlgoSliced) and event.child:
                self._adopt(event.child, event.order_id)
            return parent
        if (algo_id := self._of.get(event.order_id)) is None or (found := self.by_id.get(algo_id)) is None:
            return None
        child_changed(found, event)
        return found

    def follow(self, event: e.OrderEvent) -> None:
        """Apply the event, and drop a parent that has ended."""
        parent = self.apply(event)
        if parent is not None and parent.closed and not parent.open_children:
            self.forget(parent.algo_id)

    def _adopt(self, child: str, algo_id: str) -> None:
        self._of[child] = algo_id
        self._children.setdefault(algo_id, []).append(child)

    def forget(self, algo_id: str) -> None:
        """Drop a parent with its children."""
        self.by_id.pop(algo_id, None)
        for child in self._children.pop(algo_id, ()):
            self._of.pop(child, None)

    def state(self) -> tuple[tuple[a.Parent, ...], tuple[tuple[str, str], ...]]:
        """Return the parents, and the parent of each of their children."""
        return tuple(map(copy, self.by_id.values())), tuple(self._of.items())

    def restore(self, parents: Iterable[a.Parent], children: Iterable[tuple[str, str]]) -> None:
        """Continue from kept parents and the parents of orders (`children`: order, parent)."""
        self.by_id = {parent.algo_id: parent for parent in parents}
        self._of, self._children = {}, {}
        for child, algo_id in children:
            self._adopt(child, algo_id)
