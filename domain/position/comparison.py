"""Compare positions of the journal with those that readers see, field by field."""

from typing import Any, Final

import msgspec

from domain.position.position import Position

FIELDS: Final = ("quantity", "average_price", "realised_pnl", "fees", "last_price", "cost", "updated_at", "seq")


class PositionDifference(msgspec.Struct, frozen=True):
    """One field of one position, in the journal and for readers; None if there is no such position."""

    account: str
    symbol: str
    field: str
    journal: Any
    stored: Any


def differences(ours: Position | None, theirs: Position | None) -> list[PositionDifference]:
    """Return the differences field by field; a position that exists on one side only differs in its quantity."""
    if ours is None or theirs is None:
        return [missing(ours)] if ours else [extra(theirs)] if theirs else []
    pairs = ((name, getattr(ours, name), getattr(theirs, name)) for name in FIELDS)
    return [PositionDifference(ours.account, ours.symbol, name, mine, other) for name, mine, other in pairs if mine != other]


def missing(position: Position) -> PositionDifference:
    """Return the difference of a position that only the journal has."""
    return PositionDifference(position.account, position.symbol, "quantity", position.quantity, None)


def extra(position: Position) -> PositionDifference:
    """Return the difference of a position that only the readers have."""
    return PositionDifference(position.account, position.symbol, "quantity", None, position.quantity)
