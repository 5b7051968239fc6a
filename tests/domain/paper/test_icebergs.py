"""Icebergs at a paper venue: what they show, what they hide, and that each new part queues behind everything at its price."""

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market.quotes import Quote
from domain.order.commands import VenueRequest
from domain.paper.events import Cancel, Message, Reported, TradePrint, VenueEvent
from domain.values import ZERO, Side
from tests.domain.paper.scene import INSTRUMENT, check, new_venue, request, state
from tests.domain.paper.test_properties import COMMITS, DEEDS, LOTS, PRICES, REPLACES, RULES, quotes, requests


def test_a_resting_iceberg_shows_a_part_and_what_has_traded_is_shown_again() -> None:
    check(
        """quote 10x99 10x101
           A buy 5 @100 show 2
           > A accepted, A shows 2
           quote 10x99 1x100
           > A fill 1 @100 maker
           quote 10x99 1x100
           > A fill 1 @100 maker, A shows 2
           quote 10x99 10x100
           > A fill 2 @100 maker, A shows 1, A fill 1 @100 maker"""
    )


def test_a_new_part_joins_the_end_of_the_queue_at_its_price() -> None:
    check(
        """quote 10x99 10x101
           A buy 6 @100 show 2
           > A accepted, A shows 2
           B buy 3 @100
           > B accepted
           quote 10x99 4x100
           > A fill 2 @100 maker, A shows 2, B fill 2 @100 maker
           quote 10x99 4x100
           > B fill 1 @100 maker, A fill 2 @100 maker, A shows 2, A fill 1 @100 maker"""
    )


def test_one_large_trade_takes_part_after_part_in_the_order_of_the_queue() -> None:
    check(
        """quote 10x99 10x102
           A buy 5 @100 show 2
           > A accepted, A shows 2
           B buy 4 @100 show 3
           > B accepted, B shows 3
           C buy 1 @100
           > C accepted
           D buy 1 @101 show 0.1
           > D accepted, D shows 0.1
           quote 10x99 9.1x100
           > D fill 0.1 @101 maker, D shows 0.1, D fill 0.1 @101 maker, D shows 0.1, D fill 0.1 @101 maker, D shows 0.1, """
        """D fill 0.1 @101 maker, D shows 0.1, D fill 0.1 @101 maker, D shows 0.1, D fill 0.1 @101 maker, D shows 0.1, """
        """D fill 0.1 @101 maker, D shows 0.1, D fill 0.1 @101 maker, D shows 0.1, D fill 0.1 @101 maker, D shows 0.1, """
        """D fill 0.1 @101 maker, A fill 2 @100 maker, A shows 2, B fill 3 @100 maker, B shows 1, C fill 1 @100 maker, """
        """A fill 2 @100 maker, A shows 1, B fill 0.1 @100 maker"""
    )


def test_the_market_that_is_displayed_at_its_price_is_ahead_of_each_new_part() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99 show 2
           > A accepted, A shows 2, A behind 5
           quote 5x98.5 7x99
           > 5 before it, A fill 2 @99 maker, A shows 2
           quote 3x99 3x99.5
           > nothing
           quote 3x98.5 1x99
           > A fill 1 @99 maker""",
        new_venue(queue=True),
    )
    check(
        """quote 5x99 10x100
           A buy 4 @99 show 2
           > A accepted, A shows 2, A behind 5
           quote 3x99 7x99
           > 5 before it, A fill 2 @99 maker, A shows 2, A behind 8
           quote 3x99 2x99
           > 2 before it
           quote 3x98.5 3x99
           > 1 before it, A fill 2 @99 maker""",
        new_venue(queue=True),
    )


def test_a_trade_of_the_market_meets_others_before_it_meets_the_next_part() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99 show 2
           > A accepted, A shows 2, A behind 5
           print sell 6 @99
           > 5 before it, A fill 1 @99 maker
           print sell 4 @99
           > A fill 1 @99 maker, A shows 2, A behind 10, 3 before it
           quote 1x99 10x100
           > behind 9 at most @99
           print sell 3 @99
           > 1 before it, A fill 2 @99 maker""",
        new_venue(estimated=True),
    )


def test_an_order_that_a_quote_fills_leaves_no_size_ahead_of_the_next_part() -> None:
    check(
        """quote 5x98 10x100
           A buy 6 @99 show 2
           > A accepted, A shows 2
           quote 5x99 10x100
           > nothing
           B buy 1 @99
           > B accepted, B behind 5
           quote 5x98 3x99
           > A fill 2 @99 maker, A shows 2, A behind 5, B fill 1 @99 maker, behind 0 at most @99
           print sell 1 @99
           > A fill 1 @99 maker""",
        new_venue(estimated=True),
    )


def test_a_trade_of_the_market_through_its_price_meets_part_after_part() -> None:
    check(
        """quote 5x99 10x100
           A buy 5 @99 show 2
           > A accepted, A shows 2, A behind 5
           B buy 1 @99
           > B accepted, B behind 5
           print sell 4 @98.5
           > behind 0 at most @99, A fill 2 @99 maker, A shows 2, B fill 1 @99 maker, A fill 1 @99 maker""",
        new_venue(estimated=True),
    )


def test_as_a_taker_it_trades_as_any_order_and_hides_only_what_rests() -> None:
    check(
        """quote 10x99 6x100
           A buy 9 @100 show 2
           > A accepted, A fill 6 @100 taker, A shows 2
           quote 10x99 10x99.5
           > A fill 2 @100 maker, A shows 1, A fill 1 @100 maker"""
    )


