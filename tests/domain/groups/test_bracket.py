"""The rules of brackets, as scenes: CONTINGENT.md 2."""

import pytest

from domain.values import Side
from tests.domain.groups.scene import bracket, check


def test_exits_wait_until_the_entry_trades_and_grow_with_each_trade() -> None:
    check(
        bracket(),
        """= entry queued 10, take_profit risk_checked 10, stop_loss risk_checked 10
           rest entry
           = entry routed 10, take_profit risk_checked 10, stop_loss risk_checked 10
           fill entry 3
           = entry partially_filled 7, take_profit queued 3, stop_loss queued 3
           rest take_profit
           fill entry 4
           = entry partially_filled 3, take_profit pending_replace 3, stop_loss queued 7
           fill entry 3
           = entry filled 0, take_profit pending_replace 3, stop_loss queued 10
           replaced take_profit
           = entry filled 0, take_profit pending_replace 7, stop_loss queued 10
           replaced take_profit
           = entry filled 0, take_profit routed 10, stop_loss queued 10
           fill take_profit 10
           = entry filled 0, take_profit filled 0, stop_loss cancelled 0
           flags none
           list done filled""",
    )


def test_a_trade_of_the_take_profit_takes_its_quantity_off_the_stop() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 10
           rest take_profit
           fill take_profit 4
           = entry filled 0, take_profit partially_filled 6, stop_loss queued 6""",
    )


def test_with_full_the_exits_wait_until_all_of_the_entry_has_traded() -> None:
    check(
        bracket(trigger="full"),
        """rest entry
           fill entry 9
           = entry partially_filled 1, take_profit risk_checked 10, stop_loss risk_checked 10
           fill entry 1
           = entry filled 0, take_profit queued 10, stop_loss queued 10""",
    )


def test_with_full_the_exits_protect_what_a_cancelled_entry_has_traded() -> None:
    check(
        bracket(trigger="full"),
        """rest entry
           fill entry 4
           cancel entry
           cancelled entry
           = entry cancelled 0, take_profit queued 4, stop_loss queued 4""",
    )


@pytest.mark.parametrize("ending", ["cancel entry", "kill entry"])
def test_an_entry_that_ends_without_a_trade_ends_its_exits_in_the_same_commit(ending: str) -> None:
    scene = check(
        bracket(),
        f"""{ending}
           = entry cancelled 0, take_profit cancelled 0, stop_loss cancelled 0""",
    )
    assert [type(event).__name__ for event in scene.commits[-1]] == ["OrderCancelled", "OrderCancelled", "OrderCancelled", "ListEnded"]


def test_the_exits_stay_when_a_partly_filled_entry_is_cancelled() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 3
           cancel entry
           cancelled entry
           = entry cancelled 0, take_profit queued 3, stop_loss queued 3
           list executing""",
    )


