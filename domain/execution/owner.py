"""Who sends for a shard: the process whose ShardTaken is the last in its journal. Its epoch only grows."""

import re
from typing import Final

import msgspec

from domain.order.events import ShardTaken

UNIT: Final = "unit-0"
"""The name of the only unit. With several, each has its own in the configuration."""
UNIT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


EPOCH_MAX: Final = 2**53


def named(unit: str, epoch: int) -> bool:
    """May an exeq call itself that? Without a unit and at epoch 0 it names none."""
    return 0 <= epoch < EPOCH_MAX and (not unit or UNIT_NAME.fullmatch(unit) is not None)


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Epoch 0: no process has ever taken the shard."""

    unit: str = ""
    sender: str = ""
    epoch: int = 0


NO_OWNER: Final = Owner()


def owner_of(event: ShardTaken, n: int) -> Owner:
    """The owner that the event makes, from the number of its commit."""
    return Owner(event.unit, event.sender, max(n, event.met + 1))
