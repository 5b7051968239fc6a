"""Fills the daily closes of value at risk from the bars of the days that are over."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

import structlog
from prometheus_client.core import Metric

from apps.runtime import tasks
from apps.runtime.metrics import counter
from domain.market.bar_closes import DayBar, HeldClose, bar_closes
from domain.ports import Clock, Prices

log = structlog.get_logger()

DAY_NS: Final = 86_400 * 10**9
LOOK_EVERY_S: Final = 60.0
RECENT_DAYS: Final = 3
"""Days that each look covers."""
LOOKS_BETWEEN: Final = 60
"""The first look covers all days, and after it one of this number: the sink may be days behind its stream."""
WRITTEN_AT_ONCE: Final = 1000


class DayBars(Protocol):
    """The recorded days. Port: adapters.questbars.QuestDbDayBars."""

    async def bars(self, first: int, last: int) -> list[DayBar]: ...

    async def held(self, first: int, last: int) -> Mapping[tuple[int, str], HeldClose]: ...

    async def recorded(self, day: int, margin_s: float) -> set[tuple[str, str]]: ...


class CloseRule(NamedTuple):
    """`days`: how far back. `wait_s`: after the end of a day. `margin_s`: how close to the end of a day its recording must come."""

    days: int
    wait_s: float
    margin_s: float
    venues: tuple[str, ...] = ()


class BarCloses:
    """Looks for days without a close. Each is written once, and again only if a late trade corrected its bar."""

    task = tasks.BAR_CLOSES
    every_s = LOOK_EVERY_S
    waiting = "daily closes wait"

    def __init__(self, recorded: DayBars, prices: Prices, clock: Clock, rule: CloseRule) -> None:
        self._recorded = recorded
        self._prices = prices
        self._clock = clock
        self._rule = rule
        self._looks = 0
        self.trouble = ""
        self.written = 0

    async def look(self) -> int:
        """Write the closes that are missing or corrected, and return their number. Unavailable."""
        rule, recorded = self._rule, self._recorded
        last = (self._clock.now_ns() - int(rule.wait_s * 1e9)) // DAY_NS - 1
        first = last - (min(RECENT_DAYS, rule.days) if self._looks % LOOKS_BETWEEN else rule.days) + 1
        await self._prices.prepare()
        held = await recorded.held(first, last)
        open_days = {bar.day for bar in await recorded.bars(first, last) if (bar.day, bar.symbol) not in held}
        complete = {(day, *of) for day in sorted(open_days) for of in await recorded.recorded(day, rule.margin_s)}
        # Both are read again: the bars with all trades that were recorded, the closes with what a person loaded or removed in the meantime.
        bars = await recorded.bars(first, last)
        closes = bar_closes(bars, await recorded.held(first, last), complete, rule.venues)
        for start in range(0, len(closes), WRITTEN_AT_ONCE):
            await self._prices.write(closes[start : start + WRITTEN_AT_ONCE])
        if closes:
            log.info("daily closes from bars", closes=len(closes), symbols=sorted({close.symbol for close in closes}))
        self._looks += 1
        self.written += len(closes)
        return len(closes)

    def series(self) -> Iterator[Metric]:
        yield counter("sink_daily_closes", "Daily closes written from bars, corrections included", self.written)

    def stats(self) -> dict[str, object]:
        return {"daily_closes": {"written": self.written, "waits_for": self.trouble}}
