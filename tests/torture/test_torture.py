"""The short forms of kills and power cuts; `make torture` has the long ones. Contended orders and damages are in tests/faults."""

from pathlib import Path
from typing import Final

import pytest

from apps.stack.topology import APART, UNIT
from tests.live import LiveServer
from tests.torture.bracket import bracket
from tests.torture.disk import NotPermitted
from tests.torture.kill import kill
from tests.torture.powercut import cut

KILLS: Final = 12
CUTS: Final = 3
SEED: Final = 7
DEATHS_OF_OMS: Final = {UNIT: ["after_append:5", "before_append:4"], APART: ["before_append:4", "after_append:3"]}
"""Around the first trade of the entry, which releases the exits, and the second one, which resizes them."""


@pytest.mark.timeout(900)
async def test_killed_at_random_under_load_nothing_answered_is_lost_or_doubled(tmp_path: Path) -> None:
    # FAILURES 1, 2, 6, 8, 36, 74
    came = await kill(KILLS, SEED, tmp_path, print, fills="sqlite")
    print(came.line())
    assert came.ends["asked_again"], "no client noticed the deaths: it proves nothing"


@pytest.mark.timeout(900)
async def test_a_power_cut_takes_nothing_that_was_answered(tmp_path: Path) -> None:
    # FAILURES 11
    try:
        came = await cut(CUTS, SEED, tmp_path, print)
    except NotPermitted as why:
        pytest.skip(f"mounting a file as a disk is not permitted; run as root, in a privileged container: {why}")
    print(came.line())
    assert min(came.lost_by_default) > 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("topology", "failpoints"), DEATHS_OF_OMS.items())
async def test_oms_dies_at_the_commits_of_a_bracket(fresh_nats: LiveServer, tmp_path: Path, topology: str, failpoints: list[str]) -> None:
    # CONTINGENT.md GRP-1
    came = await bracket([failpoints], fresh_nats, tmp_path, print, topology)
    assert came.deaths == len(failpoints)
