"""Inbox of one paper venue: requests and news of the market in the order of their arrival."""

import asyncio
from collections import OrderedDict, defaultdict, deque
from typing import Final, Generic, TypeVar

from domain.market.quotes import Quote
from domain.paper.events import DeepQuote, TradePrint

W = TypeVar("W")

INBOX_MAX: Final = 4096
"""Requests that wait for one venue. When there are as many, the venue's own subscription waits, up to the NATS client's bound."""

MARKET_WAITING_MAX: Final = 64
"""Quotes of one symbol, and as many prints, that wait for one venue. Beyond them the oldest is dropped: the latest quote wins."""

News = Quote | DeepQuote | TradePrint


class Inbox(Generic[W]):
    """Holds what one venue has not processed yet. News of the market never waits for room, so a slow venue delays no other one."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, tuple[float, W | News]] = OrderedDict()
        self._news: defaultdict[tuple[str, bool], deque[int]] = defaultdict(deque)
        """Numbers of the news that waits, by symbol and whether they are prints."""
        self._room = asyncio.Semaphore(INBOX_MAX)
        self._number = 0
        self._some = asyncio.Event()
        self._fewer = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, work: W, due: float = 0) -> None:
        """Add work that is not dropped, to be processed at `due` of the event loop's clock or later. Waits for room."""
        await self._room.acquire()
        self._add(due, work)

    def tell(self, news: News) -> None:
        """Add a quote or a print at once. Drops the oldest of its symbol if too many wait."""
        numbers = self._news[_key(news)]
        if len(numbers) >= MARKET_WAITING_MAX:
            del self._waiting[numbers.popleft()]
            self.dropped += 1
        numbers.append(self._number + 1)
        self._add(0, news)

    async def room(self) -> None:
        """Wait until nothing would be dropped, whatever symbol the next quote or print has."""
        while any(len(numbers) >= MARKET_WAITING_MAX for numbers in self._news.values()):
            self._fewer.clear()
            await self._fewer.wait()

    async def get(self) -> tuple[float, W | News]:
        """Return the oldest work and when it is due. Waits for some."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self.take()

    def take(self) -> tuple[float, W | News]:
        """Return the oldest work and when it is due. Raises KeyError if there is none."""
        _, (due, work) = self._waiting.popitem(last=False)
        if isinstance(work, News):
            self._news[_key(work)].popleft()
            self._fewer.set()
        else:
            self._room.release()
        return due, work

    def _add(self, due: float, work: W | News) -> None:
        self._number += 1
        self._waiting[self._number] = due, work
        self._some.set()


def _key(news: News) -> tuple[str, bool]:
    if isinstance(news, DeepQuote):
        return news.quote.symbol, False
    return news.symbol, isinstance(news, TradePrint)
