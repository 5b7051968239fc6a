"""The kill switch under load on real processes; `make torture` throws it a thousand times."""

from pathlib import Path
from typing import Final

import pytest

from tests.faults.scene import ROUNDS
from tests.live import LiveServer
from tests.torture.killswitch import killswitch

THROWN: Final = 12 * ROUNDS
SEED: Final = 7


@pytest.mark.timeout(900)
async def test_after_its_answer_nothing_of_the_scope_is_sent_also_when_all_processes_die_meanwhile(
    fresh_nats: LiveServer, tmp_path: Path
) -> None:
    # FAILURES 40, 41
    came = await killswitch(THROWN, SEED, fresh_nats, tmp_path, print, deaths=1)
    print(came.line())
    assert came.answers["exeq yes"] == THROWN
