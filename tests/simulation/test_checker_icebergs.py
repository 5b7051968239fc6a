"""The checker sees a venue that shows, or trades at once, more of an iceberg than its client allows."""

from decimal import Decimal
from itertools import zip_longest

import msgspec
import pytest

from domain.audit.display_audit import check_displayed
from domain.order import events as e
from domain.paper.events import PartShown, Reported, RequestTaken, VenueEvent
from domain.values import Liquidity
from tests.given import NOW
from tests.simulation.test_checker import REPORTS, audited, life, names, venue_log


def iceberg(routed: str | None = "4") -> list[e.OrderEvent]:
    """The life of an order of 10 that may show 4, and whose route allows `routed`."""
    events: list[e.OrderEvent] = []
    for event in life():
        if isinstance(event, e.OrderSubmitted):
            event = msgspec.structs.replace(event, display_quantity=Decimal(4))
        if isinstance(event, e.OrderRouted) and routed is not None:
            event = msgspec.structs.replace(
                event, legs=tuple(msgspec.structs.replace(x, display_quantity=Decimal(routed)) for x in event.legs)
            )
        events.append(event)
    return events


def at_venue(*parts: str, request: str | None = "4") -> list[VenueEvent]:
    """An acceptance and trades of 4 and 6, and the part that the venue shows before each of the three."""
    taken, *_ = venue_log()
    assert isinstance(taken, RequestTaken)
    display = None if request is None else Decimal(request)
    log: list[VenueEvent] = [msgspec.structs.replace(taken, request=msgspec.structs.replace(taken.request, display_quantity=display))]
    for report, part in zip_longest(REPORTS, parts):
        log += [PartShown(at=NOW, route_id="R1", quantity=Decimal(part))] if part else []
        log += [Reported(report=msgspec.structs.replace(report, liquidity=Liquidity.MAKER))]
    return log


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (at_venue("", "4", "6"), ["shows 6 of it, and may show 4"]),
        (at_venue("", "4", "4"), ["traded 6 of it at once, and showed 4"]),
        (at_venue("", "4", "", request=None), ["may show None of it", "traded 6 of it at once, and showed 0"]),
        (at_venue("", "3", "4", request="5"), ["may show 5 of it", "traded 4 of it at once", "traded 6 of it at once"]),
    ],
)
def test_a_venue_shows_and_trades_no_more_of_an_iceberg_than_it_may(log: list[VenueEvent], found: list[str]) -> None:
    seen = list(check_displayed(audited(iceberg()), "PAPER_A", log))
    assert names(seen) == {"displayed"}
    assert len(seen) == len(found)
    for violation, words in zip(seen, found, strict=True):
        assert words in violation.what


def test_what_a_venue_does_as_it_should_is_no_finding() -> None:
    parts = at_venue("", "4", "4")[:4]  # accepted, shown, traded
    assert not list(check_displayed(audited(iceberg()), "PAPER_A", parts))
    assert not names(audited(iceberg()).violations)


@pytest.mark.parametrize("routed", ["5", None])
def test_a_route_records_how_much_the_client_allows(routed: str | None) -> None:
    assert names(audited(iceberg(routed)).violations) == {"displayed"}
