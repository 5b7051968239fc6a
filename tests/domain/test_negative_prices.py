"""Instruments whose price may be zero or negative: every reader, every decision, every sum; and nothing changes for the others."""

from decimal import Decimal

import msgspec
import pytest

from domain.execution.routing import RoutedVenue, Routing, route
from domain.instruments import Denial, Instrument, negative_prices, terms_denial
from domain.market.close_file import BadCloses, read_closes
from domain.market.quotes import PRICE, Listed, Market, Quote, unsound
from domain.market.recorded import BadQuotes, read_quotes
from domain.market.simulated import SimulatedMarket, shaped
from domain.order import commands as c
from domain.order import events as e
from domain.order.commands import ReportKind, VenueReport
from domain.order.decider import decide, evolve
from domain.order.lifecycle import State
from domain.order.order import Asked, Order, evolved
from domain.order.replace import weighs_more
from domain.paper.book import Display, PaperTrade
from domain.paper.events import Reported
from domain.paper.rules import PaperRules
from domain.paper.venue import PaperVenue
from domain.values import OrderType, Side, average, plain, signed_exact
from tests import given
from tests.domain.paper import scene

D = Decimal
CL = Instrument(symbol="CL", tick=D("0.01"), lot=D(1), quantity_max=D(1000), notional_min=D(5), currency="USD", negative_prices=True)
PLAIN = msgspec.structs.replace(CL, symbol="PLAIN", negative_prices=False)
BOTH = {"CL": CL, "PLAIN": PLAIN}
SIGNED = frozenset({given.SYMBOL})


@pytest.mark.parametrize(("text", "means"), [("-37.63", "-37.63"), ("37.63", "37.63"), ("-1e-2", "-0.01"), ("-0", "0"), ("-0.00", "0")])
def test_a_signed_number_is_read_exactly(text: str, means: str) -> None:
    found = signed_exact(text)
    assert found is not None
    assert (plain(found), found.is_signed()) == (means, means.startswith("-"))


@pytest.mark.parametrize("text", ["--1", "-", "- 1", "-+1", "-NaN", "-Infinity", "-1e18", "-01", "-.5", "-" + "9" * 19, "1-"])
def test_what_is_no_number_stays_none(text: str) -> None:
    assert signed_exact(text) is None


# price or stop > code found limit, of one unit
TERMS = """
limit -37.63   > -
limit -0.01    > notional_too_small 0.01 5 USD
limit 0        > -
limit 4.99     > notional_too_small 4.99 5 USD
limit -5       > -
limit -37.635  > price_off_tick -37.635 0.01
stop  -37.63   > -
stop  0        > -
stop  -37.635  > stop_price_off_tick -37.635 0.01
"""


@pytest.mark.parametrize("line", TERMS.strip().splitlines(), ids=lambda line: " ".join(line.split()))
def test_terms_below_zero_keep_their_steps_and_their_least_notional(line: str) -> None:
    asked, answer = line.split(">")
    kind, price = asked.split()
    prices = (D(price), None) if kind == "limit" else (None, D(price))
    code, *numbers = answer.split()
    assert terms_denial(CL, OrderType(kind), D(1), *prices) == (None if code == "-" else Denial(code, *numbers))
    refused = terms_denial(PLAIN, OrderType(kind), D(1), *prices)
    if D(price) <= 0:
        name = "price" if kind == "limit" else "stop_price"
        assert refused == Denial(f"{name}_not_positive", price, "0")


# The market


def quote(bid: str, ask: str, symbol: str = "CL", venue: str = "A", size: str = "10") -> Quote:
    return Quote(symbol=symbol, venue=venue, bid=D(bid), bid_size=D(size), ask=D(ask), ask_size=D(size), at=0)


def test_a_quote_at_zero_and_below_is_one_where_the_catalogue_says_so() -> None:
    listed = Listed(BOTH.keys(), {"A": {"CL", "PLAIN"}}, negative_prices(BOTH.values()))
    for bid, ask in (("-37.63", "-37.60"), ("-0.01", "0"), ("-0.01", "0.01"), ("0", "0")):
        assert listed(quote(bid, ask)) is None
        assert listed(quote(bid, ask, "PLAIN")) == PRICE
        assert unsound(quote(bid, ask)) == PRICE, "a reader that says nothing of the instrument refuses it"
    assert listed(quote("-37.60", "-37.63")) == "crossed"
    assert listed(quote("-1e-13", "1")) == "number"


