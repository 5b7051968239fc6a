"""Publish account portfolios to Valkey, rate-limited. If Valkey is down, only readers are affected."""

import asyncio
from typing import Final

import structlog

from adapters.risk_snapshot import ValkeySnapshots
from apps.risk.time_slice import ACCOUNT_WEIGHT, AT_ONCE_MAX, TimeSlice
from apps.risk.views import View, holdings_view, snapshot_fields
from domain.ports import Clock, Unavailable
from domain.risk.engine import Risk
from domain.risk.exposure import Account

log = structlog.get_logger()

EVERY_S: Final = 1.0
ACCOUNTS_MAX: Final = 200
"""Accounts in one round. Changed accounts come first; the rest of the round refreshes others, whose prices have moved."""


class PortfolioPublisher:
    """Writes the portfolios of at most ACCOUNTS_MAX accounts per round."""

    def __init__(self, risk: Risk, snapshots: ValkeySnapshots, clock: Clock) -> None:
        self._risk = risk
        self._snapshots = snapshots
        self._clock = clock
        self._renew: list[str] = []
        self._lost = False

    async def run(self) -> None:
        """Write one round every EVERY_S."""
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
                log.warning("Valkey is unavailable, decisions continue from memory", reason=str(trouble))
            self._lost = True
            return
        if self._lost:
            log.info("Connected to Redis", again=True)
        self._lost = False

    def _next(self) -> list[str]:
        """Take the next names off the two lists."""
        changed = self._risk.exposure.changed
        names = [changed.pop() for _ in range(min(len(changed), ACCOUNTS_MAX))]
        if not self._renew:
            self._renew = list(self._risk.exposure.accounts)
        while self._renew and len(names) < ACCOUNTS_MAX:
            names.append(self._renew.pop())
        return names


async def _symbols(account: Account, pacing: TimeSlice) -> View:
    """Build the views in slices; an account with hundreds of symbols is not a consistent snapshot."""
    found: View = {}
    holdings = list(account.holdings.values())
    for first in range(0, len(holdings), AT_ONCE_MAX):
        piece = holdings[first : first + AT_ONCE_MAX]
        found |= holdings_view(account, piece)
        await pacing.after(len(piece))
    return found
