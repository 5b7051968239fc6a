"""What exeq knows from the journal alone: what to route, what to send, what to cancel, and who has not answered."""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from domain.execution.projection import ROUTED_KEPT_MAX, Executions, ExecutionsState
from domain.order import events as e
from domain.order.commands import VenueRequest
from domain.order.events import Leg
from domain.order.lifecycle import State
from domain.values import Liquidity, Side
from tests.domain.execution.test_routing import order

ONE = Decimal(1)


class Told(Executions):
    """Executions that hear of orders in short sentences."""

    def submit(self, name: str, *, priority: int = 0, at: int = 0) -> None:
        terms = {field: getattr(order(), field) for field in order().__struct_fields__}
        self.apply(e.OrderSubmitted(**terms | {"order_id": name, "priority": priority}))
        self.apply(e.OrderQueued(order_id=name, at=at, status=State.QUEUED))

    def route(self, name: str, *legs: tuple[str, str], at: int = 0) -> None:
        quantity = Decimal(10) / len(legs)
        self.apply(
            e.OrderRouted(order_id=name, at=at, status=State.ROUTED, legs=tuple(Leg(r, v, quantity) for r, v in legs), policy="lowest_cost")
        )

    def ack(self, name: str, route_id: str, venue: str = "A") -> None:
        self.apply(
            e.RouteAcknowledged(order_id=name, at=0, status=State.ROUTED, route_id=route_id, venue=venue, venue_order_id="V", report_seq=1)
        )

    def fill(self, name: str, route_id: str, status: State = State.PARTIALLY_FILLED) -> None:
        self.apply(
            e.OrderFilled(
                order_id=name,
                at=0,
                status=status,
                account="alice",
                client_order_id="a",
                symbol="BTCUSDT",
                side=Side.BUY,
                quantity=ONE,
                price=ONE,
                fee=ONE,
                liquidity=Liquidity.TAKER,
                exec_id="X",
                venue="A",
                route_id=route_id,
                report_seq=2,
            )
        )

    def cancel(self, name: str) -> None:
        self.apply(e.CancelRequested(order_id=name, at=0, status=State.PENDING_CANCEL, source="client", reason="requested"))

    def replace(self, name: str, route_id: str, quantity: str = "12", price: str = "51") -> None:
        self.apply(
            e.ReplaceRequested(
                order_id=name,
                at=0,
                status=State.PENDING_REPLACE,
                replace_id=f"{name}-r1",
                leg=Leg(route_id, "A", Decimal(quantity)),
                quantity=Decimal(quantity),
                price=Decimal(price),
                leaves_quantity=Decimal(quantity),
            )
        )

    def silent(self, before: int = 1) -> list[str]:
        return [request.route_id for request in self.unanswered(before)]


def routes(requests: list[VenueRequest]) -> list[tuple[str, str, Decimal]]:
    return [(request.route_id, request.venue, request.quantity) for request in requests]


def test_a_queued_order_waits_in_the_queue_with_its_priority() -> None:
    told = Told()
    told.submit("a", at=1)
    told.submit("b", priority=5, at=2)
    assert told.to_send == []
    assert [(taken := told.queue.take()) and taken.order_id for _ in range(3)] == ["b", "a", None]


def test_a_refused_order_is_never_queued() -> None:
    told = Told()
    told.apply(order())
    told.apply(e.OrderRejected(order_id="o", at=0, status=State.REJECTED, source="risk", reason="position_limit"))
    assert (len(told.queue), told.working) == (0, {})


def test_what_was_routed_is_to_be_sent_leg_by_leg_with_the_orders_terms() -> None:
    told = Told(shard=3)
    told.submit("a")
    told.route("a", ("R1", "A"), ("R2", "B"))
    assert routes(told.to_send) == [("R1", "A", Decimal(5)), ("R2", "B", Decimal(5))]
    request = told.to_send[0]
    assert (request.order_id, request.account, request.symbol, request.side, request.shard) == ("a", "alice", "BTCUSDT", Side.BUY, 3)
    assert len(told.queue) == 0, "whatever process decided it"


