"""Whether two persons can be told apart. Two-person rules compare the owners of keys."""

from collections.abc import Collection

from config.access_mode import OPEN, Mode
from domain.four_eyes import same_person


def two_hands(mode: Mode, owners: Collection[str]) -> str | None:
    """Return why a two-person rule has no second person; None if there are two. `owners`: who has a live key with the scope risk."""
    if mode == OPEN:
        return "four eyes are two hands: in open mode a program without a key names itself, and may take both steps under two names"
    first = min(owners, default="")
    if all(same_person(first, owner) for owner in owners):
        return "four eyes are two hands: fewer than two owners have a key with the scope risk, so a second step cannot be another owner's"
    return None
