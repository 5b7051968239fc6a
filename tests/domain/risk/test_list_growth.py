"""A leg of an `oto` list that opens counts for all that it may still come to, until its entry has ended."""

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from adapters.codec import decoder, encode
from domain.groups.contingency import ANSWERS
from domain.order import events as e
from domain.order.group import Trigger
from domain.order.lifecycle import State
from domain.order.replace import terms_wanted
from domain.order.terms import replacement
from domain.risk.engine import Risk
from domain.risk.exposure import Holding
from domain.risk.snapshot import RiskState
from domain.values import Side
from tests import given
from tests.domain.groups.scene import LOT, NOTIONAL_MIN, ListScene, check, terms
from tests.domain.risk.scene import GOLDEN, new_risk
from tests.domain.risk.test_lists import denials, followed, quoted

ROOM: dict[str, Any] = {"position_notional_max": Decimal(1_000), "order_notional_max": Decimal(1_000)}
MARKET = {given.SYMBOL: msgspec.structs.replace(GOLDEN["BTCUSDT"], lot=LOT, notional_min=NOTIONAL_MIN)}
"""The market by whose steps the scenes size the legs."""
WALKS, STEPS = 200, 60
"""Random histories of a list, and the most events of one."""


def oto(**options: Any) -> ListScene:
    """An entry that buys 10 at 50, and a leg that then buys 10 more at 45."""
    legs = [terms("entry", Decimal(10), Side.BUY, "50"), terms("held", Decimal(10), Side.BUY, "45")]
    return ListScene("oto", legs, **options)


def with_two_legs(**options: Any) -> ListScene:
    """An entry that buys 10 at 50, and legs that then buy 10 more at 45 and 5 more at 40."""
    legs = [("entry", 10, "50"), ("held1", 10, "45"), ("held2", 5, "40")]
    return ListScene("oto", [terms(name, Decimal(quantity), Side.BUY, price) for name, quantity, price in legs], **options)


def played(text: str, scene: ListScene | None = None) -> tuple[Risk, ListScene]:
    """Risk with room for 1000, after these lines."""
    risk = new_risk(MARKET, **ROOM)
    quoted(risk)
    found = check(scene or oto(), text)
    followed(risk, found)
    return risk, found


def bought(risk: Risk) -> Decimal:
    """What all open orders may still buy."""
    return held(risk).buy_quantity


def held(risk: Risk) -> Holding:
    return risk.exposure.look(given.ACCOUNT).holdings[given.SYMBOL]


def asks(risk: Risk, quantity: str, price: str = "50") -> str | None:
    """Ask for another purchase of the account; return why it is refused."""
    order = msgspec.structs.replace(terms("other", Decimal(quantity), Side.BUY, price), group_id="", role="")
    return denials([risk.dry(order, 0)])[0]


# What counts


def test_no_other_order_gets_the_room_into_which_a_released_leg_grows() -> None:
    risk, scene = played("rest entry\nfill entry 2\n= entry partially_filled 8, held queued 2")
    assert bought(risk) == 18, "8 of the entry, 2 of the leg, and 8 that the leg gets when the entry trades on"
    assert held(risk).worst == 950
    assert asks(risk, "1") is None
    assert asks(risk, "2") == "position_limit"
    check(scene, "fill entry 8\n= entry filled 0, held queued 10")
    followed(risk, scene)
    assert [held(risk).quantity, bought(risk), held(risk).worst] == [10, 10, 950], "as much as was checked, and no more"


def test_what_is_kept_for_a_leg_is_no_open_order() -> None:
    risk, scene = played("rest entry\nfill entry 2")
    assert risk.exposure.look(given.ACCOUNT).orders == 2
    check(scene, "rest held\nfill held 2\n= entry partially_filled 8, held filled 0")
    followed(risk, scene)
    assert risk.exposure.look(given.ACCOUNT).orders == 1
    assert bought(risk) == 16, "8 of the entry, and 8 of the order that will take the place of the filled one"


def test_an_order_in_the_place_of_a_filled_leg_takes_what_was_kept_for_it() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held\nfill held 2\nfill entry 3\n= entry partially_filled 5, held queued 3")
    assert bought(risk) == 13
    check(scene, "rest held\nfill held 3\nfill entry 5\nrest held\n= entry filled 0, held routed 5")
    followed(risk, scene)
    assert [bought(risk), held(risk).quantity] == [5, 15]
    assert not risk.exposure.claims


