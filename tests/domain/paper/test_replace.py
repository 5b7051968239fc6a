"""Orders changed at a paper venue, and what its staff may do: halts, busts, corrections."""

import pytest

from domain.market.trading_hours import DAY_NS, Calendar
from tests.domain.paper.scene import check, new_venue

BOOK = "quote 10x99.5 10x101"


def test_less_of_the_same_keeps_its_turn_and_more_of_it_loses_it() -> None:
    for quantity, first in (("3", "A fill 3"), ("6", "B fill 4")):
        check(f"""{BOOK}
                  A buy 5 @100
                  B buy 4 @100
                  replace A {quantity} @100
                  > A replaced {quantity} @100
                  quote 10x98 {first.split()[2]}x99
                  > {first} @100 maker""")


def test_another_price_goes_to_the_end_of_its_level() -> None:
    check(f"""{BOOK}
              A buy 5 @99
              B buy 4 @100
              replace A 5 @100
              > A replaced 5 @100
              quote 10x98 4x99
              > B fill 4 @100 maker
              quote 10x98 9x99
              > A fill 5 @100 maker""")


def test_an_order_that_is_moved_through_the_touch_takes() -> None:
    check(f"""{BOOK}
              A buy 12 @99
              replace A 12 @101.5
              > A replaced 12 @101.5, A fill 10 @101 taker
              quote 10x98 10x102
              > nothing
              quote 10x98 10x101.5
              > A fill 2 @101.5 maker""")


def test_what_was_traded_cannot_be_replaced_away() -> None:
    # FAILURES 35
    check(f"""{BOOK}
              A buy 12 @101
              > A accepted, A fill 10 @101 taker
              replace A 4 @101
              > A replaced 10 @101
              cancel A
              > A cancel_rejected too_late
              replace A 20 @101
              > A replace_rejected too_late""")


def test_the_same_replace_said_again_is_answered_once() -> None:
    venue = check(f"""{BOOK}
                      A buy 5 @99
                      replace A 6 @99 as r1
                      > A replaced 6 @99
                      replace A 6 @99 as r1
                      > nothing
                      replace A 7 @99.1 as r2
                      > A replace_rejected price_off_tick
                      replace A 7 @99.1 as r2
                      > nothing""")
    assert venue.orders["A"].leaves == 6


def test_a_stranger_is_not_replaced() -> None:
    check("""replace A 5 @99
             > A replace_rejected unknown
             A buy 5 @99 by bob
             replace A 6 @99
             > A replace_rejected unknown""")


def test_a_sleeping_stop_gets_another_stop_price() -> None:
    check(f"""{BOOK}
              A buy 5 stop 105
              replace A 5 stop 103
              > A replaced 5
              quote 10x102 10x103
              > A triggered, A fill 5 @103 taker""")
    check(f"""{BOOK}
              A buy 5 stop 105
              replace A 5 stop 101
              > A replaced 5, A triggered, A fill 5 @101 taker""")


def test_an_order_that_must_not_take_is_refused_where_it_would() -> None:
    check(f"""{BOOK}
              A buy 5 @101 post
              > A rejected post_only
              B buy 5 @100.5 post
              > B accepted
              replace B 5 @101
              > B replace_rejected post_only
              quote 10x98 10x100
              > B fill 5 @100.5 maker
              C buy 5 @100 stop 100 post
              > C accepted, C triggered, C cancelled post_only
              D buy 5 post
              > D rejected post_only_not_allowed
              E buy 5 @98 ioc post
              > E rejected post_only_not_allowed""")


def test_a_halted_symbol_takes_nothing_new_and_trades_nothing() -> None:
    check(f"""{BOOK}
              A buy 5 @100
              halt
              > halted
              halt
              > nothing
              B buy 5 @100
              > B rejected halted
              replace A 6 @100
              > A replace_rejected halted
              quote 10x98 10x99
              > nothing
              A buy 5 @100
              > nothing
              cancel A
              > A cancelled requested
              resume
              > resumed
              C buy 5 @100
              > C accepted, C fill 5 @99 taker""")


