"""Daily closes of the simulated market, labelled simulated, for every symbol that has too few real ones.

Beside a real market they end where its closes begin (`bars:<venue>`, written by sink-ticks).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from functools import partial
from itertools import islice
from typing import Final

import structlog

from apps.connections.nats import patiently
from domain.market.price_history import FROM_BARS, SIMULATED, DailyClose
from domain.market.simulated import SimulatedMarket
from domain.ports import Clock, Prices

log = structlog.get_logger()

DAYS: Final = 60
"""Closes generated for a symbol. A symbol with this many real closes gets none."""
LOOKED_AT_DAYS: Final = 2 * DAYS
DAY_NS: Final = 86_400 * 10**9
RECORDED_WITHIN_DAYS: Final = 7
"""A real market whose newest close is older has stopped: simulated closes continue."""
LOOK_EVERY_S: Final = 60.0
"""How often a finished day, and real closes that were loaded or removed, are noticed."""


async def keep_closes(
    markets: Mapping[str, SimulatedMarket],
    prices: Prices,
    clock: Clock,
    announce: Callable[[], Awaitable[None]],
    *,
    beside_market: bool = False,
) -> None:
    """Keep the closes of the last days up to yesterday complete. `announce` publishes that new closes were stored.

    `beside_market`: a real market is recorded too, so a symbol gets no simulated close for a day after its first recorded one.
    """
    while True:
        if await patiently(partial(_store, markets, prices, clock.now_ns() // DAY_NS, beside_market=beside_market)):
            await announce()
        await asyncio.sleep(LOOK_EVERY_S)


async def _store(markets: Mapping[str, SimulatedMarket], prices: Prices, today: int, *, beside_market: bool) -> int:
    """Generate missing closes and return their number. A day with a real close gets none; simulated ones still number DAYS."""
    await prices.prepare()
    real: dict[str, set[int]] = {symbol: set() for symbol in markets}
    made_up: dict[str, set[int]] = {symbol: set() for symbol in markets}
    recorded: dict[str, set[int]] = {symbol: set() for symbol in markets}
    for close in await prices.recent(markets, LOOKED_AT_DAYS):
        (made_up if close.source == SIMULATED else real)[close.symbol].add(close.day)
        if beside_market and close.source.startswith(FROM_BARS):
            recorded[close.symbol].add(close.day)
    left_out = sorted(symbol for symbol in markets if len(real[symbol]) >= DAYS)
    closes = [
        DailyClose(day, symbol, market.close(day), SIMULATED)
        for symbol, market in markets.items()
        if symbol not in left_out
        for day in sorted(_newest(_end(today, recorded[symbol]), real[symbol]) - made_up[symbol])
    ]
    if closes:
        await prices.write(closes)
        log.info("simulated closes", symbols=len(markets), made_up=len(closes), left_out=left_out)
    return len(closes)


def _end(today: int, recorded: Set[int]) -> int:
    """Return the day before which closes are simulated: the first recorded one, unless the recording has stopped, else today."""
    return min(recorded) if recorded and max(recorded) >= today - RECORDED_WITHIN_DAYS else today


def _newest(today: int, real: Set[int]) -> set[int]:
    """The last days before today that have no real close."""
    free = (day for day in range(today - 1, today - 1 - LOOKED_AT_DAYS, -1) if day not in real)
    return set(islice(free, DAYS))