def test_a_replace_that_keeps_its_place_shows_no_new_part_and_any_other_does() -> None:
    check(
        """quote 10x99 10x102
           A buy 6 @100 show 2
           > A accepted, A shows 2
           B buy 1 @100
           > B accepted
           replace A 5 @100
           > A replaced 5 @100
           quote 10x99 1x100
           > A fill 1 @100 maker
           replace A 8 @100
           > A replaced 8 @100, A shows 2
           quote 10x99 1x100
           > B fill 1 @100 maker
           replace A 8 @101
           > A replaced 8 @101, A shows 2
           replace A 2 @101
           > A replaced 2 @101
           quote 10x99 10x101
           > A fill 1 @101 maker"""
    )


def test_a_quantity_that_is_no_larger_than_what_it_may_show_is_shown_whole() -> None:
    check(
        """quote 10x99 10x102
           A buy 2 @100 show 5
           > A accepted, A shows 2
           replace A 9 @100
           > A replaced 9 @100, A shows 5"""
    )


def test_a_trade_that_is_taken_back_is_hidden_again_and_one_that_reopens_the_order_shows_a_part() -> None:
    venue = check(
        """quote 10x99 10x102
           A buy 3 @100 show 2
           > A accepted, A shows 2
           quote 10x99 2x100
           > A fill 2 @100 maker, A shows 1
           bust V-1
           > A bust"""
    )
    assert (venue.orders["A"].leaves, venue.orders["A"].visible) == (Decimal(3), Decimal(1))
    check("quote 10x99 3x100\n> A fill 1 @100 maker, A shows 2, A fill 2 @100 maker\nbust V-2\n> A bust", venue)
    assert (venue.orders["A"].leaves, venue.orders["A"].visible) == (Decimal(1), Decimal(1))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("A buy 5 show 2", "display_quantity_not_allowed"),
        ("A buy 5 @100 stop 101 show 2", "display_quantity_not_allowed"),
        ("A buy 5 @100 ioc show 2", "display_quantity_not_allowed"),
        ("A buy 5 @100 show 0", "display_quantity_not_positive"),
        ("A buy 5 @100 show 0.05", "display_quantity_off_lot"),
        ("A buy 500 @100 show 0.1", "display_quantity_too_small"),
    ],
)
def test_what_cannot_be_shown_in_parts_is_rejected_by_name(line: str, reason: str) -> None:
    check(f"quote 10x99 10x102\n{line}\n> A rejected {reason}")


# What holds whatever happens


@st.composite
def icebergs(draw: st.DrawFn) -> VenueRequest:
    display = draw(st.integers(1, 9).map(lambda lots: lots * INSTRUMENT.lot))
    return request(draw(st.sampled_from("ABCDEF")), draw(st.sampled_from(Side)), draw(LOTS), price=draw(PRICES), display_quantity=display)


PRINTS = st.builds(TradePrint, st.just("X"), st.sampled_from(Side), PRICES, LOTS)
ANYTHING = st.lists(
    st.one_of(quotes(), quotes(), icebergs(), icebergs(), requests(), requests().map(Cancel), REPLACES, DEEDS, PRINTS), max_size=50
)


@given(ANYTHING, st.sampled_from([*RULES, {"estimated": True}]))
def test_no_more_is_ever_shown_than_may_be_and_a_replay_shows_the_same(messages: list[Message], rules: dict[str, object]) -> None:
    venue, events = new_venue(**rules), list[VenueEvent]()
    for now, message in enumerate(messages):
        events += venue.take(message, now)
        for order in venue.open.values():
            display = order.request.display_quantity
            if display is not None:
                assert ZERO < order.visible <= min(display, order.leaves) or order.leaves <= ZERO
    again = new_venue(**rules)
    for event in COMMITS.decode(COMMITS.encode(0, 1, tuple(events))).events if events else ():
        again.evolve(event)
    assert state(again) == state(venue)


class Obvious:
    """Icebergs at one price, as a list of parts: the first part trades first, and the next one of its order goes to the end."""

    def __init__(self, orders: list[tuple[str, int, int]]) -> None:
        self.hidden = {name: quantity - min(quantity, display) for name, quantity, display in orders}
        self.display = {name: display for name, _, display in orders}
        self.queue = [(name, min(quantity, display)) for name, quantity, display in orders]

    def trade(self, size: int) -> list[tuple[str, int]]:
        trades = []
        while size and self.queue:
            name, part = self.queue.pop(0)
            taken = min(part, size)
            size -= taken
            trades.append((name, taken))
            if taken < part:
                self.queue.insert(0, (name, part - taken))
            elif next_part := min(self.hidden[name], self.display[name]):
                self.hidden[name] -= next_part
                self.queue.append((name, next_part))
        return trades


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 5)), min_size=1, max_size=4), st.lists(st.integers(1, 9), max_size=8))
def test_parts_trade_in_the_order_of_an_obvious_queue(sizes: list[tuple[int, int]], trades: list[int]) -> None:
    orders = [(name, quantity, display) for name, (quantity, display) in zip("ABCD", sizes, strict=False)]
    venue, model = new_venue(), Obvious(orders)
    for name, quantity, display in orders:
        venue.take(request(name, Side.BUY, Decimal(quantity), price=Decimal(100), display_quantity=Decimal(display)), 0)
    for size in trades:
        quote = Quote(symbol="X", venue="V", bid=Decimal(99), bid_size=Decimal(1), ask=Decimal(100), ask_size=Decimal(size), at=0)
        fills = [event.report for event in venue.take(quote, 0) if isinstance(event, Reported)]
        assert [(fill.route_id, fill.quantity) for fill in fills] == [(name, Decimal(part)) for name, part in model.trade(size)]
    shown = defaultdict(lambda: ZERO, {name: Decimal(part) for name, part in model.queue})
    assert {name: order.visible for name, order in venue.orders.items()} == {name: shown[name] for name, _, _ in orders}
