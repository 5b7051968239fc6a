"""The ordinary life of an order, row by row of LIFECYCLE.md."""

from decimal import Decimal

import msgspec

from domain.order.terms import same_terms
from domain.values import OrderType, Side, TimeInForce
from tests import given
from tests.table import check


def test_an_approved_order_is_submitted_checked_and_queued_in_one_step() -> None:
    # rows 1, 3, 5
    check("""submit buy 10 @50
             > OrderSubmitted new quantity=10 price=50 account=alice, OrderRiskChecked risk_checked limits_version=3, OrderQueued queued
             = queued cum=0 leaves=10 version=3 average=None""")


def test_a_denied_order_is_rejected_with_its_numbers() -> None:
    # row 4
    check("""submit buy 10 @50 denied order_size_limit
             > OrderSubmitted new, OrderRejected rejected source=risk reason=order_size_limit found=150000 limit=100000 limits_version=3
             = rejected leaves=0 source=risk reason=order_size_limit found=150000 limit=100000 unit=USD""")


def test_a_repeated_submit_changes_nothing() -> None:
    # row 2, FAILURES 3
    check("""submit buy 10 @50
             submit buy 10 @50
             > nothing
             = queued version=3""")


def test_the_same_terms_are_distinguished_from_others() -> None:
    # row 2, FAILURES 4: the host answers 422 where this says no
    order = check("submit buy 10 @50").order
    assert order is not None
    assert same_terms(order, given.terms("10.0", "50.00"))
    changes: dict[str, object] = {
        "symbol": "ETHUSDT",
        "side": Side.SELL,
        "order_type": OrderType.STOP_LIMIT,
        "quantity": Decimal(11),
        "price": Decimal(51),
        "stop_price": Decimal(49),
        "time_in_force": TimeInForce.IOC,
        "expire_at": given.NOW,
        "priority": 1,
    }
    for field, value in changes.items():
        assert not same_terms(order, msgspec.structs.replace(given.terms(), **{field: value})), field


def test_an_order_knows_when_it_was_made_and_last_moved() -> None:
    order = check("""submit buy 10 @50
                     route PAPER_A""").order
    assert order is not None
    assert (order.created_at, order.updated_at) == (given.NOW + given.SECOND, given.NOW + 2 * given.SECOND)


def test_an_unrouted_order_is_cancelled_at_once() -> None:
    # row 6
    check("""submit buy 10 @50
             cancel operator too_big
             > OrderCancelled cancelled source=operator reason=too_big
             = cancelled leaves=0
             cancel
             > nothing""")


def test_a_route_is_recorded_with_its_legs() -> None:
    # row 7
    scene = check("""submit buy 10 @50
                     route PAPER_A:6 PAPER_B:4
                     > OrderRouted routed policy=best_price
                     = routed leaves=10""")
    assert scene.order is not None
    assert [(r.route_id, r.venue, r.leaves_quantity) for r in scene.order.routes] == [
        ("R1", "PAPER_A", Decimal(6)),
        ("R2", "PAPER_B", Decimal(4)),
    ]


def test_the_same_route_asked_for_again_changes_nothing() -> None:
    # exeq asks again when it did not hear the answer
    check("""submit buy 10 @50
             route PAPER_A
             route PAPER_A
             > nothing""")


def test_a_second_route_is_refused_and_stored() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             route PAPER_B:10:R9
             > TransitionRefused routed trigger=route source=exeq
             = routed cum=0""")


def test_a_route_for_more_than_the_order_is_refused() -> None:
    check("""submit buy 10 @50
             route PAPER_A:6 PAPER_B:5
             > TransitionRefused queued trigger=route
             = queued""")


def test_a_route_of_nothing_less_than_nothing_or_no_number_is_refused() -> None:
    # FAILURES 55
    for quantity in ("0", "-5", "NaN", "Infinity", "1E+40", "1e-13"):
        check(f"""submit buy 10 @50
                  route PAPER_A:{quantity} PAPER_B:4
                  > TransitionRefused queued trigger=route""")


def test_an_order_that_no_venue_can_take_is_rejected_once() -> None:
    # row 8
    check("""submit buy 10 @50
             no_route no_healthy_venue
             > OrderRejected rejected source=exeq reason=no_healthy_venue
             no_route no_healthy_venue
             > nothing""")


def test_a_routed_order_that_exeq_did_not_send_is_rejected_once() -> None:
    # row 11: logged before the wire, withheld from it (FAILURES 40)
    check("""submit buy 10 @50
             route PAPER_A
             no_route symbol_blocked R1
             > OrderRejected rejected source=exeq reason=symbol_blocked route_id=R1
             = rejected leaves=0
             no_route symbol_blocked R1
             > nothing""")


def test_no_route_after_the_route_is_refused_and_stored() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             no_route too_late
             > TransitionRefused routed trigger=no_route source=exeq""")