def test_the_best_and_the_mid_follow_the_sign() -> None:
    market = Market()
    for one in (quote("-37.63", "-37.60", venue="A"), quote("-37.70", "-37.61", venue="B")):
        market.update(one, 1)
    assert (market.best("CL", Side.BUY), market.best("CL", Side.SELL)) == (D("-37.61"), D("-37.63"))
    assert market.mid("CL") == D("-37.62")


HEADER = "time,symbol,bid,bid_size,ask,ask_size"


def test_a_recorded_quote_below_zero_is_read_and_a_float_is_put_on_its_tick() -> None:
    rows = [HEADER, "2020-04-20T18:30:00Z,CL,-37.6300010681,5,-37.6,7", "2020-04-20T18:31:00Z,CL,-37.6299991,5,0,7"]
    first, second = read_quotes(rows, BOTH)
    assert isinstance(first, Quote)
    assert isinstance(second, Quote)
    assert (first.bid, first.ask) == (D("-37.63"), D("-37.6"))
    assert (second.bid, second.ask, second.ask_size) == (D("-37.63"), D(0), D(7))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("PLAIN,-37.63,5,-37.6,7", "bid -37.63 is not a positive whole number of ticks of 0.01"),
        ("CL,-37.635,5,-37.6,7", "bid -37.635 is not a whole number of ticks of 0.01"),
        ("PLAIN,0,5,1,7", "bid 0 is not a positive whole number of ticks of 0.01"),
    ],
)
def test_a_recorded_quote_that_cannot_be_is_refused_by_its_line(row: str, reason: str) -> None:
    with pytest.raises(BadQuotes, match=f"line 2: {reason}"):
        read_quotes([HEADER, f"2020-04-20T18:30:00Z,{row}"], BOTH)


def test_closes_at_zero_and_below_are_kept() -> None:
    def read(symbol: str, close: str) -> Decimal:
        (found,) = read_closes(["date,symbol,close", f"2020-04-20,{symbol},{close}"], BOTH, "test", 100_000)
        return found.price

    assert [read("CL", close) for close in ("-37.63", "0", "-0", "-37.6300010681152")] == [D("-37.63"), 0, 0, D("-37.630001068115")]
    for close in ("-37.63", "0"):
        with pytest.raises(BadCloses, match="is not a decimal number above zero"):
            read("PLAIN", close)
    with pytest.raises(BadCloses, match="is not a decimal number with at most"):
        read("CL", "NaN")


def test_the_levels_of_a_display_go_on_below_zero_where_prices_do() -> None:
    shown = quote("0.02", "0.03")
    assert [price for price, _ in Display.of(shown, D("0.01"), 4).left[Side.SELL]] == [D("0.02"), D("0.01")]
    deep = Display.of(shown, D("0.01"), 4, negative_prices=True)
    assert [price for price, _ in deep.left[Side.SELL]] == [D("0.02"), D("0.01"), D("0.00"), D("-0.01")]


def test_a_simulated_market_lives_around_a_price_below_zero() -> None:
    market = SimulatedMarket(CL, D(-40), D(50), D(10), 2, seed=1)
    quotes = [one for one, _ in zip(market.quotes(), range(500), strict=False)]
    assert all(D(-60) <= one.bid < one.ask <= D(-20) + CL.tick for one in quotes)
    assert all(D(-60) <= market.close(day) <= D(-20) for day in range(100))
    assert len({one.bid for one in quotes}) > 50
    assert shaped(quote("-37.63", "-37.60"), "B", CL, 2, D(1), 0).bid == D("-37.65")
    assert shaped(quote("0.01", "0.03", "PLAIN"), "B", PLAIN, 2, D(1), 0).bid == D("0.01")


# Where it goes, and what a venue makes of it


