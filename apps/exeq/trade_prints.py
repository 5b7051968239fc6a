"""Prints for trailing stops that follow the last trade. Their subjects are subscribed to only while such a stop waits."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from adapters import bus
from apps.connections.prints import PrintFeed
from domain.market.last_trades import LastTrades
from domain.market.prints import Prints
from domain.market.quotes import Listed
from domain.ports import Clock
from domain.values import subject_token

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.05


class TradePrints:
    """Keeps the last trades of the symbols that `wanted` names."""

    def __init__(self, client: Client, listed: Listed, trades: LastTrades, clock: Clock, wanted: Callable[[], Collection[str]]) -> None:
        self._client = client
        self._trades = trades
        self._clock = clock
        self._wanted = wanted
        self.feed = PrintFeed(self._take, listed)
        self._subscriptions: dict[str, Subscription] = {}

    async def run(self) -> None:
        while True:
            try:
                await self.follow(self._wanted())
            except bus.WireError as error:
                log.warning("prints could not be subscribed to, it is tried again", error=str(error) or type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def follow(self, wanted: Collection[str]) -> None:
        """Subscribe to the prints of these symbols and of no others. Raises WireError."""
        for symbol in [symbol for symbol in self._subscriptions if symbol not in wanted]:
            await self._subscriptions.pop(symbol).unsubscribe()
            self._trades.forget(symbol)
        for symbol in wanted:
            if symbol not in self._subscriptions:
                self._subscriptions[symbol] = await self.feed.start(self._client, subject_token(symbol))

    def _take(self, prints: Prints) -> None:
        if prints.prints and prints.symbol in self._subscriptions:  # one that arrives after the end of its subscription is not kept
            self._trades.update(prints.symbol, prints.venue, prints.prints[-1].price, self._clock.monotonic_ns())
