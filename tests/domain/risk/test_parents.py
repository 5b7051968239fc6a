"""What a parent keeps at risk for its children: CONTINGENT.md 4, Risk, and G11."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from adapters.codec import decoder, encode
from domain.groups.parent import child_terms, decide, follows
from domain.instruments import Denial
from domain.market.quotes import Quote
from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order import commands as c
from domain.order import events as e
from domain.order.decider import decide as decide_order
from domain.order.order import Order, evolve
from domain.order.parent_fold import Parents
from domain.risk.controls import KillThrown
from domain.risk.engine import Risk
from domain.risk.snapshot import RiskState
from domain.values import OrderType, Side, order_id_of, plain
from tests import given
from tests.domain.risk.scene import new_risk

ALGO_ID = a.algo_id_of(given.ACCOUNT, "t-1")
ROOM: dict[str, Any] = {"position_notional_max": Decimal(1_000), "order_notional_max": Decimal(1_000)}


def question(quantity: str, price: str | None = "50", **more: Any) -> c.Terms:
    """What oms asks about a parent."""
    terms = c.Terms(
        order_id=ALGO_ID,
        account=given.ACCOUNT,
        client_order_id="t-1",
        symbol=given.SYMBOL,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        group_id=ALGO_ID,
        role=a.PARENT,
    )
    return msgspec.structs.replace(terms, **more)


class World:
    """Risk, and a journal with one parent that it follows."""

    def __init__(self, **limits: Any) -> None:
        self.risk: Risk = new_risk(**ROOM | limits)
        self.parents, self.orders, self.seq = Parents(), dict[str, Order](), 0

    @property
    def parent(self) -> a.Parent:
        return self.parents.by_id[ALGO_ID]

    def journal(self, *events: e.OrderEvent) -> None:
        """One commit."""
        self.seq += 1
        for event in events:
            self.parents.apply(event)
            self.risk.fold.apply(event, self.seq)

    def submit(self, quantity: str = "10", price: str = "50") -> c.RiskDecision:
        """Ask risk, and journal the parent."""
        decision = self.risk.decide(question(quantity, price), 0)
        terms = a.AlgoTerms(
            algo_id=ALGO_ID,
            account=given.ACCOUNT,
            client_algo_id="t-1",
            symbol=given.SYMBOL,
            side=Side.BUY,
            quantity=Decimal(quantity),
            strategy=a.Strategy.TWAP,
            limit_price=Decimal(price),
            end_at=given.NOW + 60 * given.SECOND,
            params=a.AlgoParams(seed=1),
        )
        self.do(ac.SubmitAlgo(order_id=ALGO_ID, terms=terms, decision=decision))
        return decision

    def do(self, command: c.AlgoCommand) -> None:
        found = decide(self.parents.by_id.get(ALGO_ID), command, given.NOW, slices_max=100)
        assert found.refused is None
        events: list[e.OrderEvent] = list(found.events)
        for order in found.orders:
            events += self.decided(order)
        self.journal(*events)
        while more := follows(self.parent, given.NOW, refusals_max=5).events:
            self.journal(*more)

    def decided(self, command: c.OrderCommand) -> list[e.OrderEvent]:
        events = list(decide_order(self.orders.get(command.order_id), command, given.NOW))
        for event in events:
            self.orders[command.order_id] = evolve(self.orders.get(command.order_id), event)
        return events

    def spawn(self, n: int, quantity: str, price: str = "50") -> c.RiskDecision:
        """Ask risk about a child, and journal its slice."""
        command, terms = self.asked(n, quantity, price)
        decision = self.risk.decide(terms, 0)
        self.do(msgspec.structs.replace(command, decision=decision))
        return decision

    def asked(self, n: int, quantity: str, price: str = "50") -> tuple[ac.SpawnChild, c.Terms]:
        """What exeq asks for, and the terms of the child."""
        command = ac.SpawnChild(
            order_id=ALGO_ID,
            version=self.parent.version,
            n=n,
            due_at=given.NOW,
            inputs=a.SliceInputs(at=given.NOW),
            quantity=Decimal(quantity),
            price=Decimal(price),
        )
        terms = child_terms(self.parent, command)
        assert terms is not None
        return command, terms

    def child(self, n: int, command: c.OrderCommand | None = None, **report: Any) -> None:
        order_id = child_id(n)
        if command is None:
            order = self.orders[order_id]
            route = order.routes[-1]
            command = c.VenueReport(
                order_id=order_id,
                route_id=route.route_id,
                venue=route.venue,
                report_seq=self.seq,
                at=1,
                account=order.account,
                symbol=order.symbol,
                side=order.side,
                **report,
            )
        self.journal(*self.decided(command))
        while more := follows(self.parent, given.NOW, refusals_max=5).events:
            self.journal(*more)

    def rest(self, n: int) -> None:
        order = self.orders[child_id(n)]
        leg = e.Leg(f"R{n}", "PAPER_A", order.leaves_quantity)
        self.child(n, c.RouteOrder(order_id=order.order_id, legs=(leg,), policy="best_price"))
        self.child(n, report=c.ReportKind.ACCEPTED, venue_order_id=f"V{n}")

    def fill(self, n: int, quantity: str) -> None:
        self.child(n, report=c.ReportKind.FILL, exec_id=f"X{self.seq}", quantity=Decimal(quantity), price=Decimal(50))

    def counted(self) -> str:
        """What risk counts as held, and as open buys."""
        holding = self.risk.exposure.look(given.ACCOUNT).holdings[given.SYMBOL]
        return f"{plain(holding.quantity)} held, {plain(holding.buy_quantity)} open"


def child_id(n: int) -> str:
    return order_id_of(given.ACCOUNT, a.child_name_of(ALGO_ID, n))


def other(risk: Risk, quantity: str) -> str | None:
    """What risk says to another order of the account."""
    terms = c.Terms(
        order_id="other",
        account=given.ACCOUNT,
        client_order_id="other",
        symbol=given.SYMBOL,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(quantity),
        price=Decimal(50),
    )
    denial = risk.dry(terms, 0).denial
    return None if denial is None else denial.code


def test_a_parent_is_reserved_in_full_and_no_other_order_can_use_its_room() -> None:
    world = World()
    assert world.risk.decide(question("12"), 0).denial is None
    assert (other(world.risk, "8"), other(world.risk, "9")) == (None, "position_limit"), "reserved before the journal has it"
    world.submit("12")
    assert not world.risk.exposure.reservations
    assert world.counted() == "0 held, 12 open"
    assert (other(world.risk, "8"), other(world.risk, "9")) == (None, "position_limit")
    assert world.risk.exposure.look(given.ACCOUNT).orders == 0, "it is no open order"


def test_the_sum_stays_whatever_becomes_of_a_child() -> None:
    # G11
    world = World()
    world.submit("10")
    world.spawn(1, "3")
    assert world.counted() == "0 held, 10 open"
    assert world.risk.exposure.look(given.ACCOUNT).orders == 1
    world.rest(1)
    world.fill(1, "2")
    assert world.counted() == "2 held, 8 open"
    world.child(1, report=c.ReportKind.CANCELLED, reason="venue")
    assert world.counted() == "2 held, 8 open", "what it had not traded is the parent's again"
    world.fill(1, "1")
    assert world.counted() == "3 held, 7 open", "a late trade takes its quantity off the parent's"


def test_all_is_released_when_the_parent_ends() -> None:
    # G11
    world = World()
    world.submit("10")
    world.spawn(1, "3")
    world.do(ac.CancelAlgo(order_id=ALGO_ID))
    assert world.counted() == "0 held, 3 open", "its child may still trade"
    world.child(1, c.CancelOrder(order_id=child_id(1)))
    assert world.parent.closed
    assert world.counted() == "0 held, 0 open"
    assert not world.risk.exposure.claims


def test_a_child_is_not_stopped_by_a_limit_that_its_parent_has_passed() -> None:
    world = World()
    world.submit("20")
    assert other(world.risk, "1") == "position_limit"
    assert world.spawn(1, "2").denial is None
    assert world.counted() == "0 held, 20 open"


def test_a_child_is_stopped_by_a_control_and_by_the_collar() -> None:
    world = World(price_collar=Decimal("0.1"))
    world.risk.marks.update(
        Quote(symbol=given.SYMBOL, venue="PAPER_A", bid=Decimal(50), bid_size=Decimal(9), ask=Decimal(50), ask_size=Decimal(9), at=0), 0
    )
    world.submit("10")
    assert world.spawn(1, "1", "40").denial == Denial("price_collar", "10", "5", "USD")
    assert world.counted() == "0 held, 10 open", "a refused child takes nothing"
    kill = KillThrown(version=1, at=0, who="test", reason="scene", scope="all")
    world.risk.controls.apply(kill)
    denial = world.spawn(2, "1").denial
    assert denial == Denial("killed")


def test_a_child_of_an_unknown_parent_is_no_decision() -> None:
    world = World()
    world.submit("10")
    _, terms = world.asked(1, "1")
    assert new_risk().decide(terms, 0).denial == Denial("risk_error", found="algo_not_seen")


def test_a_parent_may_be_larger_than_an_order_if_the_limits_say_so() -> None:
    limits: dict[str, Any] = {"order_notional_max": Decimal(100), "algo_notional_max": Decimal(600)}
    world = World(**limits)
    assert world.submit("12").denial is None
    small = World(**limits).risk.decide(question("13"), 0).denial
    assert small == Denial("order_size_limit", "650", "600", "USD")
    denial = world.spawn(1, "3").denial
    assert denial == Denial("order_size_limit", "150", "100", "USD"), "a child is an order"


@pytest.mark.parametrize("quantity", ["15", "20"])
def test_a_larger_quantity_is_checked_as_a_whole(quantity: str) -> None:
    world = World()
    world.submit("10")
    world.spawn(1, "3")
    rest = str(Decimal(quantity) - 3)
    asked = question(rest, order_id="amend", replaces=ALGO_ID)
    decision = world.risk.decide(asked, 0)
    assert decision.denial is None
    assert world.counted() == f"0 held, {quantity} open"
    amend = ac.AmendAlgo(
        order_id=ALGO_ID, quantity=Decimal(quantity), limit_price=Decimal(50), params=world.parent.params, decision=decision
    )
    world.do(amend)
    assert (world.counted(), len(world.risk.exposure.reservations)) == (f"0 held, {quantity} open", 0)


def test_a_larger_quantity_that_a_limit_forbids_changes_nothing() -> None:
    world = World()
    world.submit("10")
    denial = world.risk.decide(question("21", order_id="amend", replaces=ALGO_ID), 0).denial
    assert denial == Denial("order_size_limit", "1050", "1000", "USD")
    assert (world.counted(), len(world.risk.exposure.reservations)) == ("0 held, 10 open", 0)


def test_a_change_is_checked_also_while_a_child_has_all_of_the_parent() -> None:
    world = World()
    world.submit("10")
    world.spawn(1, "10")
    world.rest(1)
    assert world.risk.decide(question("11", order_id="amend", replaces=ALGO_ID), 0).denial == Denial(
        "position_limit", "1050", "1000", "USD"
    )
    decision = world.risk.decide(question("5", order_id="amend", replaces=ALGO_ID), 0)
    assert (decision.denial, world.counted()) == (None, "0 held, 15 open")
    world.do(ac.AmendAlgo(order_id=ALGO_ID, quantity=Decimal(15), limit_price=Decimal(50), params=world.parent.params, decision=decision))
    assert (world.counted(), len(world.risk.exposure.reservations)) == ("0 held, 15 open", 0)


def test_risk_continues_from_a_snapshot_with_its_parents() -> None:
    world = World()
    world.submit("10")
    world.spawn(1, "3")
    world.rest(1)
    world.fill(1, "2")
    state: RiskState = decoder(RiskState).decode(encode(world.risk.fold.state()))
    again = new_risk(**ROOM)
    again.fold.restore(state)
    assert again.fold.state() == state
    world.risk = again
    assert world.counted() == "2 held, 8 open"
    world.fill(1, "1")
    world.do(ac.CancelAlgo(order_id=ALGO_ID))
    assert world.counted() == "3 held, 0 open"
