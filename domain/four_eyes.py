"""The two-person rule: how long a first step waits for its second, and whether two names are one person's."""

import unicodedata
from typing import Final

SECOND_STEP_MAX_NS: Final = 600 * 1_000_000_000
"""How long a first step waits for its second: to arm, to raise a limit, to settle, to create an admin key."""


def in_time(first_ns: int, now_ns: int) -> bool:
    """Return whether the second step may still follow a first one of this time."""
    return now_ns - first_ns <= SECOND_STEP_MAX_NS


def same_person(one: str, other: str) -> bool:
    """Return whether two names are the same person's: they differ only in case, in space or in the form of their letters."""
    return _plain_name(one) == _plain_name(other)


def _plain_name(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(folded.split())
