"""One order over several venues, as a table; venues that may not take an order; a venue by name."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from domain.execution.routing import NoRoute, RoutedVenue, Routing, VenueStatus, route
from domain.instruments import Instrument
from domain.market.quotes import Quote
from domain.order.events import OrderSubmitted
from domain.values import ZERO, OrderType, TimeInForce
from tests.domain.execution.test_routing import markets, order, read
from tests.given import SYMBOL

INSTRUMENT = Instrument(
    symbol=SYMBOL, tick=Decimal("0.01"), lot=Decimal("0.1"), quantity_max=Decimal(1000), notional_min=Decimal(50), currency="USDT"
)


def limited(price: str, side: str = "buy", **changes: object) -> OrderSubmitted:
    return msgspec.structs.replace(order(side), order_type=OrderType.LIMIT, price=Decimal(price), **changes)


def legs(market: str, asked: OrderSubmitted, policy: str = "split", **more: object) -> str:
    """`A:6 B:4`"""
    venues, quotes = read(market)
    found = route(asked, venues, quotes, policy, instrument=INSTRUMENT, **more)  # type: ignore[arg-type]
    if isinstance(found, NoRoute):
        return f"{found.reason}{' waits' if found.waits else ''}: {found.detail}"
    assert sum(leg.quantity for leg in found.legs) == asked.quantity
    assert [leg.route_id for leg in found.legs] == [f"o-{n}" for n in range(1, len(found.legs) + 1)]
    return " ".join(f"{leg.venue}:{leg.quantity.normalize():f}" for leg in found.legs)


@pytest.mark.parametrize(
    ("market", "asked", "wanted"),
    [
        # the cheapest shows enough
        ("A 1bps 99x9 100x10;  B 1bps 99x9 101x10", order(), "A:10"),
        # it shows 6: the next takes the rest
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x10", order(), "A:6 B:4"),
        # neither shows enough: what no venue shows stays with the cheapest
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x3", order(), "A:7 B:3"),
        # a limit that the second venue does not meet
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x10", limited("100"), "A:10"),
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x10", limited("101"), "A:6 B:4"),
        # selling meets the bids
        ("A 1bps 99x6 100x9;  B 1bps 98x9 100x9", order("sell"), "A:6 B:4"),
        ("A 1bps 99x6 100x9;  B 1bps 98x9 100x9", limited("99", "sell"), "A:10"),
        # an order that would rest goes whole to the cheapest
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x10", limited("90"), "A:10"),
        # all or nothing is not split, nor is a stop
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x10", limited("101", time_in_force=TimeInForce.FOK), "A:10"),
        ("A 1bps 99x9 100x6;  B 1bps 99x9 101x10", limited("101", stop_price=Decimal(99)), "A:10"),
        # not less than a venue accepts (notional 50), and whole lots
        ("A 1bps 99x9 100x9.9;  B 1bps 99x9 101x0.4;  C 1bps 99x9 102x9", order(), "A:10"),
        ("A 1bps 99x9 100x6.05;  B 1bps 99x9 101x9", order(), "A:6 B:4"),
        # no venue shows anything
        ("A 2bps -;  B 1bps -", order(), "B:10"),
    ],
)
def test_an_order_is_split_where_that_fills_more_at_once(market: str, asked: OrderSubmitted, wanted: str) -> None:
    assert legs(market, asked) == wanted


MARKET = "A 1bps 99x9 100x10;  B 1bps 99x9 101x10"
WAITS, AWAY = VenueStatus(closed="throttled", waits=True), VenueStatus(closed="backed off")


@pytest.mark.parametrize(
    ("standings", "wanted"),
    [
        ({}, "A:10"),
        ({"A": AWAY}, "B:10"),
        ({"A": WAITS}, "B:10"),
        ({"A": WAITS, "B": WAITS}, "no_venue waits: A: throttled, B: throttled"),
        ({"A": AWAY, "B": WAITS}, "no_venue waits: A: backed off, B: throttled"),
        ({"A": AWAY, "B": AWAY}, "no_venue: A: backed off, B: backed off"),
        # ill health is a cost: half a percent does not make up for one percent of price, two percent does
        ({"A": VenueStatus(penalty_bps=Decimal(50))}, "A:10"),
        ({"A": VenueStatus(penalty_bps=Decimal(200))}, "B:10"),
    ],
)
@pytest.mark.parametrize("policy", ["lowest_cost", "split"])
def test_a_venue_that_may_not_take_it_is_passed_over_and_the_reason_is_given(
    standings: dict[str, VenueStatus], wanted: str, policy: str
) -> None:
    assert legs(MARKET, order(), policy, standings=standings) == wanted


def test_a_pinned_order_goes_where_it_is_pinned_or_nowhere() -> None:
    assert legs(MARKET, order(), "pinned", pin="B") == "B:10"
    assert legs(MARKET, order(), "pinned", pin="B", standings={"B": AWAY}) == "no_venue: A: not chosen, B: backed off"
    assert legs(MARKET, order(), "pinned", pin="C") == "no_venue: pinned to C, which does not list it"


def test_a_venue_that_refused_the_order_is_not_asked_again() -> None:
    venues, quotes = read(MARKET)
    found = route(order(), venues, quotes, "lowest_cost", tried=("A",))
    assert isinstance(found, Routing)
    assert [(leg.route_id, leg.venue) for leg in found.legs] == [("o-2", "B")]
    assert found.candidates[0].note == "tried before"
    nowhere = route(order(), venues, quotes, "lowest_cost", tried=("A", "B"))
    assert isinstance(nowhere, NoRoute)
    assert (nowhere.reason, nowhere.detail, nowhere.waits, nowhere.away) == ("no_venue", "A: tried before, B: tried before", False, False)
    assert [seen.note for seen in nowhere.candidates] == ["tried before", "tried before"]


@hypothesis_given(markets(), st.sampled_from(["buy", "sell"]), st.decimals("1", "99999", places=2))
def test_a_split_never_loses_a_lot_and_never_pays_more_than_the_limit(
    market: tuple[list[RoutedVenue], list[Quote]], side: str, price: Decimal
) -> None:
    venues, quotes = market
    asked = limited(str(price), side)
    found = route(asked, venues, quotes, "split", instrument=INSTRUMENT)
    assert isinstance(found, Routing)
    touches = {q.venue: q.touch(asked.side) for q in quotes}
    assert sum((leg.quantity for leg in found.legs), ZERO) == asked.quantity
    assert len({leg.venue for leg in found.legs}) == len(found.legs)
    for leg in found.legs[1:]:
        assert leg.quantity > 0
        assert leg.quantity % INSTRUMENT.lot == 0
        assert touches[leg.venue] <= price if side == "buy" else touches[leg.venue] >= price