def test_an_entry_that_ends_early_gives_the_rest_of_its_legs_back() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held\ncancel entry")
    assert bought(risk) == 18, "it may trade until its venue has answered"
    check(scene, "cancelled entry\n= entry cancelled 0, held routed 2")
    followed(risk, scene)
    assert bought(risk) == 2
    assert asks(risk, "16") is None


def test_a_filled_leg_gets_its_rest_back_when_the_entry_ends() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held\nfill held 2")
    check(scene, "cancel entry\ncancelled entry\nlist done")
    followed(risk, scene)
    assert bought(risk) == 0
    assert risk.fold.state().growing == ()


@pytest.mark.parametrize(
    ("lines", "counted"),
    [
        ("cancel held\ncancelled held", 8),
        ("cancel held", 18),
        ("cancel held\nkept held", 18),
        ("rejected held", 8),
        ("kill held\ncancelled held", 8),
        ("cancel_list exits", 10),
    ],
)
def test_a_leg_counts_for_its_rest_as_long_as_its_list_may_give_it_that(lines: str, counted: int) -> None:
    """An order that was cancelled by hand, killed or refused has no other one in its place; one whose cancel is pending may stay."""
    risk, _ = played(f"rest entry\nfill entry 2\nrest held\n{lines}")
    assert bought(risk) == counted


def test_after_a_control_a_filled_leg_gets_nothing_more() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held1\nrest held2\nfill held1 2", with_two_legs())
    assert bought(risk) == 8 + 8 + 5
    check(scene, "kill held2")
    followed(risk, scene)
    assert bought(risk) == 8 + 8 + 5, "its venue may still refuse that"
    check(scene, "cancelled held2")
    followed(risk, scene)
    assert bought(risk) == 8


def test_a_leg_that_shrinks_after_a_bust_of_its_entry_keeps_its_room() -> None:
    risk, scene = played("rest entry\nfill entry 4\nrest held\nbust entry 1\n= entry routed 10, held pending_cancel 4")
    assert bought(risk) == 20
    check(scene, "cancelled held\n= entry routed 10, held cancelled 0")
    followed(risk, scene)
    assert bought(risk) == 20, "the list itself has cancelled it, and submits another one"
    check(scene, "fill entry 10\n= entry filled 0, held queued 10")
    followed(risk, scene)
    assert bought(risk) == 10


def test_a_bust_that_opens_the_entry_again_restores_the_room_of_its_legs() -> None:
    risk, scene = played("rest entry\nfill entry 4\nrest held\nfill entry 6\nreplaced held")
    assert bought(risk) == 10
    check(scene, "bust entry 2\nreplaced held\n= entry partially_filled 6, held routed 4")
    followed(risk, scene)
    assert bought(risk) == 16


def test_trades_of_a_leg_are_not_kept_twice_and_a_busted_one_is_kept_again() -> None:
    risk, scene = played("rest entry\nfill entry 4\nrest held\nfill held 3\n= entry partially_filled 6, held partially_filled 1")
    assert bought(risk) == 13
    check(scene, "bust held 1\n= entry partially_filled 6, held routed 4")
    followed(risk, scene)
    assert bought(risk) == 16


def test_a_new_quantity_of_the_entry_changes_the_share_of_the_leg_and_not_its_room() -> None:
    risk, scene = played("patch entry 20\nrest entry\nfill entry 2\n= entry partially_filled 18, held queued 1")
    assert bought(risk) == 28
    check(scene, "patch entry 4\nreplaced entry\n= entry partially_filled 2, held queued 5")
    followed(risk, scene)
    assert bought(risk) == 12


def test_a_leg_in_doubt_counts_for_its_rest() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held\ndoubt held")
    assert bought(risk) == 18
    check(scene, "confirm held\nfill entry 8\nreplaced held")
    followed(risk, scene)
    assert bought(risk) == 10


def test_with_full_a_leg_counts_in_full_until_its_entry_has_ended() -> None:
    risk, scene = played("rest entry\nfill entry 2", oto(trigger=Trigger.FULL))
    assert bought(risk) == 18
    check(scene, "cancel entry\ncancelled entry\n= entry cancelled 0, held queued 2")
    followed(risk, scene)
    assert bought(risk) == 2


def test_a_leg_that_sells_more_than_its_entry_buys_keeps_its_room_to_sell() -> None:
    legs = [terms("entry", Decimal(2), Side.BUY, "50"), terms("held", Decimal(10), Side.SELL, "60")]
    risk, _ = played("rest entry\nfill entry 1\n= entry partially_filled 1, held queued 5", ListScene("oto", legs))
    assert held(risk).sell_quantity == 10


