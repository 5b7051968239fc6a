"""What a paper venue decides about a message."""

from domain.market.quotes import Quote
from domain.order.commands import ReportKind, VenueRequest
from domain.paper import staff
from domain.paper.estimate import QueueEstimate
from domain.paper.events import (
    BustTrade,
    Cancel,
    CorrectTrade,
    DeepQuote,
    ForcedFill,
    Forget,
    Halt,
    Message,
    Refuse,
    Replace,
    TradePrint,
    UnsolicitedCancel,
    VenueEvent,
)
from domain.paper.matching import Matching
from domain.paper.outcome import MatchingVenue, VenueOutcome
from domain.paper.requests import RequestDecision


def decided(venue: MatchingVenue, message: Message, now_ns: int) -> tuple[VenueEvent, ...]:
    """Return the events that follow from the message, after those of the orders that are due."""
    outcome = VenueOutcome(venue, now_ns)
    for order in venue.due(now_ns):
        outcome.end(ReportKind.EXPIRED, order)
    match message:
        case VenueRequest():
            RequestDecision(outcome).new(message)
        case Cancel():
            RequestDecision(outcome).cancel(message.request)
        case Replace():
            RequestDecision(outcome).replace(message.request)
        case Quote():
            Matching(outcome).quote(message, message)
        case DeepQuote():
            Matching(outcome).quote(message.quote, message)
        case TradePrint():
            if venue.rules.estimated:
                QueueEstimate(outcome).trade(message)
        case Refuse():
            RequestDecision(outcome).refuse(message.request, message.reason)
        case Halt():
            staff.halt(outcome, message)
        case UnsolicitedCancel() | ForcedFill() | Forget():
            if (known := venue.orders.get(message.route_id)) is not None:
                staff.act_on(outcome, known, message)
        case BustTrade() | CorrectTrade():
            staff.take_back(outcome, message)
    return tuple(outcome.events)
