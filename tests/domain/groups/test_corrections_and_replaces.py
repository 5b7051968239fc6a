"""Corrections of an entry's trades after its exits have traded, and replaces that race trades: the level rule. GRP-11, GRP-12."""

from tests.domain.groups.scene import bracket, check


def test_a_correction_of_the_entry_moves_its_exits_both_ways() -> None:
    # GRP-11
    check(
        bracket(),
        """rest entry
           fill entry 6
           = entry partially_filled 4, take_profit queued 6, stop_loss queued 6
           correct entry 1 4
           = entry partially_filled 6, take_profit queued 4, stop_loss queued 4
           correct entry 2 5
           = entry partially_filled 5, take_profit queued 5, stop_loss queued 5
           flags none""",
    )


def test_a_correction_after_exits_have_traded_shrinks_what_is_left() -> None:
    # GRP-11
    check(
        bracket(),
        """rest entry
           fill entry 10
           rest take_profit
           fill take_profit 3
           correct entry 1 8
           replaced take_profit
           = entry partially_filled 2, take_profit partially_filled 5, stop_loss queued 5
           flags none""",
    )


def test_a_correction_below_what_the_exits_have_traded_is_flagged() -> None:
    # GRP-11
    check(
        bracket(),
        """rest entry
           fill entry 10
           rest take_profit
           fill take_profit 7
           correct entry 1 5
           = entry partially_filled 5, take_profit pending_cancel 3, stop_loss cancelled 0
           flags double_exit
           list alert""",
    )


def test_the_entry_is_replaced_while_it_trades() -> None:
    # GRP-12
    check(
        bracket(),
        """rest entry
           fill entry 3
           patch entry 6
           = entry pending_replace 7, take_profit queued 3, stop_loss queued 3
           fill entry 2
           = entry pending_replace 5, take_profit queued 5, stop_loss queued 5
           replaced entry
           = entry partially_filled 1, take_profit queued 5, stop_loss queued 5
           fill entry 1
           = entry filled 0, take_profit queued 6, stop_loss queued 6
           flags none""",
    )


def test_an_entry_that_is_replaced_by_less_than_it_has_traded_is_filled_with_its_exits_at_what_it_traded() -> None:
    # GRP-12
    check(
        bracket(),
        """rest entry
           patch entry 4
           fill entry 5
           replaced entry
           = entry filled 0, take_profit queued 5, stop_loss queued 5
           flags none""",
    )


def test_with_full_a_replace_that_ends_the_entry_releases_its_exits() -> None:
    # GRP-12
    check(
        bracket(trigger="full"),
        """rest entry
           fill entry 4
           = entry partially_filled 6, take_profit risk_checked 10, stop_loss risk_checked 10
           patch entry 4
           replaced entry
           = entry filled 0, take_profit queued 4, stop_loss queued 4""",
    )


def test_a_new_price_of_an_exit_under_way_while_its_entry_trades_ends_with_price_and_quantity() -> None:
    # GRP-12
    scene = check(
        bracket(),
        """rest entry
           fill entry 3
           rest take_profit
           patch take_profit @65
           = entry partially_filled 7, take_profit pending_replace 3, stop_loss queued 3
           fill entry 7
           = entry filled 0, take_profit pending_replace 3, stop_loss queued 10
           replaced take_profit
           = entry filled 0, take_profit pending_replace 3, stop_loss queued 10
           replaced take_profit
           = entry filled 0, take_profit routed 10, stop_loss queued 10""",
    )
    assert scene.last("take_profit").price == 65


def test_an_exit_trades_while_its_price_is_replaced() -> None:
    # GRP-12
    check(
        bracket(),
        """rest entry
           fill entry 10
           rest take_profit
           patch take_profit @65
           fill take_profit 4
           = entry filled 0, take_profit pending_replace 6, stop_loss queued 6
           replaced take_profit
           = entry filled 0, take_profit partially_filled 6, stop_loss queued 6
           flags none""",
    )


def test_a_held_exit_gets_its_new_price_before_it_works() -> None:
    # GRP-12
    scene = check(
        bracket(), "patch take_profit @65\nrest entry\nfill entry 10\n= entry filled 0, take_profit queued 10, stop_loss queued 10"
    )
    assert scene.last("take_profit").price == 65
