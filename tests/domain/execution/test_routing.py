"""Where an order goes, as a table: the venues with their quotes and fees, the side, and who wins under which policy."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from domain.execution.routing import WELL, NoRoute, RoutedVenue, Routing, VenueStatus, route
from domain.market.quotes import Quote
from domain.order.events import Leg, OrderSubmitted
from domain.order.lifecycle import State
from domain.values import OrderType, Side
from tests.given import NOW, SYMBOL


def order(side: str = "buy", symbol: str = SYMBOL, quantity: str = "10") -> OrderSubmitted:
    return OrderSubmitted(
        order_id="o",
        at=NOW,
        status=State.NEW,
        account="alice",
        client_order_id="a",
        symbol=symbol,
        side=Side(side),
        order_type=OrderType.MARKET,
        quantity=Decimal(quantity),
    )


def venue(name: str, taker_bps: str, *, symbols: tuple[str, ...] = (SYMBOL,)) -> RoutedVenue:
    return RoutedVenue(name, Decimal(1), Decimal(taker_bps), frozenset(symbols))


def quote(name: str, bid: str, ask: str, bid_size: str = "5", ask_size: str = "5") -> Quote:
    return Quote(
        symbol=SYMBOL, venue=name, bid=Decimal(bid), bid_size=Decimal(bid_size), ask=Decimal(ask), ask_size=Decimal(ask_size), at=NOW
    )


def read(text: str) -> tuple[list[RoutedVenue], list[Quote]]:
    """`A 10bps 99x5 101x7; B 5bps -`: name, taker fee, bid and ask with their sizes, or no quote."""
    venues, quotes = [], []
    for line in text.split(";"):
        name, fee, *touches = line.split()
        venues.append(venue(name, fee.removesuffix("bps")))
        if touches != ["-"]:
            (bid, bid_size), (ask, ask_size) = (touch.split("x") for touch in touches)
            quotes.append(quote(name, bid, ask, bid_size, ask_size))
    return venues, quotes


def won(text: str, side: str, policy: str) -> str:
    venues, quotes = read(text)
    routing = route(order(side), venues, quotes, policy)
    assert isinstance(routing, Routing)
    assert [(leg.route_id, leg.quantity) for leg in routing.legs] == [("o-1", Decimal(10))]
    assert routing.policy == policy
    assert [seen.venue for seen in routing.candidates] == [v.name for v in venues], "all that were compared are told"
    return routing.legs[0].venue


@pytest.mark.parametrize(
    ("market", "side", "lowest_cost", "best_price"),
    [
        ("A 10bps 99x5 100x5;  B 10bps 98x5 101x5", "buy", "A", "A"),
        ("A 10bps 99x5 100x5;  B 10bps 98x5 101x5", "sell", "A", "A"),
        # the better price is dearer with its fee
        ("A 10bps 4999x5 5000x5;  B 1bps 4998x5 5001x5", "buy", "B", "A"),
        ("A 10bps 4999x5 5000x5;  B 1bps 4998x5 5001x5", "sell", "B", "A"),
        # a rebate counts
        ("A 0bps 4999x5 5000x5;  B -3bps 4998x5 5001x5", "buy", "B", "A"),
        # the fee of a price a little worse does not make up for it
        ("A 10bps 4900x5 5000x5;  B 9bps 4900x5 5001x5", "buy", "A", "A"),
        # one price: the fee decides, then the size on the side that is met, then the name
        ("A 10bps 99x5 100x5;  B 5bps 99x5 100x5", "buy", "B", "B"),
        ("A 5bps 99x5 100x5;  B 5bps 99x4 100x6", "buy", "B", "B"),
        ("A 5bps 99x5 100x5;  B 5bps 99x4 100x6", "sell", "A", "A"),
        ("B 5bps 99x5 100x5;  A 5bps 99x5 100x5", "buy", "A", "A"),
        # who shows nothing is the last
        ("A 0bps -;  B 10bps 98x5 101x5", "buy", "B", "B"),
        # no venue shows anything: the cheapest, then the name
        ("A 10bps -;  B 5bps -", "buy", "B", "B"),
        ("B 5bps -;  A 5bps -", "sell", "A", "A"),
    ],
)
def test_the_lowest_cost_or_the_best_price_wins(market: str, side: str, lowest_cost: str, best_price: str) -> None:
    assert (won(market, side, "lowest_cost"), won(market, side, "best_price")) == (lowest_cost, best_price)


def test_the_record_says_what_was_compared() -> None:
    venues, quotes = read("A 10bps 4999x5 5000x7;  B 1bps -")
    routing = route(order("buy"), venues, quotes, "lowest_cost")
    assert isinstance(routing, Routing)
    a, b = routing.candidates
    assert (a.bid, a.ask, a.size, a.cost, a.note) == (Decimal(4999), Decimal(5000), Decimal(7), Decimal(5005), None)
    assert (b.bid, b.cost, b.note) == (None, None, "no fresh quote")
    selling = route(order("sell"), venues, quotes, "lowest_cost")
    assert isinstance(selling, Routing)
    assert (selling.candidates[0].size, selling.candidates[0].cost) == (Decimal(5), Decimal("4994.001"))


def test_a_venue_that_does_not_list_the_symbol_is_not_asked() -> None:
    venues = [venue("A", "1", symbols=("ETHUSDT",)), venue("B", "10")]
    routing = route(order(), venues, [quote("A", "99", "100"), quote("B", "98", "101")], "lowest_cost")
    assert isinstance(routing, Routing)
    assert [seen.venue for seen in routing.candidates] == ["B"]
    assert route(order(symbol="SOLUSDT"), venues, [], "lowest_cost") == NoRoute("no_venue", "no venue lists SOLUSDT")


PRICES = st.decimals("0.01", "100000", places=2)
SIZES = st.decimals("0.001", "100", places=3)
FEES = st.decimals("-5", "50", places=1)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[RoutedVenue], list[Quote]]:
    names = draw(st.lists(st.sampled_from("ABCDEF"), min_size=1, unique=True))
    venues = [venue(name, str(draw(FEES))) for name in names]
    quotes = []
    for name in names:
        if draw(st.booleans()):
            bid, ask = sorted((draw(PRICES), draw(PRICES)))
            quotes.append(quote(name, str(bid), str(ask), str(draw(SIZES)), str(draw(SIZES))))
    return venues, quotes


@hypothesis_given(markets(), st.sampled_from(["buy", "sell"]), st.sampled_from(["best_price", "lowest_cost", "split"]), st.randoms())
def test_the_choice_does_not_depend_on_the_sequence_of_venues(
    market: tuple[list[RoutedVenue], list[Quote]], side: str, policy: str, random: object
) -> None:
    venues, quotes = market
    first = route(order(side), venues, quotes, policy)
    random.shuffle(venues)  # type: ignore[attr-defined]
    random.shuffle(quotes)  # type: ignore[attr-defined]
    again = route(order(side), venues, quotes, policy)
    assert isinstance(first, Routing)
    assert isinstance(again, Routing)
    assert first.legs == again.legs
    assert sum(leg.quantity for leg in first.legs) == Decimal(10)


@hypothesis_given(markets(), st.sampled_from(["buy", "sell"]))
def test_no_quoted_venue_is_cheaper_than_the_winner(market: tuple[list[RoutedVenue], list[Quote]], side: str) -> None:
    venues, quotes = market
    routing = route(order(side), venues, quotes, "lowest_cost")
    assert isinstance(routing, Routing)
    costs = {seen.venue: seen.cost for seen in routing.candidates if seen.cost is not None}
    if costs:
        best = min(costs.values()) if side == "buy" else max(costs.values())
        assert costs[routing.legs[0].venue] == best


# Icebergs


def hidden(quantity: str = "10", display: str = "2") -> OrderSubmitted:
    return msgspec.structs.replace(
        order(quantity=quantity), order_type=OrderType.LIMIT, price=Decimal(101), display_quantity=Decimal(display)
    )


def test_an_iceberg_goes_to_a_venue_that_supports_icebergs_and_the_record_says_how_much_it_shows() -> None:
    venues, quotes = read("A 1bps 99x5 100x5; B 90bps 99x5 100x5")
    venues[1] = msgspec.structs.replace(venues[1], icebergs=True)
    found = route(hidden(), venues, quotes, "lowest_cost")
    assert isinstance(found, Routing)
    assert found.legs == (Leg("o-1", "B", Decimal(10), Decimal(2)),)
    assert [seen.note for seen in found.candidates] == ["no icebergs", None]


@pytest.mark.parametrize("standing", [WELL, VenueStatus(closed="throttled", waits=True), VenueStatus(closed="backed off")])
def test_without_such_a_venue_there_is_no_route_and_no_reason_to_wait(standing: VenueStatus) -> None:
    found = route(hidden(), *read("A 1bps 99x5 100x5; B 90bps 99x5 100x5"), "lowest_cost", standings={"A": standing, "B": standing})
    assert isinstance(found, NoRoute)
    assert (found.reason, found.detail) == ("no_venue", "A: no icebergs, B: no icebergs")
    assert (found.waits, found.away) == (False, False)


def test_an_iceberg_is_not_split_because_each_venue_would_show_its_display_quantity() -> None:
    venues, quotes = read("A 1bps 99x5 100x5; B 2bps 99x5 100x5")
    venues = [msgspec.structs.replace(each, icebergs=True) for each in venues]
    whole = msgspec.structs.replace(hidden(), display_quantity=None)
    for asked, shown in ((hidden(), ["A"]), (whole, ["A", "B"])):
        found = route(asked, venues, quotes, "split")
        assert isinstance(found, Routing)
        assert [leg.venue for leg in found.legs] == shown