def test_a_leg_is_silent_until_the_venue_says_a_word() -> None:
    told = Told()
    for name in ("a", "b", "c"):
        told.submit(name)
    told.route("a", ("R1", "A"), ("R2", "B"), at=10)
    told.route("b", ("R3", "A"), at=20)
    told.route("c", ("R4", "A"), at=30)
    assert told.silent(30) == ["R1", "R2", "R3"], "and for long enough"
    told.ack("a", "R2")
    told.fill("b", "R3")
    assert told.silent(99) == ["R1", "R4"]


def test_a_leg_that_ended_has_answered() -> None:
    told = Told()
    told.submit("a")
    told.route("a", ("R1", "A"), ("R2", "B"))
    told.apply(e.RouteClosed(order_id="a", at=0, status=State.ROUTED, route_id="R1", venue="A", reason="rejected", report_seq=1))
    assert told.silent() == ["R2"]


def test_an_answer_in_doubt_settles_nothing() -> None:
    told = Told()
    told.submit("a")
    told.route("a", ("R1", "A"))
    told.apply(e.OrderInDoubt(order_id="a", at=0, status=State.IN_DOUBT, route_id="R1", venue="A", reason="no_answer"))
    assert told.silent() == ["R1"]


def test_a_cancel_is_sent_to_every_leg() -> None:
    told = Told()
    told.submit("a")
    told.route("a", ("R1", "A"), ("R2", "B"))
    told.cancel("a")
    assert [route_id for route_id, _, _ in routes(told.to_cancel)] == ["R1", "R2"]


def test_a_closed_order_is_forgotten_wherever_it_was() -> None:
    told = Told()
    for name in ("queued", "working"):
        told.submit(name)
    told.route("working", ("R1", "A"))
    told.apply(e.OrderCancelled(order_id="queued", at=0, status=State.CANCELLED, source="client", reason="requested"))
    told.fill("working", "R1", State.FILLED)
    assert (len(told.queue), told.working, told.silent()) == (0, {}, [])
    assert "working" in told.routed, "why it went there can still be asked"


def test_what_comes_after_the_end_is_no_business_of_routing() -> None:
    told = Told()
    told.submit("a")
    told.route("a", ("R1", "A"))
    told.fill("a", "R1", State.FILLED)
    told.fill("a", "R1", State.FILLED)
    told.ack("a", "R1")
    assert told.working == {}


def test_route_records_are_bounded_and_the_oldest_go_first() -> None:
    told = Told()
    for number in range(ROUTED_KEPT_MAX + 2):
        told.submit(f"o-{number}")
        told.route(f"o-{number}", ("R1", "A"))
        told.fill(f"o-{number}", "R1", State.FILLED)
        told.to_send.clear()
    assert len(told.routed) == ROUTED_KEPT_MAX
    assert next(iter(told.routed)) == "o-2"


def test_what_is_awaited_of_a_venue_is_a_first_word_a_cancel_or_other_terms() -> None:
    told = Told()
    for name, venue in (("rests", "A"), ("sent", "A"), ("cancelled", "A"), ("replaced", "A"), ("elsewhere", "B")):
        told.submit(name)
        told.route(name, (name, venue))
    for name in ("rests", "cancelled", "replaced"):
        told.ack(name, name)
    told.cancel("cancelled")
    told.replace("replaced", "replaced")
    assert [request.route_id for request in told.awaited({"A"})] == ["sent", "cancelled", "replaced"]
    assert [request.route_id for request in told.awaited({"B"})] == ["elsewhere"]


def routed(*legs: tuple[str, str]) -> Told:
    told = Told()
    told.submit("a")
    told.route("a", *legs)
    return told


def started_again(told: Told) -> Told:
    """A process that continues from the state that the last one kept."""
    later = Told()
    later.restore(msgspec.json.decode(msgspec.json.encode(told.state()), type=ExecutionsState))
    return later


