"""What a list shows: its status, its reason, and the flags that follow from its orders."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.groups.levels import Slots, covered
from domain.order import group as g
from domain.order.lifecycle import State
from domain.order.order import RISK_CONTROL, Order
from domain.order.slot import traded


class ListStatus(StrEnum):
    """What a list shows. `received` is FIX's state before the orders are accepted: here both are one commit, so no list has it."""

    RECEIVED = "received"
    EXECUTING = "executing"
    CANCELLING = "cancelling"
    ALERT = "alert"
    DONE = "done"
    REJECTED = "rejected"


DUST: Final = "dust"
UNPAIRED: Final = "unpaired"
UNPROTECTED: Final = "unprotected"
IN_DOUBT: Final = "in_doubt"
ALERTS: Final = frozenset({g.DOUBLE_EXIT, g.FORCED, g.RESIZE_REFUSED, g.KILLED, g.RULES_FAILED, UNPROTECTED, IN_DOUBT})
"""Flags that a person should look at."""

OnLot = Callable[[str, Decimal], Decimal]


def slots_of(group: g.OrderGroup, members: Mapping[str, Order]) -> Slots:
    return [[members[order_id] for order_id in slot] for slot in group.slots]


def flags_of(group: g.OrderGroup, members: Mapping[str, Order]) -> tuple[str, ...]:
    """Return the recorded flags, and those that hold now."""
    slots = slots_of(group, members)
    found = [*group.flags]
    if any(order.status is State.IN_DOUBT for order in members.values()):
        found.append(IN_DOUBT)
    if group.kind in (g.ListType.OCO, g.ListType.BRACKET) and not group.rejected:
        exits = slots if group.kind is g.ListType.OCO else slots[1:]
        alone = [slot for slot in exits if _given_up(slot[-1])]
        if alone and len(alone) < len(exits) and any(not slot[-1].closed for slot in exits):
            found.append(UNPAIRED)
    if group.kind is g.ListType.BRACKET and covered(group, slots[0][0], slots):
        resting = [slot[-1] for slot in slots[1:] if not slot[-1].closed]
        if slots[0][0].closed and not resting and not group.cancels_exits:
            found.append(UNPROTECTED)
        elif resting and all(order.status is State.RISK_CHECKED for order in resting):
            found.append(DUST)
    return tuple(found)


def _given_up(order: Order) -> bool:
    """Return whether an exit ended, and neither by a trade nor by its list."""
    return order.closed and order.status is not State.FILLED and order.source != g.SOURCE


def status_of(group: g.OrderGroup, members: Mapping[str, Order]) -> ListStatus:
    if group.rejected:
        return ListStatus.REJECTED
    if ALERTS & set(flags_of(group, members)):
        return ListStatus.ALERT
    if group.ended:
        return ListStatus.DONE
    return ListStatus.CANCELLING if group.cancelling else ListStatus.EXECUTING


def end_reason(group: g.OrderGroup, members: Mapping[str, Order]) -> str:
    """Return why a list ended whose orders have all ended: killed, filled, expired or cancelled."""
    slots = slots_of(group, members)
    if g.KILLED in group.flags or any(order.source == RISK_CONTROL for order in members.values()):
        return "killed"
    last = [slot[-1] for slot in slots]
    match group.kind:
        case g.ListType.OCO:
            filled = any(order.status is State.FILLED for order in last)
        case g.ListType.BRACKET:
            filled = bool(traded(slots[0])) and not covered(group, slots[0][0], slots)
        case _:
            filled = all(order.status is State.FILLED for order in last)
    if filled:
        return "filled"
    return "expired" if any(order.status is State.EXPIRED for order in last) else "cancelled"
