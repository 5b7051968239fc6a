"""One question for all orders of a list, and what they count: CONTINGENT.md 2, Risk."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from adapters.codec import decoder, encode
from domain.market.quotes import Quote
from domain.order import commands as c
from domain.order import events as e
from domain.order.group import ListType, Role, Trigger
from domain.order.order import Asked, Order
from domain.order.terms import FIELDS, replacement
from domain.risk.engine import Risk
from domain.risk.snapshot import RiskState
from domain.values import Side
from tests import given
from tests.domain.groups.scene import ListScene, bracket, check, terms
from tests.domain.risk.scene import new_risk

ROOM: dict[str, Any] = {"position_notional_max": Decimal(1_000), "order_notional_max": Decimal(1_000)}


def legs_of(scene: ListScene) -> list[c.Terms]:
    """The orders of a list as they were asked for."""
    orders = [scene.orders[slot[0]] for slot in scene.group.slots]
    kept = [{name: getattr(order, name) for name in FIELDS} | {"quantity": asked(scene, order.order_id)} for order in orders]
    return [c.Terms(order_id=order.order_id, **fields) for order, fields in zip(orders, kept, strict=True)]


def asked(scene: ListScene, order_id: str) -> Decimal:
    order: Order = scene.orders[order_id]
    return order.asked.quantity if order.asked else order.quantity


def followed(risk: Risk, scene: ListScene) -> None:
    for seq, events in enumerate(scene.commits[risk.fold.seq :], risk.fold.seq + 1):
        for event in events:
            risk.fold.apply(event, seq)


def open_sells(risk: Risk, account: str = given.ACCOUNT) -> Decimal:
    return risk.exposure.look(account).holdings[given.SYMBOL].sell_quantity


def denials(decisions: Sequence[object]) -> list[str | None]:
    return [decision.denial.code if decision.denial else None for decision in decisions]  # type: ignore[attr-defined]


def quoted(risk: Risk) -> None:
    risk.marks.update(
        Quote(symbol=given.SYMBOL, venue="PAPER_A", bid=Decimal(50), bid_size=Decimal(9), ask=Decimal(50), ask_size=Decimal(9), at=0), 0
    )


def test_exits_pass_although_nothing_is_held_yet_and_reserve_nothing() -> None:
    risk = new_risk(**ROOM)
    quoted(risk)
    legs = legs_of(bracket())
    assert denials(risk.decide_list(legs, 0)) == [None, None, None]
    assert list(risk.exposure.reservations) == [legs[0].order_id]


def test_nothing_is_reserved_when_one_order_is_denied() -> None:
    risk = new_risk(position_notional_max=Decimal(1_000), order_notional_max=Decimal(550))
    quoted(risk)
    assert denials(risk.decide_list(legs_of(bracket()), 0)) == [None, "order_size_limit", None]
    assert not risk.exposure.reservations
    assert not risk.exposure.look(given.ACCOUNT).orders


def test_an_exit_on_its_own_is_denied_where_the_account_may_not_sell_short() -> None:
    risk = new_risk(**ROOM)
    quoted(risk)
    (_, take, _) = legs_of(bracket())
    assert denials([risk.dry(take, 0)]) == ["short_restriction"]


def test_held_exits_count_nothing_and_of_working_exits_the_larger_counts() -> None:
    risk, scene = new_risk(**ROOM), bracket()
    followed(risk, scene)
    assert open_sells_or_none(risk) == Decimal(0)
    check(scene, "rest entry\nfill entry 3")
    followed(risk, scene)
    assert open_sells(risk) == 3, "both work for 3, and together trade no more"
    assert risk.exposure.look(given.ACCOUNT).orders == 2, "the entry and the pair"
    check(scene, "rest take_profit\nfill take_profit 1")
    followed(risk, scene)
    assert open_sells(risk) == 2


@pytest.mark.parametrize(("kind", "left"), [("bracket", "3"), ("oto", "2.5")])
def test_exits_that_wait_count_for_what_their_entry_has_traded(kind: str, left: str) -> None:
    """With `full` the exits wait while the entry trades. Another order may not sell what they are to sell."""
    risk = new_risk(**ROOM)
    quoted(risk)
    scene = bracket(trigger="full") if kind == "bracket" else closing(trigger=Trigger.FULL)
    leg = "take_profit" if kind == "bracket" else "closing"
    check(scene, "rest entry\nfill entry 6")
    followed(risk, scene)
    assert open_sells(risk) == 6
    sale = msgspec.structs.replace(terms("other", Decimal(1), Side.SELL, "50"), group_id="", role="")
    assert denials([risk.dry(sale, 0)]) == ["short_restriction"]
    check(scene, "bust entry 1\nfill entry 4")
    followed(risk, scene)
    assert open_sells(risk) == 4
    check(scene, f"cancel entry\ncancelled entry\nrest {leg}\nfill {leg} 1")
    followed(risk, scene)
    assert open_sells(risk) == Decimal(left), "on the lot, each leg for itself"
    again = new_risk(**ROOM)
    again.fold.restore(risk.fold.state())
    assert again.fold.state() == risk.fold.state()


@pytest.mark.parametrize("leg", ["take_profit", "stop_loss"])
def test_an_exit_that_waits_gets_another_price_while_its_entry_trades(leg: str) -> None:
    """It closes all that the entry opens, also what has not traded yet. What has traded then counts at the new price."""
    risk = new_risk(**ROOM)
    quoted(risk)
    scene = bracket(trigger="full")
    order = scene.last(leg)
    for fill in ("rest entry\nfill entry 6", "fill entry 3"):
        check(scene, fill)
        followed(risk, scene)
        wanted = Asked(order.quantity, *((Decimal(90), None) if leg == "take_profit" else (None, Decimal(90))))
        assert denials([risk.decide(replacement(order, wanted, "r1"), 0)]) == [None]
        assert not risk.exposure.reservations, "it counts what the entry has traded, and no more"
    assert reserved(risk) == [9, 540, 2]
    check(scene, "patch take_profit @90")
    followed(risk, scene)
    assert reserved(risk) == [9, 810, 2]


def closing(*, trigger: Trigger) -> ListScene:
    """An entry that buys 10, and two legs that together sell 10."""
    legs = [
        terms("entry", Decimal(10), Side.BUY, "50"),
        terms("closing", Decimal(6), Side.SELL, "60"),
        terms("closing2", Decimal(4), Side.SELL, "70"),
    ]
    return ListScene("oto", legs, trigger=trigger)


def open_sells_or_none(risk: Risk) -> Decimal:
    holding = risk.exposure.look(given.ACCOUNT).holdings.get(given.SYMBOL)
    return Decimal(0) if holding is None else holding.sell_quantity


def test_an_exit_in_doubt_counts_beside_the_other() -> None:
    risk, scene = new_risk(**ROOM), bracket(strict=False)
    check(scene, "rest entry\nfill entry 10\nrest take_profit\ndoubt take_profit")
    followed(risk, scene)
    assert open_sells(risk) == 20
    check(scene, "confirm take_profit")
    followed(risk, scene)
    assert open_sells(risk) == 10


def test_everything_is_released_at_the_end() -> None:
    risk, scene = new_risk(**ROOM), bracket()
    check(scene, "rest entry\nfill entry 10\nrest take_profit\nfill take_profit 10\nlist done filled")
    followed(risk, scene)
    account = risk.exposure.look(given.ACCOUNT)
    assert open_sells(risk) == 0
    assert account.orders == 0
    assert not risk.exposure.pools
    assert not risk.exposure.orders


def test_any_commit_is_a_place_to_begin_again() -> None:
    scene = check(
        bracket(strict=False),
        """rest entry
           fill entry 3
           rest take_profit
           rest stop_loss
           doubt take_profit
           fill entry 7
           confirm take_profit
           fill stop_loss 3""",
    )
    whole = new_risk(**ROOM)
    for seq, events in enumerate(scene.commits, 1):
        for event in events:
            whole.fold.apply(event, seq)
        again = new_risk(**ROOM)
        again.fold.restore(decoder(RiskState).decode(encode(whole.fold.state())))
        assert again.fold.state() == whole.fold.state()
        ours, theirs = (each.exposure.look(given.ACCOUNT) for each in (whole, again))
        assert (ours.orders, ours.holdings) == (theirs.orders, theirs.holdings), f"after commit {seq}"


def test_of_alternatives_only_the_largest_is_reserved() -> None:
    risk = new_risk(**ROOM)
    quoted(risk)
    _hold(risk, Decimal(10))
    pair = [
        msgspec.structs.replace(terms(name, Decimal(10), Side.SELL, price, stop), role=str(Role.ALTERNATIVE))
        for name, price, stop in (("leg1", "60", None), ("leg2", None, "40"))
    ]
    assert denials(risk.decide_list(pair, 0)) == [None, None], "each alone closes what is held"
    assert open_sells(risk) == 10
    scene = ListScene(str(ListType.OCO), pair, reduce=True)
    followed_from_start(risk, scene)
    assert open_sells(risk) == 10
    assert not risk.exposure.reservations


def alternatives(*legs: tuple[str, str]) -> list[c.Terms]:
    """Sales of which only one trades: quantity and price."""
    made = [terms(f"leg{number}", Decimal(quantity), Side.SELL, price) for number, (quantity, price) in enumerate(legs, 1)]
    return [msgspec.structs.replace(each, role=str(Role.ALTERNATIVE)) for each in made]


def reserved(risk: Risk) -> list[Decimal | int]:
    """What is reserved for sales: the quantity, the money and the number of orders."""
    account = risk.exposure.look(given.ACCOUNT)
    holding = account.holdings[given.SYMBOL]
    return [holding.sell_quantity, holding.sell_notional, account.orders]


def test_as_much_is_reserved_for_alternatives_as_counts_when_they_are_in_the_journal() -> None:
    risk = new_risk(**ROOM)
    quoted(risk)
    _hold(risk, Decimal(10))
    legs = alternatives(("10", "50"), ("10", "90"), ("4", "60"))
    assert denials(risk.decide_list(legs, 0)) == [None, None, None]
    assert reserved(risk) == [10, 900, 1], "the dearer one, although it is not larger"
    followed_from_start(risk, ListScene(str(ListType.OCO), legs, reduce=True))
    assert reserved(risk) == [10, 900, 1]


def test_a_list_that_is_asked_for_again_reserves_no_more() -> None:
    risk = new_risk(**ROOM)
    quoted(risk)
    _hold(risk, Decimal(10))
    legs = alternatives(("4", "50"), ("10", "90"), ("10", "95"))
    first = risk.decide_list(legs, 0)
    before = reserved(risk)
    again = risk.decide_list(legs, 0)
    assert denials(again) == denials(first) == [None, None, None]
    assert reserved(risk) == before == [10, 950, 1]
    risk.release_list(legs)
    assert reserved(risk) == [0, 0, 0]


@pytest.mark.parametrize("number", [0, 1])
def test_a_list_leaves_the_reservation_of_another_order_with_the_id_of_its_leg(number: int) -> None:
    risk = new_risk(**ROOM)
    quoted(risk)
    _hold(risk, Decimal(10))
    legs = alternatives(("4", "50"), ("4", "60"))
    single = msgspec.structs.replace(legs[number], role="", group_id="", quantity=Decimal(5))
    assert denials([risk.decide(single, 0)]) == [None]
    before = reserved(risk)
    assert denials(risk.decide_list(legs, 0))[number] == "duplicate_order"
    assert list(risk.exposure.reservations) == [single.order_id]
    assert reserved(risk) == before


def _hold(risk: Risk, quantity: Decimal) -> None:
    risk.exposure.account(given.ACCOUNT).trade(given.SYMBOL, quantity, quantity * 50, Decimal(50), risk.marks)


def followed_from_start(risk: Risk, scene: ListScene) -> None:
    for seq, events in enumerate(scene.commits, 1):
        for event in events:
            assert isinstance(event, e.Event)
            risk.fold.apply(event, seq)
