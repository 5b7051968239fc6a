"""Orders that arrive together cannot pass one limit together; `make torture` races ten thousand times."""

from pathlib import Path
from typing import Final

import pytest

from tests.faults.scene import ROUNDS
from tests.live import LiveServer
from tests.torture.stampede import stampede

RACES: Final = 500 * ROUNDS
SEED: Final = 7


@pytest.mark.timeout(900)
async def test_of_thirty_two_clients_ten_pass_a_limit_that_fits_ten_and_never_eleven(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 18
    print((await stampede(RACES, SEED, fresh_nats, tmp_path, print)).line())
