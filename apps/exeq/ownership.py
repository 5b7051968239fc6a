"""Ownership of a shard: only the exeq whose ShardTaken is the last in the journal sends for it.

oms records a take-over only if no other came in between; the epoch is known once the event is read back. Routes and requests carry the
epoch; oms and the venues refuse older ones.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
import structlog

from apps.exeq.oms_commands import OmsCommands
from domain.execution.owner import EPOCH_MAX, UNIT, owner_of
from domain.order.commands import Command, ExeqCommand, TakeShard
from domain.order.events import ShardTaken
from domain.ports import Unavailable

log = structlog.get_logger()
C = TypeVar("C", bound=Command)

LOOK_EVERY_S: Final = 0.02
ASK_TIMEOUT_S: Final = 2.0
ASK_AGAIN_S: Final = 0.2
READ_BACK_S: Final = 1.0
"""How long reading back a recorded take-over may take before it is requested again."""


class Ownership:
    """The epoch of this process. `holds`: whether this process is active, not standby (apps/runtime/standby.py)."""

    def __init__(self, oms: OmsCommands, sender: str, holds: Callable[[], bool], lost: Callable[[str], None], *, unit: str = UNIT) -> None:
        self._oms = oms
        self._sender = sender
        self._holds = holds
        self._lost = lost
        self._read = asyncio.Event()
        self._before = 0
        self._met = 0
        self.unit = unit
        self.epoch: int | None = None
        self.takes = 0
        self.stands_by = False
        """Whether another process took the shard from this one, which did not end."""

    def active(self) -> bool:
        """Return whether this process may route and send now."""
        return self.epoch is not None and self._met <= self.epoch and self._holds()

    def heard(self, event: ShardTaken, n: int) -> None:
        """Apply a ShardTaken of commit `n`. A take-over by another process after this one's calls `lost`."""
        owner = owner_of(event, n)
        if owner.sender == self._sender:
            self.epoch, self.stands_by = owner.epoch, False
            log.info("this exeq owns the shard", unit=owner.unit, epoch=owner.epoch)
            self._read.set()
        elif self.epoch is not None:
            self.epoch, self.stands_by = None, True
            self._lost(f"{owner.sender} of {owner.unit} has taken the shard at epoch {owner.epoch}: this exeq no longer sends")
        self._before = owner.epoch

    def met(self, epoch: int) -> None:
        """Note an epoch that a venue has met. If it is above the journal's last one, the journal went back: take the shard above it."""
        if epoch < EPOCH_MAX - 1:
            self._met = max(self._met, epoch)

    def signed(self, commands: Sequence[C]) -> list[C]:
        """Return the commands with this unit's name and epoch. One that any service may send stays as it is."""
        stamp = {"unit": self.unit, "epoch": self.epoch or 0}
        return [msgspec.structs.replace(command, **stamp) if isinstance(command, ExeqCommand) else command for command in commands]

    async def run(self, caught_up: Callable[[], bool]) -> None:
        """Take the shard once the journal is read to its end, and again if a venue has met a larger epoch."""
        while True:
            wants = self.epoch is None or self._met > self.epoch
            if wants and caught_up() and self._holds():
                await self._take()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _take(self) -> None:
        """Make one attempt. A duplicate or late one has no effect, as it names the epoch that it expects to replace."""
        request = TakeShard(unit=self.unit, sender=self._sender, before=self._before, met=self._met)
        self._read.clear()
        try:
            (answer,) = await self._oms.ask([request], ASK_TIMEOUT_S)
        except (Unavailable, ValueError) as trouble:
            log.warning("oms did not record the take-over, retrying", reason=str(trouble))
            await asyncio.sleep(ASK_AGAIN_S)
            return
        if answer.ok:
            self.takes += 1
            try:
                await asyncio.wait_for(self._read.wait(), READ_BACK_S)
            except TimeoutError:
                log.warning("the take-over is recorded but not read back yet")
        elif answer.code == "epoch_moved" and answer.epoch != self._before:
            self._before = answer.epoch  # a fold restored from a snapshot does not know the shard's owner
        else:
            await asyncio.sleep(ASK_AGAIN_S)
