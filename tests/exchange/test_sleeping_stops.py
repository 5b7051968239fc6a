"""Stops that sleep at exeq: they outlive it, are woken once, and go where the market is then."""

import pytest

from tests.exchange.floor import ExeqWithStops, play

SCENES = {
    "a stop sleeps until the market comes to its price, and trades then": """
        quote 5x99 5x100
        submit buy 4 stop 101
        > A/A
        = queued leaves=4
        quote 5x100 5x101
        > L/A 0/0 F/2
        = filled average=101""",
    "a stop-limit rests at its limit when it wakes": """
        quote 5x99 5x100
        submit buy 4 @100.5 stop 101
        quote 5x101 5x101.5
        > A/A L/A 0/0
        = routed
        quote 5x99 5x100
        > F/2
        = filled average=100.5""",
    "a sleeping stop outlives exeq and wakes once": """
        quote 5x99 5x100
        submit buy 4 stop 101
        restart exeq
        = queued
        quote 5x100 5x101
        > A/A L/A 0/0 F/2
        restart exeq
        quote 5x100 5x101
        > nothing""",
    "the market comes to its price while exeq is away": """
        quote 5x99 5x100
        submit sell 4 stop 98 as a-9
        submit buy 4 stop 101
        kill exeq
        quote 5x100 5x101
        quote 5x100 5x102
        > A/A
        restart exeq
        > L/A 0/0 F/2
        = filled average=102""",
    "a sleeping stop is cancelled at once": """
        quote 5x99 5x100
        submit buy 4 stop 101
        cancel
        > A/A 4/4
        quote 5x100 5x101
        > nothing
        = cancelled source=client""",
    "a sleeping stop gets another stop price": """
        quote 5x99 5x100
        submit buy 4 stop 103
        replace stop 101
        > A/A 5/A
        quote 5x100 5x101
        > L/A 0/0 F/2""",
    "a stop that woke and rests is replaced as the limit that it is": """
        quote 5x99 5x100
        submit buy 4 @100.5 stop 101
        quote 5x101 5x101.5
        replace 3 @100.2
        > A/A L/A 0/0 E/E 5/0
        quote 5x99 5x100
        > F/2
        = filled quantity=3 average=100.2""",
    "a sleeping stop ends with its time": """
        quote 5x99 5x100
        submit buy 4 stop 101 gtd60
        wait 61
        > A/A C/C
        quote 5x100 5x101
        > nothing""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_client_gets_the_reports_of_the_scene(scene: str) -> None:
    play(scene, exeq=ExeqWithStops)
