"""A paper venue that shows the book of a real market: orders walk its levels, and pay what routing expected."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.execution.routing import RoutedVenue, Routing, route
from domain.market.quotes import Quote
from domain.market.records import Level
from domain.market.simulated import shaped_depth
from domain.order.commands import ReportKind
from domain.order.events import OrderSubmitted
from domain.order.lifecycle import State
from domain.paper.events import DeepQuote, Reported
from domain.paper.venue import PaperVenue
from domain.values import ZERO, OrderType, Side
from tests.domain.market.test_depth import depth
from tests.domain.paper.scene import INSTRUMENT, MAKER_BPS, TAKER_BPS, check, new_venue, request


def test_a_taker_walks_the_levels_of_the_book_as_far_as_its_limit() -> None:
    check(
        """book 5x99 7x98.5 | 3x100 4x100.5 9x103
           A buy 10 @101
           > A accepted, A fill 3 @100 taker, A fill 4 @100.5 taker
           B sell 8
           > B accepted, B fill 5 @99 taker, B fill 3 @98.5 taker
           C buy 10 fok
           > C accepted, C cancelled fok
           D buy 9 fok
           > D accepted, D fill 9 @103 taker""",
        new_venue(levels=3),
    )


def test_only_what_the_market_brings_is_new() -> None:
    """A level that is shown as before has what is left of it; one that changed has its new size."""
    check(
        """book 5x99 | 3x100 4x100.5
           A buy 5 ioc
           > A accepted, A fill 3 @100 taker, A fill 2 @100.5 taker
           book 5x99 | 3x100 4x100.5 9x103
           B buy 5 @102 ioc
           > B accepted, B fill 2 @100.5 taker, B cancelled ioc
           book 5x99 | 3x100 4.5x100.5 9x103
           C buy 5 @102 ioc
           > C accepted, C fill 4.5 @100.5 taker, C cancelled ioc
           book 5x99 | 1x99.5
           book 5x99 | 3x100
           D buy 5 ioc
           > D accepted, D fill 3 @100 taker, D cancelled ioc"""
    )


def test_a_new_level_fills_orders_that_wait_and_those_that_rest_at_their_price() -> None:
    check(
        """book 5x99 | 3x100
           A buy 4
           > A accepted, A fill 3 @100 taker
           B buy 2 @101
           > B accepted
           book 5x99 | 3x100 4x100.5
           > A fill 1 @100.5 taker, B fill 2 @101 maker"""
    )


def test_a_quote_without_a_book_shows_its_touch_and_a_book_after_it_is_whole() -> None:
    check(
        """book 5x99 | 3x100 4x100.5
           A buy 3
           > A accepted, A fill 3 @100 taker
           quote 5x99 1x100
           B buy 2 ioc
           > B accepted, B fill 1 @100 taker, B cancelled ioc
           book 5x99 | 3x100 4x100.5
           C buy 9 ioc
           > C accepted, C fill 3 @100 taker, C fill 4 @100.5 taker, C cancelled ioc"""
    )


def test_an_order_rests_behind_the_size_that_the_book_shows_at_its_price() -> None:
    check(
        """book 5x99 7x98.5 | 3x100
           A buy 1 @98.5
           > A accepted, A behind 7
           book 1x97 | 8x98.5
           > 7 before it, A fill 1 @98.5 maker""",
        new_venue(queue=True),
    )


SIZES = st.integers(1, 30).map(lambda lots: lots * INSTRUMENT.lot)


@st.composite
def books(draw: st.DrawFn, side: Side) -> tuple[Level, ...]:
    price, levels = draw(st.integers(200, 210)) * INSTRUMENT.tick, list[Level]()
    for size, step in draw(st.lists(st.tuples(SIZES, st.integers(1, 4)), min_size=1, max_size=5)):
        levels.append((price, size))
        price += (step if side is Side.BUY else -step) * INSTRUMENT.tick
    return tuple(levels)


@given(st.data(), st.sampled_from(Side), SIZES, st.integers(0, 3), st.sampled_from(["0.5", "1", "2"]))
def test_what_routing_compares_is_what_the_venue_fills(data: st.DataObject, side: Side, quantity: Decimal, worse: int, scale: str) -> None:
    met = data.draw(books(side))
    of_market = replace(depth("1x1"), asks=met) if side is Side.BUY else replace(depth(asks="1x999"), bids=met)
    shown = shaped_depth(of_market, "V", INSTRUMENT, worse, Decimal(scale))
    (bid, bid_size), (ask, ask_size) = shown.bids[0], shown.asks[0]
    quote = Quote(symbol="X", venue="V", bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, at=0, seq=7)
    order = OrderSubmitted(
        order_id="o",
        at=0,
        status=State.NEW,
        account="a",
        client_order_id="c",
        symbol="X",
        side=side,
        order_type=OrderType.MARKET,
        quantity=quantity,
    )
    routed = route(order, [RoutedVenue("V", MAKER_BPS, TAKER_BPS, frozenset("X"))], [quote], "lowest_cost", depth_of=lambda _: shown)
    assert isinstance(routed, Routing)

    venue = new_venue()
    venue.take(DeepQuote(quote, shown), 0)
    filled, paid = _fills(venue, side, quantity)
    size, cost = sum((size for _, size in shown.levels(side)), ZERO), routed.candidates[0].cost
    assert filled == min(size, quantity)
    if size >= quantity:
        assert cost is not None
        assert abs(cost * quantity - paid) < Decimal("1e-9"), "the average is rounded to 12 places"


def _fills(venue: PaperVenue, side: Side, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """The quantity filled, and the money with fees: what a buyer pays, what a seller gets."""
    reports = [event.report for event in venue.take(request("A", side, quantity), 0) if isinstance(event, Reported)]
    fills = [report for report in reports if report.report is ReportKind.FILL]
    money = sum(((each.price or ZERO) * (each.quantity or ZERO) for each in fills), ZERO)
    fees = sum((each.fee or ZERO for each in fills), ZERO)
    return sum((each.quantity or ZERO for each in fills), ZERO), money + fees if side is Side.BUY else money - fees
