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


def test_a_venue_that_went_away_leaves_in_doubt_what_worked_there() -> None:
    # row 12, FAILURES 37
    for said, state in (("ack V1", "routed"), ("fill F1 4 @49", "partially_filled"), ("ack V1\ncancel", "pending_cancel")):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {said}
                  = {state}
                  doubt R1 disconnected
                  > OrderInDoubt in_doubt reason=disconnected
                  doubt R1 disconnected
                  > nothing""")


def test_a_venue_that_says_it_works_there_settles_the_doubt() -> None:
    # row 13
    for said, state in (("ack V1", "routed"), ("ack V1\nfill F1 4 @49", "partially_filled")):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {said}
                  doubt R1 disconnected
                  confirm R1
                  > RouteAcknowledged {state} venue_order_id=V1
                  confirm R1
                  > nothing""")


def test_a_cancel_that_was_under_way_before_the_doubt_is_under_way_after_it() -> None:
    # row 12: pending requests keep their flag
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             cancel
             doubt R1 disconnected
             confirm R1 cancelling
             > RouteAcknowledged routed, CancelRequested pending_cancel
             venue_cancelled
             > OrderCancelled cancelled""")


def test_what_cannot_be_understood_is_kept_and_leaves_the_order_in_doubt() -> None:
    # row 12
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             quarantine PAPER_A unreadable
             > ReportQuarantined routed reason=unreadable report_seq=7, OrderInDoubt in_doubt reason=unreadable
             quarantine PAPER_A unreadable
             > ReportQuarantined in_doubt
             fill F1 10 @49
             > OrderFilled filled
             quarantine PAPER_A unreadable
             > ReportQuarantined filled""")
    check("submit buy 10 @50\nquarantine PAPER_A unreadable\n> ReportQuarantined queued\n= queued")


def test_an_operator_settles_a_doubt_and_it_is_written_down_who_and_why() -> None:
    # row 13
    for said, event, end in (
        ("never_arrived", "OrderRejected rejected source=operator reason=never_arrived", "rejected cum=0"),
        ("cancelled", "OrderCancelled cancelled source=operator", "cancelled cum=0"),
        ("working venue_order_id=V9", "RouteAcknowledged routed venue_order_id=V9", "routed cum=0"),
        ("filled 4 @49", "OrderFilled partially_filled quantity=4 price=49 venue=PAPER_A", "partially_filled cum=4"),
        ("filled 10 @49 exec_id=X1", "OrderFilled filled exec_id=X1", "filled cum=10"),
    ):
        check(START + f"settle {said}\n> DoubtSettled in_doubt who=ann route_id=R1 venue=PAPER_A, {event}\n= {end}")


def test_an_operator_settles_nothing_that_is_not_in_doubt() -> None:
    check("submit buy 10 @50\nroute PAPER_A\nsettle cancelled\n> TransitionRefused routed trigger=settle source=ann\n= routed")
    check(START + "settle cancelled\nsettle cancelled\n> TransitionRefused cancelled trigger=settle")
    check(START + "settle cancelled R7\n> TransitionRefused in_doubt")


def test_a_trade_that_the_operator_knew_and_the_venue_reports_later_is_booked_once() -> None:
    check(START + "settle filled 10 @49 exec_id=F1\nfill F1 10 @49\n> nothing\n= filled cum=10")


def test_an_operator_names_the_leg_where_several_may_be_meant() -> None:
    split = "submit buy 10 @50\nroute PAPER_A:6 PAPER_B:4\ndoubt R1\n"
    check(split + "settle never_arrived\n> TransitionRefused in_doubt")
    check(
        split
        + """settle never_arrived R1
             > DoubtSettled in_doubt route_id=R1, RouteClosed in_doubt route_id=R1
             settle never_arrived
             > DoubtSettled in_doubt route_id=R2, OrderRejected rejected"""
    )
    check(split + "ack V2 R2\n= routed\ndoubt R1\nsettle cancelled\n> DoubtSettled in_doubt route_id=R1, RouteClosed routed")
