"""The two-person rule: names that are one person's, and how long a first step waits."""

import pytest

from domain.four_eyes import SECOND_STEP_MAX_NS, in_time, same_person


@pytest.mark.parametrize("other", ["Alice", "alice ", " A lice", "ＡＬＩＣＥ", "al\u00a0ice", "ali\u2003ce"])
def test_a_person_is_the_same_in_other_letters(other: str) -> None:
    assert same_person("alice", other)
    assert same_person("stra\u00dfe", "STRASSE")
    assert not same_person("alice", "alicia")
    assert not same_person("ann-1", "ann_1")


def test_a_first_step_waits_ten_minutes() -> None:
    assert in_time(7, 7 + SECOND_STEP_MAX_NS)
    assert not in_time(7, 8 + SECOND_STEP_MAX_NS)
