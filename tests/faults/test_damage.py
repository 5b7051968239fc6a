"""The journal's store is damaged or cut: writer, reader and verification refuse it and name the sequence, every time."""

import os
from pathlib import Path
from typing import Final

from tests.torture.damage import spoil

DAMAGES: Final = 10


async def test_any_damage_to_the_store_is_detected_with_its_sequence(tmp_path: Path) -> None:
    # FAILURES 12; `python -m tests.torture damage` does it at 100 places
    came = await spoil(DAMAGES, int(os.environ.get("DAMAGE_SEED", "7")), tmp_path)
    print(came.line())
    refused = sum(count for end, count in came.ends.items() if end.endswith("refused"))
    assert refused >= DAMAGES // 2, "what does no harm proves little"
