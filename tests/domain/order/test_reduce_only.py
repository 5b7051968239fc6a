"""Reduce-only orders against a position, as text: who gives way when it shrinks, how far, and what each is asked."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.order import commands as c
from domain.order.decider import decide
from domain.order.holdings import Holdings, closable
from domain.order.order import Order, evolve
from domain.order.reduce_only import asked_open, beyond, give_way
from domain.position.position import PositionBook
from domain.values import ZERO, Side, plain
from tests import given
from tests.table import Scene, check


def an_order(name: str, number: int, lines: str) -> Order:
    """The order that a scene made; `number` says how new it is."""
    scene = Scene()
    for line in lines.split(";"):
        scene.play(line.strip())
    assert scene.order is not None
    return msgspec.structs.replace(scene.order, order_id=name, created_at=number, reduce_only=True)


def asks(held: str, lives: str) -> str:
    """One order a line, the oldest first: its name, and its life as a scene. Returns what they are asked, the newest first."""
    orders = [
        an_order(name, number, life) for number, (name, _, life) in enumerate(line.strip().partition(" ") for line in lives.split("\n"))
    ]
    said = []
    for order, left in beyond(orders, Decimal(held)):
        command = give_way(order, left)
        asked = (
            "wait" if command is None else "cancel" if isinstance(command, c.CancelOrder) else f"replace {plain(command.quantity or ZERO)}"
        )
        said.append(f"{order.order_id} {asked}")
    return ", ".join(said)


QUEUED = "submit sell 10 @50"
RESTING = "submit sell 10 @50; route PAPER_A; ack V1"


@pytest.mark.parametrize(
    ("held", "life", "asked"),
    [
        ("10", RESTING, ""),
        ("12", RESTING, ""),
        ("9", RESTING, "a replace 9"),
        ("0", RESTING, "a cancel"),
        ("-3", RESTING, "a cancel"),
        ("9", QUEUED, "a replace 9"),
        ("0", QUEUED, "a cancel"),
        ("3", f"{RESTING}; fill F1 4 @50", "a replace 7"),
        ("6", f"{RESTING}; fill F1 4 @50", ""),
        ("-10", "submit buy 10 @50", ""),
        ("-4", "submit buy 10 @50", "a replace 4"),
        ("4", "submit buy 10 @50", "a cancel"),
        ("4", "submit sell 10 @50; route PAPER_A:6 PAPER_B:4; ack V1", "a cancel"),  # one request cannot change two legs
        ("4", f"{RESTING}; cancel", ""),  # it was asked for
        ("4", f"{RESTING}; replace 4 @50", ""),
        ("3", f"{RESTING}; replace 4 @50", "a wait"),  # one request at a time
        ("0", f"{RESTING}; replace 4 @50", "a cancel"),
        ("4", "submit sell 10 @50; route PAPER_A; doubt R1", "a cancel"),
    ],
)
def test_one_order_is_cut_to_what_the_position_has_left_or_cancelled(held: str, life: str, asked: str) -> None:
    assert asks(held, f"a {life}") == asked


def test_the_newest_give_way_first_because_the_older_ones_were_there_before_them() -> None:
    both = f"old {RESTING}\nnew {QUEUED}"
    assert asks("20", both) == ""
    assert asks("13", both) == "new replace 3"
    assert asks("10", both) == "new cancel"
    assert asks("7", both) == "new cancel, old replace 7"
    assert asks("0", both) == "new cancel, old cancel"


def test_an_order_that_is_being_cancelled_takes_nothing_from_the_others() -> None:
    assert asks("10", f"old {RESTING}\nnew {RESTING}; cancel") == ""


def test_a_position_that_flipped_leaves_room_for_the_other_side_only() -> None:
    assert asks("-5", f"sells {RESTING}\nbuys submit buy 5 @50") == "sells cancel"


def test_an_order_whose_venue_refused_other_terms_is_cancelled() -> None:
    order = an_order("a", 1, RESTING)
    assert isinstance(give_way(order, Decimal(4)), c.ReplaceOrder)
    assert give_way(order, Decimal(4), replaceable=False) == c.CancelOrder(order_id="a", source="oms", reason="reduce_only")


def test_what_reduce_only_cancelled_names_it_whatever_word_the_venue_has() -> None:
    check("""submit sell 10 @50
             route PAPER_A
             ack V1
             cancel oms reduce_only
             > CancelRequested pending_cancel source=oms reason=reduce_only
             = pending_cancel source=oms reason=reduce_only
             venue_cancelled requested
             > OrderCancelled cancelled source=oms reason=reduce_only venue=PAPER_A""")
    check("""submit sell 10 @50
             cancel oms reduce_only
             > OrderCancelled cancelled source=oms reason=reduce_only""")


QUANTITIES = st.integers(1, 40).map(lambda tenths: Decimal(tenths) / 10)


@drawn(
    held=st.integers(-60, 60).map(lambda tenths: Decimal(tenths) / 10),
    wants=st.lists(st.tuples(st.sampled_from(Side), QUANTITIES), max_size=6),
)
def test_when_all_have_obeyed_no_side_exceeds_the_position_and_nothing_was_taken_in_vain(
    held: Decimal, wants: list[tuple[Side, Decimal]]
) -> None:
    orders = []
    for number, (side, quantity) in enumerate(wants):
        order: Order | None = None
        for event in decide(None, given.submit(given.terms(str(quantity), side=side)), given.NOW):
            order = evolve(order, event)
        assert order is not None
        orders.append(msgspec.structs.replace(order, order_id=f"o{number}", created_at=number))
    before = {side: sum((asked_open(o) for o in orders if o.side is side), ZERO) for side in Side}
    for order, left in beyond(orders, held):
        command = give_way(order, left)
        assert command is not None
        for event in decide(order, command, given.NOW):
            evolve(order, event)
    after = {side: sum((asked_open(o) for o in orders if o.side is side), ZERO) for side in Side}
    assert after == {side: min(before[side], closable(held, side)) for side in Side}
    assert beyond(orders, held) == [], "looked at again it changes nothing"


@drawn(trades=st.lists(st.tuples(st.sampled_from(Side), QUANTITIES, st.booleans()), max_size=20))
def test_holdings_are_the_quantities_of_the_positions_and_forget_what_is_flat(trades: list[tuple[Side, Decimal, bool]]) -> None:
    holdings, book = Holdings(), PositionBook()
    for number, (side, quantity, busted) in enumerate(trades):
        asked = given.submit(given.terms(str(quantity), side=side))
        order = None
        for event in decide(None, asked, given.NOW):
            order = evolve(order, event)
        reports = [given.fill(f"F{number}", str(quantity), "50", side=side)] + [
            given.report("bust", exec_id=f"F{number}", side=side)
        ] * busted
        for report in reports:
            for event in decide(order, report, given.NOW):
                order = evolve(order, event)
                if book.apply(event, 1) is not None:
                    holdings.apply(event)  # type: ignore[arg-type]
    assert holdings.quantities == {key: position.quantity for key, position in book.positions.items() if position.quantity}
