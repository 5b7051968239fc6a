"""Stacks that run side by side in tests never share a port, whichever workers they belong to."""

import pytest

from apps.stack.ports import METRICS_OFFSET
from tests import stack


@pytest.mark.parametrize("apart", [0, METRICS_OFFSET, -METRICS_OFFSET, 8222 - 4222])
def test_an_offset_whose_ports_meet_those_of_another_is_not_given(apart: int) -> None:
    offset = stack.free_offset()
    try:
        assert stack._reserved(offset + apart) is None
    finally:
        stack.give_back(offset)
    again = stack._reserved(offset)
    assert again is not None
    for held in again:
        held.close()
