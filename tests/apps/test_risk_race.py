"""The race for a limit, five hundred rounds of it; `make torture` runs ten thousand."""

import pytest

from domain.risk.exposure import Exposure
from tests.torture.race import FITS, LIMITS, race

ROUNDS = 500


@pytest.mark.timeout(900)
async def test_of_thirty_two_clients_exactly_ten_pass_a_limit_that_fits_ten() -> None:  # FAILURES 18
    came = await race(ROUNDS, 7, print)
    assert (came.rounds, came.approved) == (ROUNDS, ROUNDS * FITS)
    assert min(came.ways.values()) > ROUNDS * 10, "both ways were raced"


async def test_a_check_that_reserves_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exposure, "reserve", lambda *_: None)
    with pytest.raises(AssertionError, match="32 of 32 passed"):
        await race(len(LIMITS), 7, print)
