"""Bars and last trades of the recorded market as Alpaca shows them. Numbers are JSON numbers, and one symbol is all its venues."""

import asyncio
import base64
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from apps.http.alpaca_words import malformed_field
from apps.http.app import encoded_in_turns, number
from apps.http.problem import ECHO_MAX, Refusal
from apps.oms.alpaca.catalogue import CRYPTO, EQUITY, AlpacaAsset, AssetBook
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, count_in, list_in, moment_in, reply, word_in
from apps.oms.market_reads import MarketReader, MarketReads
from domain.market.bar_history import DAY_NS, LastTrade, MarketBar, Timeframe, timeframe_of
from domain.ports import Clock
from domain.values import Side

View = dict[str, Any]

LIMIT_DEFAULT, LIMIT_MAX = 1000, 10_000
"""Bars that a client may ask for at once."""
PAGE_MAX: Final = 1000
"""Bars on a page. Alpaca says that a page may have fewer bars than were asked for, and clients follow its token."""
SYMBOLS_MAX: Final = 100
"""Symbols in one request."""
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
TOKEN_MAX: Final = 128
"""Characters of a page's token."""
TAPES: Final = {"NYSE": "A", "AMEX": "B", "ARCA": "B", "NYSEARCA": "B", "BATS": "B", "NASDAQ": "C"}
"""The tape that reports the trades of an equity, by the exchange that lists it."""
OTHER_TAPE: Final = "O"
MINUTE, DAY = Timeframe(1, "Min"), Timeframe(1, "Day")
LATEST_FRAMES: Final = ((MINUTE, 1, BACK_NS), (DAY, 2, DAYS_BACK_NS))
MOMENT_MAX: Final = 4_000_000_000 * 10**9
"""The latest moment that a store query accepts, nanoseconds UTC: the year 2096."""


