"""Crossed or locked across venues: a fact when it begins and one when it ends, never one a tick; both venues keep quoting."""

from decimal import Decimal

import msgspec

from domain.market.across_venues import HOLD_NS, OVER_NS, SECOND, AcrossVenues
from domain.market.quotes import Quote
from tests.contracts.ticks import quote

MS = 1_000_000


class Scene:
    """Two venues. A look each tenth of a second, as normalizer looks."""

    def __init__(self) -> None:
        self.across = AcrossVenues()
        self.now = 5 * SECOND
        self.quotes: dict[str, Quote] = {"ALPHA": quote("ALPHA", 1, "100", "101"), "BETA": quote("BETA", 1, "100", "101")}

    def shows(self, venue: str, bid: str, ask: str, *, bid_size: str = "1") -> None:
        self.quotes[venue] = msgspec.structs.replace(quote(venue, 1, bid, ask), bid_size=Decimal(bid_size))

    def looks(self, count: int) -> list[tuple[str, bool, str]]:
        found = []
        for _ in range(count):
            self.now += 100 * MS
            found += [(each.venue, each.begins, each.detail) for each in self.across.look(self.quotes.values(), self.now)]
        return found


def test_a_market_that_crosses_and_parts_is_two_facts_whatever_ticks_in_between() -> None:  # crossed across venues
    scene = Scene()
    assert scene.looks(3) == []
    scene.shows("BETA", "102", "103")
    begun = scene.looks(4)
    assert begun == [("BETA", True, "crossed: bid 102 of BETA, ask 101 of ALPHA")]
    for tick in range(50):
        scene.shows("BETA", f"102.{tick}", "103")
        assert scene.looks(1) == []
    assert scene.across.crossed == 1
    scene.shows("BETA", "100", "101")
    assert scene.looks(20) == [("BETA", False, "after 5400 ms")]
    assert (scene.looks(20), scene.across.crossed) == ([], 0)


def test_a_locked_market_is_a_fact_too() -> None:  # locked across venues
    scene = Scene()
    scene.shows("ALPHA", "101", "102")
    assert scene.looks(9) == [("ALPHA", True, "locked: bid 101 of ALPHA, ask 101 of BETA")]


def test_what_is_over_within_a_moment_is_no_fact_and_what_comes_back_within_a_second_is_the_same_one() -> None:
    scene = Scene()
    for _ in range(10):
        scene.shows("BETA", "102", "103")
        assert scene.looks(HOLD_NS // (100 * MS)) == []
        scene.shows("BETA", "100", "101")
        assert scene.looks(1) == []
    scene.shows("BETA", "102", "103")
    assert len(scene.looks(4)) == 1
    for _ in range(10):
        scene.shows("BETA", "100", "101")
        assert scene.looks(OVER_NS // (100 * MS)) == []
        scene.shows("BETA", "102", "103")
        assert scene.looks(2) == []


def test_a_venue_that_ends_and_a_side_without_size_cross_nothing() -> None:
    scene = Scene()
    scene.shows("BETA", "102", "103", bid_size="0")
    assert scene.looks(9) == []
    scene.shows("BETA", "102", "103")
    assert len(scene.looks(9)) == 1
    del scene.quotes["BETA"]
    assert [begins for _, begins, _ in scene.looks(20)] == [False]
