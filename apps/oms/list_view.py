"""Views of lists in responses."""

from typing import Any

from apps.http.order_view import View, order_view
from apps.oms.lists import ListResult, Members
from domain.groups.status import flags_of, slots_of, status_of
from domain.order.group import HELD_ROLES, LIST_REJECTED, ListType
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.order.slot import traded
from domain.values import ZERO, rfc3339


def result_view(result: ListResult) -> View:
    """Build the answer to a submit: the first one, whatever happened to the orders since."""
    group, refused = result.group, result.group.rejected
    view: dict[str, Any] = {
        "status": "rejected" if refused else "submitted",
        "list_id": result.lead.group_id,
        "client_list_id": group.client_list_id,
    }
    if refused:
        leg = next((n for n, order in enumerate(result.orders) if order.reason != LIST_REJECTED), 0)
        found = result.orders[leg]
        numbers = {name: value for name in ("found", "limit", "unit") if (value := getattr(found, name)) is not None}
        view |= {"reason": found.reason, "leg": leg, **({"detail": numbers} if numbers else {})}
    view |= {"orders": [_first(order, rejected=refused) for order in result.orders], "seq": result.seq}
    return view | ({"replayed": True} if result.replayed else {})


def _first(order: Order, *, rejected: bool) -> View:
    status = State.REJECTED if rejected else State.RISK_CHECKED if order.role in HELD_ROLES else State.QUEUED
    return {"role": order.role, "order_id": order.order_id, "client_order_id": order.client_order_id, "status": status}


def list_view(lead: Order, members: Members) -> View:
    """Build a list with its orders. `seq` is the last commit of any of them."""
    group = lead.group
    assert group is not None, "a list has a lead"
    slots = slots_of(group, members)
    follows = group.kind in (ListType.OTO, ListType.BRACKET)
    exits = slots[1:] if follows else slots if group.kind is ListType.OCO else []
    orders = [members[order_id] for order_id in group.members]
    return {
        "list_id": lead.group_id,
        "client_list_id": group.client_list_id,
        "account": lead.account,
        "type": group.kind,
        "trigger": group.trigger if follows else None,
        "exclusive": ("strict" if group.strict else "fast") if group.kind is ListType.BRACKET else None,
        "reduce": group.reduce if group.kind is ListType.OCO else None,
        "status": status_of(group, members),
        "reason": group.ended or None,
        "orders": [order_view(order) | {"seq": order.seqs[-1]} for order in orders],
        "entry_quantity": traded(slots[0]) if follows else ZERO,
        "exit_quantity": sum(map(traded, exits), ZERO),
        "flags": flags_of(group, members),
        "created_at": rfc3339(group.created_at),
        "updated_at": rfc3339(max(order.updated_at for order in orders)),
        "version": group.version,
        "seq": max(order.seqs[-1] for order in orders),
    }
