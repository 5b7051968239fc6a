"""Cancels: asked for, raced by fills, refused by the venue."""

import pytest

from tests.table import check


def test_a_cancel_of_a_routed_order_waits_for_the_venue() -> None:
    # rows 18, 19
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             > CancelRequested pending_cancel source=client
             cancel
             > nothing
             venue_cancelled requested
             > OrderCancelled cancelled source=venue reason=requested
             cancel
             > nothing""")


def test_what_a_control_cancelled_names_the_control() -> None:
    # FAILURES 41
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             cancel risk_control killed
             > CancelRequested pending_cancel source=risk_control reason=killed
             = pending_cancel source=risk_control reason=killed
             fill F1 2 @49
             venue_cancelled requested
             > RouteClosed pending_cancel reason=killed
             venue_cancelled requested R2
             > OrderCancelled cancelled source=risk_control reason=killed venue=PAPER_B
             = cancelled source=risk_control reason=killed""")


def test_a_kill_that_was_under_way_before_a_doubt_is_still_a_kill_behind_it() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             cancel risk_control killed
             doubt R1 disconnected
             > OrderInDoubt in_doubt
             confirm R1 cancelling
             > RouteAcknowledged routed, CancelRequested pending_cancel source=risk_control reason=killed
             venue_cancelled requested
             > OrderCancelled cancelled source=risk_control reason=killed""")


def test_a_control_that_cancelled_in_vain_is_not_named() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             cancel risk_control killed
             cancel_rejected too_late
             = routed source=None reason=None
             cancel
             venue_cancelled requested
             > OrderCancelled cancelled source=venue reason=requested""")
    check("""submit buy 10 @50
             route PAPER_A
             cancel risk_control killed
             fill F1 10 @50
             = filled source=None reason=None""")
    check("""submit buy 10 @50
             route PAPER_A
             cancel risk_control killed
             doubt R1
             ack V1
             cancel
             venue_cancelled requested
             > OrderCancelled cancelled source=venue reason=requested""")


def test_a_fill_overtakes_the_cancel() -> None:
    # rows 15, 16, FAILURES 35
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             fill F1 4 @49
             > OrderFilled pending_cancel cum=4 leaves=6 late=False
             fill F2 6 @49
             > OrderFilled filled leaves=0
             cancel_rejected too_late
             > nothing
             = filled""")


def test_the_venue_cancels_what_a_fill_left() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             fill F1 4 @49
             venue_cancelled
             > OrderCancelled cancelled cum=4 leaves=0""")


def test_a_rejected_cancel_returns_to_where_the_order_works() -> None:
    # row 20
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             cancel_rejected too_late
             > CancelRejected routed reason=too_late
             fill F1 4 @49
             cancel
             > CancelRequested pending_cancel
             cancel_rejected too_late
             > CancelRejected partially_filled
             cancel_rejected too_late
             > nothing""")


def test_an_acknowledgement_may_arrive_after_the_cancel_was_asked_for() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             ack V1
             > RouteAcknowledged pending_cancel""")


def test_a_venue_that_rejects_the_order_while_we_cancel_has_the_last_word() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             reject bad_day
             > OrderRejected rejected source=venue""")


ENDED_INSTEAD = (
    ("cancel", "OrderCancelled cancelled source=venue reason=halted"),
    ("cancel risk_control killed", "OrderCancelled cancelled source=risk_control reason=killed"),
    ("expire order_timeout", "OrderExpired expired source=venue reason=halted"),
)
"""What was asked for, and how the order ends when its venue refuses it for now, in the place of going back to the queue."""


def test_an_order_that_would_wait_for_another_venue_is_cancelled_where_that_was_asked_for() -> None:
    # row 11: it never goes back to the queue
    for asked, told in ENDED_INSTEAD:
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {asked}
                  reject halted
                  > {told}""")


def test_a_doubt_makes_no_cancel_forgotten() -> None:
    # row 11: acknowledged behind a doubt, and then refused for now, it does not go back to the queue either
    for asked, told in ENDED_INSTEAD:
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {asked}
                  doubt R1
                  > OrderInDoubt in_doubt
                  ack V1
                  > RouteAcknowledged routed
                  reject halted
                  > {told}""")
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             ack V1
             cancel_rejected too_late
             > CancelRejected routed
             reject halted
             > OrderQueued queued""")


@pytest.mark.parametrize("reason", ["unknown", "too_early"])
def test_a_venue_that_has_not_seen_the_order_yet_refuses_no_cancel(reason: str) -> None:
    # row 20
    check(f"""submit buy 10 @50
              route PAPER_A
              cancel risk_control killed
              cancel_rejected {reason}
              > nothing
              = pending_cancel source=risk_control reason=killed
              ack V1
              > RouteAcknowledged pending_cancel
              venue_cancelled requested
              > OrderCancelled cancelled source=risk_control reason=killed""")
    check(f"""submit buy 10 @50
              route PAPER_A
              cancel
              ack V1
              cancel_rejected {reason}
              > CancelRejected routed reason={reason}""")
    check(f"""submit buy 10 @50
              route PAPER_A
              cancel
              fill F1 4 @50
              cancel_rejected {reason}
              > CancelRejected partially_filled reason={reason}""")


def test_one_leg_that_was_not_seen_yet_keeps_the_cancel_of_the_other_open() -> None:
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             ack V1
             cancel
             cancel_rejected unknown R2
             > nothing
             venue_cancelled requested
             > RouteClosed pending_cancel
             ack V2 R2
             > RouteAcknowledged pending_cancel
             venue_cancelled requested R2
             > OrderCancelled cancelled""")


def test_an_order_may_expire_while_we_cancel() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             cancel
             expired
             > OrderExpired expired""")


def test_a_cancel_of_what_ended_otherwise_is_refused_and_stored() -> None:
    for end, status in (("fill F1 10 @50", "filled"), ("expired", "expired"), ("reject", "rejected")):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {end}
                  cancel operator late
                  > TransitionRefused {status} trigger=cancel source=operator detail=late
                  = {status}""")
