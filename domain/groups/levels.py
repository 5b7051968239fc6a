"""How much each member of a list should be allowed to trade, from what all members have traded."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from domain.order.group import ListType, OrderGroup, Role, Trigger
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.order.slot import asked, part, traded
from domain.values import ZERO, divide

Slots = Sequence[Sequence[Order]]
"""The orders of each slot of a group: see OrderGroup.slots."""


def released(group: OrderGroup, entry: Order, legs: Iterable[Order]) -> Decimal:
    """Return what these legs may act on: what the entry has traded, or with `full` nothing before it has ended.

    Legs that work or have traded stay released when a bust opens the entry again.
    """
    if group.trigger is Trigger.PARTIAL or entry.closed:
        return entry.cum_quantity
    acted = any(leg.cum_quantity or not (leg.closed or leg.status is State.RISK_CHECKED) for leg in legs)
    return entry.cum_quantity if acted else ZERO


def covered(group: OrderGroup, entry: Order, slots: Slots) -> Decimal:
    """Return what is left to exit in a bracket. Each exit works for all of it."""
    legs = [order for slot in slots[1:] for order in slot]
    return max(released(group, entry, legs) - sum(map(traded, slots[1:]), ZERO), ZERO)


def share(group: OrderGroup, entry: Order, slot: Sequence[Order]) -> Decimal:
    """Return what a leg of an `oto` list may still trade: the part of its quantity that the entry has traded of its own.

    A leg that only closes is in proportion to what the entry has traded, also after the entry's quantity was replaced.
    """
    first, opened = slot[0], released(group, entry, slot)
    whole = divide(asked(first) * opened, asked(entry)) if first.role == Role.CLOSING else part(entry, first, opened)
    return max(whole - traded(slot), ZERO)


def oco_winner(orders: Sequence[Order]) -> Order | None:
    """Return the member of an `oco` list that keeps working because it has traded. None: no member has traded."""
    found = [order for order in orders if order.cum_quantity]
    working = (order for order in found if order.status is State.FILLED or not (order.closed or order.status is State.PENDING_CANCEL))
    return next(working, found[0] if found else None)


def overtraded(group: OrderGroup, slots: Slots) -> str:
    """Return the last exit that traded, if the exits together have traded more than there was to exit; else an empty text."""
    exits = [order for slot in (slots if group.kind is ListType.OCO else slots[1:]) for order in slot if order.cum_quantity]
    total = sum((order.cum_quantity for order in exits), ZERO)
    match group.kind:
        case ListType.BRACKET:
            too_much = total > slots[0][0].cum_quantity
        case ListType.OCO if group.reduce:
            too_much = total > max(asked(slot[0]) for slot in slots)
        case ListType.OCO:
            too_much = len(exits) > 1
        case _:
            return ""
    return max(exits, key=lambda order: (order.updated_at, order.order_id)).order_id if too_much else ""
