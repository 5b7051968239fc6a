"""The report on a parent, counted by hand for one day of it."""

from decimal import Decimal
from typing import Any

from domain.groups.algo_report import report
from domain.groups.schedule import SECOND, decide, due
from domain.order import algo_commands as ac
from domain.order.legs import Candidate
from tests.domain.groups.algo_scene import VENUE, AlgoScene
from tests.domain.groups.parents import ALGO_ID, START, submitted
from tests.domain.groups.test_schedule import inputs

D = Decimal


def quoted(bid: str, ask: str) -> Candidate:
    return Candidate(venue=VENUE, bid=D(bid), ask=D(ask), size=D(50))


class Day(AlgoScene):
    """Slices as exeq would ask for them."""

    def at(self, seconds: int) -> None:
        self.now = START + seconds * SECOND

    def slice(self, seconds: int, bid: str | None, ask: str = "", *, displayed: str = "50") -> None:
        self.at(seconds)
        due_at, n = due(self.parent, self.now), self.parent.slices + 1
        assert due_at is not None
        quote = None if bid is None else quoted(bid, ask)
        seen = inputs(self.now, quote=quote, displayed=D(displayed), cum_quantity=self.parent.cum_quantity)
        found = decide(self.parent, n, due_at, seen)
        self.perform(
            ac.SpawnChild(
                order_id=ALGO_ID,
                version=self.parent.version,
                n=n,
                due_at=due_at,
                inputs=seen,
                target=found.target,
                quantity=found.quantity,
                price=found.price,
                reason=found.reason,
            )
        )
        if found.quantity and not self.denies:
            self.route(n)


def a_day(**params: Any) -> Day:
    """A buy of 4: arrival at 100, mids of 101, 103 and 99 for 10, 20 and 10 s; 1 trades at 100, 0.5 at 102, and 2 at 98.5."""
    day = Day(submitted(4, 40, arrival=quoted("99.5", "100.5"), **params))
    day.slice(0, "100", "102")
    day.fill(1, "1", "100", "0.1")
    day.slice(10, "102", "104")
    day.fill(2, "0.5", "102", "0.05")
    day.at(15)
    day.doubt(2)
    day.at(18)
    day.report(2, "cancelled")
    day.slice(20, None)
    day.at(22)
    day.perform(ac.PauseAlgo(order_id=ALGO_ID, source="client", reason="lunch"))
    day.at(29)
    day.perform(ac.ResumeAlgo(order_id=ALGO_ID, source="client"))
    day.slice(30, "98.5", "99.5")
    day.fill(4, "2", "98.5", "0.2")
    day.at(40)
    day.perform(ac.EndAlgo(order_id=ALGO_ID))
    return day


def test_the_report_says_what_a_day_cost_against_arrival_and_the_mids_of_its_time() -> None:
    found = report(a_day().events)
    assert (found.quantity, found.cum_quantity, found.average_price) == (D(4), D("3.5"), D("99.428571428571"))
    assert found.to_arrival.benchmark == 100
    assert found.to_arrival.bps == D("-57.1429")
    assert found.to_arrival.money == D(-2)
    assert found.to_twap.benchmark == D("101.5")
    assert found.to_twap.bps == D("-204.0816")
    assert found.fees == D("0.35")


def test_the_report_counts_slices_children_shares_and_times() -> None:
    found = report(a_day().events)
    assert (found.slices, found.children, found.refusals, found.without_child) == (4, 3, 0, {"no_quote": 1})
    assert (found.paused_sec, found.in_doubt_sec) == (D(7), D(3))
    assert (found.maker_pct, found.taker_pct) == (D(100), D(0))
    assert found.participation_pct == D("2.6667"), "1, 1 and 2 of 50 each"
    assert (found.deviation_max, found.deviation_at) == (D("1.5"), START + 30 * SECOND), "1.5 were done where the curve was at 3"


def test_each_venue_has_its_share() -> None:
    (share,) = report(a_day().events).venues
    assert (share.venue, share.trades, share.quantity, share.fees, share.maker_pct) == (VENUE, 3, D("3.5"), D("0.35"), D(100))


def test_a_sell_that_gets_less_than_the_arrival_price_is_worse() -> None:
    day = Day(submitted(4, 40, side="sell", arrival=quoted("99.5", "100.5")))
    day.slice(0, "99", "100")
    day.fill(1, "1", "99")
    found = report(day.events)
    assert (found.to_arrival.bps, found.to_arrival.money) == (D(100), D(1))


def test_a_parent_that_has_not_traded_has_a_report_without_prices() -> None:
    found = report([submitted(4, 40)])
    assert (found.average_price, found.to_arrival.bps, found.maker_pct, found.participation_pct) == (None, None, None, None)
    assert (found.slices, found.deviation_max, found.venues) == (0, D(0), ())


def test_a_refused_child_is_counted() -> None:
    day = Day(submitted(4, 40))
    day.denies = "price_collar"
    day.slice(0, "100", "101")
    found = report(day.events)
    assert (found.refusals, found.children, found.cum_quantity) == (1, 1, D(0))


def test_a_trade_that_was_taken_back_is_not_counted() -> None:
    day = Day(submitted(4, 40))
    day.slice(0, "100", "101")
    day.fill(1, "0.4")
    assert report(day.events).cum_quantity == D("0.4")
    day.report(1, "bust", ref_exec_id="F2", exec_id="F2", quantity="0.4", price="100")
    assert report(day.events).cum_quantity == 0
