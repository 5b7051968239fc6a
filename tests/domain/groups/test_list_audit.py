"""The checker of lists: lawful histories break nothing, and each planted bug breaks exactly its invariant. CONTINGENT.md 5."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from domain.audit.journal_audit import ObservedCommit
from domain.audit.list_audit import ObservedListAnswer, check_list_answers, check_lists
from domain.order import events as e
from domain.order.lifecycle import State
from tests import given
from tests.domain.groups.scene import LOT, ListScene, bracket, check
from tests.domain.groups.test_oco_and_oto import oco

Commits = list[tuple[e.OrderEvent, ...]]


def observed(made: Sequence[tuple[e.OrderEvent, ...]]) -> list[ObservedCommit]:
    return [ObservedCommit(n, n, "", b"", events) for n, events in enumerate(made, 1)]


def broken(made: Sequence[tuple[e.OrderEvent, ...]]) -> set[str]:
    return {violation.name for violation in check_lists(observed(made), {given.SYMBOL: LOT})}


def full_day() -> ListScene:
    return check(
        bracket(),
        """rest entry
           fill entry 3
           rest take_profit
           fill entry 7
           replaced take_profit
           fill take_profit 4
           trigger stop_loss
           cancelled take_profit
           rest stop_loss
           fill stop_loss 6
           list done filled""",
    )


def oco_day() -> ListScene:
    return check(oco(reduce=False), "rest leg1\nrest leg2\nfill leg1 1\ncancelled leg2\nfill leg1 9\nlist done filled")


def double_day() -> ListScene:
    return check(
        bracket(strict=False), "rest entry\nfill entry 10\nrest take_profit\nrest stop_loss\nfill take_profit 10\nfill stop_loss 10"
    )


def without(made: Commits, kind: type[e.Event], *, role: str = "", scene: ListScene | None = None) -> Commits:
    def is_it(event: e.OrderEvent) -> bool:
        return type(event) is kind and (scene is None or scene.orders[event.order_id].role == role)

    return [tuple(event for event in events if not is_it(event)) for events in made]


def test_lawful_histories_break_nothing() -> None:
    for scene in (full_day(), oco_day(), double_day()):
        assert broken(scene.commits) == set()


def _released_early() -> Commits:
    scene = bracket()
    stop = scene.last("stop_loss")
    return [*scene.commits, (e.OrderQueued(order_id=stop.order_id, at=scene.now, status=State.QUEUED),)]


def _released_after_the_end() -> Commits:
    scene = check(bracket(), "rest entry\nfill entry 0.2")
    stop = scene.last("stop_loss")
    ended = e.ListEnded(order_id=scene.lead, at=scene.now, status=scene.orders[scene.lead].status, reason="cancelled")
    return [*scene.commits, (ended,), (e.OrderQueued(order_id=stop.order_id, at=scene.now, status=State.QUEUED),)]


def _not_resized() -> Commits:
    scene = full_day()
    return without(scene.commits, e.OrderReplaced, role="stop_loss", scene=scene)


def _both_exits() -> Commits:
    scene = check(bracket(), "rest entry\nfill entry 10\nrest take_profit\ntrigger stop_loss")
    return without(scene.commits, e.CancelRequested)


def _unflagged() -> Commits:
    return without(double_day().commits, e.ListFlagged)


def _other_left() -> Commits:
    scene = check(oco(reduce=False), "rest leg1\nrest leg2\nfill leg1 1")
    return without(scene.commits, e.CancelRequested)


def _twice() -> Commits:
    scene = bracket()
    return [*scene.commits, scene.commits[0][-1:]]


def _apart() -> Commits:
    first = bracket().commits[0]
    return [first[:1], first[1:]]


PLANTED: dict[str, tuple[Callable[[], Commits], set[str]]] = {
    "G4: a held leg is released before its entry trades": (_released_early, {"list_release", "list_level"}),
    "G3: a leg is released after the end of its list": (_released_after_the_end, {"list_after_end", "list_level"}),
    "G5: an exit does not follow its entry": (_not_resized, {"list_level"}),
    "the take profit is not cancelled when the stop is reached": (_both_exits, {"list_level"}),
    "G6: the exits trade too much, without a flag": (_unflagged, {"list_double_exit"}),
    "G7: the other member is not cancelled": (_other_left, {"list_other"}),
    "G12: one id, two lists": (_twice, {"one_list_an_id"}),
    "a leg is recorded before its list": (_apart, {"list_together"}),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_each_planted_bug_is_found(bug: str) -> None:
    made, expected = PLANTED[bug]
    assert broken(made()) == expected


def test_an_answer_that_changes_is_found() -> None:
    # G12
    made = observed(bracket().commits)
    answer = ObservedListAnswer(given.ACCOUNT, "l-1", "submitted", "L", 1)
    assert list(check_list_answers(made, [answer, answer])) == []
    for wrong in (msgspec.structs.replace(answer, seq=2), msgspec.structs.replace(answer, outcome="rejected")):
        assert [violation.name for violation in check_list_answers(made, [answer, wrong])] == ["same_list_answer"]
