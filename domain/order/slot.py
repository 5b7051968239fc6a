"""A slot of a list: an order, and behind it those that took its place. See OrderGroup.slots."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from domain.order import group as g
from domain.order.lifecycle import State
from domain.order.order import RISK_CONTROL, Order
from domain.values import ZERO, divide

MEMBERS_MAX: Final = 60
"""Orders of one list, with those that took the place of others."""


def asked(order: Order) -> Decimal:
    """Return the quantity that the client asked for at first."""
    return order.asked.quantity if order.asked is not None else order.quantity


def traded(slot: Sequence[Order]) -> Decimal:
    return sum((order.cum_quantity for order in slot), ZERO)


def part(entry: Order, first: Order, opened: Decimal) -> Decimal:
    """Return what a leg gets once its entry has traded `opened`: the part of its own quantity that this is of the entry's, at most all."""
    whole = asked(first)
    return min(divide(whole * opened, entry.quantity), whole) if entry.quantity else ZERO


def stopped(group: g.OrderGroup, orders: Iterable[Order]) -> bool:
    """Return whether nothing is released or submitted again: the list has ended, or a control cancels or has cancelled one of these."""
    return bool(group.ended) or g.KILLED in group.flags or any(order.source == RISK_CONTROL for order in orders)


def may_follow(group: g.OrderGroup, last: Order) -> bool:
    """Return whether another order may take the place of the slot's last one, which has ended.

    It may if that one is filled, or if the list itself has cancelled it because it was to work for less.
    """
    by_list = last.status is State.CANCELLED and last.source == g.SOURCE and last.reason in (g.EXITED, g.STOP_TRIGGERED, g.RESIZE_REFUSED)
    return (last.status is State.FILLED or by_list) and len(group.members) < MEMBERS_MAX
