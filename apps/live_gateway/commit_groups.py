"""A long decision of a venue, split into commits."""

from collections.abc import Iterator, Sequence
from typing import Final

from domain.order.events import JournalAccepted, ShardHeld
from domain.paper.events import (
    EpochMet,
    OrderForgotten,
    PartShown,
    QueueAdvanced,
    QueueJoined,
    QueueLowered,
    Reported,
    RequestTaken,
    StopTriggered,
    TradingHalted,
    TradingResumed,
    VenueEvent,
)

GROUP_MAX: Final = 500
"""Events per commit; one quote may fill thousands of orders."""


def groups(events: Sequence[VenueEvent], size_max: int = GROUP_MAX) -> Iterator[Sequence[VenueEvent]]:
    """Split a long decision into commits, but never within the events of one order: a crash must not leave a partial answer."""
    begin = 0
    while len(events) - begin > size_max:
        end = begin + size_max
        while end < len(events) and route_of(events[end]) == route_of(events[end - 1]):
            end += 1
        yield events[begin:end]
        begin = end
    if begin < len(events):
        yield events[begin:]


def route_of(event: VenueEvent) -> str:
    match event:
        case RequestTaken():
            return event.request.route_id
        case StopTriggered() | QueueJoined() | PartShown() | OrderForgotten():
            return event.route_id
        case Reported():
            return event.report.route_id
        case QueueAdvanced() | QueueLowered() | TradingHalted() | TradingResumed() | EpochMet() | JournalAccepted() | ShardHeld():
            return ""
