"""The owner of a shard's sending: the process whose ShardTaken is the last in its journal. Its epoch only grows."""

import re
from typing import Final

import msgspec

from domain.order.events import ShardTaken

UNIT: Final = "unit-0"
"""The name of the only unit. Several units have a name each in the configuration."""
UNIT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


EPOCH_MAX: Final = 2**53


def named(unit: str, epoch: int) -> bool:
    """Return whether unit and epoch are valid for an exeq. An empty unit at epoch 0 names none."""
    return 0 <= epoch < EPOCH_MAX and (not unit or UNIT_NAME.fullmatch(unit) is not None)


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The owner of a shard. Epoch 0: no process has ever taken it."""

    unit: str = ""
    sender: str = ""
    epoch: int = 0


NO_OWNER: Final = Owner()


def owner_of(event: ShardTaken, n: int) -> Owner:
    """Return the owner that the event makes; `n` is the number of its commit."""
    return Owner(event.unit, event.sender, max(n, event.met + 1))