class _BarQuery(NamedTuple):
    """`since` and `until` are begins of bars, nanoseconds UTC. `assets` are in the order of their names, from where the page begins."""

    frame: Timeframe
    since: int
    until: int
    limit: int
    newest_first: bool
    assets: list[AlpacaAsset]
    behind: int | None
    """The begin of the last bar that the client has, of the first asset."""


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
        found, token = await self._bars(request, self._named([request.rest], EQUITY))
        shown = request.rest.upper()
        return reply({"bars": next(iter(found.values()), []), "symbol": shown, "next_page_token": token})

    async def latest_crypto_bars(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"bars": await self._latest_bars(request, CRYPTO)})

    async def latest_stock_bars(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"bars": await self._latest_bars(request, EQUITY)})

    async def latest_crypto_trades(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"trades": await self._latest_trades(request, CRYPTO)})

    async def latest_stock_trades(self, request: AlpacaRequest) -> AlpacaReply:
        return reply({"trades": await self._latest_trades(request, EQUITY)})

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
            trade = {} if last is None else {"latestTrade": _trade_view(last, asset)}
            found[asset.symbol] = trade | dict(zip(names, shown, strict=True))
        return found

    async def _page(self, request: AlpacaRequest, kind: str) -> AlpacaReply:
        found, token = await self._bars(request, self._asked(request, kind))
        return reply({"bars": found, "next_page_token": token})

    async def _bars(self, request: AlpacaRequest, assets: list[AlpacaAsset]) -> tuple[dict[str, list[msgspec.Raw]], str | None]:
        asked = self._bar_query(request, assets)

        async def read(reader: MarketReader) -> tuple[dict[str, list[msgspec.Raw]], str | None]:
            found: dict[str, list[msgspec.Raw]] = {}
            left, behind = asked.limit, asked.behind
            for asset in asked.assets:
                since, until = asked.since, asked.until
                if behind is not None:
                    since, until = (since, min(until, behind)) if asked.newest_first else (max(since, asked.frame.after(behind)), until)
                    behind = None
                bars = await reader.bars(asset.symbol, asked.frame, since, until, left + 1, newest_first=asked.newest_first)
                if shown := bars[:left]:
                    found[asset.shown] = await encoded_in_turns(shown, _bar_view)
                if len(bars) > left:
                    return found, _token(asset.symbol, shown[-1].at) if shown else None
                left -= len(shown)
                if not left:
                    following = next(iter(asked.assets[asked.assets.index(asset) + 1 :]), None)
                    return found, None if following is None else _token(following.symbol, None)
            return found, None

        return await self._market.read(read, ({}, None))

    def _bar_query(self, request: AlpacaRequest, assets: list[AlpacaAsset]) -> _BarQuery:
        """Read the query of bars. AlpacaRefusal."""
        query, now = request.query, self._clock.now_ns()
        frame = timeframe_of(query.get("timeframe", ""))
        if frame is None:
            words = "[1-59]Min, [1-23]Hour, 1Day, 1Week, [1,2,3,4,6,12]Month"
            raise malformed_field("timeframe", f"{query.get('timeframe', '')[:ECHO_MAX]!a} is not one of {words}")
        start, end = moment_in(query, "start"), moment_in(query, "end")
        first = _within(now // DAY_NS * DAY_NS if start is None else start)
        last = _within(now if end is None else end)
        since = first if frame.begin(first) == first else frame.after(first)
        limit = min(count_in(query, "limit", LIMIT_DEFAULT, LIMIT_MAX), PAGE_MAX)
        newest_first = word_in(query, "sort", ("asc", "desc"), "asc") == "desc"
        symbol, behind = _place(query["page_token"]) if query.get("page_token") else ("", None)
        rest = [asset for asset in assets if asset.symbol >= symbol]
        if symbol and (not rest or rest[0].symbol != symbol):
            raise malformed_field("page_token", "is of a page of other symbols")
        return _BarQuery(frame, since, max(since, frame.after(last)), limit, newest_first, rest, behind)

    async def _latest_bars(self, request: AlpacaRequest, kind: str) -> dict[str, View]:
        now = self._clock.now_ns()
        since, until = MINUTE.begin(now - BACK_NS), MINUTE.after(now)
        assets = self._asked(request, kind)

        async def read(reader: MarketReader) -> dict[str, View]:
            found = [(asset, await reader.bars(asset.symbol, MINUTE, since, until, 1, newest_first=True)) for asset in assets]
            return {asset.shown: _bar_view(bars[0]) for asset, bars in found if bars}

        return await self._market.read(read, {})

    async def _latest_trades(self, request: AlpacaRequest, kind: str) -> dict[str, View]:
        since = self._clock.now_ns() - BACK_NS
        assets = self._asked(request, kind)

        async def read(reader: MarketReader) -> dict[str, View]:
            found = [(asset, await reader.last_trade(asset.symbol, since)) for asset in assets]
            return {asset.shown: _trade_view(trade, asset) for asset, trade in found if trade is not None}

        return await self._market.read(read, {})

    def _asked(self, request: AlpacaRequest, kind: str) -> list[AlpacaAsset]:
        named = list_in(request.query, "symbols")
        if not named:
            raise malformed_field("symbols", "is missing")
        if len(named) > SYMBOLS_MAX:
            raise malformed_field("symbols", f"at most {SYMBOLS_MAX} symbols are read at once")
        return self._named(named, kind)

    def _named(self, named: list[str], kind: str) -> list[AlpacaAsset]:
        """Return the assets of this class that are named, in the order of their symbols. One that there is not is left out."""
        found = {asset.symbol: asset for text in named if (asset := self._assets.find(text)) and asset.asset_class == kind}
        return [asset for _, asset in sorted(found.items())]


def _bar_view(bar: MarketBar) -> View:
    prices = {"o": number(bar.open), "h": number(bar.high), "l": number(bar.low), "c": number(bar.close)}
    return {"t": shown_moment(bar.at), **prices, "v": number(bar.volume), "n": bar.count, "vw": number(bar.vwap)}


def _trade_view(trade: LastTrade, asset: AlpacaAsset) -> View:
    """Return a trade. Its id is a number at Alpaca: 0 for a venue whose ids are none."""
    text = trade.trade_id
    known = {"t": shown_moment(trade.at), "p": number(trade.price), "s": number(trade.quantity)}
    id_ = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
    if asset.asset_class == CRYPTO:
        return known | {"i": id_, "tks": "B" if trade.side is Side.BUY else "S"}
    return known | {"i": id_, "x": trade.venue, "c": [], "z": TAPES.get(asset.exchange, OTHER_TAPE)}


def _within(at_ns: int) -> int:
    return min(max(at_ns, 0), MOMENT_MAX)


def _token(symbol: str, at_ns: int | None) -> str:
    """Return the token of the page behind a bar of a symbol, or of the page that begins with a symbol."""
    return base64.urlsafe_b64encode(f"{symbol}|{'' if at_ns is None else at_ns}".encode()).decode().rstrip("=")


def _place(token: str) -> tuple[str, int | None]:
    if len(token) > TOKEN_MAX:
        raise malformed_field("page_token", "is not the token of a page")
    try:
        symbol, _, text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().rpartition("|")
        at_ns = int(text) if text else None
    except ValueError:
        symbol, at_ns = "", None
    if not symbol or (at_ns is not None and not 0 <= at_ns <= MOMENT_MAX):
        raise malformed_field("page_token", "is not the token of a page")
    return symbol, at_ns