def test_a_leg_whose_venue_has_not_answered_keeps_what_it_gets_from_an_entry_that_is_filled_meanwhile() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held\nfill entry 2\nrefused held\nfill entry 6")
    check(scene, "= entry filled 0, held pending_cancel 2")
    assert bought(risk) == 10
    check(scene, "cancelled held\n= entry filled 0, held queued 10")
    followed(risk, scene)
    assert bought(risk) == 10


# New prices


def test_a_new_price_of_a_leg_is_checked_and_reserved_for_all_that_it_may_come_to() -> None:
    risk, scene = played("rest entry\nfill entry 2\nrest held")
    leg = scene.last("held")
    dear, fair = (replacement(leg, terms_wanted(leg, None, Decimal(price), None), leg.next_replace_id) for price in (51, 50))
    assert dear.quantity == 2
    assert denials([risk.decide(dear, 0)]) == ["position_limit"], "8 more of them would be bought at 51"
    assert denials([risk.decide(fair, 0)]) == [None]
    assert [bought(risk), held(risk).worst] == [18, 1_000]
    check(scene, "patch held @50")
    followed(risk, scene)
    assert not risk.exposure.reservations
    assert [bought(risk), held(risk).worst] == [18, 1_000]
    check(scene, "replaced held\nfill entry 8\nreplaced held")
    followed(risk, scene)
    assert [bought(risk), held(risk).worst] == [10, 1_000]


# Any history


def walk(seed: int) -> ListScene:
    """A list to which anything happens that venues, clients and controls can do, in a random order, until it ends."""
    chance, scene = random.Random(seed), with_two_legs(trigger=Trigger.PARTIAL if seed % 4 else Trigger.FULL)
    for _ in range(1 + seed % STEPS):
        if scene.group.ended:
            break
        name = chance.choice(("entry", "held1", "held2"))
        order = scene.last(name)
        at_venue = order.status in (State.ROUTED, State.PARTIALLY_FILLED)
        may = [f"fill {n}" for n in ("0.5", "1", "3") if order.routes and Decimal(n) <= order.leaves_quantity]
        may += {
            State.QUEUED: ["rest", "rest", "rest"],
            State.PENDING_CANCEL: ["cancelled", "kept"],
            State.PENDING_REPLACE: ["replaced", "refused"],
            State.IN_DOUBT: ["confirm"],
        }.get(order.status, [])
        may += ["doubt"] if at_venue and chance.random() < 0.2 else []
        may += ["cancel", "kill"] if chance.random() < 0.05 and not order.closed else []
        may += [f"bust {n}" for n, trade in enumerate(order.trades, 1) if not trade.busted and chance.random() < 0.1]
        if may:
            verb, *words = chance.choice(may).split()
            check(scene, " ".join((verb, name, *words)))
        elif chance.random() < 0.02:
            check(scene, chance.choice(("cancel_list", "cancel_list exits", "forbid")))
    return scene


def test_a_list_never_comes_to_more_than_was_counted_before_whatever_happens() -> None:
    """Only a bust returns room to an order: without one, what the account may come to hold never rises."""
    for seed in range(WALKS):
        risk, scene, before = new_risk(MARKET, **ROOM), walk(seed), Decimal(25)
        for seq, events in enumerate(scene.commits, 1):
            for event in events:
                risk.fold.apply(event, seq)
            reach = held(risk).quantity + bought(risk)
            if not any(isinstance(event, e.TradeBusted) or (isinstance(event, e.OrderFilled) and event.late) for event in events):
                assert reach <= before, f"walk {seed}, commit {seq}"
            before = reach
        members = scene.orders.values()
        if scene.orders[scene.lead].closed and not any(order.status in ANSWERS or order.replacing for order in members):
            assert bought(risk) == sum((order.leaves_quantity for order in members), Decimal(0)), f"walk {seed} at its end"


def test_any_commit_of_a_list_that_grows_is_a_place_to_begin_again() -> None:
    for seed in range(0, WALKS, 10):
        whole, scene = new_risk(MARKET, **ROOM), walk(seed)
        for seq, events in enumerate(scene.commits, 1):
            for event in events:
                whole.fold.apply(event, seq)
            again = new_risk(MARKET, **ROOM)
            again.fold.restore(decoder(RiskState).decode(encode(whole.fold.state())))
            assert again.fold.state() == whole.fold.state()
            ours, theirs = (each.exposure.look(given.ACCOUNT) for each in (whole, again))
            assert (ours.orders, ours.worst, whole.exposure.claims) == (theirs.orders, theirs.worst, again.exposure.claims)
