"""A recorded market in memory: its ticks, and bars from its trades, for tests and as an independent computation beside QuestDB."""

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Final, TypeVar

from domain.market.bar_history import MarketBar, Timeframe, VenueBar, over_venues
from domain.market.quotes import Quote
from domain.market.records import MarketTrade
from domain.market.tick_history import TickSpan, TickTable, VenueQuote, VenueTrade
from domain.ports import Unavailable
from domain.values import ZERO

Tick = TypeVar("Tick", VenueTrade, VenueQuote)

MINUTE_NS: Final = 60 * 10**9


class MemoryMarket:
    """Port: apps.oms.market_reads.RecordedMarket, and its reader. While `down`, every call raises Unavailable."""

    def __init__(self) -> None:
        self.trades: list[MarketTrade] = []
        self.quotes: list[Quote] = []
        self.dropped_before: int | None = None
        self.recorded, self.down = True, False
        self.asked = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> "AsyncIterator[MemoryMarket | None]":
        self.asked += 1
        if self.down:
            raise Unavailable("the recorded market is away")
        yield self if self.recorded else None

    async def bars(
        self, symbol: str, frame: Timeframe, since_ns: int, until_ns: int, limit: int, *, newest_first: bool = False
    ) -> list[MarketBar]:
        groups: dict[tuple[int, str], list[MarketTrade]] = {}
        for trade in sorted(self.trades, key=lambda trade: trade.at):
            begin = frame.begin(trade.at)
            if trade.symbol == symbol and since_ns <= begin < until_ns:
                groups.setdefault((begin, trade.venue), []).append(trade)
        ordered = sorted(groups, key=lambda place: (-place[0] if newest_first else place[0], place[1]))
        return over_venues(_bar(*place, groups[place], frame) for place in ordered)[:limit]

    async def last_trade(self, symbol: str, since_ns: int) -> VenueTrade | None:
        found = [trade for trade in self.trades if trade.symbol == symbol and trade.at >= since_ns]
        return _trade(max(found, key=lambda trade: trade.at)) if found else None

    async def trades_of(self, symbol: str, span: TickSpan, limit: int) -> list[VenueTrade]:
        return _part([_trade(trade) for trade in self.trades if trade.symbol == symbol], span, limit)

    async def quotes_of(self, symbol: str, span: TickSpan, limit: int) -> list[VenueQuote]:
        return _part([_quote(quote) for quote in self.quotes if quote.symbol == symbol], span, limit)

    async def kept_since(self, _ticks: TickTable) -> int | None:
        return self.dropped_before


def _trade(trade: MarketTrade) -> VenueTrade:
    return VenueTrade(trade.at, trade.venue, trade.price, trade.quantity, trade.side, trade.trade_id)


def _quote(quote: Quote) -> VenueQuote:
    return VenueQuote(quote.at, quote.venue, quote.bid, quote.bid_size, quote.ask, quote.ask_size, quote.seq)


def _part(ticks: list[Tick], span: TickSpan, limit: int) -> list[Tick]:
    """Return the ticks of the span, in its order."""
    wanted = [tick for tick in ticks if span.has(tick.place)]
    return sorted(wanted, key=lambda tick: tick.place, reverse=span.newest_first)[:limit]


def _bar(at: int, venue: str, trades: list[MarketTrade], frame: Timeframe) -> VenueBar:
    """Return one bar. `typical` is summed over the bars that the store would have, which depend on the timeframe."""
    parts: dict[int, list[MarketTrade]] = {}
    for trade in trades:
        parts.setdefault(trade.at // _part_ns(frame), []).append(trade)
    typical = sum((_volume(part) * (_high(part) + _low(part) + part[-1].price) for part in parts.values()), ZERO)
    return VenueBar(at, venue, trades[0].price, _high(trades), _low(trades), trades[-1].price, _volume(trades), len(trades), typical)


def _part_ns(frame: Timeframe) -> int:
    if frame.kind == "Min":
        return MINUTE_NS * (15 if not frame.count % 15 else 5 if not frame.count % 5 else 1)
    return MINUTE_NS * 60 if frame.kind == "Hour" else MINUTE_NS * 1440


def _high(trades: list[MarketTrade]) -> Decimal:
    return max(trade.price for trade in trades)


def _low(trades: list[MarketTrade]) -> Decimal:
    return min(trade.price for trade in trades)


def _volume(trades: list[MarketTrade]) -> Decimal:
    return sum((trade.quantity for trade in trades), ZERO)
