"""What a paper venue hears, and the facts that it journals."""

from decimal import Decimal

import msgspec

from domain.market.quotes import Quote
from domain.order.commands import VenueReport, VenueRequest
from domain.order.events import JournalAccepted, ShardHeld
from domain.values import Side


class PaperEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    pass


class RequestTaken(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A request for a new order came. The first one of a route id makes an order, every later one is only counted.

    `expire_at` is the end of the session for an order of the day.
    """

    at: int
    request: VenueRequest
    expire_at: int | None = None


class StopTriggered(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """From now on the stop is a market or limit order, also where there was no size to fill it and where the price turns back."""

    at: int
    route_id: str


class QueueJoined(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The order rests behind others' size at its price: so much of it must go, counted from the level's beginning, before its turn."""

    route_id: str
    behind: Decimal


class QueueAdvanced(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Others' size at a price was traded, before the orders that stand behind it."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal


class TradingHalted(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    at: int
    symbol: str


class TradingResumed(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    at: int
    symbol: str


class OrderForgotten(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A fault on purpose: the venue knows nothing of the order any more."""

    at: int
    route_id: str


class EpochMet(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The largest epoch of a shard's exeq up to now. What an older one sends is refused from here on, also after a restart."""

    at: int
    shard: int
    epoch: int
    unit: str = ""


class Reported(PaperEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """One execution report. Orders change by nothing else."""

    report: VenueReport
    shard: int = 0


VenueEvent = (
    RequestTaken
    | StopTriggered
    | QueueJoined
    | QueueAdvanced
    | TradingHalted
    | TradingResumed
    | OrderForgotten
    | EpochMet
    | Reported
    | JournalAccepted
    | ShardHeld
)


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """A request to cancel what `request.route_id` names."""

    request: VenueRequest


class Replace(msgspec.Struct, frozen=True, gc=False):
    """A request to give what `request.route_id` names the quantity and prices of `request`."""

    request: VenueRequest


class Meet(msgspec.Struct, frozen=True, gc=False):
    """An exeq names its epoch without asking for anything else."""

    shard: int
    epoch: int
    unit: str = ""


class Passed(msgspec.Struct, frozen=True, gc=False):
    """Nothing but time."""


def stamp_of(event: VenueEvent) -> int:
    """When it was decided; 0 where it does not say."""
    stamp: int = event.report.at if isinstance(event, Reported) else getattr(event, "at", 0)
    return stamp


def not_before(event: VenueEvent, at: int) -> VenueEvent:
    """With this stamp where it has an earlier one."""
    if not 0 < stamp_of(event) < at:
        return event
    if isinstance(event, Reported):
        return msgspec.structs.replace(event, report=msgspec.structs.replace(event.report, at=at))
    return msgspec.structs.replace(event, at=at)


# What an exchange's staff may do, and what goes wrong on purpose


class Halt(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    resume: bool = False


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """A new order that the venue will not have, whatever it is."""

    request: VenueRequest
    reason: str


class UnsolicitedCancel(msgspec.Struct, frozen=True, gc=False):
    route_id: str
    reason: str


class ForcedFill(msgspec.Struct, frozen=True, gc=False):
    """The order trades this much at this price, whether or not it is there to be traded."""

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
Message = VenueRequest | Cancel | Replace | Quote | Meet | Passed | Deed