@pytest.mark.parametrize(
    ("side", "a", "b", "winner"),
    [
        ("buy", "-37.63 -37.60", "-37.70 -37.65", "B"),  # to be paid more for taking it
        ("sell", "-37.63 -37.60", "-37.70 -37.65", "A"),  # to pay less for getting rid of it
        ("buy", "-37.63 -37.60", "-37.63 -37.61", "A"),  # B's cent more is less than its fee: 5 bps more of 37.61 is 0.0188
        ("sell", "-37.63 -37.60", "-37.62 -37.60", "A"),
    ],
)
def test_the_lowest_cost_below_zero_has_the_fee_on_the_size_of_the_price(side: str, a: str, b: str, winner: str) -> None:
    venues = [RoutedVenue(name, D(0), D(bps), frozenset({"CL"})) for name, bps in (("A", "10"), ("B", "15"))]
    quotes = [quote(bid, ask, venue=name) for name, (bid, ask) in (("A", a.split()), ("B", b.split()))]
    asked = e.OrderSubmitted(
        order_id="o",
        at=0,
        status=State.NEW,
        account="alice",
        client_order_id="a",
        symbol="CL",
        side=Side(side),
        order_type=OrderType.MARKET,
        quantity=D(1),
    )
    found = route(asked, venues, quotes, "lowest_cost", instrument=CL)
    assert isinstance(found, Routing)
    assert found.legs[0].venue == winner
    first = found.candidates[0]
    assert first.cost == (D("-37.5624") if side == "buy" else D("-37.66763"))
    split = route(msgspec.structs.replace(asked, quantity=D(20)), venues, quotes, "split", instrument=CL)
    assert isinstance(split, Routing)
    assert {leg.quantity for leg in split.legs} == {D(10)}


def test_a_paper_venue_matches_below_zero_and_its_fee_is_positive() -> None:
    signed = msgspec.structs.replace(scene.INSTRUMENT, negative_prices=True)
    venue = PaperVenue("V", {"X": signed}, D(2), D(10), PaperRules(levels=2))
    scene.check(
        """quote 10x-37.5 10x-37
           > nothing
           A buy 3 @-37
           > A accepted, A fill 3 @-37 taker
           B buy 3 @-37.5
           > B accepted
           S sell 2 stop -40
           > S accepted
           C sell 12 @-38
           > C accepted, C fill 10 @-37.5 taker, C fill 2 @-38 taker
           Z buy 1 @0 post
           > Z rejected post_only
           quote 10x-38.5 10x-38
           > B fill 3 @-37.5 maker
           quote 10x-40.5 10x-40
           > S triggered, S fill 2 @-40.5 taker
           quote 10x-0.5 10x0.5
           > nothing
           D buy 20 @0
           > D accepted
           quote 10x-0.5 10x0
           > D fill 10 @0 maker""",
        venue,
    )
    fees = {order.request.route_id: [fee_of(venue, trade) for trade in order.trades] for order in venue.orders.values()}
    assert fees == {"A": [D("0.111")], "B": [D("0.0225")], "C": [D("0.375"), D("0.076")], "S": [D("0.081")], "Z": [], "D": [D(0)]}


def fee_of(venue: PaperVenue, trade: PaperTrade) -> Decimal:
    return trade.quantity * abs(trade.price) * venue.fee_rates[trade.liquidity]


def test_the_report_of_a_paper_venue_says_that_fee() -> None:
    signed = msgspec.structs.replace(scene.INSTRUMENT, negative_prices=True)
    venue = PaperVenue("V", {"X": signed}, D(2), D(10))
    venue.take(scene.message_of("quote 10x-37.5 10x-37"), 0)
    events = venue.take(scene.message_of("A buy 3 @-37"), 0)
    (fill,) = [event.report for event in events if isinstance(event, Reported) and event.report.report is ReportKind.FILL]
    assert (fill.price, fill.fee) == (D(-37), D("0.111"))
    plain_venue = scene.new_venue()
    assert "price_not_positive" in str(plain_venue.take(scene.message_of("A buy 3 @-37"), 0))


# What an order makes of a venue's word


def routed(price: str = "-37") -> Order:
    events: list[e.OrderEvent] = []
    order: Order | None = None
    for command in (
        given.submit(given.terms("10", price)),
        given.route(("R1", "PAPER_A", "10")),
        given.report("accepted", venue_order_id="V1"),
    ):
        for event in decide(order, command, given.NOW, SIGNED):
            events.append(event)
            order = evolve(order, event)
    found = evolved(events)
    assert found is not None
    return found


