"""A paper venue, told as scenes: what it receives, and after `>` what it says. The rules are docs/paper-venues.md."""

from decimal import Decimal

import msgspec
import pytest

from domain.order.commands import ReportKind
from domain.paper.book import PaperState
from domain.paper.events import BustTrade, Reported
from domain.paper.rules import PaperRules
from domain.paper.venue import PaperVenue
from domain.values import Side
from tests.domain.paper.scene import INSTRUMENT, MAKER_BPS, TAKER_BPS, check, message_of, new_venue, request, state


def test_a_market_order_fills_at_the_touch() -> None:
    check("""quote 10x99.5 10x100
             > nothing
             B buy 3
             > B accepted, B fill 3 @100 taker
             S sell 4
             > S accepted, S fill 4 @99.5 taker""")


def test_a_marketable_limit_fills_at_the_touch_not_at_its_limit() -> None:
    check("""quote 10x99.5 10x100
             B buy 3 @105
             > B accepted, B fill 3 @100 taker
             S sell 3 @99.5
             > S accepted, S fill 3 @99.5 taker""")


def test_the_displayed_size_is_consumed_until_the_next_quote() -> None:
    check("""quote 10x99.5 5x100
             A buy 3
             > A accepted, A fill 3 @100 taker
             B buy 3 @100
             > B accepted, B fill 2 @100 taker
             C buy 1 @100
             > C accepted
             quote 10x99.5 5x100
             > B fill 1 @100 maker, C fill 1 @100 maker
             D buy 9
             > D accepted, D fill 3 @100 taker""")


def test_each_side_has_a_size_of_its_own() -> None:
    check("""quote 1x99.5 2x100
             B buy 2
             > B accepted, B fill 2 @100 taker
             S sell 1
             > S accepted, S fill 1 @99.5 taker""")


def test_what_a_market_order_lacks_waits_and_fills_at_the_next_touch() -> None:
    check("""M buy 3
             > M accepted
             quote 10x99.5 1x100
             > M fill 1 @100 taker
             quote 10x99.5 0x90
             > nothing
             quote 10x99.5 10x101
             > M fill 2 @101 taker""")


def test_a_resting_limit_fills_at_its_own_price_when_the_touch_comes_to_it_or_crosses_it() -> None:
    check("""quote 10x99.5 10x100
             A buy 1 @99
             > A accepted
             B buy 1 @98
             > B accepted
             S sell 1 @102
             > S accepted
             quote 10x98.5 10x99
             > A fill 1 @99 maker
             quote 10x101.5 10x102
             > nothing
             quote 10x103 10x104
             > S fill 1 @102 maker
             quote 10x90 10x91
             > B fill 1 @98 maker""")


def test_resting_limits_fill_by_price_then_time() -> None:
    check("""A buy 1 @99
             B buy 1 @100
             C buy 1 @99
             D buy 1 @100
             quote 10x90 3x99
             > B fill 1 @100 maker, D fill 1 @100 maker, A fill 1 @99 maker
             quote 10x90 3x99
             > C fill 1 @99 maker""")


def test_sell_limits_too_fill_the_best_price_first() -> None:
    check("""A sell 1 @101
             B sell 1 @100
             C sell 1 @101
             quote 2x101 9x110
             > B fill 1 @100 maker, A fill 1 @101 maker""")


def test_waiting_market_orders_go_before_limits() -> None:
    check("""L buy 2 @200
             M buy 2
             quote 10x99.5 3x100
             > M fill 2 @100 taker, L fill 1 @200 maker""")


def test_buys_come_before_sells_when_one_quote_fills_both() -> None:
    check("""S sell 1 @90
             B buy 1 @110
             quote 10x99.5 10x100
             > B fill 1 @110 maker, S fill 1 @90 maker""")


def test_a_stop_triggers_on_its_own_aggressive_side() -> None:
    check("""quote 10x99.5 10x100
             B buy 1 stop 101
             > B accepted
             S sell 1 stop 99
             > S accepted
             quote 10x99.5 10x100.5
             > nothing
             quote 10x100.5 10x101
             > B triggered, B fill 1 @101 taker
             quote 10x99 10x101
             > S triggered, S fill 1 @99 taker""")


def test_a_stop_that_is_reached_when_it_comes_triggers_at_once() -> None:
    check("""quote 10x99.5 10x100
             B buy 1 stop 100
             > B accepted, B triggered, B fill 1 @100 taker""")


