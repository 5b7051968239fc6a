"""What a paper venue hears, and the facts that it journals."""

import msgspec

from domain.commands import VenueReport, VenueRequest
from domain.events import JournalAccepted
from domain.quotes import Quote


class VenueFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    pass


class RequestTaken(VenueFact, frozen=True, kw_only=True, tag=True, gc=False):
    """A request for a new order came. The first one of a route id makes an order, every later one is only counted."""

    at: int
    request: VenueRequest


class StopTriggered(VenueFact, frozen=True, kw_only=True, tag=True, gc=False):
    """From now on the stop is a market or limit order, also where there was no size to fill it and where the price turns back."""

    at: int
    route_id: str


class Reported(VenueFact, frozen=True, kw_only=True, tag=True, gc=False):
    """One execution report. Orders change by nothing else."""

    report: VenueReport
    shard: int = 0


VenueEvent = RequestTaken | StopTriggered | Reported | JournalAccepted


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """A request to cancel what `request.route_id` names."""

    request: VenueRequest


class Passed(msgspec.Struct, frozen=True, gc=False):
    """Nothing but time."""


Message = VenueRequest | Cancel | Quote | Passed
