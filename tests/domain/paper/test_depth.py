"""Venues that show more than the touch, and those where others stand before us."""

from tests.domain.paper.scene import check, new_venue


def test_a_taker_goes_through_the_levels_as_far_as_its_limit() -> None:
    check(
        """quote 10x99 10x100
           A buy 25 @100.5
           > A accepted, A fill 10 @100 taker, A fill 10 @100.5 taker
           quote 10x99 10x100
           > A fill 5 @100.5 maker
           B buy 40
           > B accepted, B fill 5 @100 taker, B fill 10 @100.5 taker, B fill 10 @101 taker
           quote 3x99 10x100
           > B fill 10 @100 taker, B fill 5 @100.5 taker
           C sell 7
           > C accepted, C fill 3 @99 taker, C fill 3 @98.5 taker, C fill 1 @98 taker""",
        new_venue(levels=3),
    )


def test_all_or_nothing_counts_every_level_it_may_reach() -> None:
    check(
        """quote 10x99 10x100
           A buy 25 @101 fok
           > A accepted, A fill 10 @100 taker, A fill 10 @100.5 taker, A fill 5 @101 taker
           B buy 6 @101 fok
           > B accepted, B cancelled fok
           C buy 6 @101 ioc
           > C accepted, C fill 5 @101 taker, C cancelled ioc""",
        new_venue(levels=3),
    )


def test_levels_stand_as_far_apart_as_the_venue_says_and_no_bid_is_below_a_price() -> None:
    check(
        """quote 10x1 10x100
           A buy 20
           > A accepted, A fill 10 @100 taker, A fill 10 @101 taker
           B sell 11
           > B accepted, B fill 10 @1 taker""",
        new_venue(levels=2, level_ticks=2),
    )


def test_what_is_displayed_at_a_price_stands_before_an_order_that_comes_to_rest_there() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           quote 5x98.5 3x99
           > 3 before it
           quote 5x98.5 3x99
           > 2 before it, A fill 1 @99 maker
           quote 5x98.5 10x99
           > A fill 3 @99 maker""",
        new_venue(queue=True),
    )


def test_a_price_that_is_traded_through_fills_the_orders_that_stood_before() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           quote 5x98 3x98.5
           > A fill 3 @99 maker""",
        new_venue(queue=True),
    )


def test_an_order_between_the_touches_is_first_there_and_a_second_is_behind_the_first() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99.5
           > A accepted
           B buy 4 @99.5
           > B accepted
           quote 7x99.5 10x100
           C buy 4 @99.5
           > C accepted, C behind 7
           quote 5x99 9x99.5
           > A fill 4 @99.5 maker, B fill 4 @99.5 maker, 1 before it
           D buy 4 @99.5 post
           > D rejected post_only""",
        new_venue(queue=True),
    )


def test_an_order_joins_behind_the_same_size_as_the_last_one() -> None:
    check(
        """quote 5x99 10x100
           A buy 1 @99
           > A accepted, A behind 5
           quote 2x99 10x100
           B buy 1 @99
           > B accepted, B behind 5
           quote 2x98 6x99
           > 5 before it, A fill 1 @99 maker""",
        new_venue(queue=True),
    )


def test_an_order_that_loses_its_turn_joins_again() -> None:
    check(
        """quote 5x99 10x100
           A buy 1 @99
           > A accepted, A behind 5
           quote 2x98 4x99
           > 4 before it
           quote 8x99 10x100
           replace A 2 @99
           > A replaced 2 @99, A behind 8
           replace A 1 @99
           > A replaced 1 @99""",
        new_venue(queue=True),
    )


def test_an_order_that_has_just_expired_leaves_nothing_ahead_of_the_next_one_at_its_price() -> None:
    check(
        """quote 5x99 10x100
           A buy 1 @99 gtd5
           > A accepted, A behind 5
           quote 9x98 3x99
           > 3 before it
           quote 4x99 10x100
           > nothing
           at 5
           B buy 1 @99
           > A expired, B accepted, B behind 4
           quote 9x98 5x99
           > 4 before it, B fill 1 @99 maker""",
        new_venue(queue=True),
    )