def test_what_rests_through_a_halt_meets_the_next_quote() -> None:
    check(f"""{BOOK}
              A buy 5 @100
              halt
              quote 10x98 10x99
              > nothing
              resume
              quote 10x98 10x99
              > A fill 5 @100 maker""")


def test_a_bust_gives_back_what_was_traded_and_opens_the_order_again() -> None:
    check(f"""{BOOK}
              A buy 5 @101
              > A accepted, A fill 5 @101 taker
              bust V-1
              > A bust
              bust V-1
              > nothing
              quote 10x99 10x101
              > A fill 5 @101 maker""")


def test_a_bust_leaves_a_cancelled_order_closed() -> None:
    check("""quote 10x99 2x101
             A buy 5 @101
             cancel A
             bust V-1
             > A bust
             quote 10x99 10x101
             > nothing""")


def test_a_correction_is_a_trade_in_the_place_of_another() -> None:
    venue = check(f"""{BOOK}
                      A buy 5 @101
                      correct V-1 5 @100.5
                      > A correction 5 @100.5
                      correct V-1 5 @100
                      > nothing
                      correct V-2 3 @100.5
                      > A correction 3 @100.5
                      quote 10x99 10x101
                      > A fill 2 @101 maker""")
    assert venue.executions == 4


def test_a_venue_may_trade_too_much_and_after_the_end() -> None:
    # FAILURES 29, 30
    venue = check(f"""{BOOK}
                      A buy 5 @100
                      force A 6 @100
                      > A fill 6 @100 taker
                      B buy 5 @100
                      end B risk
                      > B cancelled risk
                      force B 1 @100
                      > B fill 1 @100 taker
                      forget A
                      > OrderForgotten
                      cancel A
                      > A cancel_rejected unknown""")
    assert not venue.open


def test_an_order_of_the_day_ends_with_its_session() -> None:
    # FAILURES 44
    check(f"""at {DAY_NS - 10}
              A buy 5 @100 day
              > A accepted
              at {DAY_NS - 1}
              time
              > nothing
              at {DAY_NS}
              time
              > A expired
              B buy 5 @100 day
              > B accepted""")


HOUR = 3600 * 10**9


def test_a_closed_market_refuses_and_nothing_fills() -> None:
    hours = Calendar(opens_s=8 * 3600, closes_s=16 * 3600)
    check(
        f"""at {9 * HOUR}
            {BOOK}
            A buy 5 @100
            D buy 5 @99 day
            at {16 * HOUR}
            B buy 5 @100
            > D expired, B rejected market_closed
            quote 10x98 10x99
            > nothing
            replace A 6 @100
            > A replace_rejected market_closed
            at {32 * HOUR}
            quote 10x98 10x99
            > A fill 5 @100 maker""",
        new_venue(calendar=hours),
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("allow", "B accepted, B fill 4 @99.5 taker"),
        ("cancel_newest", "B accepted, B cancelled self_trade"),
        ("cancel_oldest", "B accepted, A cancelled self_trade, B fill 4 @99.5 taker"),
    ],
)
def test_an_order_does_not_meet_one_of_its_own_account(rule: str, told: str) -> None:
    check(
        f"""{BOOK}
            A buy 5 @100
            C buy 5 @100 by bob
            B sell 4 @99.5
            > {told}""",
        new_venue(self_trade=rule),
    )


def test_a_triggered_stop_cancels_what_rests_against_it_and_that_does_not_fill() -> None:
    check(
        f"""{BOOK}
            A sell 5 @102
            B buy 5 stop 102
            quote 10x103 10x104
            > B triggered, A cancelled self_trade, B fill 5 @104 taker""",
        new_venue(self_trade="cancel_oldest"),
    )
