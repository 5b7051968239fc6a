"""Trades of the past over REST: for each kind of venue the pages of a time range, and the trades of a page.

gateway asks for the pages and writes them as frames; a decoder reads the same frames. Both use these functions, so they agree on which page
is the last one. A page of a backfill is a `rest` frame whose first line ends in `backfill <begin> <end> <number of the page>`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from domain.market.venues.names import ALPACA_CRYPTO, BINANCE_SPOT, COINBASE, KRAKEN
from domain.market.venues.wire import NumberReader, TimeReader, unix_time
from domain.values import Side, rfc3339

SECOND: Final = 1_000_000_000
SPAN_MAX: Final = 24 * 3600 * SECOND
"""The longest range of one backfill, in nanoseconds."""
PAGES_MAX: Final = 200
"""Pages of one backfill. What is missing after them is a fact, and may be asked for again."""
PAGE_TRADES: Final = 1000
BACKFILL: Final = "backfill"


class VenueRefusal(ValueError):
    """A reply in which the venue says that it does not do what it was asked for."""


class PastSpan(NamedTuple):
    """A range of time, nanoseconds UTC; the end is not part of it."""

    begin: int
    end: int

    def has(self, at: int) -> bool:
        return self.begin <= at < self.end


class PastTrade(NamedTuple):
    """A trade as a page has it. What is None could not be read. `seq` 0: the venue has no number besides the id."""

    price: Decimal | None
    quantity: Decimal | None
    side: Side | None
    trade_id: str
    at: int | None
    seq: int = 0


class Page(NamedTuple):
    """`next` is the path of the next page; empty after the last one. `undivided`: trades are missing that no page can have."""

    trades: list[PastTrade]
    next: str
    undivided: bool = False


class VenueHistory(Protocol):
    """The past of one kind of venue. `weight`: of a request, against the venue's limit."""

    weight: int

    def first(self, name: str, span: PastSpan) -> str:
        """Return the path of the first page of one of the venue's symbols."""
        ...

    def page(self, path: str, span: PastSpan, body: str) -> Page:
        """Read a reply. Raises VenueRefusal, or what decoding raises for a body that is no page."""
        ...


class BackfillPage(NamedTuple):
    """The reason of a page's frame."""

    span: PastSpan
    number: int

    def text(self) -> str:
        return f"{BACKFILL} {self.span.begin} {self.span.end} {self.number}"


def backfill_page(reason: str) -> BackfillPage:
    """Return the parts of a reason. Raises ValueError if it is none of a backfill."""
    word, begin, end, number = reason.split(" ")
    if word != BACKFILL:
        raise ValueError(f"{word!r} is no reason of a page")
    return BackfillPage(PastSpan(int(begin), int(end)), int(number))


class _BinancePast(msgspec.Struct, gc=False):
    id: int
    price: str
    qty: str
    time: int
    isBuyerMaker: bool  # noqa: N815 - the venue's name


class _BinanceAggregate(msgspec.Struct, gc=False):
    f: int
    T: int


_BINANCE_AGGREGATES: Final = msgspec.json.Decoder(list[_BinanceAggregate])
_BINANCE_TRADES: Final = msgspec.json.Decoder(list[_BinancePast])


class BinanceHistory:
    """Aggregated trades are found by time: they give the id of the first trade. Then come single trades, with the ids of the stream."""

    weight = 25

    def __init__(self) -> None:
        self._numbers = NumberReader()

    def first(self, name: str, span: PastSpan) -> str:
        return f"/api/v3/aggTrades?symbol={name.upper()}&startTime={-(-span.begin // 1_000_000)}&limit=1"

    def page(self, path: str, span: PastSpan, body: str) -> Page:
        name = _asked(path, "symbol")
        if "/aggTrades" in path:
            found = _BINANCE_AGGREGATES.decode(body)
            at = unix_time(found[0].T) if found else None
            return Page([], "" if at is None or at >= span.end else _binance_from(name, found[0].f))
        rows, number = _BINANCE_TRADES.decode(body), self._numbers.above_zero
        trades = [
            PastTrade(
                number(row.price), number(row.qty), Side.SELL if row.isBuyerMaker else Side.BUY, str(row.id), unix_time(row.time), row.id
            )
            for row in rows
        ]
        at = trades[-1].at if trades else None
        done = len(rows) < PAGE_TRADES or at is None or at >= span.end
        return Page(trades, "" if done else _binance_from(name, rows[-1].id + 1))


class _KrakenPast(msgspec.Struct, array_like=True, gc=False):
    price: str
    qty: str
    time: msgspec.Raw
    side: str
    kind: str
    more: str
    trade_id: int


class _KrakenReply(msgspec.Struct, gc=False):
    error: list[str] = []
    result: dict[str, msgspec.Raw] = {}


_KRAKEN: Final = msgspec.json.Decoder(_KrakenReply)
_KRAKEN_TRADES: Final = msgspec.json.Decoder(list[_KrakenPast])
_KRAKEN_SIDES: Final = {"b": Side.BUY, "s": Side.SELL}


