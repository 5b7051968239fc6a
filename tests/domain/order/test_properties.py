"""What holds for every life: the invariants of LIFECYCLE.md, and reports in any order and number."""

import copy
from decimal import Decimal

import msgspec
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from domain.order import commands as c
from domain.order import events as e
from domain.order.decider import decide
from domain.order.lifecycle import CLOSED, State, may, step
from domain.order.order import Order, evolved
from domain.position.position import PositionBook
from tests import given
from tests.domain.order.test_lifecycle import STORY
from tests.table import Scene, check

LEGS = (("R1", "PAPER_A", "6"), ("R2", "PAPER_B", "4"))
WORKING = {State.ROUTED, State.PARTIALLY_FILLED, State.PENDING_CANCEL, State.PENDING_REPLACE, State.IN_DOUBT}
VENUES = {"R1": "PAPER_A", "R2": "PAPER_B", "R7": "PAPER_A"}

routes = st.sampled_from(["R1", "R2", "R7"])
quantities = st.sampled_from(["1", "2", "4", "6", "0.000000000001", "10"])
fills = st.builds(
    lambda n, r, q, p: given.fill(f"F{n}", q, p, fee="0.01", route_id=r, venue=VENUES[r]),
    st.integers(1, 6),
    routes,
    quantities,
    st.sampled_from(["49", "50.5"]),
)
reports = st.builds(
    lambda kind, r, n: given.report(kind, route_id=r, venue=VENUES[r], exec_id=f"F{n}", venue_order_id=f"V{r}"),
    st.sampled_from([str(k) for k in c.ReportKind if k is not c.ReportKind.FILL]),
    routes,
    st.integers(1, 6),
)
R1 = f"{given.ORDER_ID}-r1"
answers = st.builds(
    lambda q, r, named: given.report("replaced", quantity=q, route_id=r, venue=VENUES[r], replace_id=named),
    quantities,
    routes,
    st.sampled_from([R1, ""]),
)
corrections = st.builds(
    lambda n, was, r, q: given.report(
        "correction", exec_id=f"F{n}", ref_exec_id=f"F{was}", quantity=q, price="48", route_id=r, venue=VENUES[r]
    ),
    st.integers(1, 9),
    st.integers(1, 6),
    routes,
    quantities,
)
requests = st.sampled_from(
    [
        given.cancel(),
        c.ReplaceOrder(order_id=given.ORDER_ID, replace_id=R1, quantity=Decimal(12)),
        c.ReplaceOrder(order_id=given.ORDER_ID, replace_id=R1, quantity=Decimal(2), price=Decimal(49)),
        c.ReplaceOrder(order_id=given.ORDER_ID, replace_id=R1, quantity=Decimal(99), decision=given.denied("order_size_limit")),
        c.ExpireOrder(order_id=given.ORDER_ID, reason="order_timeout"),
        given.route(*LEGS),
        given.route(("R1", "PAPER_A", "10")),
        c.RefuseRoute(order_id=given.ORDER_ID, reason="x"),
        c.RefuseRoute(order_id=given.ORDER_ID, reason="x", route_id="R1"),
        c.DoubtRoute(order_id=given.ORDER_ID, route_id="R1", reason="no_answer"),
        c.RouteAbsent(order_id=given.ORDER_ID, route_id="R1", evidence="asked 3 times"),
    ]
)
submits = st.sampled_from([given.submit(given.terms()), given.submit(given.terms(), given.denied("order_size_limit"))])
lives = st.tuples(submits, st.lists(st.one_of(requests, fills, reports, answers, corrections, st.just(given.route(*LEGS))), max_size=30))


@settings(max_examples=300, deadline=None)
@drawn(lives)
def test_the_invariants_hold_after_every_command(life: tuple[c.SubmitOrder, list[c.OrderCommand]]) -> None:
    scene = Scene()
    for command in (life[0], *life[1]):
        before = copy.copy(scene.order)
        events = scene.do(command)
        assert scene.order is not None
        assert_led_there(before, events)
        assert_counted(scene.order)
    replayed = evolved(event for events in scene.history for event in through_json(events))
    assert replayed == scene.order, "a replay from bytes gives the same order"


