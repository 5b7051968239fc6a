"""Tells readers in Valkey what accounts have at stake, a bounded number a second. Losing Valkey costs readers, never an order."""

import asyncio
from typing import Final

from adapters.risk_snapshot import ValkeySnapshots
from apps.risk.time_slice import ACCOUNT_WEIGHT, AT_ONCE_MAX, TimeSlice
from apps.risk.views import View, holdings_view, snapshot_fields
from apps.runtime.logs import get_logger
from domain.ports import Clock, Unavailable
from domain.risk.engine import Risk
from domain.risk.exposure import Account

log = get_logger()

EVERY_S: Final = 1.0
ACCOUNTS_MAX: Final = 200
"""In one round. What changed goes first; the rest of the round renews others, whose prices have moved."""


class PortfolioPublisher:
    def __init__(self, risk: Risk, snapshots: ValkeySnapshots, clock: Clock) -> None:
        self._risk = risk
        self._snapshots = snapshots
        self._clock = clock
        self._renew: list[str] = []
        self._lost = False

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.round()

    async def round(self) -> None:
        exposure = self._risk.exposure
        names = self._next()
        if not names:
            return
        now = self._clock.now_ns()
        rows, pacing = [], TimeSlice()
        for name in names:
            symbols = await _symbols(exposure.look(name), pacing)
            rows.append((name, snapshot_fields(self._risk, exposure.look(name), symbols, now)))
            await pacing.after(ACCOUNT_WEIGHT)
        try:
            await self._snapshots.write(rows)
        except Unavailable as trouble:
            exposure.changed.update(names)
            if not self._lost:
                log.warning("Valkey is lost to risk, decisions go on from memory", reason=str(trouble))
            self._lost = True
            return
        if self._lost:
            log.info("Connected to Redis", again=True)
        self._lost = False

    def _next(self) -> list[str]:
        """Takes names off the two lists."""
        changed = self._risk.exposure.changed
        names = [changed.pop() for _ in range(min(len(changed), ACCOUNTS_MAX))]
        if not self._renew:
            self._renew = list(self._risk.exposure.accounts)
        while self._renew and len(names) < ACCOUNTS_MAX:
            names.append(self._renew.pop())
        return names


async def _symbols(account: Account, pacing: TimeSlice) -> View:
    """In pieces: those of an account with hundreds of symbols are not all of the same moment."""
    found: View = {}
    holdings = list(account.holdings.values())
    for first in range(0, len(holdings), AT_ONCE_MAX):
        piece = holdings[first : first + AT_ONCE_MAX]
        found |= holdings_view(account, piece)
        await pacing.after(len(piece))
    return found
