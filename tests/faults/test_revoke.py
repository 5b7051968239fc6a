"""A key that leaked is dead everywhere within a second; `make torture` revokes a hundred of them."""

from pathlib import Path
from typing import Final

from tests.faults.scene import ROUNDS
from tests.torture.revoke import revoke

REVOKED: Final = 4 * ROUNDS
SEED: Final = 7


async def test_no_order_passes_with_a_key_a_second_after_its_revocation_was_answered(tmp_path: Path) -> None:
    came = await revoke(REVOKED, SEED, tmp_path, print)
    print(came.line())
    assert came.revoked == REVOKED
