"""What a held leg takes of memory in oms, risk and exeq, counted in bytes: less than 2 KB in each. GRP-13."""

import pytest

from tests.bench.lists import SERVICES, bytes_a_leg

LISTS = 100
BOUND = 2048


@pytest.mark.parametrize("service", SERVICES)
def test_a_held_leg_takes_less_than_two_kilobytes(service: str) -> None:
    assert bytes_a_leg((service,), LISTS) < BOUND
