"""The fields of a body that make a stop trail."""

from decimal import Decimal
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import exact_number
from apps.http.schema import OPTIONAL_NUMBER, PRICE, described
from domain.order.trail import Trail, TrailTrigger
from domain.values import OrderType

TrailNumber = Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER]
TrailPrice = Annotated[msgspec.Raw | UnsetType, PRICE]
TrailWord = Annotated[
    TrailTrigger | UnsetType | None,
    described("What a trailing stop follows: touch (the bid for a sell, the ask for a buy; the default), mid, or last (the last trade)."),
]
_NOT_GIVEN: Final = (UNSET,) * 5
"""The usual case, in which nothing is read."""


class TrailFields(Protocol):
    """A body with the fields of a trailing stop."""

    trail_amount: TrailNumber
    trail_percent: TrailNumber
    trail_trigger: TrailWord
    limit_offset: TrailNumber
    activation_price: TrailPrice


def read_trail(found: TrailFields, *, negative: bool = False) -> Trail | None:
    """Return how the stop of a body trails; None if it has no such field. `negative`: prices may be negative. Refusal 400."""
    given = found.trail_amount, found.trail_percent, found.trail_trigger, found.limit_offset, found.activation_price
    if given == _NOT_GIVEN:
        return None
    trail = Trail(
        amount=exact_number(found.trail_amount, "trail_amount"),
        percent=exact_number(found.trail_percent, "trail_percent"),
        trigger=found.trail_trigger or TrailTrigger.TOUCH,
        limit_offset=exact_number(found.limit_offset, "limit_offset"),
        activation_price=exact_number(found.activation_price, "activation_price", negative=negative),
    )
    return None if trail == Trail() and not found.trail_trigger else trail


def type_of(price: Decimal | None, trail: Trail | None) -> OrderType:
    """Return the type of an order that names none."""
    if trail is not None:
        return OrderType.TRAILING_STOP
    return OrderType.MARKET if price is None else OrderType.LIMIT


def replaced_trail(trail: Trail, amount: Decimal | None, percent: Decimal | None) -> Trail:
    """Return the trail with another distance: an amount takes the place of a percentage, and the reverse."""
    return msgspec.structs.replace(trail, amount=amount, percent=percent)
