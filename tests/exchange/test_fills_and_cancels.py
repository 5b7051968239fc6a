"""FIX 4.4, Appendix D: orders that fill, and cancels that come before, between and after their fills."""

import pytest

from tests.exchange.floor import play

SCENES = {
    "D1 an order is filled in parts": """
        submit buy 10 @100
        > A/A 0/0
        fill 2 @100
        > F/1
        fill 1 @99.99
        > F/1
        fill 7 @100
        > F/2
        = filled cum=10 leaves=0 average=99.999""",
    "D1 a market order takes what is displayed and waits for the rest": """
        quote 5x99 4x100
        submit buy 10
        > A/A 0/0 F/1
        quote 5x99 6x100.01
        > F/2
        = filled average=100.006""",
    "D2 an order of the day that was filled in part ends with its session": """
        submit buy 10 @100 day
        > A/A 0/0
        fill 4 @100
        > F/1
        overnight
        > C/C
        = expired cum=4 leaves=0 source=venue""",
    "D2 an order of the day may still be filled when it has ended": """
        submit buy 10 @100 day
        overnight
        > A/A 0/0 C/C
        fill 4 @100
        > F/C
        = expired cum=4 leaves=0""",
    "D3 a cancel of an order that has not traded": """
        submit buy 10 @100
        cancel
        > A/A 0/0 6/6 4/4
        = cancelled cum=0 leaves=0
        cancel
        > nothing""",
    "D4 trades go on while the cancel is under way": """
        submit buy 10 @100
        fill 2 @100
        hold
        cancel
        > A/A 0/0 F/1 6/6
        fill 5 @100
        > F/6
        = pending_cancel cum=7 leaves=3
        mend
        > 4/4
        = cancelled cum=7 leaves=0""",
    "D5 an order is filled before its cancel arrives": """
        submit buy 10 @100
        fill 2 @100
        hold
        cancel
        fill 8 @100
        > A/A 0/0 F/1 6/6 F/2
        mend
        > nothing
        = filled cum=10
        cancel
        ! 409 illegal_transition
        > nothing""",
    "D6 a cancel before the venue has answered": """
        cut gateway oms
        submit buy 10 @100
        > A/A
        cancel
        > 6/6
        mend
        > 0/6 4/4
        = cancelled leaves=0""",
    "D6 a cancel that reaches the venue before its order": """
        overtake
        submit buy 10 @100
        cancel
        > A/A 6/6
        mend
        > 0/6 4/4
        = cancelled leaves=0""",
    "D6 a cancel before the venue refuses the order for now": """
        refuse venue_busy
        cut gateway oms
        submit buy 10 @100
        cancel
        > A/A 6/6
        mend
        > 4/4
        = cancelled leaves=0 reason=venue_busy""",
    "D6 a cancel before any venue has the order": """
        kill exeq
        submit buy 10 @100
        cancel
        > A/A 4/4
        restart exeq
        > nothing
        = cancelled source=client""",
    "D7 a cancel of an order that the venue does not know": """
        submit buy 10 @100
        forget
        cancel
        > A/A 0/0 6/6 9/0
        = routed leaves=10""",
    "D7 a cancel of an unknown order": """
        cancel a-9
        ! 404 order_not_found
        submit buy 10 @100
        > A/A 0/0""",
    "a venue cancels an order by itself": """
        submit buy 10 @100
        fill 3 @100
        end disconnect
        > A/A 0/0 F/1 4/4
        = cancelled source=venue reason=disconnect cum=3""",
    "a fill after the cancel is booked and leaves the order cancelled": """
        submit buy 10 @100
        cancel
        > A/A 0/0 6/6 4/4
        fill 4 @100
        > F/4
        = cancelled cum=4 leaves=0
        fill 6 @100
        > F/2
        = filled cum=10""",
    "a venue trades more than was asked for": """
        submit buy 10 @100
        fill 12 @100
        > A/A 0/0 F/2
        = filled cum=12 leaves=0 overfill=True""",
    "a trade is reported before the order is acknowledged": """
        wire reorder 1
        quote 5x99 20x100
        submit buy 10 @100
        > A/A 0/0 F/2
        = filled cum=10""",
    "a lost, a doubled and a late report are as good as any": """
        submit buy 10 @100
        wire drop 1
        fill 2 @100
        wire duplicate 2
        fill 3 @100
        wire delay 1
        fill 5 @100
        wait 3
        > A/A 0/0 F/1 F/1 F/2
        = filled cum=10""",
    "a fill while the lost cancel is sent again": """
        submit buy 10 @100
        lose
        cancel
        wait 10
        > A/A 0/0 6/6
        mend
        > 4/4""",
    "a stop sleeps, is cancelled, and never trades": """
        quote 5x99 5x100
        submit buy 4 stop 101
        > A/A 0/0
        cancel
        quote 5x102 5x103
        > 6/6 4/4
        = cancelled cum=0""",
    "a stop triggers once and trades as a market order": """
        quote 5x99 5x100
        submit buy 4 stop 101
        quote 5x101 3x101.01
        > A/A 0/0 F/1
        quote 5x99 3x100
        > F/2
        = filled average=100.7575""",
    "a stop-limit triggers and rests at its limit": """
        quote 5x99 5x100
        submit buy 4 @101 stop 101
        quote 5x102 5x103
        > A/A 0/0
        quote 5x99 5x100
        > F/2
        = filled average=101""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_client_gets_the_reports_of_the_page(scene: str) -> None:
    # FAILURES 26-30
    play(scene)
