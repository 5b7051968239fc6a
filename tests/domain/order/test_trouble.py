"""Unwanted facts: late, too many, twice with other numbers, taken back, for an unknown order."""

import msgspec
import pytest

from domain.order.commands import VenueReport
from domain.order.decider import decide
from domain.order.events import ReportQuarantined
from tests import given
from tests.table import check


@pytest.mark.parametrize(("end", "status"), [("venue_cancelled", "cancelled"), ("reject", "rejected"), ("expired", "expired")])
def test_a_fill_after_the_end_is_booked(end: str, status: str) -> None:
    # row 26, FAILURES 29
    check(f"""submit buy 10 @50
              route PAPER_A
              {end}
              fill F1 4 @49
              > OrderFilled {status} late=True overfill=False
              = {status} cum=4 leaves=0
              fill F2 6 @49
              > OrderFilled filled late=True
              = filled cum=10""")


def test_an_overfill_is_booked_and_flagged() -> None:
    # row 15, FAILURES 30
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 11 @50
             > OrderFilled filled overfill=True late=False
             = filled cum=11 leaves=0 overfill=True
             fill F2 1 @50
             > OrderFilled filled overfill=True late=True
             = filled cum=12 leaves=0""")


def test_an_overfill_stays_flagged_when_it_is_taken_back() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 11 @50
             bust F1
             fill F2 4 @50
             > OrderFilled partially_filled overfill=False
             = partially_filled overfill=True""")


def test_a_fill_of_an_order_that_was_never_sent_is_booked_and_ends_it() -> None:
    # The rest will not trade: no leg works, and a queued order that is filled elsewhere must not be sent as well.
    check("""submit buy 10 @50
             fill X1 4 @49 R7
             > OrderFilled partially_filled cum=4, OrderCancelled cancelled source=oms reason=no_live_leg
             = cancelled cum=4
             route PAPER_A
             > TransitionRefused cancelled""")


def test_the_same_trade_with_other_numbers_is_kept_apart() -> None:
    # row 17
    for other in ("fill F1 5 @49 fee=0.1", "fill F1 4 @48 fee=0.1", "fill F1 4 @49 fee=0.2", "fill F1 4 @49"):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  fill F1 4 @49 fee=0.1
                  {other}
                  > ReportQuarantined partially_filled reason=conflict venue=PAPER_A
                  = partially_filled cum=4 notional=196 fees=0.1""")


def test_a_trade_that_contradicts_its_order_is_kept_apart() -> None:
    for contradiction in ("side=sell", "symbol=ETHUSDT", "account=bob"):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  fill F1 4 @49 {contradiction}
                  > ReportQuarantined routed reason=mismatch
                  = routed cum=0
                  fill F1 4 @49
                  bust F1 {contradiction}
                  > ReportQuarantined partially_filled reason=mismatch
                  = partially_filled cum=4""")


QUANTITIES = ["0", "-0", "-4", "NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1E-999999", "1E+18", "0.0000000000001"]
PRICES = ["-1", "NaN", "sNaN", "Infinity", "1E+999999", "1E-999999", "0.0000000000001"]
FEES = ["NaN", "Infinity", "1E+999999", "1E-999999"]


@pytest.mark.parametrize(
    "numbers", [f"{q} @49" for q in QUANTITIES] + [f"4 @{p}" for p in PRICES] + [f"4 @49 fee={f}" for f in FEES], ids=str
)
def test_a_trade_that_cannot_be_read_is_kept_apart(numbers: str) -> None:
    # FAILURES 55
    check(f"""submit buy 10 @50
              route PAPER_A
              fill F1 {numbers}
              > ReportQuarantined routed reason=unreadable
              = routed cum=0""")


def test_a_trade_without_its_numbers_or_its_id_is_kept_apart() -> None:
    order = check("submit buy 10 @50\nroute PAPER_A").order
    for known in ({"quantity": "4", "price": "49"}, {"exec_id": "F1", "price": "49"}, {"exec_id": "F1", "quantity": "4"}):
        (event,) = decide(order, given.report("fill", **known), given.NOW)  # type: ignore[arg-type]
        assert isinstance(event, ReportQuarantined)
        assert event.reason == "unreadable"


def test_a_rebate_is_a_negative_fee() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49 fee=-0.000000000000000001
             = partially_filled fees=-0.000000000000000001""")


def test_a_report_for_an_unknown_order_is_quarantined_whole() -> None:
    # FAILURES 31
    report = given.fill("F1", "4", "49", fee="0.1")
    (event,) = decide(None, report, given.NOW)
    assert isinstance(event, ReportQuarantined)
    assert (event.reason, event.venue, event.report_seq) == ("unknown_order", "PAPER_A", 1)
    assert msgspec.json.decode(event.report, type=VenueReport) == report


def test_a_busted_part_is_taken_back_once() -> None:
    # row 27, FAILURES 32
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49 fee=0.1
             fill F2 3 @48 fee=0.1
             bust F1
             > TradeBusted partially_filled quantity=4 price=49 fee=0.1
             = partially_filled cum=3 leaves=7 notional=144 fees=0.1
             bust F1
             > nothing
             fill F1 4 @49 fee=0.1
             > nothing
             bust F2
             > TradeBusted routed
             = routed cum=0 leaves=10 average=None fees=0""")


def test_a_bust_opens_a_filled_order_again_where_its_leg_still_works() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49
             fill F2 6 @49
             bust F1
             > TradeBusted partially_filled
             = partially_filled cum=6 leaves=4
             fill F3 4 @49
             > OrderFilled filled late=False
             fill F4 1 @49
             bust F4
             > TradeBusted filled
             = filled cum=10""")


def test_a_bust_of_the_only_trade_returns_to_routed() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 10 @49
             bust F1
             > TradeBusted routed
             = routed cum=0 leaves=10""")


def test_a_bust_leaves_a_closed_order_closed() -> None:
    for end, status in (("venue_cancelled", "cancelled"), ("expired", "expired")):
        check(f"""submit buy 10 @50
                  route PAPER_A
                  fill F1 4 @49
                  fill F2 1 @49
                  {end}
                  bust F1
                  > TradeBusted {status}
                  = {status} cum=1 leaves=0
                  bust F2
                  > TradeBusted {status}
                  = {status} cum=0 leaves=0""")


def test_a_bust_of_a_late_trade_does_not_open_an_order_that_no_venue_works() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49
             venue_cancelled
             fill F2 6 @49
             > OrderFilled filled late=True
             bust F2
             > TradeBusted cancelled
             = cancelled cum=4 leaves=0""")


def test_a_bust_while_a_cancel_is_open_keeps_waiting() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             fill F1 4 @49
             cancel
             bust F1
             > TradeBusted pending_cancel cum=0
             cancel_rejected too_late
             > CancelRejected routed""")


def test_a_bust_of_an_unknown_trade_is_kept_apart() -> None:
    check("""submit buy 10 @50
             route PAPER_A
             bust F9
             > ReportQuarantined routed reason=unknown_trade""")
