"""A venue that does not answer: counted at the worst until there is evidence, which may be anything a venue says."""

from tests.table import check

START = """submit buy 10 @50
           route PAPER_A
           doubt R1
           > OrderInDoubt in_doubt route_id=R1 venue=PAPER_A reason=no_answer
           = in_doubt leaves=10
"""


def test_a_route_is_put_in_doubt_once() -> None:
    # row 12, FAILURES 34
    check(START + "doubt R1\n> nothing")


def test_a_route_the_venue_spoke_about_is_not_in_doubt() -> None:
    for said in ("ack V1", "fill F1 1 @49", "fill F1 10 @49", "venue_cancelled", "reject"):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {said}
                  doubt R1
                  > nothing
                  absent R1
                  > nothing""")


def test_a_route_that_was_never_made_is_not_in_doubt() -> None:
    check("submit buy 10 @50\ndoubt R1\n> nothing\nabsent R1\n> nothing")


def test_whatever_the_venue_says_is_evidence() -> None:
    # row 13
    for said, event, status in (
        ("ack V1", "RouteAcknowledged", "routed"),
        ("fill F1 4 @49", "OrderFilled", "partially_filled"),
        ("fill F1 10 @49", "OrderFilled", "filled"),
        ("venue_cancelled", "OrderCancelled", "cancelled"),
        ("reject", "OrderRejected", "rejected"),
        ("expired", "OrderExpired", "expired"),
    ):
        check(START + f"{said}\n> {event} {status}")


def test_a_venue_that_never_had_the_order_settles_it_and_a_timer_does_not() -> None:
    check(
        START
        + """absent R1
             > OrderRejected rejected source=exeq reason=never_arrived route_id=R1
             = rejected leaves=0
             absent R1
             > nothing"""
    )
    check("submit buy 10 @50\nroute PAPER_A\nabsent R1\n> nothing\n= routed")


def test_a_fill_of_what_was_thought_absent_is_booked() -> None:
    check(START + "absent R1\nfill F1 4 @49\n> OrderFilled rejected late=True\n= rejected cum=4")


def test_a_cancel_in_doubt_waits_for_the_venue_and_may_fall_back_in_doubt() -> None:
    # rows 12, 18
    check(
        START
        + """cancel
             > CancelRequested pending_cancel
             doubt R1
             > OrderInDoubt in_doubt
             absent R1
             > OrderRejected rejected"""
    )


def test_an_acknowledgement_in_doubt_after_a_trade_elsewhere_returns_to_partially_filled() -> None:
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             fill F1 2 @49 R2
             doubt R1
             > OrderInDoubt in_doubt
             ack V1 R1
             > RouteAcknowledged partially_filled""")
