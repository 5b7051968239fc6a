"""What a held leg takes of memory in oms, risk and exeq, counted in bytes: less than 2 KB in each. GRP-13."""

from collections.abc import Callable, Sequence

import pytest

from tests.bench.lists import bytes_a_leg, in_exeq, in_oms, in_risk

LISTS = 100
BOUND = 2048


@pytest.mark.parametrize("fold", [in_oms, in_risk, in_exeq])
def test_a_held_leg_takes_less_than_two_kilobytes(fold: Callable[[int, Sequence[str]], object]) -> None:
    assert bytes_a_leg(fold, LISTS) < BOUND
