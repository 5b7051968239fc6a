"""What exeq knows from the journal alone: what to route, what to send, what to cancel, and who has not answered."""

from decimal import Decimal

from domain import events as e
from domain.commands import VenueRequest
from domain.events import Leg
from domain.executions import ROUTED_KEPT_MAX, Executions
from domain.lifecycle import State
from domain.values import Liquidity, Side
from tests.domain.test_routing import order

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
    assert len(told.queue) == 0, "whoever decided it"


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


def test_doubt_is_no_answer() -> None:
    told = Told()
    told.submit("a")
    told.route("a", ("R1", "A"))
    told.apply(e.OrderInDoubt(order_id="a", at=0, status=State.IN_DOUBT, route_id="R1", venue="A", reason="no_answer"))
    assert told.silent() == ["R1"]


def test_a_cancel_is_sent_to_every_leg() -> None:
    told = Told()
    told.submit("a")
    told.route("a", ("R1", "A"), ("R2", "B"))
    told.apply(e.CancelRequested(order_id="a", at=0, status=State.PENDING_CANCEL, source="client", reason="requested"))
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
    told.apply(e.CancelRequested(order_id="cancelled", at=0, status=State.PENDING_CANCEL, source="client", reason="requested"))
    told.apply(
        e.ReplaceRequested(
            order_id="replaced",
            at=0,
            status=State.PENDING_REPLACE,
            replace_id="r1",
            leg=Leg("replaced", "A", Decimal(10)),
            quantity=Decimal(10),
            leaves_quantity=Decimal(10),
        )
    )
    assert [request.route_id for request in told.awaited({"A"})] == ["sent", "cancelled", "replaced"]
    assert [request.route_id for request in told.awaited({"B"})] == ["elsewhere"]
