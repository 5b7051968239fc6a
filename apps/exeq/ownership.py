"""Which exeq sends for a shard: the one whose ShardTaken is the last in the journal. Every other one has sent its last.

oms records the take-over, and only where no other came in between; the epoch is known when it is read back. Routes name it, requests
carry it, oms and the venues refuse older ones.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
import structlog

from apps.exeq.oms_commands import OmsCommands
from domain.execution.owner import EPOCH_MAX, UNIT, owner_of
from domain.order.commands import ExeqCommand, TakeShard
from domain.order.events import ShardTaken
from domain.ports import Unavailable

log = structlog.get_logger()
C = TypeVar("C", bound=ExeqCommand)

LOOK_EVERY_S: Final = 0.02
ASK_TIMEOUT_S: Final = 2.0
ASK_AGAIN_S: Final = 0.2
READ_BACK_S: Final = 1.0
"""How long a take-over that oms recorded may take to be read back before it is asked for again."""


class Ownership:
    """This process's epoch. `holds` says whether it is this process's turn at all (apps/runtime/standby.py)."""

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

    def active(self) -> bool:
        """May this process route and send now?"""
        return self.epoch is not None and self._met <= self.epoch and self._holds()

    def heard(self, event: ShardTaken, n: int) -> None:
        """The journal says that a process took the shard, in commit `n`. Another one behind our own ends us."""
        owner = owner_of(event, n)
        if owner.sender == self._sender:
            self.epoch = owner.epoch
            log.info("this exeq sends for the shard", unit=owner.unit, epoch=owner.epoch)
            self._read.set()
        elif self.epoch is not None:
            self.epoch = None
            self._lost(f"{owner.sender} of {owner.unit} has taken the shard at epoch {owner.epoch}: this exeq sends nothing any more")
        self._before = owner.epoch

    def met(self, epoch: int) -> None:
        """A venue has met this epoch. If it is above ours, which is the journal's last, the journal went back: take again, above it."""
        if epoch < EPOCH_MAX - 1:
            self._met = max(self._met, epoch)

    def signed(self, commands: Sequence[C]) -> list[C]:
        """The commands with our name and epoch."""
        return [msgspec.structs.replace(command, unit=self.unit, epoch=self.epoch or 0) for command in commands]

    async def run(self, caught_up: Callable[[], bool]) -> None:
        """For ever: take the shard once the journal is read to its end, and again should a venue have met a larger epoch."""
        while True:
            wants = self.epoch is None or self._met > self.epoch
            if wants and caught_up() and self._holds():
                await self._take()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _take(self) -> None:
        """One attempt. Doubled or late it takes nothing: it names the epoch that it expects to end."""
        request = TakeShard(unit=self.unit, sender=self._sender, before=self._before, met=self._met)
        self._read.clear()
        try:
            (answer,) = await self._oms.ask([request], ASK_TIMEOUT_S)
        except (Unavailable, ValueError) as trouble:
            log.warning("oms did not record who sends, asking again", reason=str(trouble))
            await asyncio.sleep(ASK_AGAIN_S)
            return
        if answer.ok:
            self.takes += 1
            try:
                await asyncio.wait_for(self._read.wait(), READ_BACK_S)
            except TimeoutError:
                log.warning("the take-over was recorded and is not read back yet")
        elif answer.code == "epoch_moved" and answer.epoch != self._before:
            self._before = answer.epoch  # the fold of a snapshot does not know who owned the shard then
        else:
            await asyncio.sleep(ASK_AGAIN_S)