def test_a_route_that_lost_the_race_to_a_cancel_is_refused_and_stored() -> None:
    check("""submit buy 10 @50
             cancel
             route PAPER_A
             > TransitionRefused cancelled trigger=route
             = cancelled""")


def test_the_venue_acknowledges_once() -> None:
    # row 10
    scene = check("""submit buy 10 @50
                     route PAPER_A
                     ack V1
                     > RouteAcknowledged routed venue_order_id=V1 route_id=R1 venue=PAPER_A
                     ack V1
                     > nothing""")
    assert scene.order is not None
    assert scene.order.routes[0].venue_order_id == "V1"


def test_the_venue_rejects_the_only_leg() -> None:
    # row 11, FAILURES 33
    check("""submit buy 10 @50
             route PAPER_A
             reject price_band
             > OrderRejected rejected source=venue reason=price_band route_id=R1
             = rejected leaves=0
             reject price_band
             > nothing""")


def test_an_order_fills_in_two_parts() -> None:
    # rows 14, 15
    check("""submit buy 10 @50
             route PAPER_A
             ack V1
             fill F1 4 @49 fee=0.02
             > OrderFilled partially_filled leaves=6 cum=4 late=False overfill=False
             = partially_filled average=49 fees=0.02
             fill F2 6 @50 fee=0.03
             > OrderFilled filled leaves=0 late=False overfill=False
             = filled cum=10 notional=496 average=49.6 fees=0.05""")


def test_a_market_sell_fills_whole() -> None:
    check("""submit sell 10 market
             > OrderSubmitted new side=sell price=None order_type=market, OrderRiskChecked risk_checked, OrderQueued queued
             route PAPER_A
             fill F1 10 @50.5
             > OrderFilled filled side=sell average=50.5""")


def test_a_fill_before_the_acknowledgement_counts_and_the_late_one_only_binds_the_id() -> None:
    # FAILURES 28
    scene = check("""submit buy 10 @50
                     route PAPER_A
                     fill F1 4 @49
                     > OrderFilled partially_filled
                     ack V1
                     > RouteAcknowledged partially_filled cum=4
                     fill F2 6 @49
                     ack V1
                     > nothing""")
    assert scene.order is not None
    assert scene.order.routes[0].venue_order_id == "V1"


def test_a_repeated_fill_changes_nothing() -> None:
    # row 17, FAILURES 26
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49 fee=0.1
             fill F1 4 @49 fee=0.1
             > nothing
             fill F1 4.0 @49.00 fee=0.10
             > nothing
             fill F1 4 @49 venue=PAPER_B
             > OrderFilled partially_filled cum=8""")


def test_the_venue_cancels_by_itself() -> None:
    # row 25: the rest of an IOC, a halt, self-trade prevention
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49
             venue_cancelled ioc_rest
             > OrderCancelled cancelled source=venue reason=ioc_rest
             = cancelled cum=4 leaves=0""")


def test_the_venue_says_that_time_is_up() -> None:
    # row 9
    check("""submit buy 10 @50
             route PAPER_A
             expired
             > OrderExpired expired source=venue reason=expired
             expired
             > nothing""")


def test_a_reject_after_a_trade_is_a_cancel_of_the_rest() -> None:
    # row 11, guard "no trade seen"
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49
             reject unsolicited
             > OrderCancelled cancelled source=venue reason=unsolicited
             = cancelled cum=4""")


def test_a_status_report_never_changes_what_was_traded() -> None:
    # invariant 2
    for report, status in (
        ("ack V9", "partially_filled"),
        ("cancel_rejected", "partially_filled"),
        ("reject", "cancelled"),
        ("venue_cancelled", "cancelled"),
        ("expired", "expired"),
    ):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  fill F1 4 @49
                  {report} quantity=3 price=1 exec_id=F7
                  = {status} cum=4 notional=196""")


def test_a_stale_status_report_about_a_closed_order_is_ignored() -> None:
    # row 28
    for end in ("fill F1 10 @50", "venue_cancelled", "expired", "reject"):
        for report in ("ack V1", "reject", "venue_cancelled", "expired", "cancel_rejected"):
            check(f"""submit buy 10 @50
                      route PAPER_A
                      {end}
                      {report}
                      > nothing""")


def test_a_report_about_a_leg_that_was_never_sent_is_ignored() -> None:
    for report in ("ack V1", "reject", "venue_cancelled", "expired"):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  {report} R7
                  > nothing""")
