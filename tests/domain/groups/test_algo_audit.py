"""The checker of parents: silent about every day that the rules make, and it names each rule that a day breaks."""

from collections.abc import Callable

import msgspec
import pytest

from domain.audit.algo_audit import ObservedAlgoAnswer, check_algo_answers, check_algos
from domain.audit.journal_audit import ObservedCommit
from domain.order import algo as a
from domain.order import events as e
from tests.apps.test_exeq_algos import Desk, twap
from tests.domain.groups.parents import ALGO_ID
from tests.domain.groups.test_algo_report import a_day

Bad = Callable[[e.OrderEvent], e.OrderEvent | None]


def breaches(commits: list[ObservedCommit]) -> set[str]:
    return {violation.name for violation in check_algos(commits)}


def lived() -> Desk:
    """Three slices: one trades, the next is cancelled with its life, and the last one is refused."""
    desk = twap(quantity=3, seconds=30, jitter_pct=20, variance_pct=30, seed=3)
    desk.day(0, 9.5)
    desk.fill(1, str(desk.child(1).quantity))
    desk.day(10, 19.5)
    desk.denies = "price_collar"
    desk.day(20, 31)
    assert desk.parent.state == "expired"
    return desk


def changed(bad: Bad, desk: Desk | None = None) -> list[ObservedCommit]:
    """Return the commits of a day with events changed by `bad`, or taken out."""
    commits = (desk or lived()).commits
    return [
        msgspec.structs.replace(commit, events=tuple(new for event in commit.events if (new := bad(event)) is not None))
        for commit in commits
    ]


def test_it_is_silent_about_days_that_keep_the_rules() -> None:
    assert list(check_algos(lived().commits)) == []
    assert list(check_algos(a_day().commits)) == []


@pytest.mark.parametrize(
    ("field", "value", "breach"),
    [
        ("quantity", "0.1", "algo_schedule"),
        ("target", "2.9", "algo_schedule"),
        ("n", 7, "algo_slices"),
        ("due_at", 5, "algo_schedule"),
        ("child", "another", "algo_slices"),
    ],
)
def test_a_slice_that_is_not_what_its_inputs_give_is_noticed(field: str, value: object, breach: str) -> None:
    def bad(event: e.OrderEvent) -> e.OrderEvent:
        if not isinstance(event, a.AlgoSliced) or event.n != 2:
            return event
        return msgspec.structs.replace(event, **{field: msgspec.convert(value, type(getattr(event, field)), strict=False)})

    assert breach in breaches(changed(bad))


def test_a_child_with_a_price_that_its_inputs_do_not_give_is_noticed() -> None:
    def bad(event: e.OrderEvent) -> e.OrderEvent:
        return msgspec.structs.replace(event, price=event.price + 1) if isinstance(event, e.OrderSubmitted) and event.price else event

    assert breaches(changed(bad)) == {"algo_schedule"}


def test_a_slice_without_its_child_in_the_same_commit_is_noticed() -> None:
    desk = lived()
    first = next(commit for commit in desk.commits if any(isinstance(event, a.AlgoSliced) for event in commit.events))
    halves = [msgspec.structs.replace(first, events=first.events[:1]), msgspec.structs.replace(first, events=first.events[1:])]
    place = desk.commits.index(first)
    assert breaches([*desk.commits[:place], *halves]) == {"algo_slices"}


@pytest.mark.parametrize("state", ["paused", "ending"])
def test_a_slice_after_a_pause_or_the_end_is_noticed(state: str) -> None:
    desk = lived()
    stop: e.OrderEvent
    if state == "paused":
        stop = a.AlgoPaused(order_id=ALGO_ID, at=desk.now, state=a.AlgoState.PAUSED, source="client", reason="lunch")
    else:
        stop = a.AlgoEnding(order_id=ALGO_ID, at=desk.now, state=a.AlgoState.ENDING, source="client", reason="cancelled")
    commits = list(desk.commits)
    commits.insert(1, ObservedCommit(0, 0, "", b"", (stop,)))
    assert "algo_after_end" in breaches(commits)


def test_children_that_may_trade_more_than_their_parent_are_noticed() -> None:
    def bad(event: e.OrderEvent) -> e.OrderEvent:
        if isinstance(event, a.AlgoSubmitted):
            return msgspec.structs.replace(event, terms=msgspec.structs.replace(event.terms, quantity=event.terms.quantity / 10))
        return event

    assert "algo_sum" in breaches(changed(bad))


def test_a_total_that_is_not_that_of_the_children_is_noticed() -> None:
    def bad(event: e.OrderEvent) -> e.OrderEvent:
        return msgspec.structs.replace(event, cum_quantity=event.cum_quantity + 1) if isinstance(event, a.AlgoEnded) else event

    assert breaches(changed(bad)) == {"algo_sum"}


def test_an_id_that_makes_two_parents_is_noticed() -> None:
    commits = lived().commits
    again = next(event for event in commits[0].events if isinstance(event, a.AlgoSubmitted))
    twice = ObservedCommit(99, 99, "", b"", (msgspec.structs.replace(again, order_id="parent-2"),))
    assert breaches([*commits, twice]) == {"one_algo_an_id"}


def test_an_answer_that_the_journal_does_not_have_is_noticed() -> None:
    commits = lived().commits
    right = ObservedAlgoAnswer("alice", "t-1", "submitted", ALGO_ID, 1)
    assert list(check_algo_answers(commits, [right])) == []
    wrong = msgspec.structs.replace(right, outcome="rejected")
    assert [violation.name for violation in check_algo_answers(commits, [right, wrong])] == ["same_algo_answer"]