def assert_led_there(before: Order | None, events: tuple[e.OrderEvent, ...]) -> None:
    """Invariant 3, and: the state in an event is one that the table leads to, or the event moves nothing."""
    status = before.status if before else State.NEW
    for event in events:
        if not STORY[type(event)]:
            assert event.status is status
        else:
            assert event.status in {step(status, t) for t in STORY[type(event)] if may(status, t)}
        status = event.status


def assert_counted(order: Order) -> None:
    """Invariants 1 and 2, and: an order that works has a leg that works."""
    live = [t for t in order.trades if not t.busted]
    assert order.cum_quantity == sum(t.quantity for t in live)
    assert order.notional == sum(t.quantity * t.price for t in live)
    assert order.fees == sum(t.fee for t in live)
    assert order.leaves_quantity == (0 if order.closed else order.quantity - order.cum_quantity)
    assert order.leaves_quantity >= 0
    assert (order.status is State.FILLED) == (order.cum_quantity >= order.quantity)
    assert (order.status is not State.PARTIALLY_FILLED) or order.cum_quantity > 0
    assert (order.status is not State.ROUTED) or order.cum_quantity == 0
    assert order.overfill or order.cum_quantity <= order.quantity
    assert (order.status in CLOSED) or (order.status not in WORKING) or order.live_routes
    assert len({(t.venue, t.exec_id) for t in order.trades}) == len(order.trades)


def through_json(events: tuple[e.OrderEvent, ...]) -> tuple[e.OrderEvent, ...]:
    return msgspec.json.decode(msgspec.json.encode(events), type=tuple[e.OrderEvent, ...])


SET = (
    given.report("accepted", venue_order_id="V1"),
    given.report("accepted", route_id="R2", venue="PAPER_B", venue_order_id="V2"),
    given.fill("F1", "4", "49", fee="0.1"),
    given.fill("F2", "2", "49.5", fee="0.2"),
    given.fill("F1", "1", "50", fee="0.3", route_id="R2", venue="PAPER_B"),
    given.fill("F2", "2", "48", fee="-0.1", route_id="R2", venue="PAPER_B"),
    given.report("cancelled", route_id="R2", venue="PAPER_B"),
    given.report("rejected"),
    given.report("cancel_rejected"),
    given.report("replaced", quantity="7", replace_id=R1),
    given.report("replace_rejected", replace_id=R1),
    c.ReplaceOrder(order_id=given.ORDER_ID, replace_id=R1, quantity=Decimal(11)),
    given.cancel(),
)


@settings(max_examples=300, deadline=None)
@drawn(st.permutations(SET), st.lists(st.tuples(st.integers(0, 20), st.sampled_from(SET)), max_size=10))
def test_any_order_and_number_of_reports_gives_the_same_trades(
    reports: list[c.OrderCommand], again: list[tuple[int, c.VenueReport]]
) -> None:
    # FAILURES 26, 27, 28, 29, 35
    for place, report in again:
        reports.insert(place, report)
    scene = check("submit buy 10 @50\nroute PAPER_A:6 PAPER_B:4")
    book = PositionBook()
    for command in reports:
        for event in scene.do(command):
            book.apply(event, seq=1)
    assert scene.order is not None
    assert (scene.order.cum_quantity, scene.order.notional, scene.order.fees) == (Decimal(9), Decimal(441), Decimal("0.5"))
    (position,) = book.of(given.ACCOUNT)
    assert (position.quantity, position.cost, position.fees) == (Decimal(9), Decimal(441), Decimal("0.5"))


def test_decide_changes_nothing() -> None:
    # STYLE rule 2
    order = check("submit buy 10 @50\nroute PAPER_A:6 PAPER_B:4\nfill F1 1 @49").order
    before = msgspec.json.encode(order)
    for command in (*SET, given.report("bust", exec_id="F1"), given.report("expired"), given.route(*LEGS)):
        decide(order, command, given.NOW)
        assert msgspec.json.encode(order) == before
