"""A short hash for the state of a fold: equal states have equal hashes, in any process, however they came about."""

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import inspect

from domain.order.order import Order
from domain.position.position import Position
from domain.values import plain

DIGEST_BYTES: Final = 16
ADDED: Final = ("cancel_wanted", "closed_at", "generation", "generations")
"""Fields that later releases added to orders. They follow from the events like all others and are left out, so that hashes recorded
before stay valid.
"""
ADDED_IF_SET: Final = (
    "asked_notional",
    "auction",
    "group_id",
    "role",
    "exclusive",
    "waits_for",
    "group",
    "display_quantity",
    "trail",
    "best",
    "extended_hours",
)
"""Fields that later releases added to orders, and that are left out while they are empty."""


def state_hash(state: object) -> str:
    """Return BLAKE2b over canonical JSON: keys and sets sorted, numbers in plain form (1.50 is 1.5), lists in their own order."""
    return hashlib.blake2b(canonical(state).encode(), digest_size=DIGEST_BYTES).hexdigest()


class ListHash:
    """The hash of a list that is never in memory as a whole: equal to `state_hash` of all added items, in that order."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(b"[", digest_size=DIGEST_BYTES)
        self._between = b""

    def add(self, item: object) -> None:
        self._digest.update(self._between + canonical(item).encode())
        self._between = b","

    def name(self) -> str:
        whole = self._digest.copy()
        whole.update(b"]")
        return whole.hexdigest()


def canonical(state: object) -> str:
    builtins = msgspec.to_builtins(state, builtin_types=(Decimal,), order="deterministic")
    _as_before(builtins)
    return json.dumps(builtins, default=_number, sort_keys=True, separators=(",", ":"))


def _as_before(builtins: Any) -> None:
    """Remove the added fields, in an order or lists of them."""
    if isinstance(builtins, dict):
        for name in ADDED:
            builtins.pop(name, None)
        for name in ADDED_IF_SET:
            if name in builtins and not builtins[name]:
                del builtins[name]
    elif isinstance(builtins, list | tuple):
        for part in builtins:
            _as_before(part)


def shape_of(kind: Any, version: int) -> str:
    """Return the version key of a stored state: it changes with the fields of `kind` and, by `version`, with their meaning."""
    return f"{version}-{state_hash(_shape(inspect.type_info(kind)))}"


def _shape(info: Any) -> Any:
    """Return names, places, types and defaults, down to the last field, without docstrings."""
    match info:
        case inspect.StructType():
            fields = [[field.encode_name, field.required, repr(field.default), _shape(field.type)] for field in info.fields]
            return [info.cls.__name__, info.tag, info.array_like, fields]
        case inspect.EnumType():
            return [info.cls.__name__, [str(member.value) for member in info.cls]]
        case msgspec.Struct():
            return [type(info).__name__, [_shape(getattr(info, name)) for name in info.__struct_fields__]]
        case tuple():
            return [_shape(part) for part in info]
    return repr(info)


def orders_state(orders: Iterable[Order]) -> list[Order]:
    """Return orders as their events made them, sorted, without the host's bookkeeping."""
    return [order_state(order) for order in sorted(orders, key=lambda order: order.order_id)]


def order_state(order: Order) -> Order:
    return msgspec.structs.replace(order, seqs=(), commit=0)


def positions_state(positions: Iterable[Position]) -> list[Position]:
    return sorted(positions, key=lambda position: (position.account, position.symbol))


def _number(value: object) -> str:
    assert isinstance(value, Decimal), f"a state holds a {type(value).__name__}"
    return plain(value)