class KrakenHistory:
    """`since` excludes its own moment; the next page begins at `last`. Times are cut to microseconds, as the websocket has them."""

    weight = 1

    def __init__(self) -> None:
        self._numbers = NumberReader()

    def first(self, name: str, span: PastSpan) -> str:
        return f"/0/public/Trades?pair={quote(name, safe='')}&since={span.begin - 1}&count={PAGE_TRADES}"

    def page(self, path: str, span: PastSpan, body: str) -> Page:
        reply = kraken_result(body)
        last = str(msgspec.json.decode(reply.pop("last", msgspec.Raw(b'""'))))
        rows = [row for raw in reply.values() for row in _KRAKEN_TRADES.decode(raw)]
        trades = [self._trade(row) for row in rows]
        at = trades[-1].at if trades else None
        done = len(rows) < PAGE_TRADES or at is None or at >= span.end or not last.isdigit() or last == _asked(path, "since")
        following = f"/0/public/Trades?pair={quote(_asked(path, 'pair'), safe='')}&since={last}&count={PAGE_TRADES}"
        return Page(trades, "" if done else following)

    def _trade(self, row: _KrakenPast) -> PastTrade:
        number, seconds = self._numbers.above_zero, self._numbers.number(str(row.time, "utf-8"))
        at = None if seconds is None else int(seconds * 1_000_000) * 1000
        return PastTrade(number(row.price), number(row.qty), _KRAKEN_SIDES.get(row.side), str(row.trade_id), at, row.trade_id)


def kraken_result(body: str) -> dict[str, msgspec.Raw]:
    """Return the result of one of Kraken's replies over REST. Raises VenueRefusal: an error has the status 200 too."""
    reply = _KRAKEN.decode(body)
    if reply.error:
        raise VenueRefusal(", ".join(reply.error))
    return reply.result


class _CoinbasePast(msgspec.Struct, gc=False):
    trade_id: str
    price: str
    size: str
    side: str
    time: str


class _CoinbaseTicker(msgspec.Struct, gc=False):
    trades: list[_CoinbasePast]


_COINBASE: Final = msgspec.json.Decoder(_CoinbaseTicker)
_COINBASE_TAKERS: Final = {"BUY": Side.SELL, "SELL": Side.BUY}


class CoinbaseHistory:
    """Bounds are whole seconds, and the newest trades come first: the next page ends with the second of the oldest trade."""

    weight = 1

    def __init__(self) -> None:
        self._numbers = NumberReader()
        self._times = TimeReader()

    def first(self, name: str, span: PastSpan) -> str:
        return self._path(name, span, -(-span.end // SECOND))

    def page(self, path: str, span: PastSpan, body: str) -> Page:
        number, rows = self._numbers.above_zero, _COINBASE.decode(body).trades
        trades = [
            PastTrade(number(row.price), number(row.size), _COINBASE_TAKERS.get(row.side), row.trade_id, self._times.nanoseconds(row.time))
            for row in rows
        ]
        times = [trade.at for trade in trades if trade.at is not None]
        if len(rows) < PAGE_TRADES or not times or min(times) < span.begin:
            return Page(trades, "")
        end = -(-min(times) // SECOND)
        if end >= int(_asked(path, "end")):
            return Page(trades, "", undivided=True)
        name = path.split("/products/", 1)[1].split("/", 1)[0]
        return Page(trades, self._path(name, span, end))

    @staticmethod
    def _path(name: str, span: PastSpan, end: int) -> str:
        return f"/api/v3/brokerage/market/products/{name}/ticker?limit={PAGE_TRADES}&start={span.begin // SECOND}&end={end}"


class _AlpacaPast(msgspec.Struct, gc=False):
    t: str
    p: msgspec.Raw
    s: msgspec.Raw
    i: int
    tks: str = ""


class _AlpacaTrades(msgspec.Struct, gc=False):
    trades: dict[str, list[_AlpacaPast]] = {}
    next_page_token: str | None = None


_ALPACA: Final = msgspec.json.Decoder(_AlpacaTrades)
_ALPACA_SIDES: Final = {"B": Side.BUY, "S": Side.SELL}


class AlpacaHistory:
    """Pages by token. The trades of the crypto feed need no key."""

    weight = 1

    def __init__(self) -> None:
        self._numbers = NumberReader()
        self._times = TimeReader()

    def first(self, name: str, span: PastSpan) -> str:
        return self._path(name, span)

    def page(self, path: str, span: PastSpan, body: str) -> Page:
        reply, number = _ALPACA.decode(body), self._numbers.above_zero
        trades = [
            PastTrade(
                number(str(row.p, "utf-8")),
                number(str(row.s, "utf-8")),
                _ALPACA_SIDES.get(row.tks),
                str(row.i),
                self._times.nanoseconds(row.t),
            )
            for rows in reply.trades.values()
            for row in rows
        ]
        token = reply.next_page_token
        return Page(trades, f"{self._path(_asked(path, 'symbols'), span)}&page_token={quote(token, safe='')}" if token else "")

    @staticmethod
    def _path(name: str, span: PastSpan) -> str:
        bounds = f"start={quote(rfc3339(span.begin))}&end={quote(rfc3339(span.end))}"
        return f"/v1beta3/crypto/us/trades?symbols={quote(name, safe='')}&{bounds}&limit={PAGE_TRADES}"


_HISTORIES: Final[Mapping[str, type[VenueHistory]]] = {
    BINANCE_SPOT: BinanceHistory,
    KRAKEN: KrakenHistory,
    COINBASE: CoinbaseHistory,
    ALPACA_CRYPTO: AlpacaHistory,
}


def history(kind: str) -> VenueHistory | None:
    """Return the past of a kind of venue; None for a kind that has none."""
    made = _HISTORIES.get(kind)
    return made() if made else None


def _binance_from(name: str, trade_id: int) -> str:
    return f"/api/v3/historicalTrades?symbol={name}&fromId={trade_id}&limit={PAGE_TRADES}"


def _asked(path: str, name: str) -> str:
    """Return a parameter of a path. Raises ValueError without it."""
    found = parse_qs(urlsplit(path).query).get(name)
    if not found:
        raise ValueError(f"{path} has no {name}")
    return found[0]
