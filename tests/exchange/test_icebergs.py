"""Icebergs on the real services: what their venue shows of them, through trades, replaces, kills of the gateway and of exeq."""

import pytest

from tests.exchange.floor import play

SCENES = {
    "an iceberg is traded part by part": """
        quote 5x99 5x101
        submit buy 5 @100 show 2
        > A/A 0/0
        = routed display_quantity=2 leaves=5
        shows 2
        quote 5x99 1x100
        > F/1
        shows 1
        quote 5x99 9x100
        > F/1 F/1 F/2
        = filled average=100
        shows 0""",
    "as a taker it meets the market with its whole quantity": """
        quote 5x99 3x100
        submit buy 6 @100 show 2
        > A/A 0/0 F/1
        = partially_filled cum=3
        shows 2""",
    "its price and quantity are replaced, and it shows a part at the new price": """
        quote 5x99 5x101
        submit buy 5 @100 show 2
        quote 5x99 1x100
        > A/A 0/0 F/1
        shows 1
        replace 8 @100.5
        > E/E 5/1
        = partially_filled quantity=8 display_quantity=2
        shows 2""",
    "less than its part is shown whole": """
        quote 5x99 5x101
        submit buy 5 @100 show 2
        replace 1
        > A/A 0/0 E/E 5/0
        shows 1
        quote 5x99 5x100
        > F/2""",
    "kill -9 of the gateway: what is left of its part is shown again, and no more": """
        quote 5x99 5x101
        submit buy 5 @100 show 2
        quote 5x99 1x100
        > A/A 0/0 F/1
        restart gateway
        shows 1
        quote 5x99 9x100
        > F/1 F/1 F/2""",
    "kill -9 of exeq and oms: its replace still says what may be shown": """
        quote 5x99 5x101
        submit buy 5 @100 show 2
        > A/A 0/0
        restart exeq
        restart oms
        replace 6 @100.5
        > E/E 5/0
        = routed quantity=6 display_quantity=2
        shows 2""",
    "a venue that refuses it is replaced by another one that supports icebergs": """
        quote 5x99 5x101
        refuse halted
        submit buy 5 @100 show 2
        > A/A 0/0
        = routed display_quantity=2""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_what_a_venue_shows_of_an_iceberg(scene: str) -> None:
    play(scene)
