"""FIX 4.4, Appendix D: cancel/replace requests of quantity, of price, in a row, and in a race with trades."""

import pytest

from tests.exchange.floor import play

SCENES = {
    "D8 more of an order that has not traded": """
        submit buy 10 @100
        replace 11
        > A/A 0/0 E/E 5/0
        = routed quantity=11 leaves=11
        fill 11 @100
        > F/2""",
    "D9 more of an order that was filled in part": """
        submit buy 10 @100
        fill 4 @100
        replace 12
        > A/A 0/0 F/1 E/E 5/1
        = partially_filled cum=4 leaves=8""",
    "D10 more of an order that is full": """
        submit buy 10 @100
        fill 10 @100
        replace 12
        ! 409 illegal_transition
        > A/A 0/0 F/2
        = filled quantity=10""",
    "D11 a trade comes first and the new quantity is above it": """
        submit buy 10 @100
        fill 2 @100
        hold
        replace 8
        fill 3 @100
        > A/A 0/0 F/1 E/E F/E
        = pending_replace cum=5 leaves=5
        mend
        > 5/1
        = partially_filled quantity=8 cum=5 leaves=3
        fill 3 @100
        > F/2""",
    "D12 a trade comes first and the new quantity is just that": """
        submit buy 10 @100
        hold
        replace 7
        fill 7 @100
        > A/A 0/0 E/E F/E
        mend
        > 5/2
        = filled quantity=7 cum=7 leaves=0""",
    "D13 a trade comes first and the new quantity is below it": """
        submit buy 10 @100
        hold
        replace 7
        fill 8 @100
        mend
        > A/A 0/0 E/E F/E 5/2
        = filled quantity=8 cum=8 leaves=0""",
    "D14 the order fills before its replace arrives": """
        submit buy 10 @100
        hold
        replace 8
        fill 10 @100
        > A/A 0/0 E/E F/2
        mend
        > nothing
        = filled quantity=10 cum=10""",
    "D15 less of an order keeps its turn": """
        submit buy 10 @100
        replace 6
        > A/A 0/0 E/E 5/0
        = routed quantity=6 leaves=6""",
    "D16 another price, and no more": """
        submit buy 10 @100
        replace @99
        > A/A 0/0 E/E 5/0
        = routed price=99
        quote 5x98 20x99
        > F/2
        = filled average=99""",
    "D16 another price where it trades at once": """
        quote 5x99 4x101
        submit buy 10 @100
        replace @101
        > A/A 0/0 E/E 5/0 F/1
        = partially_filled cum=4 average=101""",
    "D16 another stop price": """
        quote 5x99 5x100
        submit buy 4 stop 103
        replace stop 101
        quote 5x100 5x101
        > A/A 0/0 E/E 5/0 F/2
        = filled stop_price=101""",
    "D17 one replace after the other": """
        submit buy 10 @100
        replace 9
        replace 8 @99.5
        replace @99
        > A/A 0/0 E/E 5/0 E/E 5/0 E/E 5/0
        = routed quantity=8 price=99""",
    "D18 one replace is refused by the venue and the next is not": """
        submit buy 10 @100
        halt
        replace 9
        > A/A 0/0 E/E 9/0
        = routed quantity=10
        resume
        replace 9
        > E/E 5/0
        = routed quantity=9""",
    "D18 a venue that does not know the order keeps no terms": """
        submit buy 10 @100
        fill 3 @100
        forget
        replace 9
        > A/A 0/0 F/1 E/E 9/1
        = partially_filled quantity=10 leaves=7""",
    "D19 a second replace while the first is open": """
        submit buy 10 @100
        hold
        replace 9
        replace 9
        replace 8
        ! 409 illegal_transition
        > A/A 0/0 E/E
        mend
        > 5/0
        = routed quantity=9""",
    "D19 a replace while a cancel is open": """
        submit buy 10 @100
        hold
        cancel
        replace 9
        ! 409 illegal_transition
        > A/A 0/0 6/6
        mend
        > 4/4""",
    "D20 a cancel while a replace is open": """
        submit buy 10 @100
        hold
        replace 9
        cancel
        > A/A 0/0 E/E 6/6
        mend
        = cancelled""",
    "a replace before the venue has answered for the order": """
        cut gateway oms
        submit buy 10 @100
        replace 9
        > A/A E/E
        = pending_replace quantity=10 leaves=10
        replace 8
        ! 409 illegal_transition
        mend
        > 0/E 5/0
        = routed quantity=9 leaves=9""",
    "a replace that would reach the venue before its order": """
        overtake
        submit buy 10 @100
        replace 9 @99
        > A/A E/E
        mend
        > 0/E 5/0
        = routed quantity=9 price=99""",
    "a replace before the acknowledgement outlives a restart": """
        cut gateway oms
        submit buy 10 @100
        replace 9
        restart exeq
        restart oms
        > A/A E/E
        mend
        > 0/E 5/0
        = routed quantity=9""",
    "a trade comes with the acknowledgement that a replace waited for": """
        cut gateway oms
        submit buy 10 @100
        replace 8
        fill 3 @100
        > A/A E/E
        mend
        > 0/E F/E 5/1
        = partially_filled quantity=8 cum=3 leaves=5""",
    "an order is full before its replace could be sent": """
        cut gateway oms
        submit buy 10 @100
        replace 12
        fill 10 @100
        mend
        > A/A E/E 0/E F/2
        = filled quantity=10 cum=10""",
    "a venue rejects the order that a replace waits for": """
        refuse bad_day
        cut gateway oms
        submit buy 10 @100
        replace 9
        > A/A E/E
        mend
        > 8/8
        = rejected quantity=10 reason=bad_day""",
    "an order that goes to another venue goes there with the new terms": """
        refuse venue_busy
        cut gateway oms
        submit buy 10 @100
        replace 9 @99
        > A/A E/E
        mend
        > 5/A 0/0
        = routed quantity=9 price=99 leaves=9
        replace 8
        > E/E 5/0""",
    "a cancel wins over a replace that was not sent": """
        cut gateway oms
        submit buy 10 @100
        replace 9
        cancel
        > A/A E/E 6/6
        mend
        > 0/6 4/4
        = cancelled quantity=10 leaves=0""",
    "a venue in doubt is asked for the new terms when it has answered": """
        freeze 8
        submit buy 10 @100
        replace 9
        wait 5
        > A/A E/E
        = in_doubt quantity=10
        wait 12
        > 0/0 5/0
        = routed quantity=9""",
    "a replace before any venue has the order": """
        kill exeq
        submit buy 10 @100
        replace 9 @99
        > A/A 5/A
        = queued quantity=9 price=99
        restart exeq
        > 0/0
        fill 9 @99
        > F/2""",
    "risk will not have the new terms": """
        submit buy 10 @100
        replace 16
        ! 422 order_size_limit
        > A/A 0/0 9/0
        = routed quantity=10
        replace 9
        > E/E 5/0""",
    "a lost replace is said again and done once": """
        submit buy 10 @100
        lose
        replace 9
        wait 10
        mend
        wait 10
        > A/A 0/0 E/E 5/0
        = routed quantity=9""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_client_gets_the_reports_of_the_page(scene: str) -> None:
    # FAILURES 35
    play(scene)
