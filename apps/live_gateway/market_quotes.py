"""Quotes of the market's venues, shown by the paper venues in their own shape: of a named venue, or of the best one."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from apps.live_gateway.venue_host import VenueHost
from domain.market.quotes import Market, Quote, best_source
from domain.ports import Clock

AGE_MAX_NS: Final = 3_000_000_000
"""A valid quote is repeated about once a second. One that was not for this long ends: its feed, or normalizer, is away."""
LOOK_S: Final = 0.25


class MarketQuotes:
    """The latest quotes of the market, and what each paper venue shows of them."""

    def __init__(self, hosts: Mapping[str, VenueHost], clock: Clock) -> None:
        self._hosts = hosts
        self._clock = clock
        self._market = Market()
        self._changed: dict[str, None] = {}
        self._known: set[str] = set()
        self._shown: dict[tuple[str, str], Quote] = {}
        """By paper venue and symbol, the quote of the market that it shows."""
        self._wake = asyncio.Event()
        self._looked_at = 0

    def take(self, quote: Quote, arrived_ns: int) -> None:
        """Take a quote of the market, or the end of one. The paper venues' own quotes come the same way and are ignored."""
        if quote.venue in self._hosts:
            return
        self._market.update(quote, arrived_ns)
        self._changed[quote.symbol] = None
        self._wake.set()

    async def run(self) -> None:
        """Show what changed, at once, and end what is too old, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            await self.look(self._clock.monotonic_ns())

    async def look(self, now: int) -> None:
        """Show what changed, and a few times a second end what is too old. `now` is of our steady clock."""
        changed, self._changed = self._changed, {}
        self._known.update(changed)
        symbols = list(changed)
        if now - self._looked_at >= LOOK_S * 1e9:
            self._looked_at = now
            symbols += [symbol for symbol in self._known if symbol not in changed and not self._market.quotes(symbol, now - AGE_MAX_NS)]
        for symbol in symbols:
            await self._show(symbol, now)

    async def _show(self, symbol: str, now: int) -> None:
        """Show what is new. A quote is shown once: shown again, it would renew the sizes that orders took since.

        One that normalizer repeats is published again, so that readers know it is still valid.
        """
        quotes = self._market.quotes(symbol, now - AGE_MAX_NS)
        for name, host in self._hosts.items():
            wanted = host.settings.market
            source = best_source(quote for quote in quotes if wanted in ("", quote.venue))
            shown = self._shown.get((name, symbol))
            if source is None:
                self._shown.pop((name, symbol), None)
                await host.end(symbol)
            elif source is not shown:
                self._shown[name, symbol] = source
                if source == shown:
                    host.repeat(symbol)
                else:
                    await host.show(source, source.at)
