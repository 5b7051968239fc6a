"""Bars and last trades of the recorded market as Alpaca shows them. Numbers are JSON numbers, and one symbol is all its venues."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from apps.http.alpaca_words import malformed_field
from apps.http.app import number
from apps.http.problem import ECHO_MAX, Refusal
from apps.oms.alpaca.catalogue import CRYPTO, EQUITY, AlpacaAsset, AssetBook
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, reply
from apps.oms.alpaca.symbol_pages import NOTHING, SymbolPage, asked_assets, moment_of, named_assets, only, page_query, read_page
from apps.oms.alpaca.ticks import trade_view
from apps.oms.market_reads import MarketReader, MarketReads
from domain.market.bar_history import DAY_NS, MarketBar, Timeframe, timeframe_of
from domain.ports import Clock

View = dict[str, Any]

BACK_NS: Final = 7 * DAY_NS
"""How old the latest bar or trade may be."""
DAYS_BACK_NS: Final = 14 * DAY_NS
"""How old the bars of days in a snapshot may be."""
KEPT_NS: Final = 10**9
"""How long the recorded part of a snapshot is shown again: clients ask for snapshots as they ask for quotes."""
SILENT_NS: Final = 5 * 10**9
"""How long the store is not asked again after it did not answer."""
SNAPSHOT_WAIT_S: Final = 1.0
"""How long a snapshot, whose quotes are in memory, waits for the store."""
MINUTE, DAY = Timeframe(1, "Min"), Timeframe(1, "Day")
LATEST_FRAMES: Final = ((MINUTE, 1, BACK_NS), (DAY, 2, DAYS_BACK_NS))


class AlpacaBars:
    """The handlers of bars and last trades. A symbol without any is left out."""

    def __init__(self, assets: AssetBook, market: MarketReads, clock: Clock) -> None:
        self._assets = assets
        self._market = market
        self._clock = clock
        self._recorded: dict[str, tuple[int, View]] = {}
        self._silent_until = 0

    async def crypto_bars(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._page(request, CRYPTO)

    async def stock_bars(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._page(request, EQUITY)

    async def bars_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the bars of one symbol, which is in the path."""
        found = await self._bars(request, named_assets([request.rest], self._assets, EQUITY))
        return reply(found.reply_of("bars", request.rest))

    async def latest_crypto_bars(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"bars": await self._bars_now(asked_assets(request, self._assets, CRYPTO))})

    async def latest_stock_bars(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"bars": await self._bars_now(asked_assets(request, self._assets, EQUITY))})

    async def latest_bar_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        found = await self._bars_now(named_assets([request.rest], self._assets, EQUITY))
        return reply(only("bar", found, request.rest))

    async def latest_trade_of_stock(self, request: AlpacaRequest) -> AlpacaReply:
        found = await self._trades_now(named_assets([request.rest], self._assets, EQUITY))
        return reply(only("trade", found, request.rest))

    async def latest_crypto_trades(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"trades": await self._trades_now(asked_assets(request, self._assets, CRYPTO))})

    async def latest_stock_trades(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"trades": await self._trades_now(asked_assets(request, self._assets, EQUITY))})

    async def recorded_of(self, assets: Iterable[AlpacaAsset]) -> dict[str, View]:
        """Return the recorded part of snapshots by symbol; nothing while the store does not answer."""
        now = self._clock.monotonic_ns()
        wanted, found = list(assets), dict[str, View]()
        missing = [asset for asset in wanted if self._recorded.get(asset.symbol, (0, {}))[0] <= now]
        if missing and now >= self._silent_until:
            try:
                async with asyncio.timeout(SNAPSHOT_WAIT_S):
                    found = await self._market.read(lambda reader: self._read_recorded(reader, missing), found)
            except (Refusal, TimeoutError):
                self._silent_until = now + SILENT_NS
            self._recorded |= {asset.symbol: (now + KEPT_NS, found.get(asset.symbol, {})) for asset in missing}
        kept = {asset.symbol: self._recorded[asset.symbol] for asset in wanted if asset.symbol in self._recorded}
        return {symbol: view for symbol, (until, view) in kept.items() if until > now}

    async def _read_recorded(self, reader: MarketReader, assets: list[AlpacaAsset]) -> dict[str, View]:
        found: dict[str, View] = {}
        now = self._clock.now_ns()
        for asset in assets:
            last = await reader.last_trade(asset.symbol, now - BACK_NS)
            (minutes, days) = [
                await reader.bars(asset.symbol, frame, frame.begin(now - back), frame.after(now), count, newest_first=True)
                for frame, count, back in LATEST_FRAMES
            ]
            shown = [_bar_view(bar) for bar in (*minutes, *days)]
            names = ["minuteBar"] * len(minutes) + ["dailyBar", "prevDailyBar"][: len(days)]
            trade = {} if last is None else {"latestTrade": trade_view(asset, last)}
            found[asset.symbol] = trade | dict(zip(names, shown, strict=True))
        return found

    async def _page(self, request: AlpacaRequest, kind: str) -> AlpacaReply:
        return reply((await self._bars(request, asked_assets(request, self._assets, kind))).reply("bars"))

    async def _bars(self, request: AlpacaRequest, assets: list[AlpacaAsset]) -> SymbolPage:
        frame = _frame_in(request)
        asked = page_query(request, assets, self._clock.now_ns(), moment_of)
        first = asked.first if frame.begin(asked.first) == asked.first else frame.after(asked.first)
        end = max(first, frame.after(asked.last))

        async def page(reader: MarketReader) -> SymbolPage:
            async def read(asset: AlpacaAsset, behind: int | None, many: int) -> list[MarketBar]:
                since, until = first, end
                if behind is not None:
                    since, until = (since, min(until, behind)) if asked.newest_first else (max(since, frame.after(behind)), until)
                return await reader.bars(asset.symbol, frame, since, until, many, newest_first=asked.newest_first)

            return await read_page(asked, read, lambda _, bar: _bar_view(bar), lambda bar: str(bar.at))

        return await self._market.read(page, NOTHING)

    async def _bars_now(self, assets: list[AlpacaAsset]) -> dict[str, View]:
        now = self._clock.now_ns()
        since, until = MINUTE.begin(now - BACK_NS), MINUTE.after(now)

        async def read(reader: MarketReader) -> dict[str, View]:
            found = [(asset, await reader.bars(asset.symbol, MINUTE, since, until, 1, newest_first=True)) for asset in assets]
            return {asset.shown: _bar_view(bars[0]) for asset, bars in found if bars}

        return await self._market.read(read, {})

    async def _trades_now(self, assets: list[AlpacaAsset]) -> dict[str, View]:
        since = self._clock.now_ns() - BACK_NS

        async def read(reader: MarketReader) -> dict[str, View]:
            found = [(asset, await reader.last_trade(asset.symbol, since)) for asset in assets]
            return {asset.shown: trade_view(asset, trade) for asset, trade in found if trade is not None}

        return await self._market.read(read, {})


def _frame_in(request: AlpacaRequest) -> Timeframe:
    """Return the timeframe of a query. AlpacaRefusal."""
    text = request.query.get("timeframe", "")
    frame = timeframe_of(text)
    if frame is None:
        words = "[1-59]Min, [1-23]Hour, 1Day, 1Week, [1,2,3,4,6,12]Month"
        raise malformed_field("timeframe", f"{text[:ECHO_MAX]!a} is not one of {words}")
    return frame


def _bar_view(bar: MarketBar) -> View:
    prices = {"o": number(bar.open), "h": number(bar.high), "l": number(bar.low), "c": number(bar.close)}
    return {"t": shown_moment(bar.at), **prices, "v": number(bar.volume), "n": bar.count, "vw": number(bar.vwap)}
