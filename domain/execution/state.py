"""The state of the fold in exeq, as snapshots hold it."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.order import events as e

STATE_VERSION: Final = 2
"""To be raised when the fields of `ExecutionsState` stay and their meaning changes."""
OLDER_SHAPES: Final = (
    "2-b6e40e7fd9621657b28897953973b22d",
    "2-c6a424703ad3255f42015a1a5fb75660",
    "2-f57ab318a5a586dbecce87cb6d336c1a",
)
"""Before orders had auctions and trails; before replaces had names and orders had lists; and 0.1.0: an OrderRouted had no unit or epoch.
Defaults stand for them.
"""


class Waiting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order without a route, when the journal queued it (None before that), and the venues of its earlier routes."""

    terms: e.OrderSubmitted
    queued_at: int | None = None
    tried: tuple[str, ...] = ()


class Working(msgspec.Struct, array_like=True, gc=False):
    """An open order at a venue: its terms, its routes, which of them the venue has answered, and the requests that wait for an answer."""

    terms: e.OrderSubmitted
    legs: tuple[e.Leg, ...]
    routed_at: int
    answered: tuple[str, ...] = ()
    cancelling: bool = False
    tried: tuple[str, ...] = ()
    replacing: e.ReplaceRequested | None = None
    in_doubt: bool = False


class ExecutionsState(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The folded state; each tuple is in journal order. `aside`: triggered stops that wait for the other exit of their list.

    `best`: the best prices that the journal has of trailing stops, by order.
    """

    waiting: tuple[Waiting, ...]
    working: tuple[Working, ...]
    routed: tuple[e.OrderRouted, ...]
    aside: tuple[str, ...] = ()
    best: tuple[tuple[str, Decimal], ...] = ()
