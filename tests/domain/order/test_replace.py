"""New terms for an open order: in place, asked of the venue, raced by fills and cancels, refused."""

from decimal import Decimal

import pytest

from domain.order.terms import same_terms
from tests import given
from tests.table import Scene, check

R1 = f"{given.ORDER_ID}-r1"


def test_an_order_that_no_venue_has_is_changed_in_place() -> None:
    # row 24
    check("""submit buy 10 @50
             replace 12 @51
             > OrderReplaced queued quantity=12 price=51 leaves_quantity=12
             = queued leaves=12
             replace 12 @51
             > nothing
             route PAPER_A:10
             > TransitionRefused queued trigger=route
             route PAPER_A:12
             > OrderRouted routed""")


def test_the_old_terms_rule_until_the_venue_has_answered() -> None:
    # rows 21, 22
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 12 @51
             > ReplaceRequested pending_replace quantity=12 price=51 leaves_quantity=12
             = pending_replace leaves=10
             replace 12 @51
             > nothing
             replaced 12 @51
             > OrderReplaced routed quantity=12
             = routed leaves=12
             replace 12
             > nothing
             fill F1 12 @51
             > OrderFilled filled overfill=False""")


def test_the_venue_may_keep_the_old_terms() -> None:
    # row 23
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 3 @50
             replace 12
             replace_rejected too_late
             > ReplaceRejected partially_filled reason=too_late leaves_quantity=7
             = partially_filled leaves=7
             replace_rejected too_late
             > nothing""")


def test_a_fill_meets_a_replace_under_the_old_terms() -> None:
    # row 16, FAILURES 35
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 5
             fill F1 4 @50
             > OrderFilled pending_replace leaves=6
             replaced 5
             > OrderReplaced partially_filled leaves_quantity=1
             fill F2 1 @50
             > OrderFilled filled overfill=False""")


def test_an_order_that_fills_first_is_filled_and_the_answer_is_too_late() -> None:
    # rows 15, 28
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 15
             fill F1 10 @50
             > OrderFilled filled
             replace_rejected too_late
             > nothing
             = filled leaves=0""")


@pytest.mark.parametrize("asked", ["5", "6"])
def test_a_quantity_at_or_below_what_was_traded_fills_the_order(asked: str) -> None:
    # row 22, FAILURES 35: the rest is never negative
    check(f"""submit buy 10 @50
              route PAPER_A
              ack V1
              fill F1 6 @50
              replace {asked}
              replaced {asked}
              > OrderReplaced filled quantity=6 leaves_quantity=0
              = filled cum=6 leaves=0 quantity=6""")


def test_a_cancel_overtakes_the_replace() -> None:
    # row 18: and either answer comes while the cancel is open
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 12
             cancel
             > CancelRequested pending_cancel
             replaced 12
             > OrderReplaced pending_cancel quantity=12
             venue_cancelled
             > OrderCancelled cancelled""")
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 12
             cancel
             replace_rejected too_late
             > ReplaceRejected pending_cancel
             cancel_rejected too_late
             > CancelRejected routed""")


def test_a_refused_cancel_returns_to_the_replace_that_is_open() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 12
             cancel
             cancel_rejected unknown
             > CancelRejected pending_replace
             replaced 12
             > OrderReplaced routed leaves=12""")


def test_an_answer_settles_a_doubt_unless_it_says_unknown() -> None:
    # row 13
    begin = """submit buy 10 @50
               route PAPER_A:6 PAPER_B:4
               ack V1
               venue_cancelled R2"""
    for answer, told in (("replaced 6", "OrderReplaced routed"), ("replace_rejected too_late", "ReplaceRejected routed")):
        scene = check(f"{begin}\nreplace 7\n= pending_replace")
        _in_doubt(scene)
        scene.play(answer)
        scene.play(f"> {told}")
    scene = check(f"{begin}\nreplace 7")
    _in_doubt(scene)
    scene.play("replace_rejected unknown")
    scene.play("> nothing")
    scene.play("= in_doubt")


def _in_doubt(scene: Scene) -> None:
    """As a query without an answer would make it."""
    from domain.order.lifecycle import State

    assert scene.order is not None
    scene.order.status = State.IN_DOUBT


def test_a_venue_may_change_an_order_without_a_request() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replaced 8 @49
             > OrderReplaced routed quantity=8 price=49
             = routed leaves=8""")


def test_a_replace_is_taken_before_the_venue_has_said_a_word() -> None:
    # row 21: exeq keeps it until then, the old terms rule
    check("""submit buy 10 @50
             route PAPER_A
             replace 12 @51
             > ReplaceRequested pending_replace quantity=12 price=51 leaves_quantity=12
             = pending_replace leaves=10
             replace 12 @51
             > nothing
             replace 13
             > TransitionRefused pending_replace detail=pending_replace
             ack V1
             > RouteAcknowledged pending_replace leaves=10
             replaced 12 @51
             > OrderReplaced routed quantity=12
             = routed leaves=12 price=51 replaces=1""")


def test_a_fill_may_be_the_first_word_of_a_venue_that_was_asked_for_other_terms() -> None:
    # rows 15, 16
    check("""submit buy 10 @50
             route PAPER_A
             replace 8
             fill F1 3 @50
             > OrderFilled pending_replace leaves=7
             replaced 8
             > OrderReplaced partially_filled leaves_quantity=5""")
    check("""submit buy 10 @50
             route PAPER_A
             replace 12
             fill F1 10 @50
             > OrderFilled filled overfill=False
             = filled quantity=10 leaves=0""")


