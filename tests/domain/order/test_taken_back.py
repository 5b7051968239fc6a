"""Trades corrected, busts that come before their trade, and time that runs out."""

from decimal import Decimal

import msgspec

from tests import given
from tests.table import Scene, check


def test_a_correction_takes_a_trade_back_and_books_another() -> None:
    # row 27, FAILURES 32
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 10 @49 fee=0.1
             correct F2 F1 10 @48 fee=0.2
             > TradeBusted routed exec_id=F1, OrderFilled filled exec_id=F2 corrects=F1 late=False
             = filled cum=10 notional=480 fees=0.2
             correct F2 F1 10 @48 fee=0.2
             > nothing
             correct F2 F1 10 @47 fee=0.2
             > ReportQuarantined filled reason=conflict
             correct F3 F1 10 @47
             > ReportQuarantined filled reason=conflict
             correct F3 F2 4 @48
             > TradeBusted routed exec_id=F2, OrderFilled partially_filled exec_id=F3
             = partially_filled cum=4 leaves=6""")


def test_a_correction_of_a_closed_order_leaves_it_closed() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49
             venue_cancelled
             correct F2 F1 3 @49
             > TradeBusted cancelled, OrderFilled cancelled late=True corrects=F1
             = cancelled cum=3 leaves=0""")


def test_a_bust_that_comes_first_waits_for_its_trade() -> None:
    # row 27: parked
    check("""submit buy 10 @50
             route PAPER_A
             bust F1
             > ReportQuarantined routed reason=unknown_trade
             fill F1 4 @49
             > OrderFilled partially_filled, TradeBusted routed exec_id=F1
             = routed cum=0 leaves=10 parked=()
             fill F1 4 @49
             > nothing""")


def test_a_correction_that_comes_first_waits_for_its_trade() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             correct F2 F1 10 @48
             > ReportQuarantined routed reason=unknown_trade
             fill F1 10 @49
             > OrderFilled filled exec_id=F1, TradeBusted routed exec_id=F1, OrderFilled filled exec_id=F2 report_seq=None
             = filled cum=10 notional=480""")


def test_a_parked_bust_of_another_trade_continues_waiting() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             bust F9
             fill F1 4 @49
             > OrderFilled partially_filled
             fill F9 1 @49
             > OrderFilled partially_filled, TradeBusted partially_filled exec_id=F9""")


def test_an_order_that_no_venue_has_expires_at_once() -> None:
    # row 9
    check("""submit buy 10 @50
             expire session_end
             > OrderExpired expired source=oms reason=session_end
             expire session_end
             > nothing
             route PAPER_A
             > TransitionRefused expired""")


def test_at_a_venue_an_order_expires_when_its_cancel_is_acknowledged() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @50
             expire order_timeout
             > CancelRequested pending_cancel source=oms reason=order_timeout
             expire order_timeout
             > nothing
             venue_cancelled requested
             > OrderExpired expired cum=4 leaves=0""")


def test_a_fill_may_overtake_the_end_of_time_and_a_refused_cancel_forgets_it() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             expire order_timeout
             fill F1 10 @50
             > OrderFilled filled""")
    check("""submit buy 10 @50
             route PAPER_A
             expire order_timeout
             cancel_rejected too_late
             cancel
             venue_cancelled
             > OrderCancelled cancelled""")


def test_one_leg_that_never_arrived_does_not_end_an_order_whose_others_work() -> None:
    # row 13
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             ack V1
             doubt R2
             absent R2
             > RouteClosed routed route_id=R2 reason=never_arrived
             = routed leaves=10""")
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             doubt R1
             absent R1
             > RouteClosed in_doubt
             ack V2 R2
             > RouteAcknowledged routed""")
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             no_route symbol_blocked R1
             > RouteClosed routed reason=symbol_blocked
             no_route symbol_blocked R1
             > nothing
             fill F1 4 @50 R2
             > OrderFilled partially_filled, OrderCancelled cancelled reason=no_live_leg""")


def test_a_leg_that_was_not_sent_after_another_traded_cancels_the_rest() -> None:
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:4
             fill F1 6 @50
             no_route symbol_blocked R2
             > OrderCancelled cancelled source=exeq reason=symbol_blocked
             = cancelled cum=6""")


def test_a_stop_that_no_venue_has_is_woken_once() -> None:
    check("""submit buy 10 market
             trigger PAPER_A @51
             > nothing""")
    stop = msgspec.structs.replace(given.terms("10", None, order_type="stop"), stop_price=Decimal(51))
    scene = Scene()
    scene.do(given.submit(stop))
    for line in ("trigger PAPER_A @51.5", "> OrderTriggered queued venue=PAPER_A price=51.5", "trigger PAPER_A @52", "> nothing"):
        scene.play(line)
    for line in ("route PAPER_A", "> OrderRouted routed", "trigger PAPER_A @52", "> nothing"):
        scene.play(line)