def test_a_stop_that_is_reached_waits_for_the_end_of_the_take_profit() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 10
           rest take_profit
           trigger stop_loss
           = entry filled 0, take_profit pending_cancel 10, stop_loss queued 10
           fill take_profit 3
           = entry filled 0, take_profit pending_cancel 7, stop_loss queued 7
           cancelled take_profit
           = entry filled 0, take_profit cancelled 0, stop_loss queued 7""",
    )


def test_a_waiting_stop_is_not_routed_before_it_is_released() -> None:
    scene = check(bracket(), "rest entry\nfill entry 10\nrest take_profit\ntrigger stop_loss")
    stop = scene.last("stop_loss")
    assert stop.waits_for == (scene.last("take_profit").order_id,)
    with pytest.raises(IndexError):  # the route is refused: the stop has none
        scene.rest(stop)
    check(scene, "cancelled take_profit")
    assert scene.last("stop_loss").waits_for == ()
    check(scene, "rest stop_loss\nfill stop_loss 10\nlist done filled")


def test_a_take_profit_without_a_venue_is_cancelled_and_the_stop_released_in_one_commit() -> None:
    scene = check(bracket(), "rest entry\nfill entry 10\ntrigger stop_loss")
    assert [type(event).__name__ for event in scene.commits[-1]] == ["OrderTriggered", "OrderCancelled", "OrderReleased"]


def test_protection_goes_first_when_the_cancel_is_not_answered() -> None:
    # GRP-4
    check(
        bracket(),
        """rest entry
           fill entry 10
           rest take_profit
           trigger stop_loss
           force stop_loss
           flags forced
           list alert
           rest stop_loss
           fill take_profit 4
           = entry filled 0, take_profit pending_cancel 6, stop_loss pending_replace 10
           fill stop_loss 10
           flags forced double_exit
           cancelled take_profit
           list alert filled""",
    )


def test_a_take_profit_whose_cancel_is_refused_is_not_asked_again_at_once() -> None:
    scene = check(bracket(), "rest entry\nfill entry 10\nrest take_profit\ntrigger stop_loss\nkept take_profit")
    assert [type(event).__name__ for event in scene.commits[-1]] == ["CancelRejected"]


def test_a_refused_resize_ends_the_leg_and_another_takes_its_place() -> None:
    # GRP-2
    check(
        bracket(),
        """rest entry
           fill entry 3
           rest take_profit
           fill entry 7
           refused take_profit
           = entry filled 0, take_profit pending_cancel 3, stop_loss queued 10
           flags resize_refused
           cancelled take_profit
           = entry filled 0, take_profit queued 10, stop_loss queued 10
           list alert""",
    )


def test_three_trades_of_the_entry_while_a_resize_is_unanswered_end_right() -> None:
    # GRP-2
    check(
        bracket(),
        """rest entry
           fill entry 1
           rest take_profit
           fill entry 2
           fill entry 3
           fill entry 4
           replaced take_profit
           replaced take_profit
           = entry filled 0, take_profit routed 10, stop_loss queued 10""",
    )


def test_an_exit_that_is_filled_while_the_entry_works_is_followed_by_another() -> None:
    scene = check(
        bracket(),
        """rest entry
           fill entry 3
           rest take_profit
           fill take_profit 3
           = entry partially_filled 7, take_profit filled 0, stop_loss cancelled 0
           fill entry 7
           = entry filled 0, take_profit queued 7, stop_loss queued 7
           rest take_profit
           fill take_profit 7
           list done filled""",
    )
    assert [len(slot) for slot in scene.group.slots] == [1, 2, 2]


def test_both_exits_trade_all_the_same() -> None:
    # GRP-3
    check(
        bracket(strict=False),
        """rest entry
           fill entry 10
           rest take_profit
           rest stop_loss
           fill take_profit 10
           = entry filled 0, take_profit filled 0, stop_loss pending_cancel 10
           fill stop_loss 10
           flags double_exit
           list alert filled""",
    )


def test_an_exit_in_doubt_leaves_the_other_its_right() -> None:
    check(
        bracket(strict=False),
        """rest entry
           fill entry 4
           rest take_profit
           rest stop_loss
           doubt take_profit
           fill entry 6
           = entry filled 0, take_profit in_doubt 4, stop_loss routed 4
           flags in_doubt
           list alert
           confirm take_profit
           = entry filled 0, take_profit pending_replace 4, stop_loss pending_replace 4""",
    )


def test_a_bust_of_the_entry_shrinks_the_exits() -> None:
    # GRP-11
    check(
        bracket(),
        """rest entry
           fill entry 4
           fill entry 6
           bust entry 2
           = entry partially_filled 6, take_profit queued 4, stop_loss queued 4""",
    )


def test_a_bust_below_what_the_exits_have_traded_is_flagged() -> None:
    # GRP-11
    check(
        bracket(),
        """rest entry
           fill entry 4
           fill entry 6
           rest take_profit
           fill take_profit 8
           bust entry 2
           = entry partially_filled 6, take_profit pending_cancel 2, stop_loss cancelled 0
           flags double_exit
           list alert""",
    )


def test_cancelling_the_list_keeps_what_protects_a_position() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 3
           cancel_list
           = entry pending_cancel 7, take_profit queued 3, stop_loss queued 3
           list cancelling
           fill entry 1
           = entry pending_cancel 6, take_profit queued 4, stop_loss queued 4
           cancelled entry
           = entry cancelled 0, take_profit queued 4, stop_loss queued 4""",
    )


def test_cancelling_the_list_before_any_trade_cancels_all() -> None:
    check(
        bracket(),
        """rest entry
           cancel_list
           = entry pending_cancel 10, take_profit risk_checked 10, stop_loss risk_checked 10
           cancelled entry
           = entry cancelled 0, take_profit cancelled 0, stop_loss cancelled 0
           list done cancelled""",
    )


def test_the_exits_too_are_cancelled_if_the_client_says_so() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 3
           rest take_profit
           cancel_list exits
           = entry pending_cancel 7, take_profit pending_cancel 3, stop_loss cancelled 0""",
    )


def test_an_exit_that_is_cancelled_by_hand_ends_alone() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 3
           cancel take_profit
           = entry partially_filled 7, take_profit cancelled 0, stop_loss queued 3
           flags unpaired
           fill entry 7
           = entry filled 0, take_profit cancelled 0, stop_loss queued 10""",
    )


def test_nothing_is_released_while_a_control_forbids_it_and_nothing_revives() -> None:
    # GRP-9
    check(
        bracket(),
        """rest entry
           forbid
           fill entry 3
           = entry partially_filled 7, take_profit risk_checked 10, stop_loss risk_checked 10
           kill take_profit
           kill stop_loss
           kill entry
           cancelled entry
           = entry cancelled 0, take_profit cancelled 0, stop_loss cancelled 0
           list alert killed
           flags killed unprotected
           allow
           fill entry 1
           = entry cancelled 0, take_profit cancelled 0, stop_loss cancelled 0""",
    )


def test_less_than_a_lot_or_the_smallest_notional_is_held() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 0.2
           = entry partially_filled 9.8, take_profit risk_checked 10, stop_loss risk_checked 10
           flags dust
           fill entry 0.8
           = entry partially_filled 9, take_profit queued 1, stop_loss queued 1
           flags none""",
    )


def test_what_is_too_little_to_exit_stays_once_the_entry_has_ended() -> None:
    check(
        bracket(),
        """rest entry
           fill entry 0.2
           flags dust
           cancel entry
           cancelled entry
           = entry cancelled 0, take_profit cancelled 0, stop_loss cancelled 0
           flags unprotected
           list alert cancelled""",
    )


def test_an_exit_at_a_short_position_follows_a_sell() -> None:
    check(
        bracket(side=Side.SELL),
        """rest entry
           fill entry 10
           = entry filled 0, take_profit queued 10, stop_loss queued 10""",
    )
