"""The checker's rule for orders for an opening or closing: released in time, routed only then, and not stuck while they wait."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from domain.audit import checker
from domain.order import events as e
from domain.order.auction import Auction
from domain.order.commands import OrderCommand, ReleaseHeld
from domain.order.decider import decide
from domain.order.order import Order, evolve
from domain.values import TimeInForce
from tests import given
from tests.given import NOW, ORDER_ID, SECOND
from tests.simulation.test_checker import audited, changed, names

SESSION = Auction("PAPER_A", NOW + 10 * SECOND, NOW + 60 * SECOND)


def waited() -> list[e.OrderEvent]:
    """An order for the opening, released and routed when it has come."""
    terms = msgspec.structs.replace(given.terms(), time_in_force=TimeInForce.OPG, auction=SESSION)
    commands: list[tuple[int, OrderCommand]] = [
        (0, given.submit(terms)),
        (10, ReleaseHeld(order_id=ORDER_ID)),
        (11, given.route(("R1", "PAPER_A", "10"))),
        (12, given.report("accepted", report_seq=1, venue_order_id="V1")),
    ]
    order: Order | None = None
    events: list[e.OrderEvent] = []
    for second, command in commands:
        for event in decide(order, command, NOW + second * SECOND):
            order = evolve(order, event)
            events.append(event)
    return events


def at(second: int, kind: type[e.Event]) -> Callable[[list[e.OrderEvent]], list[e.OrderEvent]]:
    return lambda events: changed(events, kind, at=NOW + second * SECOND)


BROKEN: dict[str, Callable[[list[e.OrderEvent]], list[e.OrderEvent]]] = {
    "released before the opening": at(9, e.OrderReleased),
    "released after the session": at(60, e.OrderReleased),
    "routed before the opening": at(9, e.OrderRouted),
    "routed after the session": at(60, e.OrderRouted),
    "routed without a release": lambda events: [event for event in events if type(event) is not e.OrderReleased],
    "released twice": lambda events: [*events[:4], events[3], *events[4:]],
    "an order without a session": lambda events: changed(events, e.OrderSubmitted, auction=None),
    "a session without such a time in force": lambda events: changed(events, e.OrderSubmitted, time_in_force=TimeInForce.GTC),
}


def test_an_order_that_waits_for_its_opening_breaks_nothing() -> None:
    assert audited(waited()).violations == []


@pytest.mark.parametrize("what", BROKEN)
def test_an_order_that_does_not_wait_is_found(what: str) -> None:
    found: Any = names(audited(BROKEN[what](waited())).violations)
    assert found == {"auction_time"}


def test_an_order_that_waits_is_not_stuck_and_one_that_was_released_is() -> None:
    assert not names(checker.check_settled(audited(waited()[:3]), ()))
    assert names(checker.check_settled(audited(waited()[:4]), ())) == {"liveness"}