def test_stops_over_a_gap_fill_where_the_market_is_and_limits_hold() -> None:
    gap = [f"{name} triggered, {name} fill 1 @7900 taker" for name in "EFG"]
    fell = ", ".join(["D fill 1 @8900 maker", *gap, "H triggered"])
    check(f"""quote 1000x9900 1000x10100
             A buy 1 stop 9000
             > A accepted, A triggered, A fill 1 @10100 taker
             B sell 1 stop 11000
             > B accepted, B triggered, B fill 1 @9900 taker
             C sell 1 stop 9900
             > C accepted, C triggered, C fill 1 @9900 taker
             D buy 1 @8900 stop 9000
             > D accepted, D triggered
             E sell 1 stop 9500
             > E accepted
             F sell 1 stop 9500 ioc
             > F accepted
             G sell 1 stop 9500 fok
             > G accepted
             H sell 1 @9400 stop 9500
             > H accepted
             quote 1000x7900 1000x8100
             > {fell}
             quote 1000x12000 1000x12200
             > H fill 1 @9400 maker""")


def test_a_triggered_stop_limit_rests_at_its_limit() -> None:
    check("""quote 10x99.5 10x100
             B buy 2 @101.5 stop 101
             > B accepted
             quote 10x102 10x103
             > B triggered
             quote 10x99.5 1x100
             > B fill 1 @101.5 maker""")


def test_a_triggered_stop_stays_triggered_without_size_and_when_the_price_turns_back() -> None:
    check("""B buy 1 stop 101
             quote 10x99.5 0x101
             > B triggered
             quote 10x90 10x95
             > B fill 1 @95 taker""")


def test_stops_trigger_nearest_first_and_share_the_display() -> None:
    check("""A buy 2 stop 103
             B buy 2 stop 101
             C buy 2 stop 103
             quote 10x100 3x104
             > B triggered, B fill 2 @104 taker, A triggered, A fill 1 @104 taker, C triggered""")


def test_resting_orders_go_before_stops_that_the_same_quote_triggers() -> None:
    check("""S buy 2 stop 99
             L buy 2 @100
             quote 10x98 3x99
             > L fill 2 @100 maker, S triggered, S fill 1 @99 taker""")


def test_the_rest_of_an_ioc_is_cancelled() -> None:
    check("""quote 10x99.5 2x100
             A buy 3 @100 ioc
             > A accepted, A fill 2 @100 taker, A cancelled ioc
             B buy 3 @99 ioc
             > B accepted, B cancelled ioc
             M buy 3 ioc
             > M accepted, M cancelled ioc""")


def test_an_ioc_that_gets_all_it_wants_is_not_cancelled() -> None:
    check("""quote 10x99.5 2x100
             A buy 2 ioc
             > A accepted, A fill 2 @100 taker""")


def test_fok_is_all_or_nothing() -> None:
    check("""quote 10x99.5 2x100
             A buy 3 fok
             > A accepted, A cancelled fok
             B buy 2 @100 fok
             > B accepted, B fill 2 @100 taker
             C buy 1 fok
             > C accepted, C cancelled fok""")


def test_a_stop_is_immediate_only_when_it_triggers() -> None:
    check("""quote 10x99.5 10x100
             A buy 3 stop 101 fok
             > A accepted
             B buy 3 stop 101 ioc
             > B accepted
             quote 10x100.5 2x101
             > A triggered, A cancelled fok, B triggered, B fill 2 @101 taker, B cancelled ioc""")


def test_gtd_orders_expire_before_anything_else_happens() -> None:
    check("""A buy 1 @100 gtd50
             B buy 1 @100 gtd40
             C buy 1 @100
             at 39
             time
             > nothing
             at 60
             quote 10x99.5 10x100
             > B expired, A expired, C fill 1 @100 maker""")


def test_time_alone_expires_and_a_late_cancel_is_too_late() -> None:
    check("""A buy 1 @100 gtd50
             B buy 1 @100 gtd50
             at 50
             cancel A
             > A expired, B expired, A cancel_rejected too_late
             time
             > nothing""")


def test_gtd_that_is_over_when_it_comes_never_trades() -> None:
    check("""at 50
             quote 10x99.5 10x100
             A buy 1 @100 gtd50
             > A accepted, A expired
             B buy 1 @100 gtd
             > B rejected expire_at_required""")


def test_a_cancel_takes_the_order_off_the_book() -> None:
    check("""A buy 2 @100
             quote 10x99.5 1x100
             > A fill 1 @100 maker
             cancel A
             > A cancelled requested
             quote 10x99.5 1x100
             > nothing
             cancel A
             > A cancel_rejected too_late""")


def test_a_cancel_of_a_sleeping_stop_or_a_waiting_market_order() -> None:
    check("""S buy 1 stop 100
             M buy 1
             cancel S
             > S cancelled requested
             cancel M
             > M cancelled requested
             quote 10x99.5 10x100
             > nothing""")


def test_a_cancel_of_an_order_that_is_unknown_or_of_another_account_is_rejected() -> None:
    check("""A buy 1 @90
             cancel B
             > B cancel_rejected unknown
             cancel A of bob
             > A cancel_rejected unknown
             cancel A
             > A cancelled requested""")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("A buy 1 @100 of Y", "unknown_symbol"),
        ("A buy 1 @100.2", "price_off_tick"),
        ("A buy 1 stop 100.2", "stop_price_off_tick"),
        ("A buy 0.05 @100", "quantity_off_lot"),
        ("A buy 0 @100", "quantity_not_positive"),
        ("A buy 0.1 @1", "notional_too_small"),
    ],
)
def test_what_cannot_trade_is_rejected(line: str, reason: str) -> None:
    venue = check(f"{line}\n> A rejected {reason}")
    assert not venue.open


