"""What holds at a paper venue whatever it receives."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.codec import CommitCodec
from domain.market.quotes import Quote
from domain.order.commands import VenueRequest
from domain.paper.events import (
    BustTrade,
    Cancel,
    CorrectTrade,
    ForcedFill,
    Forget,
    Halt,
    Message,
    Passed,
    Replace,
    Reported,
    UnsolicitedCancel,
    VenueEvent,
)
from domain.values import Side, TimeInForce
from tests.domain.paper.scene import INSTRUMENT, new_venue, request, state

LOTS = st.integers(1, 30).map(lambda lots: lots * INSTRUMENT.lot)
SIZES = st.integers(0, 60).map(lambda lots: lots * INSTRUMENT.lot)
PRICES = st.integers(190, 210).map(lambda ticks: ticks * INSTRUMENT.tick)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    bid, ask = sorted((draw(PRICES), draw(PRICES)))
    return Quote(symbol="X", venue="V", bid=bid, bid_size=draw(SIZES), ask=ask, ask_size=draw(SIZES), at=0)


@st.composite
def requests(draw: st.DrawFn) -> VenueRequest:
    return request(
        draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
        draw(st.sampled_from(Side)),
        draw(LOTS),
        price=draw(st.none() | PRICES),
        stop_price=draw(st.none() | PRICES),
        force=draw(st.sampled_from(TimeInForce)),
        expire_at=draw(st.none() | st.integers(0, 60)),
        shard=draw(st.integers(0, 1)),
    )


MESSAGES = st.lists(st.one_of(quotes(), quotes(), requests(), requests(), requests().map(Cancel), st.just(Passed())), max_size=60)
DEEDS = st.one_of(
    st.builds(Halt, st.just("X"), st.booleans()),
    st.builds(BustTrade, st.integers(1, 9).map(lambda n: f"V-{n}")),
    st.builds(CorrectTrade, st.integers(1, 9).map(lambda n: f"V-{n}"), LOTS, PRICES),
    st.builds(ForcedFill, st.sampled_from("ABCDEF"), LOTS, PRICES),
    st.builds(Forget, st.sampled_from("ABCDEF")),
    st.builds(UnsolicitedCancel, st.sampled_from("ABCDEF"), st.just("why")),
)
REPLACES = st.builds(
    lambda asked, name: Replace(msgspec.structs.replace(asked, replace_id=name)), requests(), st.sampled_from(["r1", "r2", "r3"])
)
EVERYTHING = st.lists(st.one_of(quotes(), quotes(), requests(), requests(), requests().map(Cancel), REPLACES, DEEDS), max_size=60)
RULES = [
    {},
    {"levels": 3, "queue": True},
    {"queue": True, "self_trade": "cancel_oldest"},
    {"levels": 2, "level_ticks": 2, "self_trade": "cancel_newest", "closed_max": 3},
]
COMMITS: CommitCodec[VenueEvent] = CommitCodec(VenueEvent)


@given(MESSAGES)
def test_no_order_and_no_display_gives_more_than_it_has(messages: list[Message]) -> None:
    venue, seqs, left = new_venue(), {0: 0, 1: 0}, {side: Decimal(0) for side in Side}
    filled: dict[str, Decimal] = {}
    for now, message in enumerate(messages):
        if isinstance(message, Quote):
            left = {Side.BUY: message.ask_size, Side.SELL: message.bid_size}
        for event in venue.take(message, now):
            if not isinstance(event, Reported):
                continue
            seqs[event.shard] += 1
            assert event.report.report_seq == seqs[event.shard]
            if quantity := event.report.quantity:
                assert quantity > 0
                left[event.report.side] -= quantity
                filled[event.report.route_id] = filled.get(event.report.route_id, Decimal(0)) + quantity
        assert all(size >= 0 for size in left.values())
    for name, order in venue.orders.items():
        assert filled.get(name, Decimal(0)) == order.cum_quantity <= order.request.quantity
        assert (order.number in venue.open) == (order.state == "working")


@given(MESSAGES)
def test_no_order_trades_beyond_its_limit(messages: list[Message]) -> None:
    venue = new_venue()
    for now, message in enumerate(messages):
        for event in venue.take(message, now):
            if isinstance(event, Reported) and (price := event.report.price):
                limit = venue.orders[event.report.route_id].request.price
                assert limit is None or (price <= limit if event.report.side is Side.BUY else price >= limit)


@given(MESSAGES)
def test_no_size_is_left_that_a_resting_order_could_have(messages: list[Message]) -> None:
    """After each message, an order that the touch has reached still works only because the display is used up."""
    venue = new_venue()
    for now, message in enumerate(messages):
        venue.take(message, now)
        display = venue.displays.get("X")
        for order in venue.open.values() if display else ():
            assert display is not None
            side, touch = order.request.side, display.quote.touch(order.request.side)
            price = order.request.price if not order.waits_for_stop else None
            reached = price is None or (touch <= price if side is Side.BUY else touch >= price)
            assert order.waits_for_stop or not reached or not display.size(side, price)


@pytest.mark.parametrize("rules", RULES, ids=str)
@given(messages=EVERYTHING)
def test_the_events_read_back_from_json_make_the_same_venue(rules: dict[str, object], messages: list[Message]) -> None:
    venue = new_venue(**rules)
    events = [event for now, message in enumerate(messages) for event in venue.take(message, now)]
    again = new_venue(**rules)
    for event in COMMITS.decode(COMMITS.encode(0, 1, events)).events:
        again.evolve(event)
    assert state(again) == state(venue)
