"""Trades, quotes and auctions of the recorded market as Alpaca shows them: each one that a venue reported. Numbers are JSON numbers."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from apps.http.app import number
from apps.http.problem import Refusal
from apps.oms.alpaca.catalogue import CRYPTO, EQUITY, AlpacaAsset, AssetBook
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, reply
from apps.oms.alpaca.symbol_pages import NOTHING, PageQuery, SymbolPage, asked_assets, moment_of, named_assets, page_query, read_page
from apps.oms.market_reads import MarketReader, MarketReads
from domain.market.bar_history import DAY_NS
from domain.market.close_file import day_text
from domain.market.tick_history import TickPlace, TickSpan, TickTable, VenueQuote, VenueTrade
from domain.ports import Clock
from domain.values import Side

View = dict[str, Any]

TAPES: Final = {"NYSE": "A", "AMEX": "B", "ARCA": "B", "NYSEARCA": "B", "BATS": "B", "NASDAQ": "C"}
"""The tape that reports the trades of an equity, by the exchange that lists it."""
OTHER_TAPE: Final = "O"
NOT_RECORDED: Final = "market_not_recorded"
NOT_KEPT: Final = "ticks_not_kept"


class AlpacaTicks:
    """The handlers of historical trades and quotes, and of auctions. A symbol without any is left out."""

    def __init__(self, assets: AssetBook, market: MarketReads, clock: Clock) -> None:
        self._assets = assets
        self._market = market
        self._clock = clock

    async def crypto_trades(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._trades(request, CRYPTO)

    async def stock_trades(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._trades(request, EQUITY)

    async def trades_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the trades of one symbol, which is in the path."""
        return reply((await self._read(_trades, self._query(request, self._one(request)))).reply_of("trades", request.rest))

    async def crypto_quotes(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._quotes(request, CRYPTO)

    async def stock_quotes(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._quotes(request, EQUITY)

    async def quotes_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the quotes of one symbol, which is in the path."""
        return reply((await self._read(_quotes, self._query(request, self._one(request)))).reply_of("quotes", request.rest))

    async def auctions(self, request: AlpacaRequest) -> AlpacaReply:
        """Return that there were none: no venue here has auctions."""
        self._query(request, asked_assets(request, self._assets, EQUITY))
        return reply(NOTHING.reply("auctions"))

    async def auctions_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        self._query(request, self._one(request))
        return reply(NOTHING.reply_of("auctions", request.rest))

    async def _trades(self, request: AlpacaRequest, kind: str) -> AlpacaReply:
        asked = self._query(request, asked_assets(request, self._assets, kind))
        return reply((await self._read(_trades, asked)).reply("trades"))

    async def _quotes(self, request: AlpacaRequest, kind: str) -> AlpacaReply:
        asked = self._query(request, asked_assets(request, self._assets, kind))
        return reply((await self._read(_quotes, asked)).reply("quotes"))

    def _one(self, request: AlpacaRequest) -> list[AlpacaAsset]:
        return named_assets([request.rest], self._assets, EQUITY)

    def _query(self, request: AlpacaRequest, assets: list[AlpacaAsset]) -> PageQuery[TickPlace]:
        return page_query(request, assets, self._clock.now_ns(), _place_of)

    async def _read(
        self, page: Callable[[MarketReader, PageQuery[TickPlace]], Awaitable[SymbolPage]], asked: PageQuery[TickPlace]
    ) -> SymbolPage:
        """Return a page. Refusal if no market was recorded: it has had trades and quotes, and an empty page would say that it had none."""
        found = await self._market.read(lambda reader: page(reader, asked), None)
        if found is None:
            raise Refusal(422, NOT_RECORDED, "no market was recorded here: start the stack with --market config")
        return found


async def _trades(reader: MarketReader, asked: PageQuery[TickPlace]) -> SymbolPage:
    await _kept(reader, TickTable.TRADES, asked)

    async def read(asset: AlpacaAsset, behind: TickPlace | None, many: int) -> list[VenueTrade]:
        return await reader.trades_of(asset.symbol, _span(asked, behind), many)

    return await read_page(asked, read, trade_view, lambda trade: _written(trade.place))


async def _quotes(reader: MarketReader, asked: PageQuery[TickPlace]) -> SymbolPage:
    await _kept(reader, TickTable.QUOTES, asked)

    async def read(asset: AlpacaAsset, behind: TickPlace | None, many: int) -> list[VenueQuote]:
        return await reader.quotes_of(asset.symbol, _span(asked, behind), many)

    return await read_page(asked, read, venue_quote_view, lambda quote: _written(quote.place))


async def _kept(reader: MarketReader, ticks: TickTable, asked: PageQuery[TickPlace]) -> None:
    """Refuse a range that begins with days whose ticks were dropped: without them it would look as if there had been none."""
    since = await reader.kept_since(ticks)
    if since is not None and asked.first < since:
        raise Refusal(422, NOT_KEPT, f"{ticks} before {day_text(since // DAY_NS)} are in the archive only: choose a later start")


def _span(asked: PageQuery[TickPlace], behind: TickPlace | None) -> TickSpan:
    return TickSpan(asked.first, asked.last, asked.newest_first, behind)


def _written(place: TickPlace) -> str:
    return f"{place.at}|{place.beside}"


def _place_of(text: str) -> TickPlace:
    at, bar, beside = text.partition("|")
    if not bar:
        raise ValueError
    return TickPlace(moment_of(at), beside)


def trade_view(asset: AlpacaAsset, trade: VenueTrade) -> View:
    """Return a trade. Its id is a number at Alpaca: 0 for a venue whose ids are none."""
    text = trade.trade_id
    id_ = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
    known = {"t": shown_moment(trade.at), "p": number(trade.price), "s": number(trade.quantity), "i": id_, "x": trade.venue}
    if asset.asset_class == CRYPTO:
        return known | {"tks": "B" if trade.side is Side.BUY else "S"}
    return known | conditions_of(asset)


def venue_quote_view(asset: AlpacaAsset, quote: VenueQuote) -> View:
    """Return a quote. A side that shows nothing has the price 0, as at Alpaca."""
    bid, ask = quote.bid if quote.bid_size else quote.bid_size, quote.ask if quote.ask_size else quote.ask_size
    sides = {"bp": number(bid), "bs": number(quote.bid_size), "ap": number(ask), "as": number(quote.ask_size)}
    known = {"t": shown_moment(quote.at), **sides, "bx": quote.venue, "ax": quote.venue}
    return known if asset.asset_class == CRYPTO else known | conditions_of(asset)


def conditions_of(asset: AlpacaAsset) -> View:
    """Return what a trade or quote of an equity has beside its numbers: no conditions, and its tape."""
    return {"c": [], "z": TAPES.get(asset.exchange, OTHER_TAPE)}