def test_what_may_only_reduce_may_be_less_than_the_least_notional() -> None:
    venue = new_venue()
    dust = msgspec.structs.replace(request("A", Side.SELL, Decimal("0.1"), price=Decimal(1)), reduce_only=True)
    assert [event.report.report for event in venue.decide(dust, 0) if isinstance(event, Reported)] == [ReportKind.ACCEPTED]


def test_a_repeated_request_is_counted_and_never_a_second_order() -> None:  # FAILURES 36
    venue = check("""quote 10x99.5 10x100
                     A buy 1
                     > A accepted, A fill 1 @100 taker
                     A buy 1
                     > nothing
                     B buy 1 @90
                     B buy 1 @90
                     > nothing
                     C buy 1 of Y
                     C buy 1 of Y
                     > nothing""")
    assert [venue.orders[name].sends for name in "ABC"] == [2, 2, 2]
    assert venue.sends_max == 2
    assert venue.report_seqs == {0: 4}


def test_a_quote_of_equal_numbers_is_a_new_quote() -> None:
    check("""A buy 3 @100
             quote 10x99.5 2x100
             > A fill 2 @100 maker
             quote 10x99.5 2x100
             > A fill 1 @100 maker""")


def test_nothing_fills_before_the_first_quote() -> None:
    check("""M buy 1
             > M accepted
             F buy 1 @100 fok
             > F accepted, F cancelled fok
             S buy 1 stop 5
             > S accepted""")


def test_reports_are_numbered_without_holes_for_each_shard() -> None:
    venue = new_venue()
    lines = ["quote 10x99.5 10x100", "A buy 1 shard 0", "B buy 1 shard 1", "C buy 1 @100.2 shard 1", "D buy 1 shard 0"]
    reported = [e for line in lines for e in venue.take(message_of(line), 0) if isinstance(e, Reported)]
    assert [(e.shard, e.report.report_seq) for e in reported] == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (0, 3), (0, 4)]
    assert [e.report.exec_id for e in reported if e.report.exec_id] == ["V-1", "V-2", "V-3"]
    assert [e.report.venue_order_id for e in reported if e.report.report is ReportKind.ACCEPTED] == ["V-o1", "V-o2", "V-o4"]


def test_fees_are_exact_and_follow_the_liquidity() -> None:
    venue = new_venue()
    venue.take(message_of("quote 10x99.5 0.3x100.5"), 0)
    taker = venue.take(message_of("A buy 0.7 @101"), 0)[-1]
    maker = venue.take(message_of("quote 10x99.5 10x100.5"), 0)[-1]
    assert isinstance(taker, Reported)
    assert isinstance(maker, Reported)
    assert taker.report.fee == Decimal("0.03015")  # 0.3 * 100.5 * 10 / 10000
    assert maker.report.fee == Decimal("0.00808")  # 0.4 * 101 * 2 / 10000


def test_deciding_changes_nothing() -> None:
    venue = check("""quote 10x99.5 2x100
                     A buy 3 @99
                     S buy 1 stop 101""")
    before = state(venue)
    quote = message_of("quote 10x98 10x103")
    assert venue.decide(quote, 9) == venue.decide(quote, 9)
    assert venue.decide(message_of("B buy 1"), 9) == venue.decide(message_of("B buy 1"), 9)
    assert state(venue) == before


def test_a_closed_order_is_kept_whole_and_works_again_when_its_trade_is_busted() -> None:
    venue = PaperVenue("V", {"X": INSTRUMENT}, MAKER_BPS, TAKER_BPS)
    check("\n".join(["quote 10x99.5 10x100", "A buy 1"]), venue)
    filled = venue.orders["A"]
    assert (filled.state, len(filled.trades), filled.leaves, filled.reports) == (PaperState.FILLED, 1, Decimal(0), (1, 2))
    venue.take(BustTrade(filled.trades[0].exec_id), 1)
    works = venue.orders["A"]
    assert (works.state, works.trades, works.leaves, venue.open) == (PaperState.WORKING, (), Decimal(1), {works.number: works})


def test_only_a_bounded_number_of_closed_orders_is_kept() -> None:
    venue = PaperVenue("V", {"X": INSTRUMENT}, MAKER_BPS, TAKER_BPS, PaperRules(closed_max=2))
    check("\n".join(["O buy 1 @90", "quote 10x99.5 10x100", "A buy 1", "B buy 1", "C buy 1"]), venue)
    assert set(venue.orders) == {"O", "B", "C"}
