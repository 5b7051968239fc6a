"""Latest quotes, books and snapshots, from the ticks that oms follows. Numbers are JSON numbers here, as Alpaca's market data has them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from apps.http.app import number
from apps.oms.alpaca.bars import AlpacaBars
from apps.oms.alpaca.catalogue import CRYPTO, EQUITY, AlpacaAsset, AssetBook
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, list_in, reply
from apps.oms.alpaca.symbol_pages import only
from apps.oms.alpaca.ticks import conditions_of
from domain.market.quotes import Market, Quote
from domain.ports import Clock
from domain.values import ZERO, Side

View = dict[str, Any]

NOTHING_RECORDED: Final[View] = {"latestTrade": None, "minuteBar": None, "dailyBar": None, "prevDailyBar": None}


class AlpacaMarketData:
    """The handlers of market data. A symbol without a fresh quote is left out."""

    def __init__(self, assets: AssetBook, market: Market, clock: Clock, quote_age_max_ns: int, bars: AlpacaBars) -> None:
        """`bars`: the recorded market, for snapshots."""
        self._assets = assets
        self._bars = bars
        self._market = market
        self._clock = clock
        self._age_max_ns = quote_age_max_ns

    async def crypto_quotes(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"quotes": self._quotes(_named(request), CRYPTO)})

    async def crypto_books(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"orderbooks": {asset.shown: book_view(quotes) for asset, quotes in self._quoted(_named(request), CRYPTO)}})

    async def crypto_snapshots(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"snapshots": await self._snapshots(_named(request), CRYPTO)})

    async def stock_quotes(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"quotes": self._quotes(_named(request), EQUITY)})

    async def stock_snapshots(self, request: AlpacaRequest) -> AlpacaReply:
        return reply(await self._snapshots(_named(request), EQUITY))

    async def quote_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the quote of one symbol, which is in the path."""
        return reply(only("quote", self._quotes([request.rest], EQUITY), request.rest))

    async def snapshot_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        found = only("snapshot", await self._snapshots([request.rest], EQUITY), request.rest)
        return reply({"symbol": found["symbol"], **found["snapshot"]})

    def _quotes(self, named: list[str], kind: str) -> View:
        return {asset.shown: quote_view(asset, quotes) for asset, quotes in self._quoted(named, kind)}

    async def _snapshots(self, named: list[str], kind: str) -> View:
        quoted = list(self._quoted(named, kind))
        recorded = await self._bars.recorded_of([asset for asset, _ in quoted])
        return {
            asset.shown: NOTHING_RECORDED | recorded.get(asset.symbol, {}) | {"latestQuote": quote_view(asset, quotes)}
            for asset, quotes in quoted
        }

    def _quoted(self, named: list[str], kind: str) -> Iterable[tuple[AlpacaAsset, list[Quote]]]:
        """Yield the named assets (without a name: all) that have fresh quotes with sizes on both sides."""
        since_ns = self._clock.monotonic_ns() - self._age_max_ns
        wanted = self._assets.all if not named else {asset.symbol: asset for text in named if (asset := self._assets.find(text))}.values()
        for asset in wanted:
            quotes = self._market.quotes(asset.symbol, since_ns) if asset.asset_class == kind else []
            if any(quote.bid_size for quote in quotes) and any(quote.ask_size for quote in quotes):
                yield asset, quotes


def _named(request: AlpacaRequest) -> list[str]:
    return list_in(request.query, "symbols")


def quote_view(asset: AlpacaAsset, quotes: list[Quote]) -> View:
    """Return the best bid and ask of all venues, each with the size that is shown at it; of an equity, the venue that shows the most."""
    bids, asks = _levels(quotes, Side.SELL), _levels(quotes, Side.BUY)
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    at = max(quote.at for quote in quotes)
    shown = {"t": shown_moment(at), "bp": number(bid), "bs": number(bid_size), "ap": number(ask), "as": number(ask_size)}
    if asset.asset_class == CRYPTO:
        return shown
    buyer = max(quotes, key=lambda quote: (quote.bid == bid, quote.bid_size))
    seller = max(quotes, key=lambda quote: (quote.ask == ask, quote.ask_size))
    return shown | {"bx": buyer.venue, "ax": seller.venue} | conditions_of(asset)


def book_view(quotes: list[Quote]) -> View:
    """Return the book of all venues' quotes: one level for each price."""
    at = max(quote.at for quote in quotes)
    return {
        "t": shown_moment(at),
        "b": [{"p": number(price), "s": number(size)} for price, size in _levels(quotes, Side.SELL)],
        "a": [{"p": number(price), "s": number(size)} for price, size in _levels(quotes, Side.BUY)],
    }


def _levels(quotes: list[Quote], taker: Side) -> list[tuple[Decimal, Decimal]]:
    """Return price and size that an aggressive order of this side meets, best first."""
    found: dict[Decimal, Decimal] = {}
    for quote in quotes:
        if size := quote.size(taker):
            found[quote.touch(taker)] = found.get(quote.touch(taker), ZERO) + size
    return sorted(found.items(), reverse=taker is Side.SELL)
