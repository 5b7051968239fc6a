"""A comparison that forgets what both sides agree on finds the same as one that remembers everything."""

from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

import msgspec
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from adapters.codec import decoder, encode
from domain.execution.comparison import Comparison, ComparisonState
from domain.order.commands import OrderCommand, VenueReport
from domain.order.decider import decide
from domain.order.events import OrderEvent, TransitionRefused
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.values import order_id_of
from tests import given
from tests.domain.execution.test_reconciliation import ACK, VENUE, fill, lives, mangled, report

Arrived = TypeVar("Arrived", bound=OrderCommand)
One = TypeVar("One")

ORDERS = 3
_STATE = decoder(ComparisonState)

Look = tuple[Sequence[OrderEvent], Sequence[VenueReport]]
"""What our journal has new, and what the venue has told since."""


def of(number: int, command: Arrived) -> Arrived:
    """The scene's order is one of several; execution ids are unique at a venue."""
    changed = msgspec.structs.replace(command, order_id=order_id_of(given.ACCOUNT, f"a-{number}"))
    if not isinstance(changed, VenueReport):
        return changed
    ids = {name: f"{said}-{number}" for name in ("exec_id", "ref_exec_id") if (said := getattr(changed, name))}
    return msgspec.structs.replace(changed, route_id=f"R{number}", **ids)


def ours(number: int, arrived: Sequence[VenueReport]) -> list[OrderEvent]:
    """What is journaled of one order from its submit on."""
    order_id = order_id_of(given.ACCOUNT, f"a-{number}")
    terms = msgspec.structs.replace(given.terms(), order_id=order_id, client_order_id=f"a-{number}")
    order: Order | None = None
    said: list[OrderEvent] = []
    route = of(number, given.route((f"R{number}", VENUE, "10")))
    commands: list[OrderCommand] = [given.submit(terms), route, *(of(number, each) for each in arrived)]
    for command in commands:
        for event in decide(order, command, given.NOW):
            order = evolve(order, event)
            said.append(event)
    return said


class Program:
    """Looks as the program does, keeping its place between two looks as it would in a file."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.comparison = Comparison(VENUE)
        self.again = 0

    def look(self, look: Look, *, at_rest: bool = True) -> None:
        """`at_rest`: nothing is on its way, so who is a stranger now stays one."""
        self.looks.append(look)
        feed(self.comparison, [look])
        keep = frozenset[str]()
        while touched := (self.comparison.touched | (self.comparison.strangers() if at_rest else set())) - keep:
            keep |= touched
            self.again += 1
            self.comparison = Comparison(VENUE, keep=keep)
            feed(self.comparison, self.looks)

    def forget(self) -> None:
        self.comparison.settle()
        self.comparison = Comparison(VENUE, _STATE.decode(encode(self.comparison.state())))


def feed(comparison: Comparison, looks: Sequence[Look]) -> None:
    for events, reports in looks:
        for event in events:
            comparison.ours(event)
        for said in reports:
            comparison.theirs(said)


def found(comparison: Comparison) -> list[tuple[str, ...]]:
    return sorted((*difference.key, difference.ours) for difference in comparison.differences())


def numbered(reports: Sequence[VenueReport]) -> list[VenueReport]:
    return [msgspec.structs.replace(said, report_seq=number) for number, said in enumerate(reports, 1)]


@st.composite
def merged(draw: st.DrawFn, queues: Sequence[Sequence[One]]) -> list[One]:
    """One sequence in which each queue keeps its own."""
    left = [list(queue) for queue in queues if queue]
    out = []
    while left:
        queue = draw(st.sampled_from(left))
        out.append(queue.pop(0))
        left = [each for each in left if each]
    return out


@hypothesis_given(st.data())
def test_whatever_is_forgotten_between_two_looks_the_same_is_found(data: st.DataObject) -> None:
    # FAILURES 38
    told = [data.draw(lives()) for _ in range(ORDERS)]
    journal: list[OrderEvent] = data.draw(merged([ours(n, data.draw(mangled(each))) for n, each in enumerate(told)]))
    reports = numbered(data.draw(merged([[of(n, said) for said in each] for n, each in enumerate(told)])))
    program, looks = Program(), []
    for number in range(4):
        share = data.draw(st.integers(0, len(journal))) if number < 3 else len(journal)
        heard = data.draw(st.integers(0, len(reports))) if number < 3 else len(reports)
        looks.append((journal[:share], reports[:heard]))
        journal, reports = journal[share:], reports[heard:]
        program.look(looks[-1], at_rest=number == 3)
        if data.draw(st.booleans()):
            program.forget()
    plain = Comparison(VENUE)
    feed(plain, looks)
    assert found(program.comparison) == found(plain)
    assert (program.comparison.trades, program.comparison.routed) == (plain.trades, plain.routed)


DONE = [ACK, fill("F1", "10")]


def test_what_is_closed_and_agreed_on_is_forgotten_and_still_counts() -> None:
    program = Program()
    program.look((ours(0, DONE), [of(0, said) for said in DONE]))
    program.look((ours(1, [ACK]), [of(1, ACK)]))
    program.forget()
    assert list(program.comparison.orders.by_id) == [order_id_of(given.ACCOUNT, "a-1")], "the open one stays"
    assert (program.comparison.routed, program.comparison.trades, program.comparison.view.trades) == (2, 1, {})
    strange = msgspec.structs.replace(fill("F9", "2"), order_id="stranger", route_id="R9")
    program.look(((), [strange]))
    assert ("position", "alice", "BTCUSDT", "", "", "12", "10") in found(program.comparison), "with what was forgotten"
    assert program.again == 1, "only a new comparison could show that it was not forgotten"
    program.forget()
    program.look(((), [msgspec.structs.replace(strange, exec_id="F10")]))
    assert program.again == 1, "once it is known to be a stranger it stays one"


def test_a_trade_taken_back_long_after_is_seen_and_a_refusal_changes_nothing() -> None:
    program = Program()
    program.look((ours(0, DONE), [of(0, said) for said in DONE]))
    program.forget()
    refused = TransitionRefused(
        order_id=order_id_of(given.ACCOUNT, "a-0"),
        at=given.NOW,
        status=State.FILLED,
        trigger="cancel",
        source="client",
        detail="",
    )
    program.look(((refused,), ()))
    assert (program.again, found(program.comparison)) == (0, [])
    program.look(((), [of(0, report("bust", exec_id="F1"))]))
    assert program.again == 1
    assert {line[0] for line in found(program.comparison)} == {"trade not there", "order works there", "position"}
    assert list(chain.from_iterable(program.comparison.agreed.positions.values())) == []
