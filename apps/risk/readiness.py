"""Readiness of risk, and release of approvals that never reached the journal. Both depend on the journal, not on a timer alone."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from apps.journal.subscription import JournalSubscription
from apps.risk.metrics import RiskMetrics
from domain.ports import Journal, Unavailable
from domain.risk.exposure import Exposure

log = structlog.get_logger()

ASK_AGAIN_S: Final = 0.25
CATCH_UP_S: Final = 5.0
LEAKED_SHOWN_MAX: Final = 10


class Readiness:
    """Closed until the fold has all that a predecessor of this process may have approved; closed again while a journal is unreachable."""

    def __init__(
        self,
        orders: JournalSubscription[Any],
        controls: JournalSubscription[Any],
        journal: Journal,
        reservation_ttl_s: float,
        connection: Callable[[], int | None],
    ) -> None:
        """`connection` numbers the connections to the journal; None while disconnected."""
        self._orders = orders
        self._controls = controls
        self._journal = journal
        self._ttl_s = reservation_ttl_s
        self._connection = connection
        self.read_over: int | None = None
        self.opened = False

    @property
    def shut(self) -> str | None:
        """The reason why no order is approved now; None when risk is open."""
        connection = self._connection()
        if connection is None:
            return "no connection to the journal"
        if connection != self.read_over:
            return "reading what was written while disconnected"
        if not self._controls.caught_up:
            return f"catching up with the controls: {_place(self._controls)}"
        if not self._orders.caught_up:
            return f"catching up with the journal: {_place(self._orders)}"
        return None if self.opened else "waiting for approvals made before the start"

    async def open(self) -> None:
        """Open after the reservation time: the journal's head then includes everything that was approved before the start."""
        await asyncio.sleep(self._ttl_s)
        seq = await self._head()
        while seq is None:
            await asyncio.sleep(ASK_AGAIN_S)
            seq = await self._head()
        await self._orders.wait_for(seq)
        self.opened = True
        log.info("risk is open", seq=seq)

    async def watch(self, changed: Callable[[bool, str], None]) -> None:
        """Report the state to `changed` every ASK_AGAIN_S. After a reconnect, first read what was written meanwhile."""
        while True:
            connection = self._connection()
            if connection is not None and connection != self.read_over and await self._read_on():
                self.read_over = connection
            shut = self.shut
            changed(shut is None, shut or "")
            await asyncio.sleep(ASK_AGAIN_S)

    async def give_back(self, exposure: Exposure, measures: RiskMetrics) -> None:
        """Release reservations that were approved and never journaled.

        Age alone proves nothing, as the fold may lag. So read up to the journal's head: a reservation that is still open and was already
        too old when the head was requested is not in the journal.
        """
        ttl_ns = int(self._ttl_s * 1e9)
        while True:
            await asyncio.sleep(self._ttl_s / 4)
            asked = time.monotonic_ns()
            oldest = exposure.oldest_reservation_ns
            if oldest is None or oldest >= asked - ttl_ns or not await self._read_on():
                continue
            leaked = exposure.release_before(asked - ttl_ns)
            if leaked:
                measures.counts["leaked_reservations"] += len(leaked)
                log.warning("reservations released, never journaled", orders=len(leaked), order_ids=leaked[:LEAKED_SHOWN_MAX])

    async def _read_on(self) -> bool:
        seq = await self._head()
        if seq is None:
            return False
        try:
            await asyncio.wait_for(self._orders.wait_for(seq), CATCH_UP_S)
        except TimeoutError:
            return False
        return True

    async def _head(self) -> int | None:
        try:
            return (await self._journal.head()).seq
        except Unavailable:
            return None


def _place(follower: JournalSubscription[Any]) -> str:
    """Describe the progress of a subscription, for readers of the readiness."""
    return f"at sequence {follower.head.seq} of {follower.target}"
