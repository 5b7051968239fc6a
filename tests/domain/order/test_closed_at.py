"""When an order closed: the time of the event that brought it into its closed state."""

import pytest

from domain.order.events import OrderEvent
from domain.order.order import Order, evolve
from tests import given
from tests.golden.scenes import Day


def ended(*lines: str) -> tuple[Order, list[OrderEvent]]:
    day, order, events = Day(), None, []
    for line in lines:
        for event in day.play(f"a {line}"):
            order = evolve(order, event)
            events.append(event)
    assert order is not None
    return order, events


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("submit buy 10 @50 denied order_size_limit",), "rejected"),
        (("submit buy 10 @50", "no_route no_venue"), "rejected"),
        (("submit buy 10 @50", "cancel"), "cancelled"),
        (("submit buy 10 @50", "route PAPER_A", "fill F1 4 @50", "fill F2 6 @50"), "filled"),
        (("submit buy 10 @50", "route PAPER_A", "ack V1", "expired R1 time"), "expired"),
        (("submit buy 10 @50", "route PAPER_A", "fill F1 4 @50", "replace 4 @50", "replaced 4 @50"), "filled"),
    ],
)
def test_it_is_the_time_of_the_closing_event(lines: tuple[str, ...], status: str) -> None:
    order, events = ended(*lines)
    assert (order.status, order.closed_at) == (status, events[-1].at)


def test_an_open_order_has_none() -> None:
    order, _ = ended("submit buy 10 @50", "route PAPER_A", "fill F1 4 @50")
    assert order.closed_at is None


def test_what_comes_after_the_end_and_changes_no_state_does_not_move_it() -> None:
    order, _ = ended("submit buy 10 @50", "route PAPER_A", "ack V1", "venue_cancelled R1 halted", "fill F1 4 @50")
    assert (order.status, order.closed_at, order.updated_at) == ("cancelled", given.NOW + 4 * given.SECOND, given.NOW + 5 * given.SECOND)


def test_a_late_trade_that_fills_a_cancelled_order_closes_it_again() -> None:
    order, events = ended("submit buy 10 @50", "route PAPER_A", "ack V1", "venue_cancelled R1 halted", "fill F1 10 @50")
    assert (order.status, order.closed_at) == ("filled", events[-1].at)


def test_a_bust_that_opens_the_order_again_takes_it_away() -> None:
    order, _ = ended("submit buy 10 @50", "route PAPER_A", "fill F1 10 @50", "bust F1")
    assert (order.closed, order.closed_at) == (False, None)
