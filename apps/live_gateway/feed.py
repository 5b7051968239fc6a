"""Quotes of the venues: generated from a seed, or played from a file at a chosen speed."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import cycle
from typing import Final

from apps.live_gateway.flush_marker import FlushMarker
from apps.live_gateway.simulated_trades import SimulatedTrades
from apps.live_gateway.venue_host import VenueHost
from domain.market.prints import Prints
from domain.market.quotes import Quote
from domain.market.recorded import MarketRow
from domain.ports import Clock

YIELD_EVERY: Final = 50

QUOTE_AGE_MAX_S: Final = 1.0
"""A quote that was last published this long ago is published again, unchanged: a quiet market must not look like a lost connection."""

HEARTBEAT_S: Final = 0.25
AT_ONCE_MAX: Final = 50
PAUSE_S: Final = 0.005
"""Pause after AT_ONCE_MAX old quotes: a thousand symbols are published again within a tenth of a second."""


class QuotedVenues:
    """Passes quotes, and prints of a recorded market, to all hosts, in the order of their names."""

    def __init__(self, hosts: Mapping[str, VenueHost], trades: SimulatedTrades) -> None:
        self.hosts = [hosts[name] for name in sorted(hosts)]
        self.trades = trades

    def show(self, quote: Quote, at: int) -> None:
        for host in self.hosts:
            host.show(quote, at)

    def trade(self, prints: Prints) -> None:
        for host in self.hosts:
            host.trade(prints.symbol, prints.prints)
        self.trades.traded(prints.symbol, prints.prints)

    async def room(self) -> None:
        """Wait until each venue can take a quote or a print without dropping an older one."""
        for host in self.hosts:
            await host.inbox.room()

    async def heartbeat(self) -> None:
        """Publish old quotes again. Many symbols are published a few at a time, so that subscribers can process orders in between."""
        loop, published = asyncio.get_running_loop(), 0
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for host in self.hosts:
                for symbol in list(host.quotes):
                    if loop.time() - host.quoted_at.get(symbol, 0.0) < QUOTE_AGE_MAX_S - HEARTBEAT_S:
                        continue
                    host.repeat(symbol)
                    published += 1
                    if not published % AT_ONCE_MAX:
                        await asyncio.sleep(PAUSE_S)


async def simulate(markets: Sequence[Iterator[Quote]], venues: QuotedVenues, clock: Clock, interval_s: float) -> None:
    """Show one quote of each symbol at once, then one of each per `interval_s`, spread over the interval."""
    for market in markets:
        venues.show(next(market), clock.now_ns())
    for market in cycle(markets):
        await asyncio.sleep(interval_s / len(markets))
        quote = next(market)
        venues.show(quote, clock.now_ns())
        venues.trades.quoted(quote)


class Recording:
    """A recorded market and the position reached in it."""

    def __init__(self, rows: Sequence[MarketRow], venues: QuotedVenues, sent: FlushMarker) -> None:
        self._rows = rows
        self._venues = venues
        self._sent = sent
        self._turn = asyncio.Lock()
        self.position = 0

    @property
    def time(self) -> int | None:
        """The market time of the last row played, or None."""
        return self._rows[self.position - 1].at if self.position else None

    async def play(self, speed: Decimal | None) -> None:
        """Play to the end, `speed` times as fast as recorded; None plays as fast as the venues can. The last quotes then stay."""
        loop = asyncio.get_running_loop()
        started, first = loop.time(), self._rows[self.position].at if self.position < len(self._rows) else 0
        while self.position < len(self._rows):
            row = self._rows[self.position]
            if speed is not None:
                behind_s = (row.at - first) / 1e9 / float(speed) - (loop.time() - started)
                await asyncio.sleep(max(behind_s, 0))
            await self._next()

    async def advance(self, *, until: int | None = None, rows: int | None = None) -> int:
        """Play up to and including a time, or a number of rows. Return the number once everything they caused is journaled and sent.

        Raises Unavailable.
        """
        async with self._turn:
            begin = self.position
            while self.position < len(self._rows) and self._wanted(until, rows, self.position - begin):
                await self._next()
            for host in self._venues.hosts:
                await host.ask(lambda: None)
            await self._sent.all()
            return self.position - begin

    def _wanted(self, until: int | None, rows: int | None, played: int) -> bool:
        return (until is None or self._rows[self.position].at <= until) and (rows is None or played < rows)

    async def _next(self) -> None:
        """Play a row. No venue may miss one, so a recorded market waits for the slowest of them."""
        await self._venues.room()
        row = self._rows[self.position]
        if isinstance(row, Prints):
            self._venues.trade(row)
        else:
            self._venues.show(row, row.at)
        self.position += 1
        if self.position % YIELD_EVERY == 0:
            await asyncio.sleep(0)
