"""An order larger than the touch: venues are compared by what their levels cost, and it is split level by level."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from domain.execution.routing import RoutedVenue, Routing, VenueStatus, route
from domain.execution.walk import walk
from domain.instruments import Instrument
from domain.market.depth import Depth
from domain.market.quotes import Quote
from domain.order.events import Candidate, OrderSubmitted
from domain.values import Side, TimeInForce
from tests.domain.execution.test_routing import order, venue
from tests.domain.execution.test_routing_split import limited
from tests.given import NOW, SYMBOL

D = Decimal
Levels = tuple[tuple[Decimal, Decimal], ...]
Books = dict[str, Levels]
INSTRUMENT = Instrument(symbol=SYMBOL, tick=D("0.01"), lot=D("0.1"), quantity_max=D(1000), notional_min=D(50), currency="USDT")


def quote_of(name: str, levels: Levels, side: Side, seq: int = 7) -> Quote:
    """The touch of these levels; the other side is far away."""
    (price, size), far = levels[0], (D(1), D(1_000_000))[side is Side.BUY]
    sides: dict[str, Any] = {"ask": price, "ask_size": size, "bid": D(1), "bid_size": D(9)}
    if side is Side.SELL:
        sides = {"bid": price, "bid_size": size, "ask": far + 1_000_000, "ask_size": D(9)}
    return Quote(symbol=SYMBOL, venue=name, at=NOW, seq=seq, **sides)


def depth_of(name: str, levels: Levels, side: Side, seq: int = 9) -> Depth:
    sides: dict[str, Any] = {"asks": levels, "bids": ()} if side is Side.BUY else {"bids": levels, "asks": ()}
    return Depth(symbol=SYMBOL, venue=name, at=NOW, seq=seq, **sides)


def read(text: str) -> tuple[list[RoutedVenue], Books]:
    """`A 10bps 100x5 101x7; B 5bps 100x1`: name, taker fee, and the levels that the order meets."""
    venues, books = [], Books()
    for line in text.split(";"):
        name, fee, *levels = line.split()
        venues.append(venue(name, fee.removesuffix("bps")))
        books[name] = tuple((D(price), D(size)) for price, size in (level.split("x") for level in levels))
    return venues, books


def routed(text: str, asked: OrderSubmitted, policy: str, *, shallow: str = "", **more: Any) -> Routing:
    """The decision on these books; the venues in `shallow` show their touch only."""
    venues, books = read(text)
    depths = {name: depth_of(name, levels, asked.side) for name, levels in books.items() if name not in shallow}
    quotes = [quote_of(name, levels, asked.side) for name, levels in books.items()]
    found = route(asked, venues, quotes, policy, depth_of=lambda quote: depths.get(quote.venue), **more)
    assert isinstance(found, Routing)
    assert sum(leg.quantity for leg in found.legs) == asked.quantity
    return found


def legs(found: Routing) -> str:
    return " ".join(f"{leg.venue}:{leg.quantity.normalize():f}" for leg in found.legs)


THIN_AND_DEEP = "A 0bps 100x1 110x50;  B 0bps 101x2 102x50"


@pytest.mark.parametrize(
    ("market", "asked", "wanted"),
    [
        # the better touch shows 1 of 10: behind it, it is dearer
        (THIN_AND_DEEP, order(), "B:10"),
        (THIN_AND_DEEP, order(quantity="1"), "A:1"),
        ("A 0bps 100x1 90x50;  B 0bps 99x2 98x50", order("sell"), "B:10"),
        # the fee of all levels counts, and so does poor health
        ("A 20bps 1000x5 1001x5;  B 0bps 1000x1 1002x9", order(), "B:10"),
        # a limit: no level behind it is met, and what is not shown rests at it
        (THIN_AND_DEEP, limited("101"), "A:10"),
        ("A 0bps 100x1 101x9;  B 0bps 100x9 101x1", limited("101"), "B:10"),
        # a limit that no touch reaches: as ever, the better touch
        (THIN_AND_DEEP, limited("99"), "A:10"),
        # a stop meets another market than this one
        (THIN_AND_DEEP, limited("120", stop_price=D(115)), "A:10"),
        # all or nothing goes to where all of it is cheapest
        (THIN_AND_DEEP, limited("120", time_in_force=TimeInForce.FOK), "B:10"),
        # what no level shows is valued at the last price shown
        ("A 0bps 100x1 104x1;  B 0bps 101x1 102x1", order(), "B:10"),
    ],
)
@pytest.mark.parametrize("policy", ["lowest_cost", "best_price"])
def test_venues_are_compared_by_what_their_levels_cost(market: str, asked: OrderSubmitted, wanted: str, policy: str) -> None:
    if policy == "best_price" and "20bps" in market:
        wanted = "A:10"  # it looks at the price alone
    assert legs(routed(market, asked, policy)) == wanted


@pytest.mark.parametrize(
    ("market", "asked", "wanted"),
    [
        # in turns: A's touch, B's, A's second, B's second
        ("A 0bps 100x2 102x2;  B 0bps 101x3 103x9", order(), "A:4 B:6"),
        ("A 0bps 100x2 98x2;  B 0bps 99x3 97x9", order("sell"), "A:4 B:6"),
        # the fee moves a level behind another
        ("A 100bps 100x2 102x8;  B 0bps 100.5x3 102.5x9", order(), "B:8 A:2"),
        # no further than the limit; what rests, rests where the cheapest level is
        ("A 0bps 100x2 102x2;  B 0bps 101x3 103x9", limited("101"), "A:7 B:3"),
        # in whole lots, counted over the levels of a venue
        ("A 0bps 100x1.05 101x1.05;  B 0bps 102x20", order(), "A:2.1 B:7.9"),
        # a part that B would refuse as too small (notional 50): the next level is A's own
        ("A 0bps 100x9 103x9;  B 0bps 101x0.2 102x0.2;  C 0bps 110x9", order(), "A:10"),
        # shown too little by all: the rest goes with the cheapest
        ("A 0bps 100x2 102x2;  B 0bps 101x3", order(), "A:7 B:3"),
        # whole where it must fill whole, and where it can
        ("A 0bps 100x2 102x2;  B 0bps 101x3 103x9", limited("120", time_in_force=TimeInForce.FOK), "B:10"),
    ],
)
def test_an_order_is_split_level_by_level(market: str, asked: OrderSubmitted, wanted: str) -> None:
    assert legs(routed(market, asked, "split", instrument=INSTRUMENT)) == wanted


def test_poor_health_is_a_cost_of_every_level() -> None:
    poor = {"B": VenueStatus(penalty_bps=D(1000))}
    assert legs(routed(THIN_AND_DEEP, order(), "lowest_cost", standings=poor)) == "A:10"


def test_the_record_has_the_levels_that_were_compared_and_the_number_of_their_book() -> None:
    found = routed("A 10bps 1000x4 1001x8 1002x9;  B 0bps 2000x1 2001x9;  C 0bps 3000x30", order(), "lowest_cost", shallow="B")
    a, b, c = found.candidates
    assert (a.quote_seq, a.depth_seq, a.levels) == (7, 9, ((D(1000), D(4)), (D(1001), D(8))))
    assert (a.ask, a.size, a.cost) == (D(1000), D(4), D("1001.6006")), "(4000 + 6006) / 10 with ten basis points"
    assert (b.depth_seq, b.levels, b.cost) == (None, (), D(2000)), "no depth: its touch counts for all"
    assert (c.depth_seq, c.levels, c.cost) == (None, (), D(3000)), "its touch shows enough"
    assert msgspec.json.decode(msgspec.json.encode(a), type=Candidate) == a


def test_an_average_is_rounded_to_twelve_places() -> None:
    found = routed("A 0bps 100x1 101x9", order(quantity="3"), "lowest_cost")
    assert found.candidates[0].cost == D("100.666666666667")


@pytest.mark.parametrize(
    ("depth", "used"),
    [
        (depth_of("A", ((D(100), D(1)), (D(150), D(9))), Side.BUY, seq=7), True),
        (depth_of("A", ((D(100), D(1)), (D(150), D(9))), Side.BUY, seq=6), False),
        (depth_of("A", ((D(101), D(1)), (D(150), D(9))), Side.BUY, seq=8), False),
        (depth_of("A", (), Side.BUY, seq=8), False),
        (None, False),
    ],
)
def test_only_the_book_of_the_quote_itself_is_used(depth: Depth | None, used: bool) -> None:
    """Not an older one, nor one with another touch."""
    quotes = [quote_of("A", ((D(100), D(1)),), Side.BUY), quote_of("B", ((D(120), D(20)),), Side.BUY)]
    found = route(order(), [venue("A", "0"), venue("B", "0")], quotes, "lowest_cost", depth_of=lambda _: depth)
    assert isinstance(found, Routing)
    assert (legs(found), bool(found.candidates[0].levels)) == (("B:10", True) if used else ("A:10", False))


def test_the_book_is_not_read_for_an_order_that_the_touch_can_fill() -> None:
    def never(_: Quote) -> Depth | None:
        raise AssertionError("the touch shows enough")

    quotes = [quote_of("A", ((D(100), D(10)),), Side.BUY)]
    assert isinstance(route(order(), [venue("A", "0")], quotes, "split", depth_of=never), Routing)


def test_prices_below_zero_cost_their_size_in_fees() -> None:
    met = walk(((D(-5), D(2)), (D(3), D(2))), Side.BUY, D(5), D(4))
    assert (met.money, met.gross) == (D(-10 + 6 + 4), D(10 + 6 + 4))


# Against an obvious model: the book of each venue as single units, each with its price and fee

LOTS = st.integers(1, 4)
STEPS = st.integers(1, 5)
FEES = st.integers(-5, 60)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[RoutedVenue], Books, OrderSubmitted]:
    """Up to three venues with whole sizes, and an order that the book of each of them could fill."""
    side, names = draw(st.sampled_from(Side)), draw(st.sampled_from(["A", "AB", "ABC"]))
    venues, books = [], Books()
    for name in names:
        venues.append(venue(name, str(draw(FEES))))
        price, levels = 1000 + draw(st.integers(-8, 8)), list[tuple[Decimal, Decimal]]()
        for size, step in draw(st.lists(st.tuples(LOTS, STEPS), min_size=1, max_size=5)):
            levels.append((D(price), D(size)))
            price += step if side is Side.BUY else -step
        books[name] = tuple(levels)
    most = min(int(sum(size for _, size in levels)) for levels in books.values())
    return venues, books, order(side.value, quantity=str(draw(st.integers(1, most))))


def units(seller: RoutedVenue, levels: Levels, side: Side) -> list[Decimal]:
    """What each unit of the venue costs with its fee, the first one first; what a seller gets counts as a cost below zero."""
    fee = seller.taker_bps / 10_000
    prices = [price for price, size in levels for _ in range(int(size))]
    return [price * (1 + fee) if side is Side.BUY else -price * (1 - fee) for price in prices]


def really_costs(venues: Iterable[RoutedVenue], books: Books, found: Routing, side: Side) -> Decimal:
    fees = {each.name: each for each in venues}
    return sum((sum(units(fees[leg.venue], books[leg.venue], side)[: int(leg.quantity)], D(0)) for leg in found.legs), D(0))


def decided(market: tuple[list[RoutedVenue], Books, OrderSubmitted], policy: str, *, one_size: bool = False) -> Routing:
    venues, books, asked = market
    quotes = [quote_of(name, levels, asked.side) for name, levels in books.items()]
    depths: Callable[[Quote], Depth] = lambda quote: depth_of(quote.venue, books[quote.venue], asked.side)  # noqa: E731
    found = route(asked, venues, quotes, policy, depth_of=None if one_size else depths)
    assert isinstance(found, Routing)
    return found


@hypothesis_given(markets())
def test_a_split_costs_what_the_cheapest_units_of_all_venues_cost(market: tuple[list[RoutedVenue], Books, OrderSubmitted]) -> None:
    venues, books, asked = market
    all_units = sorted(unit for each in venues for unit in units(each, books[each.name], asked.side))
    assert really_costs(venues, books, decided(market, "split"), asked.side) == sum(all_units[: int(asked.quantity)])


@hypothesis_given(markets())
def test_a_whole_order_goes_where_its_units_are_cheapest(market: tuple[list[RoutedVenue], Books, OrderSubmitted]) -> None:
    venues, books, asked = market
    cheapest = min(sum(units(each, books[each.name], asked.side)[: int(asked.quantity)]) for each in venues)
    assert really_costs(venues, books, decided(market, "lowest_cost"), asked.side) == cheapest


@hypothesis_given(markets(), st.sampled_from(["lowest_cost", "split"]))
def test_depth_never_costs_more_than_the_rule_of_one_size(market: tuple[list[RoutedVenue], Books, OrderSubmitted], policy: str) -> None:
    venues, books, asked = market
    by_depth, by_touch = decided(market, policy), decided(market, policy, one_size=True)
    assert really_costs(venues, books, by_depth, asked.side) <= really_costs(venues, books, by_touch, asked.side)


@hypothesis_given(markets(), st.sampled_from(["lowest_cost", "best_price", "split"]))
def test_the_record_alone_leads_to_the_same_choice(market: tuple[list[RoutedVenue], Books, OrderSubmitted], policy: str) -> None:
    """Best execution can be recomputed from the journal: the levels behind those recorded were not needed."""
    venues, books, asked = market
    found = decided(market, policy)
    recorded = {seen.venue: seen.levels or books[seen.venue][:1] for seen in found.candidates}
    again = decided((venues, recorded, asked), policy)
    assert (again.legs, again.candidates) == (found.legs, found.candidates)
