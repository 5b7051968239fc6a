"""The owner of a shard: the unit, and its process that sends, whose ShardTaken is the last in the journal. The epoch only grows."""

import re
from typing import Final

import msgspec

from domain.order.events import OrderEvent, ShardReleased, ShardTaken

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
    return Owner(event.unit, event.sender, max(n, event.met + 1, event.before + 1))


def owner_after(owner: Owner, event: OrderEvent, n: int) -> Owner:
    """Return the owner after an event of commit `n`. A released shard has none, and keeps its epoch."""
    if isinstance(event, ShardTaken):
        return owner_of(event, n)
    return Owner(epoch=owner.epoch) if isinstance(event, ShardReleased) else owner
