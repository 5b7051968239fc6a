"""An exeq that owns its shard, for scenes that are about something else."""

from typing import Any, NoReturn

from apps.exeq.ownership import Ownership


def owned(epoch: int | None = 1) -> Ownership:
    """It has taken the shard at this epoch, and no other process is there."""
    client: Any = None
    ownership = Ownership(client, "exeq-1", lambda: True, _lost)
    ownership.epoch = epoch
    return ownership


def _lost(reason: str) -> NoReturn:
    raise AssertionError(reason)
