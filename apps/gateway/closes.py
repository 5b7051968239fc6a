"""The simulated market brings its own past: daily closes, labelled simulated, for every symbol that nobody loaded real ones for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from apps.logs import get_logger
from apps.wiring import patiently
from domain.ports import Clock, Prices
from domain.risk.history import SIMULATED, DailyClose
from domain.simulated import SimulatedMarket

log = get_logger()

DAYS: Final = 60
DAY_NS: Final = 86_400 * 10**9
LOOK_EVERY_S: Final = 60.0
"""For a day that is over."""


async def keep_closes(markets: Mapping[str, SimulatedMarket], prices: Prices, clock: Clock, tell: Callable[[], Awaitable[None]]) -> None:
    """For ever: the last days up to yesterday. `tell` says that there is something new."""
    stored: int | None = None
    while True:
        today = clock.now_ns() // DAY_NS
        if today != stored:
            await patiently(partial(_store, markets, prices, today))
            stored = today
            await tell()
        await asyncio.sleep(LOOK_EVERY_S)


async def _store(markets: Mapping[str, SimulatedMarket], prices: Prices, today: int) -> None:
    await prices.prepare()
    real = await prices.real_symbols()
    closes = [
        DailyClose(day, symbol, market.close(day), SIMULATED)
        for symbol, market in markets.items()
        if symbol not in real
        for day in range(today - DAYS, today)
    ]
    if closes:
        await prices.write(closes)
    log.info("simulated closes", symbols=len(markets), days=DAYS, left_out=sorted(real & markets.keys()))
