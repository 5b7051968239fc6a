"""The checker's bounds know held legs and pools: lawful lists keep them, and one that sells too much does not. CONTINGENT.md 2, Risk."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from adapters.chain import GENESIS, following
from adapters.codec import ORDER_COMMITS
from domain.audit.checker import ObservedBounds, ObservedCommit, check_journal
from domain.order import commands as c
from domain.order import events as e
from domain.order.decider import decide
from domain.ports import Head
from domain.values import Side
from tests import given
from tests.domain.groups.scene import ListScene, bracket, check, terms

NO_SHORTS = ObservedBounds(short_accounts=frozenset())
LISTS_OF_TEN = """rest entry
                  fill entry 4
                  rest take_profit
                  fill entry 6
                  fill take_profit 1
                  replaced take_profit
                  rest stop_loss
                  fill stop_loss 2
                  replaced take_profit
                  fill take_profit 7"""


def broken(made: Sequence[tuple[e.OrderEvent, ...]], bounds: ObservedBounds) -> set[str]:
    head, commits = GENESIS, []
    for events in made:
        payload = ORDER_COMMITS.encode(0, head.n + 1, events)
        head = Head(head.seq + 1, head.n + 1, following(head, payload))
        commits.append(ObservedCommit(head.seq, head.n, head.chain, payload, events))
    return {violation.name for violation in check_journal(commits, bounds=bounds).violations}


def test_two_exits_of_one_position_sell_it_once() -> None:
    assert broken(check(bracket(strict=False), LISTS_OF_TEN).commits, NO_SHORTS) == set()


def test_exits_that_buy_back_what_an_entry_sold_add_nothing_to_the_position() -> None:
    scene = check(bracket(side=Side.SELL), "rest entry\nfill entry 10\nrest take_profit\nfill take_profit 10")
    bounds = ObservedBounds(position_notional_max=Decimal(0), marks={given.SYMBOL: Decimal(50)})
    assert broken(scene.commits, bounds) == set()


def test_alternatives_that_buy_count_once() -> None:
    legs = [terms("alternative1", Decimal(10), Side.BUY, "40"), terms("alternative2", Decimal(10), Side.BUY, "45")]
    pair = check(ListScene("oco", legs, reduce=True), "rest alternative1\nrest alternative2\nfill alternative1 4")
    enough = max(order.quantity * (order.price or Decimal(0)) for order in pair.orders.values())
    marks = {given.SYMBOL: Decimal(1)}
    assert broken(pair.commits, ObservedBounds(position_notional_max=enough, marks=marks)) == set()
    assert broken(pair.commits, ObservedBounds(position_notional_max=enough - 1, marks=marks)) == {"risk_limit"}


def grown(scene: ListScene) -> list[tuple[e.OrderEvent, ...]]:
    """A planted bug: a released exit works for more than its entry has traded."""
    return [tuple(_grown(event) for event in events) for events in scene.commits]


def _grown(event: e.OrderEvent) -> e.OrderEvent:
    if not isinstance(event, e.OrderReplaced):
        return event
    return msgspec.structs.replace(event, quantity=event.quantity + 1, leaves_quantity=event.leaves_quantity + 1)


@pytest.mark.parametrize("trigger", ["partial", "full"])
def test_an_exit_that_sells_more_than_its_entry_bought_is_found(trigger: str) -> None:
    ending = "" if trigger == "partial" else "\ncancel entry\ncancelled entry"
    scene = check(bracket(trigger=trigger), f"rest entry\nfill entry 4{ending}")
    assert broken(scene.commits, NO_SHORTS) == set()
    assert broken(grown(scene), NO_SHORTS) == {"risk_limit"}


@pytest.mark.parametrize(("more", "found"), [("1", set()), ("2", {"risk_limit"})])
def test_an_order_in_the_room_that_a_released_leg_grows_into_is_found(more: str, found: set[str]) -> None:
    """10 at 50 and then 10 at 45 come to 950, also after a first trade of the entry."""
    legs = [terms("entry", Decimal(10), Side.BUY, "50"), terms("held", Decimal(10), Side.BUY, "45")]
    scene = check(ListScene("oto", legs), "rest entry\nfill entry 2\nrest held\nfill held 2")
    other = msgspec.structs.replace(terms("other", Decimal(more), Side.BUY, "50"), group_id="", role="")
    approved = msgspec.structs.replace(given.approved(other.order_id), reference=other.price)
    commit = tuple(decide(None, c.SubmitOrder(order_id=other.order_id, terms=other, decision=approved), scene.now))
    bounds = ObservedBounds(position_notional_max=Decimal(1_000), marks={given.SYMBOL: Decimal(45)})
    assert broken([*scene.commits, commit], bounds) == found
    ended = check(scene, "cancel entry\ncancelled entry").commits
    assert broken([*ended, commit], bounds) == set(), "the entry has ended, and 4 are held"
