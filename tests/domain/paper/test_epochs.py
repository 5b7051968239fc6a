"""A paper venue and the epochs of exeqs: it takes nothing of an older one than it has met, also after a restart."""

import msgspec
import pytest

from domain.order.commands import VenueRequest
from domain.paper.events import Cancel, EpochMet, Meet, Message, Passed, Refuse, Replace, RequestTaken, VenueEvent
from domain.paper.venue import PaperVenue
from tests.domain.paper.scene import message_of, new_venue

AT = 1


def new(name: str, epoch: int, shard: int = 0) -> VenueRequest:
    request = message_of(f"{name} buy 3 @100")
    assert isinstance(request, VenueRequest)
    return msgspec.structs.replace(request, epoch=epoch, unit="unit-0" if epoch else "", shard=shard)


def met(*messages: Message) -> tuple[PaperVenue, list[VenueEvent]]:
    venue, events = new_venue(), list[VenueEvent]()
    for message in messages:
        events += venue.take(message, AT)
    return venue, events


def test_a_larger_epoch_is_journaled_before_what_it_asks_for_and_once() -> None:
    _, events = met(new("A", 5), new("B", 5), new("C", 9))
    assert [type(event) for event in events if isinstance(event, EpochMet | RequestTaken)] == [
        EpochMet,
        RequestTaken,
        RequestTaken,
        EpochMet,
        RequestTaken,
    ]


@pytest.mark.parametrize(
    ("message", "stale"),
    [
        (new("B", 8), True),
        (new("B", 0), True),
        (new("B", 9), False),
        (new("B", 10), False),
        (new("B", 8, shard=1), False),
        (Refuse(new("B", 8), "fault"), True),
        (Cancel(new("A", 8)), True),
        (Cancel(new("A", 9)), False),
        (Cancel(new("A", 0)), False),
        (Replace(new("A", 8)), True),
        (Meet(0, 8), True),
        (Passed(), False),
    ],
)
def test_what_an_older_exeq_asks_is_stale(message: Message, stale: bool) -> None:
    # SCALE 3: a cancel without an epoch is a comparison's (trade reconcile)
    venue, _ = met(new("A", 5), Meet(0, 9, "unit-1"))
    assert venue.is_stale(message) is stale


def test_the_epochs_are_the_journals() -> None:
    venue, events = met(new("A", 5), Meet(3, 7), new("B", 9))
    again = new_venue()
    for event in events:
        again.evolve(event)
    assert again.epochs == venue.epochs == {0: 9, 3: 7}


def test_without_epochs_everything_is_taken_as_before() -> None:
    venue, events = met(new("A", 0), new("B", 0))
    assert not venue.epochs
    assert not any(isinstance(event, EpochMet) for event in events)