def what_follows(report: VenueReport, *, signed: bool) -> list[str]:
    facts = decide(routed("37"), report, given.NOW, SIGNED if signed else frozenset())
    return [fact.reason if isinstance(fact, e.ReportQuarantined) else type(fact).__name__ for fact in facts]


BELOW_ZERO = [
    (given.fill("F1", "10", "-37.63", fee="0.37"), "OrderFilled"),
    (given.report("replaced", quantity="12", price="-38"), "OrderReplaced"),
    (given.report("replaced", quantity="12", price="0"), "OrderReplaced"),
    (given.report("replaced", quantity="12", stop_price="-1"), "OrderReplaced"),
]


@pytest.mark.parametrize(("report", "fact"), BELOW_ZERO)
def test_a_venues_word_at_a_price_below_zero_counts_only_where_it_may_be(report: VenueReport, fact: str) -> None:
    assert what_follows(report, signed=True) == [fact]
    assert what_follows(report, signed=False) == ["unreadable"]
    booked = decide(routed(), c.BookReport(order_id=given.ORDER_ID, report=report), given.NOW, SIGNED)
    assert type(booked[0]).__name__ == fact


def test_an_order_that_was_taken_below_zero_fills_there_also_when_its_symbol_is_gone() -> None:
    for price, fact in (("-37", "OrderFilled"), ("0", "OrderFilled"), ("37", "ReportQuarantined")):
        assert [type(found).__name__ for found in decide(routed(price), given.fill("F1", "10", "-37.63"), given.NOW)] == [fact]


def test_a_correction_and_one_that_came_before_its_trade_may_be_below_zero() -> None:
    correction = given.report("correction", exec_id="F2", ref_exec_id="F1", quantity="10", price="-40")
    fill = given.fill("F1", "10", "-37")
    for first, second in ((fill, correction), (correction, fill)):
        order = routed()
        for report in (first, second):
            for event in decide(order, report, given.NOW, SIGNED):
                order = evolve(order, event)
        assert (order.notional, order.average_price, order.status) == (D(-400), D(-40), State.FILLED)


def test_a_report_that_says_a_price_of_zero_is_not_one_that_says_none() -> None:
    (replaced,) = decide(routed(), given.report("replaced", quantity="12", price="0"), given.NOW, SIGNED)
    assert isinstance(replaced, e.OrderReplaced)
    assert replaced.price == 0
    (kept,) = decide(routed(), given.report("replaced", quantity="12"), given.NOW, SIGNED)
    assert isinstance(kept, e.OrderReplaced)
    assert kept.price == -37


def test_an_operator_settles_a_trade_below_zero() -> None:
    order = routed("37")
    for event in decide(order, c.DoubtRoute(order_id=order.order_id, route_id="R1", reason="silent", anyway=True), given.NOW, SIGNED):
        order = evolve(order, event)
    command = c.SettleOrder(order_id=order.order_id, outcome=c.Outcome.FILLED, who="ann", reason="asked", quantity=D(10), price=D("-37.63"))
    assert [type(fact).__name__ for fact in decide(order, command, given.NOW, SIGNED)] == ["DoubtSettled", "OrderFilled"]
    assert [type(fact).__name__ for fact in decide(order, command, given.NOW)] == ["DoubtSettled", "ReportQuarantined"]


@pytest.mark.parametrize(
    ("side", "old", "new", "asked"),
    [
        ("buy", "5", "4", False),
        ("buy", "5", "-4", False),
        ("buy", "5", "-6", True),
        ("buy", "-5", "-6", True),
        ("buy", "-5", "-4", True),
        ("sell", "-5", "-6", True),
    ],
)
def test_a_bid_that_falls_through_zero_weighs_more_when_it_is_worth_more(side: str, old: str, new: str, asked: bool) -> None:
    order = evolved(decide(None, given.submit(given.terms("10", old, side=side)), given.NOW))
    assert order is not None
    assert weighs_more(order, Asked(D(10), D(new), None)) is asked


def test_an_average_of_nothing_is_never_minus_zero() -> None:
    assert str(average(D(0), D(-5))).startswith("0")
    assert str(average(D("-0.00"), D(5))).startswith("0")
