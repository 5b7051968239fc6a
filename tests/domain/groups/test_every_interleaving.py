"""Every order of three trades of an entry and three of its exits, with and without a cancel, ends as the obvious bracket says. GRP-2, 3."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice, permutations, product

import pytest

from domain.order.lifecycle import State
from tests.domain.groups.test_interleavings import EXITS, Day, ends_as_the_obvious_bracket_says

TRADES = ("first", "second", "third", "take_profit", "take_profit", "stop_loss")
HALVES = {"first": 6, "second": 6, "third": 8, "take_profit": 5, "stop_loss": 4}
"""What each trades, in halves: the entry 3, 3 and 4."""
DAYS = 60 * (1 + 7 + 7)
EVERY = 1 if os.environ.get("TORTURE_ROUNDS") else 4
"""`TORTURE_ROUNDS=1 pytest` lives all of them: ten seconds of processor time."""
CANCELS = ("", "cancel_entry", "by_hand")
ASKED = (State.PENDING_CANCEL, State.PENDING_REPLACE)
ANSWERS = ("at once", "at the end", "refused at first")


def orders() -> list[tuple[str, ...]]:
    """Every order of the trades in which those of the entry keep their own order."""
    entry = TRADES[:3]
    return sorted(found for found in set(permutations(TRADES)) if tuple(each for each in found if each in entry) == entry)


def days() -> Iterator[tuple[str, ...]]:
    """Each order of trades alone, and with a cancel at every place."""
    for order, cancel in product(orders(), CANCELS):
        places = range(len(order) + 1) if cancel else (0,)
        yield from (tuple(filter(None, (*order[:n], cancel, *order[n:]))) for n in places)


def live(day: Sequence[str], answers: str, *, strict: bool, full: bool) -> Day:
    """Exits rest as soon as they may, and the market comes to the stop before it trades."""
    lived = Day(strict=strict, full=full)
    refusals = {*EXITS} if answers == "refused at first" else set()
    for each in day:
        if each in EXITS:
            lived.act("trigger", each, 0) if strict and each == "stop_loss" else None
            lived.act("rest", each, 0)
            lived.act("sell", each, HALVES[each])
        elif each in HALVES:
            lived.act("buy", "take_profit", HALVES[each])
        else:
            lived.act(each, "take_profit", 0)
        for name in EXITS:
            lived.act("rest", name, 0)
            if answers != "at the end":
                asked = lived.exits(name)[-1].status in ASKED
                lived.act("refuse" if asked and name in refusals else "answer", name, 0)
                refusals -= {name} if asked else set()
    return lived


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize(("strict", "full"), [(True, False), (False, False), (True, True), (False, True)])
def test_every_order_of_trades_ends_as_the_obvious_bracket_says(strict: bool, full: bool, answers: str) -> None:
    lives = 0
    for day in islice(days(), None, None, EVERY):
        ends_as_the_obvious_bracket_says(live(day, answers, strict=strict, full=full))
        lives += 1
    assert lives == DAYS // EVERY