FIRST_WORDS: dict[str, Callable[[Told], None]] = {
    "an acknowledgement": lambda told: told.ack("a", "R1"),
    "a fill": lambda told: told.fill("a", "R1"),
}


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("word", FIRST_WORDS)
def test_other_terms_are_sent_after_the_first_word_and_once(word: str, restarts: bool) -> None:
    told = routed(("R1", "A"))
    told.replace("a", "R1")
    assert (told.to_replace, told.unreplaced()) == ([], []), "the venue may not have the order yet"
    told = started_again(told) if restarts else told
    assert (told.to_replace, told.unreplaced()) == ([], [])
    FIRST_WORDS[word](told)
    (request,) = told.to_replace
    assert (request.route_id, request.quantity, request.price, request.replace_id) == ("R1", Decimal(12), Decimal(51), "a-r1")
    told.fill("a", "R1")
    assert len(told.to_replace) == 1
    assert routes(told.unreplaced()) == [("R1", "A", Decimal(12))], "asked again while it has no answer"


def test_a_doubt_sends_no_terms_and_what_settles_it_does() -> None:
    told = routed(("R1", "A"))
    told.replace("a", "R1")
    told.apply(e.OrderInDoubt(order_id="a", at=0, status=State.IN_DOUBT, route_id="R1", venue="A", reason="no_answer"))
    assert (told.to_replace, told.unreplaced()) == ([], [])
    assert [request.route_id for request in told.doubtful()] == ["R1"]
    told.ack("a", "R1")
    assert [request.replace_id for request in told.to_replace] == ["a-r1"]


def test_the_end_of_a_leg_asks_its_venue_for_nothing() -> None:
    told = routed(("R1", "A"), ("R2", "B"))
    told.cancel("a")
    told.to_cancel.clear()
    told.apply(e.RouteClosed(order_id="a", at=0, status=State.PENDING_CANCEL, route_id="R1", venue="A", reason="rejected", report_seq=1))
    assert (told.to_cancel, told.to_replace) == ([], [])


def test_a_cancel_before_the_first_word_is_sent_at_once_and_again_after_it() -> None:
    told = routed(("R1", "A"), ("R2", "B"))
    told.cancel("a")
    assert [request.route_id for request in told.to_cancel] == ["R1", "R2"]
    told.to_cancel.clear()
    told.ack("a", "R2", "B")
    assert [request.route_id for request in told.to_cancel] == ["R2"], "it may have come too early"
    told.ack("a", "R2", "B")
    told.fill("a", "R2")
    assert len(told.to_cancel) == 1, "what was answered once is asked again by the clock alone"


def test_a_cancel_wins_over_terms_that_wait_and_gives_way_when_it_is_refused() -> None:
    told = routed(("R1", "A"))
    told.replace("a", "R1")
    told.cancel("a")
    told.ack("a", "R1")
    assert (told.to_replace, told.unreplaced()) == ([], [])
    told.apply(e.CancelRejected(order_id="a", at=0, status=State.PENDING_REPLACE, reason="too_late", venue="A", report_seq=2))
    assert [request.replace_id for request in told.to_replace] == ["a-r1"]


def test_an_order_that_fell_back_to_the_queue_is_routed_with_its_new_terms() -> None:
    told = routed(("R1", "A"))
    told.replace("a", "R1", "12", "51")
    told.apply(e.OrderQueued(order_id="a", at=5, status=State.QUEUED, route_id="R1", venue="A", reason="halted", report_seq=1))
    told.apply(
        e.OrderReplaced(
            order_id="a",
            at=5,
            status=State.QUEUED,
            replace_id="a-r1",
            quantity=Decimal(12),
            price=Decimal(51),
            leaves_quantity=Decimal(12),
        )
    )
    taken = told.queue.take()
    assert taken is not None
    assert (taken.quantity, taken.price) == (Decimal(12), Decimal(51))
    assert told.queue.take() is None, "it is in the queue once"
    assert (told.to_replace, told.unreplaced(), told.tried("a")) == ([], [], ("A",))
