"""Which updates of the stream an event of an order makes. Pure: the table of the facade's page, one event at a time."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from apps.oms.alpaca.orders import NEW, status_of
from domain.order import events as e
from domain.order.group import HELD_ROLES
from domain.order.lifecycle import State
from domain.order.order import Order

NEW_EVENT: Final = "new"
"""The update that shows that an order works. Clients wait for it before they change or cancel an order."""
Trade = e.OrderFilled | e.TradeBusted


class NamedUpdate(NamedTuple):
    """One update: the event's name for a client, the generation of terms that it shows, and the trade that it reports, if any."""

    event: str
    generation: int
    trade: Trade | None = None


class Stage(NamedTuple):
    """What clients were sent of an order before an event: its generation, and whether `new` was sent for it."""

    generation: int
    is_new: bool


Updates = tuple[NamedUpdate, ...]
NOTHING: Final[Updates] = ()
_UNANNOUNCED: Final = (State.NEW, State.RISK_CHECKED)


def stage(order: Order) -> Stage:
    """Return the stage of an order.

    `new` was sent when a venue acknowledged or traded the order, when a stop order was queued, and at once for every later generation.
    """
    known = order.generation > 0 or bool(order.trades) or any(route.venue_order_id for route in order.routes)
    sleeps = order.stop_price is not None or order.trail is not None
    return Stage(order.generation, known or (sleeps and order.status not in _UNANNOUNCED))


def updates_before(event: e.OrderEvent, order: Order) -> Updates:
    """Return the updates that show the order as it was before the event: a trade shows that its venue has it, acknowledged or not."""
    if type(event) is e.OrderFilled and not stage(order).is_new:
        return (NamedUpdate(NEW_EVENT, order.generation),)
    return NOTHING


def updates_after(event: e.OrderEvent, before: Stage | None, order: Order, following: e.OrderEvent | None) -> Updates:
    """Return the updates that show the order as it is after the event. `before`: None for the order's first event.

    `following` is the order's next event in the same commit. A submit is one update, although it is several events; so is a correction.
    """
    kind = type(event)
    if kind in _SUBMIT:
        return _submitted(event, before, order, following)
    if kind is e.TradeBusted and isinstance(following, e.OrderFilled) and following.corrects == event.exec_id:  # type: ignore[union-attr]
        return NOTHING
    found = _TABLE.get(kind)
    return found(event, before or stage(order), order) if found is not None else NOTHING


def _submitted(event: e.OrderEvent, before: Stage | None, order: Order, following: e.OrderEvent | None) -> Updates:
    """Return `accepted` after the last event of a submit, and `new` for a stop: it works from now on, although no venue has it.

    A leg that waits for its entry is accepted when it is submitted, with the status held, and again when it is released.
    """
    if type(following) in _CONTINUES:
        return NOTHING
    first = len(order.seqs) == 1 or (type(event) is e.OrderQueued and order.role in HELD_ROLES)
    accepted = (NamedUpdate("accepted", order.generation),) if first and not _requeued(order) else NOTHING
    works = order.status is State.QUEUED and status_of(order) == NEW and not (before is not None and before.is_new)
    return (*accepted, NamedUpdate(NEW_EVENT, order.generation)) if works else accepted


def _requeued(order: Order) -> bool:
    """Return whether the order is back in the queue, because a venue refused it."""
    return bool(order.routes)


def _acknowledged(_: e.RouteAcknowledged, before: Stage, order: Order) -> Updates:
    """Return `new`, unless the venue gave no id: then the order's status does not show that the venue has it, and a trade will."""
    return (NamedUpdate(NEW_EVENT, order.generation),) if stage(order).is_new and not before.is_new else NOTHING


def _filled(event: e.OrderFilled, _: Stage, order: Order) -> Updates:
    if event.corrects is not None:
        return (NamedUpdate("trade_correct", order.generation, event),)
    return (NamedUpdate("fill" if event.status is State.FILLED else "partial_fill", order.generation, event),)


def _busted(event: e.TradeBusted, _: Stage, order: Order) -> Updates:
    return (NamedUpdate("trade_bust", order.generation, event),)


def _replaced(_: e.OrderReplaced, before: Stage, order: Order) -> Updates:
    """Return the end of the old generation and the begin of the new one.

    A venue that changes an order unasked makes no new generation. It may even report the terms of an earlier one, which was sent before.
    """
    if order.generation <= before.generation:
        return NOTHING
    return NamedUpdate("replaced", before.generation), NamedUpdate(NEW_EVENT, order.generation)


def _as(name: str) -> Callable[[e.OrderEvent, Stage, Order], Updates]:
    return lambda event, before, order: (NamedUpdate(name, order.generation),)


_SUBMIT: Final = (e.OrderSubmitted, e.OrderRiskChecked, e.OrderQueued)
_CONTINUES: Final = (e.OrderRiskChecked, e.OrderQueued, e.OrderRejected)

_TABLE: Final[dict[type[e.Event], Callable[[Any, Stage, Order], Updates]]] = {
    e.OrderRouted: _as("pending_new"),
    e.RouteAcknowledged: _acknowledged,
    e.OrderFilled: _filled,
    e.TradeBusted: _busted,
    e.CancelRequested: _as("pending_cancel"),
    e.ReplaceRequested: _as("pending_replace"),
    e.OrderCancelled: _as("canceled"),
    e.OrderExpired: _as("expired"),
    e.OrderRejected: _as("rejected"),
    e.OrderReplaced: _replaced,
    e.CancelRejected: _as("order_cancel_rejected"),
    e.ReplaceRejected: _as("order_replace_rejected"),
}
"""All other events make no update: the next real one shows what they changed."""
