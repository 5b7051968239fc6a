"""In-memory price history of value at risk, read in the background so that no order waits for a database."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters.subjects import PRICES_CHANGED
from apps.risk.engines import RiskEngines
from domain.market.close_file import day_text
from domain.market.price_history import DailyClose, history_of
from domain.ports import Clock, Prices, Unavailable

log = structlog.get_logger()

DAY_NS: Final = 86_400 * 10**9
FIRST_WAIT_S: Final = 10.0
"""How long `/ready` waits for a first usable history. After that risk is ready without it and denies orders by a named reason."""
TRY_AGAIN_S: Final = 0.5


class PriceHistory:
    """Holds the last closes that were read. If a refresh fails they stay in use until they are too old."""

    def __init__(
        self,
        risk: RiskEngines,
        prices: Prices,
        clock: Clock,
        *,
        returns: int,
        age_max_days: int,
        refresh_s: float,
        ready: Callable[[bool], None],
    ) -> None:
        self._risk = risk
        self._prices = prices
        self._clock = clock
        self._returns = returns
        self._age_max_days = age_max_days
        self._refresh_s = refresh_s
        self._ready = ready
        self._closes: Sequence[DailyClose] | None = None
        self._changed = asyncio.Event()
        self._logged: object = None
        self._trouble = ""

    async def listen(self, client: Client) -> None:
        """Subscribe to the notification that prices were loaded."""

        async def on_change(_: Msg) -> None:
            self._changed.set()

        await client.subscribe(PRICES_CHANGED, cb=on_change)

    async def run(self) -> None:
        """Refresh every `refresh_s` and on each notification; every TRY_AGAIN_S until the first history is usable."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await self.refresh()
            waited = loop.time() - began > FIRST_WAIT_S
            settled = bool(self._risk.var.groups) or waited
            if settled:
                self._ready(True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._refresh_s if settled else TRY_AGAIN_S):
                    await self._changed.wait()
            self._changed.clear()

    async def refresh(self) -> None:
        """Read the closes; if that fails, use the last ones. The history is rebuilt in any case: each day makes closes older.

        The writer of prices creates the table.
        """
        symbols = self._risk.instruments
        try:
            self._closes = await self._prices.recent(symbols, self._returns + 1)
        except Unavailable as trouble:
            if str(trouble) != self._trouble:
                log.warning("the price history could not be read", reason=str(trouble), kept=self._closes is not None)
            self._trouble = str(trouble)
        else:
            self._trouble = ""
        today = self._clock.now_ns() // DAY_NS
        differences = frozenset(self._risk.marks.units)
        history = history_of(
            self._closes or (), symbols, today, returns=self._returns, age_max_days=self._age_max_days, by_difference=differences
        )
        self._risk.learn(history)
        self._log_changes()

    def _log_changes(self) -> None:
        var = self._risk.var
        logged = (var.history.unusable, var.history.simulated, var.remarks)
        if self._logged == logged:
            return
        self._logged = logged
        history = var.history
        log.info("price history", usable=len(history.series), unusable=dict(history.unusable), simulated=sorted(history.simulated))
        if var.remarks:
            log.warning("the price history of value at risk has anomalies", remarks={s: list(r) for s, r in var.remarks.items()})

    def stats(self) -> dict[str, Any]:
        """Return the state of the history. `needed` closes make a symbol usable; `groups` are symbols with closes on the same days."""
        var = self._risk.var
        history, groups = var.history, var.groups
        return {
            "scenarios": var.scenarios,
            "needed": self._returns + 1,
            "from": day_text(min(group.days[0] for group in groups)) if groups else None,
            "to": day_text(max(group.days[-1] for group in groups)) if groups else None,
            "usable": sorted(history.series),
            "simulated": sorted(history.simulated),
            "unusable": dict(history.unusable),
            "remarks": {symbol: list(remarks) for symbol, remarks in var.remarks.items()},
            "groups": [{"from": g.closes_from, "to": g.closes_to, "symbols": sorted(g.moves)} for g in groups],
        }
