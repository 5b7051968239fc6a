"""exeq works parents: when it asks for slices, what ends a child, and that a killed exeq continues from the journal alone."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apps.exeq.algos import Algos
from domain.execution.projection import Executions
from domain.groups.schedule import SECOND
from domain.instruments import Instrument
from domain.market.quotes import Market, Quote
from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order.commands import CancelOrder, Outcome, SettleOrder
from domain.values import plain
from tests.apps.test_exeq_routing import Hands
from tests.domain.groups.algo_scene import VENUE, AlgoScene
from tests.domain.groups.parents import ALGO_ID, START, submitted

D = Decimal
BTC = Instrument(symbol="BTCUSDT", tick=D("0.5"), lot=D("0.1"), quantity_max=D(1000), notional_min=D(5), currency="USD")


class Desk(AlgoScene):
    """oms, exeq and one parent between them. `busy`: ids with a command under way. `killed`: a control forbids to trade."""

    def __init__(self, event: a.AlgoSubmitted) -> None:
        super().__init__(event)
        self.clock, self.market, self.busy, self.killed = Hands(), Market(), set[str](), False
        self.clock.now = START
        self.restart()

    def restart(self) -> None:
        """exeq is killed and starts again: it reads the journal from the beginning."""
        self.executions, self.read = Executions(), 0
        self.algos = Algos(
            self,  # type: ignore[arg-type]
            self.executions,
            self.market,
            {BTC.symbol: BTC},
            self.clock,
            10 * SECOND,
            lambda *_: "killed" if self.killed else None,
        )
        self.reads()

    def reads(self) -> None:
        for event in self.events[self.read :]:
            self.executions.apply(event)
        self.read = len(self.events)

    def asks(self, order_id: str) -> bool:
        return order_id in self.busy

    def at(self, seconds: float, *, quoted: bool = True, rests: bool = True) -> list[str]:
        """exeq looks `seconds` after the start, and oms does what it asks for. Return that in words. A new child comes to rest."""
        self.clock.now = self.now = START + int(seconds * SECOND)
        if quoted:
            quote = Quote(symbol=BTC.symbol, venue=VENUE, bid=D(100), bid_size=D(50), ask=D(101), ask_size=D(50), at=0)
            self.market.update(quote, self.clock.now)
        self.reads()
        words = []
        for command in self.algos.look(self.clock.now_ns()):
            words.append(word(command))
            refused = self.perform(command)
            if refused is not None:
                words[-1] += f" refused: {refused.code}"
            elif isinstance(command, ac.SpawnChild) and command.quantity and rests and not self.child(command.n).closed:
                self.route(command.n)
        self.reads()
        return words

    def stands(self) -> str:
        doubt = f" and {plain(self.parent.doubtful_quantity)} in doubt" if self.parent.doubtful_quantity else ""
        reason = f", {self.parent.reason}" if self.parent.reason else ""
        return f"{self.parent.state}: {plain(self.parent.cum_quantity)}{doubt}{reason}"

    def day(self, begins: float, ends: float, *, step: float = 0.5) -> list[str]:
        """exeq looks again and again; what it asks a venue to cancel is cancelled."""
        words, seconds = [], begins
        while seconds <= ends:
            words += self.at(seconds)
            for n in range(1, self.parent.slices + 1):
                if any(child.n == n and self.child(n).status == "pending_cancel" for child in self.parent.open_children):
                    self.report(n, "cancelled")
                    self.reads()
            seconds += step
        return words


def word(command: object) -> str:
    match command:
        case ac.SpawnChild(n=n, quantity=quantity, price=price, reason=reason):
            return f"{n}: {reason}" if reason else f"{n}: {plain(quantity)} @{'market' if price is None else plain(price)}"
        case ac.EndAlgo(reason=reason):
            return f"end {reason}"
        case CancelOrder(reason=reason):
            return f"cancel {reason}"
    return repr(command)


def twap(quantity: int = 10, seconds: int = 100, **params: Any) -> Desk:
    return Desk(submitted(quantity, seconds, **params))


def test_a_twap_trades_slice_after_slice_to_its_end() -> None:
    desk = twap(quantity=3, seconds=30)
    assert desk.at(0) == ["1: 1 @100"]
    assert desk.at(0.05) == []
    desk.fill(1, "1")
    assert desk.at(10) == ["2: 1 @100"]
    desk.fill(2, "1")
    assert desk.at(20) == ["3: 1 @100"]
    desk.fill(3, "1")
    assert desk.stands() == "done: 3, filled"
    assert desk.at(30) == []


def test_a_child_ends_with_its_life_and_the_next_slice_waits_for_the_answer() -> None:
    desk = twap(quantity=4, seconds=40, child_life_sec=D(4))
    assert desk.at(0) == ["1: 1 @100"]
    assert desk.at(3.9) == []
    assert desk.at(4) == ["cancel child_life_over"]
    assert desk.at(4.5) == [], "the venue has not answered yet"
    assert desk.at(10) == ["cancel child_life_over"], "no slice before the answer"
    desk.fill(1, "0.4")
    desk.report(1, "cancelled")
    assert desk.at(10.2) == ["2: 1.2 @100"], "0.6 were missed, and three slices are left"


def test_a_child_without_a_life_of_its_own_ends_when_the_next_slice_is_due() -> None:
    desk = twap(quantity=4, seconds=40, child_life_sec=D(60))
    assert desk.at(0) == ["1: 1 @100"]
    assert desk.at(10) == ["cancel child_life_over"]


def test_the_parent_ends_at_its_end_and_not_before_its_last_child() -> None:
    desk = twap(quantity=2, seconds=20)
    desk.day(0, 19.5)
    assert desk.at(20) == ["end expired"]
    assert desk.parent.state == "ending"
    desk.fill(2, "0.3")
    desk.report(2, "cancelled")
    assert desk.stands() == "expired: 0.3, expired"


@pytest.mark.parametrize("moment", ["before_slice", "after_append", "after_slice"])
def test_an_exeq_that_is_killed_at_any_point_of_a_slice_makes_one_child_of_it(moment: str) -> None:
    # GRP-5: before ask, after ask, after commit
    desk = twap()
    desk.at(0)
    desk.fill(1, "1")
    desk.reads()
    if moment != "before_slice":
        desk.clock.now = desk.now = START + 10 * SECOND
        (asked,) = desk.algos.look(desk.clock.now)
        desk.perform(asked)
        if moment == "after_append":
            desk.perform(asked)  # the one that was killed is not the only one to have asked
    desk.restart()
    assert desk.at(10) == (["2: 1 @100"] if moment == "before_slice" else [])
    assert [sliced.n for sliced in desk.events if isinstance(sliced, a.AlgoSliced)] == [1, 2]
    assert len(desk.children) == 2


def test_a_restored_exeq_looks_as_the_one_before_it_would() -> None:
    desk = twap(child_life_sec=D(3))
    desk.at(0)
    state = msgspec.json.decode(msgspec.json.encode(desk.executions.state()), type=type(desk.executions.state()))
    desk.restart()
    desk.executions.__init__()  # type: ignore[misc]
    desk.executions.restore(state)
    assert desk.executions.state() == state
    assert desk.at(3) == ["cancel child_life_over"]
    desk.report(1, "cancelled")
    desk.reads()
    assert desk.parent.open_children == desk.executions.parents.by_id[ALGO_ID].open_children == ()


@pytest.mark.parametrize(
    ("catch_up", "stands", "first"),
    [
        ("spread", "done: 12, filled", "4: 1.8 @100"),
        ("next", "done: 12, filled", "4: 2 @100"),
        ("none", "expired: 8, expired", "4: 1 @100"),
    ],
)
def test_an_exeq_that_is_away_for_a_third_of_the_horizon_catches_up_by_the_rule(catch_up: str, stands: str, first: str) -> None:
    # GRP-6
    desk = twap(quantity=12, seconds=120, catch_up=catch_up)
    for step in (0, 10, 20):
        desk.at(step)
        desk.fill(step // 10 + 1, "1")
    desk.restart()
    for n, step in enumerate((70, 80, 90, 100, 110), 4):
        (asked,) = desk.at(step)
        assert n != 4 or asked == first
        desk.fill(n, str(desk.child(n).quantity))
        desk.reads()
    desk.at(120)
    assert desk.stands() == stands


def test_quantity_that_a_venue_rejects_goes_back_to_what_is_left() -> None:
    # GRP-7: rejected by venue
    desk = twap(quantity=4, seconds=40)
    desk.at(0, rests=False)
    child = desk.child(1)
    desk.route(1)
    desk.report(1, "cancelled")
    desk.reads()
    assert child.cum_quantity == 0
    assert desk.at(10) == ["2: 1.3 @100"]


def test_a_parent_whose_children_risk_refuses_is_paused_after_five() -> None:
    # GRP-7: rejected by risk
    desk = twap()
    desk.denies = "price_collar"
    found = [word for step in range(0, 90, 10) for word in desk.at(step)]
    assert found == ["1: 1 @100", "2: 1.1 @100", "3: 1.2 @100", "4: 1.4 @100", "5: 1.6 @100"]
    assert desk.stands() == "paused: 0, refusals"
    assert desk.parent.alert
    desk.denies = ""
    desk.perform(ac.ResumeAlgo(order_id=ALGO_ID, source="client"))
    assert desk.at(90) == ["6: 2 @100"], "never more than twice the regular slice"


def test_without_quotes_a_slice_says_why_it_has_no_child() -> None:
    # GRP-7: no quotes
    desk = twap()
    assert desk.at(0, quoted=False) == ["1: no_quote"]
    assert desk.at(9, quoted=False) == []
    assert desk.at(10) == ["2: 1.1 @100"]


def test_a_control_stops_slices_and_not_the_end() -> None:
    desk = twap()
    desk.at(0)
    desk.killed = True
    assert desk.at(10) == []
    assert desk.at(100) == ["end expired"]


def test_a_child_in_doubt_keeps_its_quantity_and_its_parent_works_on_with_the_rest() -> None:
    # GRP-8
    desk = twap(quantity=4, seconds=40)
    desk.at(0)
    desk.doubt(1)
    assert desk.at(10) == ["2: 1 @100"]
    desk.fill(2, "1")
    desk.reads()
    assert desk.stands() == "working: 1 and 1 in doubt"
    assert desk.parent.alert
    assert desk.at(20) == ["3: 1 @100"]
    desk.fill(3, "1")
    assert desk.at(30) == ["4: 1 @100"]
    desk.fill(4, "1")
    assert desk.at(40) == ["end expired"]
    assert desk.stands() == "ending: 3 and 1 in doubt, expired"
    desk.report(1, "cancelled")
    assert desk.stands() == "expired: 3, expired"


def test_a_doubt_that_was_a_trade_counts_once_when_it_is_settled() -> None:
    # GRP-8: no double
    desk = twap(quantity=2, seconds=20)
    desk.at(0)
    desk.doubt(1)
    assert desk.at(10) == ["2: 1 @100"]
    desk.fill(2, "1")
    assert desk.at(20) == ["end expired"]
    child = desk.child(1)
    desk.perform(
        SettleOrder(
            order_id=child.order_id,
            outcome=Outcome.FILLED,
            who="operator",
            reason="statement",
            exec_id="X1",
            quantity=D(1),
            price=D(100),
            fee=D(0),
        )
    )
    assert desk.stands() == "done: 2, filled"
    assert not desk.parent.flags


def test_a_clock_that_goes_back_makes_no_slice_a_second_time() -> None:
    # GRP-10: clock back 1 h
    desk = twap()
    desk.at(0)
    desk.fill(1, "1")
    desk.at(10)
    desk.fill(2, "1")
    assert desk.at(-3590) == []
    assert desk.at(12) == []
    assert desk.at(20) == ["3: 1 @100"]


def test_an_end_that_passed_while_exeq_was_down_is_never_completed_late() -> None:
    # GRP-10: end_at passed during downtime
    desk = twap(on_end="complete")
    desk.at(0)
    desk.fill(1, "1")
    desk.restart()
    assert desk.at(101) == ["end expired"]
    assert desk.stands() == "expired: 1, expired"


def test_a_parent_that_completes_asks_for_all_that_is_left_before_its_end() -> None:
    desk = twap(quantity=4, seconds=40, on_end="complete")
    found = desk.day(0, 34.5)
    assert found[-1] == "4: 2 @100"
    assert desk.day(35, 35.5) == ["cancel child_life_over", "5: 4 @102"]


def test_an_iceberg_shows_one_part_after_the_other() -> None:
    desk = Desk(submitted(5, None, strategy="iceberg", limit_price=D(100), display_quantity=D(2)))
    assert desk.at(0) == ["1: 2 @100"]
    assert desk.at(3600) == []
    desk.fill(1, "2")
    assert desk.at(3601) == ["2: 2 @100"]
    desk.fill(2, "2")
    assert desk.at(3602) == ["3: 1 @100"]
    desk.fill(3, "1")
    assert desk.stands() == "done: 5, filled"


def test_while_a_command_is_under_way_nothing_is_asked_twice_and_a_refused_one_is_not_repeated_at_once() -> None:
    desk = twap()
    desk.busy = {ALGO_ID}
    assert desk.at(0) == []
    desk.busy = set()
    desk.executions.parents.by_id[ALGO_ID].slices = 7  # exeq has read a journal that oms does not have
    assert desk.at(0.1) == ["8: 1 @100 refused: slice_out_of_turn"]
    assert desk.at(0.2) == []
    assert desk.at(0.4) == ["8: 1 @100 refused: slice_out_of_turn"]


def test_a_slice_that_was_decided_before_a_change_of_the_parent_is_decided_again() -> None:
    # GRP-12: PATCH of the parent
    desk = twap()
    desk.clock.now = desk.now = START
    (asked,) = desk.algos.look(START)
    params = msgspec.structs.replace(desk.parent.params, child_quantity_max=D("0.5"))
    desk.perform(ac.AmendAlgo(order_id=ALGO_ID, quantity=D(10), end_at=desk.parent.end_at, params=params))
    refused = desk.perform(asked)
    assert refused is not None
    assert refused.code == "slice_outdated"
    assert desk.at(0.3) == ["1: 0.5 @100"]


def test_a_look_that_is_full_leaves_the_others_to_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.exeq.algos.AT_ONCE_MAX", 2)
    desk = twap()
    first = next(event for event in desk.events if isinstance(event, a.AlgoSubmitted))
    for name in ("p-2", "p-3", "p-4", "p-5"):
        desk.executions.apply(msgspec.structs.replace(first, order_id=name, terms=msgspec.structs.replace(first.terms, algo_id=name)))
    desk.clock.now = START
    looks = [[command.order_id for command in desk.algos.look(START + n * 50_000_000)] for n in range(5)]
    assert looks == [[ALGO_ID, "p-2"], ["p-3", "p-4"], ["p-5"], [], [ALGO_ID, "p-2"]]


def test_while_the_requests_of_one_look_are_under_way_the_next_one_asks_for_nothing() -> None:
    desk = twap()
    desk.at(0)
    first = next(event for event in desk.events if isinstance(event, a.AlgoSubmitted))
    desk.executions.apply(msgspec.structs.replace(first, order_id="p-2", terms=msgspec.structs.replace(first.terms, algo_id="p-2")))
    desk.busy = {ALGO_ID}
    assert desk.algos.look(START + 100_000_000) == []
    desk.busy = set()
    assert [command.order_id for command in desk.algos.look(START + 150_000_000)] == ["p-2"]
