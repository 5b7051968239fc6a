"""Alpaca's order classes as lists: the class of an order, its place in it, and the list that a request asks for."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec import structs

from apps.oms.alpaca.ids import dashed
from apps.oms.alpaca.order_exits import BRACKET, OCO, OTO, Exits
from domain.order.commands import Terms
from domain.order.group import ALTERNATIVE_ROLES, HELD_ROLES, ListTerms, ListType, Role, Trigger, list_id_of
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.shards import ONE_SHARD, Shards
from domain.values import ZERO, OrderType, Side, derived_id, opposite

SIMPLE: Final = "simple"
TAKE_PROFIT, STOP_LOSS, ENTRY = "take_profit", "stop_loss", "entry"

_CLASSES: Final[dict[str, str]] = {
    Role.TAKE_PROFIT: BRACKET,
    Role.STOP_LOSS: BRACKET,
    Role.HELD: OTO,
    Role.CLOSING: OTO,
    Role.ALTERNATIVE: OCO,
}
"""The class of an order by its role. An entry has that of its list; orders of a basket, and of an `oco` that cancels, are simple."""


def class_of(order: Order) -> str:
    """Return Alpaca's word for the class of an order."""
    if order.role == Role.ENTRY and order.group is not None:
        return str(order.group.kind)
    return _CLASSES.get(order.role, SIMPLE)


def is_leg(order: Order) -> bool:
    """Return whether clients see the order as a leg of another one."""
    return not order.leads and class_of(order) != SIMPLE


def is_parent(order: Order) -> bool:
    """Return whether clients see other orders as legs of this one."""
    return order.leads and class_of(order) != SIMPLE


def is_held(order: Order) -> bool:
    """Return whether the order waits for the entry of its list."""
    return order.status is State.RISK_CHECKED and order.role in HELD_ROLES


def leg_names(exits: Exits) -> tuple[str, ...]:
    """Return what the orders of a request are called in its body, in their order."""
    given = [name for name, price in ((TAKE_PROFIT, exits.take_profit), (STOP_LOSS, exits.stop_price)) if price is not None]
    return tuple(given) if exits.order_class == OCO else (ENTRY, *given)


def list_of(entry: Terms, exits: Exits, shards: Shards = ONE_SHARD) -> tuple[ListTerms, list[Terms]]:
    """Return the list that a request asks for, and the terms of its orders, the first one first.

    As at Alpaca, legs are released when the whole entry has traded, or has ended with a part of it. The list has the id of its first order
    as its name; the client ids of legs follow from the list.
    """
    kind = ListType(exits.order_class)
    list_id = shards.placed(entry.account, list_id_of(entry.account, entry.order_id))
    strict = kind is ListType.BRACKET
    asked = ListTerms(
        list_id=list_id,
        account=entry.account,
        client_list_id=entry.order_id,
        kind=kind,
        trigger=Trigger.FULL if kind is not ListType.OCO else Trigger.PARTIAL,
        strict=strict,
        reduce=kind is ListType.OCO,
    )
    made: list[Terms] = []
    for number, name in enumerate(leg_names(exits)):
        terms = structs.replace(entry, group_id=list_id, role=str(_role(kind, name)), reduce_only=False)
        made.append(terms if number == 0 else _exit(terms, exits, name, number, shards, strict=strict))
    return asked, made


def _exit(entry: Terms, exits: Exits, name: str, number: int, shards: Shards, *, strict: bool) -> Terms:
    stops = name == STOP_LOSS
    price = exits.stop_limit if stops else exits.take_profit
    client_order_id = dashed(derived_id("leg", entry.group_id, str(number)))
    return structs.replace(
        entry,
        order_id=shards.order_id(entry.account, client_order_id),
        client_order_id=client_order_id,
        side=entry.side if exits.order_class == OCO else opposite(entry.side),
        order_type=(OrderType.STOP if price is None else OrderType.STOP_LIMIT) if stops else OrderType.LIMIT,
        price=price,
        stop_price=exits.stop_price if stops else None,
        exclusive=strict and stops,
    )


def _role(kind: ListType, name: str) -> Role:
    if kind is ListType.OCO:
        return Role.ALTERNATIVE
    if name == ENTRY:
        return Role.ENTRY
    return Role.CLOSING if kind is ListType.OTO else Role(name)


def available_of(symbol: str, held: Decimal, opened: Sequence[Order]) -> Decimal:
    """Return how much of a position no open order would close already.

    A leg that waits closes nothing yet, and of the exits of one list only the largest counts.
    """
    closes = Side.SELL if held > ZERO else Side.BUY
    taken: dict[str, Decimal] = {}
    for order in opened:
        if order.symbol == symbol and order.side is closes and not is_held(order):
            pool = order.group_id if order.role in ALTERNATIVE_ROLES else order.order_id
            taken[pool] = max(taken.get(pool, ZERO), order.leaves_quantity)
    return max(abs(held) - sum(taken.values(), ZERO), ZERO)
