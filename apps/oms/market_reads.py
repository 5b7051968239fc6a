"""Reads of the recorded market, bounded, and never on the path of an order. Without a recorded market there is nothing to read."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar

from apps.oms.bounded_reads import BoundedReads
from domain.market.bar_history import MarketBar, Timeframe
from domain.market.tick_history import TickSpan, TickTable, VenueQuote, VenueTrade

T = TypeVar("T")

UNAVAILABLE_CODE: Final = "market_history_unavailable"


class MarketReader(Protocol):
    """The reads of one request."""

    async def bars(
        self, symbol: str, frame: Timeframe, since_ns: int, until_ns: int, limit: int, *, newest_first: bool = False
    ) -> list[MarketBar]:
        """Return at most `limit` bars that begin from `since_ns` until before `until_ns`, which are begins of bars. Raises Unavailable."""

    async def last_trade(self, symbol: str, since_ns: int) -> VenueTrade | None:
        """Return the last trade since a moment. Raises Unavailable."""

    async def trades_of(self, symbol: str, span: TickSpan, limit: int) -> list[VenueTrade]:
        """Return at most `limit` trades of a span, in its order. Raises Unavailable."""

    async def quotes_of(self, symbol: str, span: TickSpan, limit: int) -> list[VenueQuote]:
        """Return at most `limit` quotes of a span, in its order. Raises Unavailable."""

    async def kept_since(self, ticks: TickTable) -> int | None:
        """Return the first day that still has its ticks, nanoseconds UTC; None if none was dropped. Raises Unavailable."""


class RecordedMarket(Protocol):
    """Where sink-ticks writes."""

    def opened(self) -> AbstractAsyncContextManager[MarketReader | None]:
        """Open the store for the reads of one request; None if no market was ever recorded. Raises Unavailable."""


class MarketReads:
    """Lets few requests read at once, apart from other reads: these need no key."""

    def __init__(self, market: RecordedMarket | None, reads: BoundedReads) -> None:
        """`market` is None where nothing can have been recorded."""
        self._market = market
        self._reads = reads

    async def read(self, reading: Callable[[MarketReader], Awaitable[T]], nothing: T) -> T:
        """Return what `reading` returns, or `nothing` without a recorded market. Refusal 429, 503."""
        market = self._market
        if market is None:
            return nothing

        async def whole() -> T:
            async with market.opened() as reader:
                return nothing if reader is None else await reading(reader)

        return await self._reads.read(UNAVAILABLE_CODE, whole)
