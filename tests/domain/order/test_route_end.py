"""Orders split over several venues: a leg ends, the order works on; the last leg decides."""

from decimal import Decimal

from tests.table import check

START = """submit buy 10 @50
           route PAPER_A:6 PAPER_B:4
"""


def test_both_legs_fill() -> None:
    scene = check(
        START
        + """ack V1 R1
             > RouteAcknowledged routed venue=PAPER_A
             ack V2 R2
             > RouteAcknowledged routed venue=PAPER_B
             fill F1 6 @49 R1
             > OrderFilled partially_filled venue=PAPER_A
             fill F1 4 @49 R2
             > OrderFilled filled venue=PAPER_B leaves=0"""
    )
    assert scene.order is not None
    assert [(r.cum_quantity, r.live) for r in scene.order.routes] == [(Decimal(6), False), (Decimal(4), False)]


def test_one_leg_ends_and_the_other_works_on() -> None:
    for end in ("reject", "venue_cancelled", "expired"):
        check(
            START
            + f"""{end} R1 reason=why
                  > RouteClosed routed route_id=R1 reason=why
                  {end} R1
                  > nothing
                  fill F1 2 @49 R2
                  > OrderFilled partially_filled"""
        )


def test_the_last_leg_to_end_decides_how_the_order_ended() -> None:
    for end, event, status in (
        ("reject", "OrderRejected", "rejected"),
        ("venue_cancelled", "OrderCancelled", "cancelled"),
        ("expired", "OrderExpired", "expired"),
    ):
        check(
            START
            + f"""venue_cancelled R1
                  {end} R2
                  > {event} {status} route_id=R2 venue=PAPER_B"""
        )


def test_one_leg_ended_and_the_other_filled_is_the_same_end_in_either_order() -> None:
    check(
        START
        + """venue_cancelled R1
             fill F1 4 @49 R2
             > OrderFilled partially_filled, OrderCancelled cancelled source=oms reason=no_live_leg
             = cancelled cum=4 leaves=0"""
    )
    check(
        START
        + """fill F1 4 @49 R2
             > OrderFilled partially_filled
             venue_cancelled R1
             > OrderCancelled cancelled source=venue
             = cancelled cum=4 leaves=0"""
    )


def test_a_cancel_asks_both_legs_and_ends_with_the_last_answer() -> None:
    check(
        START
        + """cancel
             > CancelRequested pending_cancel
             venue_cancelled R1
             > RouteClosed pending_cancel
             fill F1 4 @49 R2
             > OrderFilled pending_cancel, OrderCancelled cancelled
             cancel_rejected too_late R2
             > nothing"""
    )


def test_a_part_of_an_order_that_was_sent_alone_ends_with_its_leg() -> None:
    check("""submit buy 10 @50
             route PAPER_A:6
             fill F1 6 @49
             > OrderFilled partially_filled, OrderCancelled cancelled reason=no_live_leg
             = cancelled cum=6""")


def test_a_bust_opens_only_the_leg_it_belongs_to() -> None:
    scene = check(
        START
        + """fill F1 6 @49 R1
             fill F2 4 @49 R2
             bust F2 R2
             > TradeBusted partially_filled cum=6 leaves=4"""
    )
    assert scene.order is not None
    assert [r.route_id for r in scene.order.live_routes] == ["R2"]


def test_a_bust_after_a_leg_had_ended_and_the_other_overfilled_ends_the_order() -> None:
    check(
        START
        + """venue_cancelled R1
             fill F1 3 @49 R2
             fill F2 7 @49 R2
             > OrderFilled filled
             bust F1 R2
             > TradeBusted cancelled venue=PAPER_B cum=7"""
    )