@pytest.mark.parametrize("acknowledged", ["", "ack V1"])
def test_an_order_that_falls_back_to_the_queue_waits_there_with_its_new_terms(acknowledged: str) -> None:
    # row 11: in one commit, so the old terms are never routed again
    scene = check(f"""submit buy 10 @50
                      route PAPER_A
                      {acknowledged}
                      replace 12 @51
                      reject halted
                      > OrderQueued queued reason=halted, OrderReplaced queued quantity=12 price=51 leaves_quantity=12
                      = queued quantity=12 price=51 leaves=12 replaces=1 replacing=None
                      replace 12 @51
                      > nothing
                      route PAPER_B:10:R2
                      > TransitionRefused queued trigger=route
                      route PAPER_B:12:R2
                      > OrderRouted routed
                      ack V2 R2
                      replace 13
                      > ReplaceRequested pending_replace
                      = pending_replace replaces=2""")
    assert scene.order is not None
    assert scene.order.replacing is not None
    assert scene.order.replacing.replace_id == f"{given.ORDER_ID}-r2"
    assert scene.order.asked is not None
    assert scene.order.asked.quantity == Decimal(10), "what was first submitted"


def test_a_venue_that_refuses_the_order_for_itself_refuses_the_new_terms_with_it() -> None:
    # row 11
    check("""submit buy 10 @50
             route PAPER_A
             replace 12
             reject bad_day
             > OrderRejected rejected source=venue reason=bad_day
             = rejected quantity=10""")
    check("""submit buy 10 @50
             route PAPER_A
             replace 12
             fill F1 4 @50
             reject halted
             > OrderCancelled cancelled cum=4""")


def test_a_replace_before_the_first_word_stays_open_over_a_doubt() -> None:
    # rows 12, 13
    begin = """submit buy 10 @50
               route PAPER_A
               replace 12
               doubt R1
               > OrderInDoubt in_doubt"""
    check(f"""{begin}
              ack V1
              > RouteAcknowledged routed
              replace 12
              > nothing
              replaced 12
              > OrderReplaced routed leaves=12""")
    check(f"""{begin}
              absent R1
              > OrderRejected rejected reason=never_arrived""")
    check(f"""{begin}
              ack V1
              reject venue_busy
              > OrderQueued queued, OrderReplaced queued quantity=12""")


def test_a_cancel_wins_over_a_replace_that_was_not_sent() -> None:
    # row 18
    check("""submit buy 10 @50
             route PAPER_A
             replace 12
             cancel
             > CancelRequested pending_cancel
             ack V1
             > RouteAcknowledged pending_cancel
             venue_cancelled requested
             > OrderCancelled cancelled
             = cancelled quantity=10""")
    check("""submit buy 10 @50
             route PAPER_A
             replace 12
             cancel
             reject halted
             > OrderCancelled cancelled reason=halted""")


def test_one_request_at_a_time() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 12
             replace 13
             > TransitionRefused pending_replace trigger=replace detail=pending_replace
             replaced 12
             cancel
             replace 14
             > TransitionRefused pending_cancel detail=pending_cancel""")


def test_what_cannot_be_replaced_now_says_why() -> None:
    check("""submit buy 10 @50
             replace 0
             > TransitionRefused queued detail=quantity
             route PAPER_A
             replace 0
             > TransitionRefused routed detail=quantity
             ack V1
             replace 12 as old
             > TransitionRefused routed detail=replaced_meanwhile
             fill F1 10 @50
             replace 12
             > TransitionRefused filled detail=filled""")
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             ack V1
             ack V2 R2
             replace 12
             > TransitionRefused routed detail=several_legs""")


def test_the_last_leg_gets_what_the_others_did_not_trade() -> None:
    scene = check("""submit buy 10 @50
                     route PAPER_A:6 PAPER_B:4
                     ack V1
                     fill F2 1 @50 R2
                     venue_cancelled R2
                     > RouteClosed partially_filled
                     replace 8""")
    (asked,) = scene.events
    assert asked.leg.quantity == Decimal(7)  # type: ignore[union-attr]
    scene.play("replaced 7")
    scene.play("> OrderReplaced partially_filled quantity=8 leaves_quantity=7")
    scene.play("fill F3 7 @50")
    scene.play("> OrderFilled filled overfill=False")


def test_risk_may_refuse_and_the_order_does_not_move() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             replace 1000 denied order_size_limit
             > ReplaceRefused routed source=risk reason=order_size_limit found=150000 limit=100000
             = routed leaves=10""")


def test_an_answer_that_cannot_be_read_is_kept_apart() -> None:
    for numbers in ("0", "-1", "NaN", "1E+999999"):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  ack V1
                  replace 12
                  replaced {numbers} @50
                  > ReportQuarantined pending_replace reason=unreadable""")


def test_a_stale_answer_changes_nothing() -> None:
    # row 28
    for end in ("fill F1 10 @50", "venue_cancelled", "expired"):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  ack V1
                  {end}
                  replaced 12 @51
                  > nothing
                  replace_rejected too_late
                  > nothing""")


def test_a_repeated_submit_is_held_against_what_was_first_asked() -> None:
    order = check("""submit buy 10 @50
                     replace 12 @51""").order
    assert order is not None
    assert same_terms(order, given.terms("10", "50"))
    assert not same_terms(order, given.terms("12", "51"))


def test_a_leg_that_its_venue_changed_changes_the_order_by_as_much() -> None:
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             ack V1
             ack V2 R2
             fill F1 1 @50 R2
             replaced 7
             > OrderReplaced partially_filled quantity=11 leaves_quantity=10
             fill F2 7 @50
             fill F3 3 @50 R2
             > OrderFilled filled overfill=False""")
