"""Lists without a bracket: one cancels or reduces the others, one triggers the others, a basket."""

from decimal import Decimal

from domain.order import group as g
from domain.values import Side
from tests.domain.groups.scene import ListScene, check, terms


def oco(*, reduce: bool) -> ListScene:
    legs = [terms("leg1", Decimal(10), Side.SELL, "60"), terms("leg2", Decimal(10), Side.SELL, stop="40")]
    return ListScene("oco", legs, reduce=reduce)


def test_a_trade_of_one_member_cancels_the_other() -> None:
    check(
        oco(reduce=False),
        """rest leg1
           rest leg2
           fill leg1 1
           = leg1 partially_filled 9, leg2 pending_cancel 10
           cancelled leg2
           fill leg1 9
           list done filled""",
    )


def test_a_member_that_trades_while_it_is_cancelled_does_not_cancel_the_first() -> None:
    check(
        oco(reduce=False),
        """rest leg1
           rest leg2
           fill leg1 1
           fill leg2 2
           = leg1 partially_filled 9, leg2 pending_cancel 8
           flags double_exit""",
    )


def test_a_trade_of_one_member_takes_its_quantity_off_the_other() -> None:
    check(
        oco(reduce=True),
        """rest leg1
           rest leg2
           fill leg1 4
           = leg1 partially_filled 6, leg2 pending_replace 10
           replaced leg2
           = leg1 partially_filled 6, leg2 routed 6
           fill leg2 6
           = leg1 pending_cancel 6, leg2 filled 0""",
    )


def test_a_member_that_is_cancelled_by_hand_leaves_the_other() -> None:
    check(oco(reduce=False), "rest leg1\nrest leg2\ncancel leg1\ncancelled leg1\n= leg1 cancelled 0, leg2 routed 10\nflags unpaired")


def oto(trigger: str = "partial") -> ListScene:
    legs = [
        terms("entry", Decimal(10), Side.BUY, "50"),
        terms("held1", Decimal(4), Side.SELL, "60"),
        terms("held2", Decimal(10), Side.BUY, "45"),
    ]
    return ListScene("oto", legs, trigger=g.Trigger(trigger))


def test_held_legs_get_the_share_that_their_entry_has_traded() -> None:
    check(
        oto(),
        """rest entry
           fill entry 5
           = entry partially_filled 5, held1 queued 2, held2 queued 5
           fill entry 5
           = entry filled 0, held1 queued 4, held2 queued 10
           rest held1
           rest held2
           fill held1 4
           = entry filled 0, held1 filled 0, held2 routed 10
           fill held2 10
           list done filled""",
    )


def test_with_full_held_legs_wait_for_the_whole_entry() -> None:
    check(oto("full"), "rest entry\nfill entry 9\n= entry partially_filled 1, held1 risk_checked 4, held2 risk_checked 10")


def test_a_basket_is_only_accepted_together() -> None:
    legs = [terms("leg1", Decimal(10), Side.BUY, "50"), terms("leg2", Decimal(4), Side.SELL, "60")]
    check(
        ListScene("none", legs),
        """rest leg1
           rest leg2
           fill leg1 10
           = leg1 filled 0, leg2 routed 4
           cancel_list
           = leg1 filled 0, leg2 pending_cancel 4
           cancelled leg2
           list done cancelled""",
    )
