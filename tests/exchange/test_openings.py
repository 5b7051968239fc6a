"""Orders for an opening or closing: they wait at exeq, outlive it and oms, and go once, by the quotes of that time."""

import pytest

from tests.exchange.floor import play

SCENES = {
    "it waits for the opening and the first quote after it": """
        submit buy 4 @101 opg5-60
        > A/A
        = queued leaves=4 time_in_force=opg emulated=True
        wait 8
        > nothing
        quote 5x99.5 5x100.5
        > 0/0 F/2
        = filled average=100.5""",
    "it is for the closing and needs no new quote": """
        quote 5x99 5x100
        submit buy 4 cls5-60
        wait 4
        > A/A
        wait 1.5
        > 0/0 F/2
        = filled average=100""",
    "what is left expires with the session, at its venue": """
        quote 5x99 5x100
        submit buy 4 @99.5 opg3-20
        wait 3
        quote 5x99 5x100
        > A/A 0/0
        = routed leaves=4
        wait 15
        > nothing
        wait 8
        > 6/6 C/C
        = expired leaves=0""",
    "nothing was quoted in the whole session": """
        submit buy 4 @99.5 opg3-20
        wait 21
        > A/A C/C
        = expired reason=session_end
        quote 5x99 5x99.4
        > nothing""",
    "it outlives exeq": """
        quote 5x99 5x100
        submit buy 4 opg12-60
        restart exeq
        > A/A
        wait 8
        quote 5x99 5x100
        > 0/0 F/2
        restart exeq
        > nothing""",
    "it outlives oms": """
        quote 5x99 5x100
        submit buy 4 cls12-60
        kill oms
        restart oms
        > A/A
        wait 12
        > 0/0 F/2""",
    "exeq is away at the opening, and back in the session": """
        submit buy 4 @101 opg3-60
        kill exeq
        wait 10
        restart exeq
        > A/A
        quote 5x99 5x100
        > 0/0 F/2""",
    "exeq is away for the whole session": """
        quote 5x99 5x100
        submit buy 4 opg3-10
        kill exeq
        wait 12
        > A/A C/C
        restart exeq
        quote 5x99 5x100
        > nothing
        = expired""",
    "it is cancelled at once while it waits": """
        submit buy 4 @101 opg5-60
        cancel
        > A/A 4/4
        wait 6
        quote 5x99 5x100
        > nothing""",
    "it is changed while it waits, and keeps waiting": """
        quote 5x99 5x100
        submit buy 4 @98 opg5-60
        replace 3 @100
        > A/A 5/A
        = queued quantity=3
        wait 5
        quote 5x99 5x100
        > 0/0 F/2
        = filled cum=3""",
    "exeq's clock is behind: it goes when that clock says so too": """
        quote 5x99 5x100
        submit buy 4 cls8-60
        skew exeq -20
        wait 10
        > A/A
        wait 20
        > 0/0 F/2""",
    "exeq's clock is ahead: oms does not let it go before its own says so": """
        quote 5x99 5x100
        submit buy 4 cls8-60
        skew exeq 20
        wait 6
        > A/A
        wait 3
        > 0/0 F/2""",
    "another order of the same symbol does not wait with it": """
        quote 5x99 5x100
        submit buy 4 opg30-60 as a-2
        submit buy 4
        > A/A 0/0 F/2""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_client_gets_the_reports_of_the_scene(scene: str) -> None:
    play(scene)
