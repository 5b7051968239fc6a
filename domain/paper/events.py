"""The messages that a paper venue receives, and the events that it journals."""

from decimal import Decimal

import msgspec

from domain.market.depth import Depth
from domain.market.quotes import Quote
from domain.order.commands import VenueReport, VenueRequest
from domain.order.events import JournalAccepted, ShardHeld
from domain.values import Side


class PaperEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    pass


class RequestTaken(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A request for a new order arrived. The first one of a route id creates an order, every later one is only counted.

    `expire_at` is the end of the session for a day order.
    """

    at: int
    request: VenueRequest
    expire_at: int | None = None


class StopTriggered(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The stop is a market or limit order from now on, even if there was no size to fill it or the price turns back."""

    at: int
    route_id: str


class QueueJoined(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The order rests behind others' size at its price.

    `behind` is how much must trade first, counted from the level's beginning.
    """

    route_id: str
    behind: Decimal


class QueueAdvanced(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Others' size at a price was traded, ahead of the orders behind it."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    printed: bool = False
    """The market traded it: nothing that the venue displays is gone by it."""


class QueueLowered(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Others left a price: no order there is further behind than `behind`, counted as in QueueJoined."""

    symbol: str
    side: Side
    price: Decimal
    behind: Decimal


class PartShown(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """An iceberg shows this much, at the end of the queue at its price: it came to rest, or what it showed before has traded."""

    at: int
    route_id: str
    quantity: Decimal


class TradingHalted(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    at: int
    symbol: str


class TradingResumed(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    at: int
    symbol: str


class OrderForgotten(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """An injected fault: the venue has lost the order."""

    at: int
    route_id: str


class EpochMet(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The largest epoch of a shard's exeq so far. Requests of an older one are refused from now on, also after a restart."""

    at: int
    shard: int
    epoch: int
    unit: str = ""


class Reported(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """One execution report. Nothing else changes an order. `printed`: as in QueueAdvanced."""

    report: VenueReport
    shard: int = 0
    printed: bool = False


VenueEvent = (
    RequestTaken
    | StopTriggered
    | QueueJoined
    | QueueAdvanced
    | PartShown
    | QueueLowered
    | TradingHalted
    | TradingResumed
    | OrderForgotten
    | EpochMet
    | Reported
    | JournalAccepted
    | ShardHeld
)


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """A request to cancel the order of `request.route_id`."""

    request: VenueRequest


class Replace(msgspec.Struct, frozen=True, gc=False):
    """A request to give the order of `request.route_id` the quantity and prices of `request`."""

    request: VenueRequest


class DeepQuote(msgspec.Struct, frozen=True, gc=False):
    """A quote and its book, as the venue shows them."""

    quote: Quote
    depth: Depth


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A trade of the market, in this venue's shape. `side` is the taker's."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal


class Meet(msgspec.Struct, frozen=True, gc=False):
    """An exeq announces its epoch without any other request."""

    shard: int
    epoch: int
    unit: str = ""


class Passed(msgspec.Struct, frozen=True, gc=False):
    """Only time passed."""


def stamp_of(event: VenueEvent) -> int:
    """Return when the event was decided; 0 if it does not record it."""
    stamp: int = event.report.at if isinstance(event, Reported) else getattr(event, "at", 0)
    return stamp


def not_before(event: VenueEvent, at: int) -> VenueEvent:
    """Return the event with this stamp if its own is earlier."""
    if not 0 < stamp_of(event) < at:
        return event
    if isinstance(event, Reported):
        return msgspec.structs.replace(event, report=msgspec.structs.replace(event.report, at=at))
    return msgspec.structs.replace(event, at=at)


# What an exchange's staff may do, and fault injection


class Halt(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    resume: bool = False


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """A new order that the venue refuses, whatever it is."""

    request: VenueRequest
    reason: str


class UnsolicitedCancel(msgspec.Struct, frozen=True, gc=False):
    route_id: str
    reason: str


class ForcedFill(msgspec.Struct, frozen=True, gc=False):
    """The order trades this much at this price, even if the market does not allow it."""

    route_id: str
    quantity: Decimal
    price: Decimal


class BustTrade(msgspec.Struct, frozen=True, gc=False):
    exec_id: str


class CorrectTrade(msgspec.Struct, frozen=True, gc=False):
    exec_id: str
    quantity: Decimal
    price: Decimal


class Forget(msgspec.Struct, frozen=True, gc=False):
    route_id: str


Deed = Halt | Refuse | UnsolicitedCancel | ForcedFill | BustTrade | CorrectTrade | Forget
Message = VenueRequest | Cancel | Replace | Quote | DeepQuote | TradePrint | Meet | Passed | Deed
