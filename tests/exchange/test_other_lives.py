"""FIX 4.4, Appendix D: rejects, repeats, times in force, restarts overnight, corrections, halts, and venues that say nothing."""

import pytest

from tests.exchange.floor import play

SCENES = {
    "D21 the same order again is the same order": """
        submit buy 10 @100
        submit buy 10 @100
        > A/A 0/0
        = routed leaves=10""",
    "D22 the same id for another order": """
        submit buy 10 @100
        submit buy 11 @100
        ! 422 client_order_id_reused
        > A/A 0/0
        = routed quantity=10""",
    "D23 an order that cannot trade never becomes one": """
        submit buy 10 @100.001
        ! 422 price_off_tick
        submit buy 10 @100
        > A/A 0/0""",
    "D23 risk rejects the order": """
        submit buy 16 @100
        > A/A 8/8
        = rejected source=risk reason=order_size_limit""",
    "D23 the venue rejects the order": """
        refuse bad_day
        submit buy 10 @100
        > A/A 8/8
        = rejected source=venue reason=bad_day leaves=0""",
    "D24 a venue that is halted is passed by": """
        halt
        submit buy 10 @100
        > A/A 0/0
        = routed leaves=10""",
    "D27 an order until it is cancelled lives through the night": """
        submit buy 10 @100
        fill 2 @100
        overnight
        > A/A 0/0 F/1
        fill 3 @100
        > F/1
        = partially_filled cum=5""",
    "D27 every service restarts in the night": """
        submit buy 10 @100
        fill 2 @100
        restart gateway
        restart exeq
        restart oms
        restart risk
        > A/A 0/0 F/1
        fill 8 @100
        > F/2""",
    "D29 an order until it is cancelled is cancelled the next day": """
        submit buy 10 @100
        fill 2 @100
        overnight
        cancel
        > A/A 0/0 F/1 6/6 4/4
        = cancelled cum=2""",
    "D30 an order until it is cancelled is replaced the next day": """
        submit buy 10 @100
        fill 2 @100
        overnight
        replace 12
        > A/A 0/0 F/1 E/E 5/1
        fill 10 @100
        > F/2""",
    "D31 fill or kill that cannot be filled": """
        quote 5x99 9x100
        submit buy 10 @100 fok
        > A/A 0/0 4/4
        = cancelled reason=fok cum=0""",
    "D31 fill or kill that can": """
        quote 5x99 10x100
        submit buy 10 @100 fok
        > A/A 0/0 F/2""",
    "D32 immediate or cancel that finds nothing": """
        quote 5x99 9x101
        submit buy 10 @100 ioc
        > A/A 0/0 4/4
        = cancelled reason=ioc cum=0""",
    "D33 immediate or cancel that finds a part": """
        quote 5x99 4x100
        submit buy 10 @100 ioc
        > A/A 0/0 F/1 4/4
        = cancelled reason=ioc cum=4 leaves=0""",
    "good till date ends when the date comes": """
        submit buy 10 @100 gtd60
        fill 4 @100
        wait 61
        > A/A 0/0 F/1 C/C
        = expired cum=4""",
    "good till date ends while no venue has it": """
        kill exeq
        submit buy 10 @100 gtd60
        wait 61
        > A/A C/C
        restart exeq
        > nothing
        = expired source=oms reason=expire_at""",
    "good till date at a venue that forgot the time": """
        submit buy 10 @100 gtd60
        kill gateway
        wait 70
        > A/A 0/0 6/6
        restart gateway
        wait 5
        > C/C
        = expired""",
    "an order that is too old is withdrawn and has expired": """
        timed 3600
        submit buy 10 @100
        fill 4 @100
        wait 3601
        > A/A 0/0 F/1 6/6 C/C
        = expired cum=4 leaves=0""",
    "post only that would take is refused": """
        quote 5x99 5x100
        submit buy 10 @100 post
        > A/A 8/8
        = rejected reason=post_only""",
    "post only that rests is the maker": """
        quote 5x99 5x101
        submit buy 5 @100 post
        > A/A 0/0
        quote 5x99 5x100
        > F/2""",
    "reduce only with nothing to reduce": """
        submit sell 5 @100 reduce
        > A/A 8/8
        = rejected source=risk reason=reduce_only""",
    "what is left of a position may be closed by an order below the least notional": """
        quote 5x5 5x5.5
        submit buy 0.2 @5.5 as a-0
        submit sell 0.1 @5 reduce
        > A/A 0/0 F/2
        = filled cum=0.1 leaves=0""",
    "D34 a filled order whose trades are corrected and busted": """
        submit buy 10 @100
        fill 4 @100
        fill 6 @100
        > A/A 0/0 F/1 F/2
        correct 2 6 @99
        > H/1 G/2
        = filled cum=10 average=99.4
        bust 1
        > H/1
        = partially_filled cum=6 leaves=4 average=99
        fill 4 @98
        > F/2
        = filled cum=10 average=98.6""",
    "D35 a cancelled order whose trade is busted, and another comes": """
        submit buy 10 @100
        fill 5 @100
        cancel
        > A/A 0/0 F/1 6/6 4/4
        bust 1
        > H/4
        = cancelled cum=0 leaves=0
        fill 5 @100
        > F/4
        = cancelled cum=5""",
    "D36 an order of two days whose trade of the first is corrected": """
        submit buy 10 @100
        fill 2 @100
        overnight
        cancel
        correct 1 3 @100
        > A/A 0/0 F/1 6/6 4/4 H/4 G/4
        = cancelled cum=3 leaves=0""",
    "D37 a halt leaves what rests, and the market continues after it": """
        submit buy 5 @100
        halt
        quote 5x99 9x100
        > A/A 0/0
        resume
        quote 5x99 9x100
        > F/2""",
    "D38 a halt does not hold up a cancel": """
        submit buy 5 @100
        halt
        cancel
        > A/A 0/0 6/6 4/4""",
    "a venue that does not answer has the order in doubt, and then has it": """
        freeze 8
        submit buy 10 @100
        wait 5
        > A/A
        = in_doubt leaves=10
        wait 5
        > 0/0
        = routed leaves=10""",
    "an order that never arrived is rejected on evidence and never sent again": """
        forget 1
        submit buy 10 @100
        wait 15
        > A/A 8/8
        = rejected source=exeq reason=never_arrived""",
    "a doubt ends with a trade": """
        cut gateway oms
        submit buy 10 @100
        fill 4 @100
        wait 1
        mend
        > A/A 0/0 F/1
        = partially_filled cum=4""",
    "a doubtful order is cancelled and the venue knows nothing": """
        forget 1
        submit buy 10 @100
        wait 2.5
        cancel
        wait 15
        = rejected reason=never_arrived""",
    "an order waits for a venue until exeq comes back": """
        kill exeq
        submit buy 10 @100
        wait 60
        = queued leaves=10
        restart exeq
        > A/A 0/0
        = routed""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_client_gets_the_reports_of_the_page(scene: str) -> None:
    # FAILURES 28-34, 36, 44
    play(scene)
