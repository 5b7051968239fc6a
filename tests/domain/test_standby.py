"""Two processes of one service: the table of who works."""

import pytest

from domain.standby import LEASE_NS, SAME_AGE_NS, Act, ProcessSeen, claiming, holding, standing_by

WORKS, CLAIMS = ProcessSeen("b", holds=True, held_ns=10 * LEASE_NS), ProcessSeen("b", holds=False)


@pytest.mark.parametrize(
    ("others", "known_ns", "act"),
    [
        ([], None, Act.CLAIM),
        ([WORKS], None, Act.WAIT),
        ([CLAIMS], None, Act.WAIT),
        ([WORKS], LEASE_NS + 1, Act.WAIT),
        ([], 0, Act.WAIT),
        ([], LEASE_NS - 1, Act.WAIT),
        ([], LEASE_NS, Act.CLAIM),
    ],
)
def test_a_standby_takes_over_at_once_only_where_it_never_saw_another(others: list[ProcessSeen], known_ns: int | None, act: Act) -> None:
    assert standing_by(others, known_ns=known_ns) is act


@pytest.mark.parametrize(
    ("sender", "others", "act"),
    [
        ("a", [], Act.HOLD),
        ("a", [CLAIMS], Act.CLAIM),
        ("c", [CLAIMS], Act.WAIT),
        ("a", [WORKS], Act.WAIT),
        ("a", [CLAIMS, ProcessSeen("c", holds=True)], Act.WAIT),
    ],
)
def test_of_two_that_claim_the_lower_name_waits_for_the_other_to_give_way(sender: str, others: list[ProcessSeen], act: Act) -> None:
    assert claiming(sender, others) is act


@pytest.mark.parametrize("first", ["a", "z"])
@pytest.mark.parametrize(("mine", "theirs"), [(100, 1), (3, 0), (1, 1), (1, 0)])
def test_of_two_that_work_exactly_one_ends(first: str, mine: int, theirs: int) -> None:
    one, other = ProcessSeen(first, holds=True, held_ns=mine * SAME_AGE_NS), ProcessSeen("m", holds=True, held_ns=theirs * SAME_AGE_NS)
    acts = holding(one, [other]), holding(other, [one])
    assert sorted(acts) == [Act.HOLD, Act.YIELD]
    if mine - theirs >= 1:
        assert acts[0] is Act.YIELD, "the one that has worked for longer was followed"


def test_a_mere_claim_ends_no_process() -> None:
    assert holding(ProcessSeen("a", holds=True, held_ns=10 * LEASE_NS), [CLAIMS]) is Act.HOLD
