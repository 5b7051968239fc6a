"""What a held leg takes of memory in oms, risk and exeq, and in a unit of all three, counted in bytes: less than 2 KB. GRP-13."""

import pytest

from tests.bench.lists import SERVICES, bytes_a_leg

LISTS = 100
BOUND = 2048


@pytest.mark.parametrize("services", [*((name,) for name in SERVICES), SERVICES], ids=" ".join)
def test_a_held_leg_takes_less_than_two_kilobytes(services: tuple[str, ...]) -> None:
    assert bytes_a_leg(services, LISTS) < BOUND
