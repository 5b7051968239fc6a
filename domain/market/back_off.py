"""How long to wait before the next attempt to connect to a venue: twice as long each time, with jitter, so that clients spread out."""

from random import Random
from typing import Final

FIRST_NS: Final = 250_000_000
LONGEST_NS: Final = 30_000_000_000
_DOUBLINGS_MAX: Final = 7
"""More would exceed `LONGEST_NS` in any case."""


def pause_ns(failures: int, seed: str) -> int:
    """Return the pause after this number of failures in a row, at least 1: between half and the whole of a doubled FIRST_NS.

    At least FIRST_NS, at most LONGEST_NS. The same failures and seed give the same pause.
    """
    whole = min(FIRST_NS * 2 ** min(failures, _DOUBLINGS_MAX), LONGEST_NS)
    chance = Random(f"{seed} {failures}")
    return chance.randint(max(whole // 2, FIRST_NS), whole)
