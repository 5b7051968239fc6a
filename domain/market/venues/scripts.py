"""What a connection to each kind of venue sends: the address, subscriptions in bounded batches, what brings a book back."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from domain.market.venues.feed import KEY_PLACEHOLDER, SECRET_PLACEHOLDER, Fetch, Send

BATCH_MAX: Final = 50
"""Symbols, or streams, of one subscription message."""

BINANCE_STREAMS_MAX: Final = 1024
"""Streams of one connection, by the venue's rule. Each symbol has two: depth and trades."""
BINANCE_URL_STREAMS_MAX: Final = 100
"""Streams that the address names. More of them are subscribed to by messages."""
BINANCE_SNAPSHOT_LEVELS: Final = 1000
BINANCE_SNAPSHOT_WEIGHT: Final = 50
"""The venue's request weight of a snapshot with that many levels."""

KRAKEN_DEPTHS: Final = (10, 25, 100, 500, 1000)

REFUSAL_CHARACTERS_MAX: Final = 500
"""A message that refuses something is shorter, so that data is never searched for it."""


class _Refusal(msgspec.Struct, gc=False):
    success: bool | None = None
    type: str = ""
    symbol: str = ""


_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


def _refusal(text: str) -> _Refusal | None:
    if len(text) > REFUSAL_CHARACTERS_MAX or '"error"' not in text:
        return None
    try:
        return _REFUSAL.decode(text)
    except msgspec.MsgspecError:
        return None  # its decoder states the fact


def kraken_depth(wanted: int) -> int:
    """Return the smallest depth that the venue offers and that is at least `wanted`; its largest if none is."""
    return next((depth for depth in KRAKEN_DEPTHS if depth >= wanted), KRAKEN_DEPTHS[-1])


class BinanceSpotScript:
    """Binance spot: differences every 100 ms, single trades, snapshots over REST. The venue pings on the transport."""

    def __init__(self, ws_url: str, symbols: Mapping[str, str], depth: int) -> None:
        """`depth` is not used: differences have every level. Raises ValueError if one connection cannot have that many symbols."""
        self._symbols = symbols
        self._streams = [stream for name in symbols.values() for stream in _binance_streams(name)]
        if len(self._streams) > BINANCE_STREAMS_MAX:
            raise ValueError(f"one connection has at most {BINANCE_STREAMS_MAX // 2} symbols, not {len(symbols)}")
        parts = urlsplit(ws_url)
        self._path = bool(parts.path.strip("/") or parts.query)
        self._url = ws_url if self._path else ws_url.rstrip("/")

    def url(self) -> str:
        if self._path:
            return self._url
        return f"{self._url}/stream?streams={'/'.join(self._streams)}" if self._named_in_url() else f"{self._url}/stream"

    def opening(self) -> Sequence[Send | Fetch]:
        fetches = [_binance_snapshot(name) for name in self._symbols.values()]
        if self._named_in_url():
            return fetches
        batches = _batches(self._streams)
        return [*(_send(method="SUBSCRIBE", params=batch, id=number) for number, batch in enumerate(batches, 1)), *fetches]

    def resync(self, symbol: str) -> Sequence[Send | Fetch]:
        return [_binance_snapshot(self._symbols[symbol])]

    def subscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return [self._streams_of("SUBSCRIBE", symbol), _binance_snapshot(self._symbols[symbol])]

    def unsubscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return [self._streams_of("UNSUBSCRIBE", symbol)]

    def refused(self, text: str) -> str | None:
        return None  # an unknown stream is silent; the snapshot is refused

    def answer(self, text: str) -> Sequence[Send]:
        return ()

    def keepalive(self) -> Send | None:
        return None

    def _streams_of(self, method: str, symbol: str) -> Send:
        return _send(method=method, params=_binance_streams(self._symbols[symbol]), id=list(self._symbols).index(symbol) + 1)

    def _named_in_url(self) -> bool:
        return not self._path and len(self._streams) <= BINANCE_URL_STREAMS_MAX


class KrakenScript:
    """Kraken v2: `book` at a fixed depth and `trade`. A subscription starts with a snapshot."""

    def __init__(self, ws_url: str, symbols: Mapping[str, str], depth: int) -> None:
        self._url = ws_url
        self._symbols = symbols
        self._depth = kraken_depth(depth)

    def url(self) -> str:
        return self._url

    def opening(self) -> Sequence[Send | Fetch]:
        batches = _batches(list(self._symbols.values()))
        return [*(self._book("subscribe", names) for names in batches), *(self._trades("subscribe", names) for names in batches)]

    def resync(self, symbol: str) -> Sequence[Send | Fetch]:
        names = [self._symbols[symbol]]
        return [self._book("unsubscribe", names), self._book("subscribe", names)]

    def subscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        names = [self._symbols[symbol]]
        return [self._book("subscribe", names), self._trades("subscribe", names)]

    def unsubscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        names = [self._symbols[symbol]]
        return [self._book("unsubscribe", names), self._trades("unsubscribe", names)]

    def refused(self, text: str) -> str | None:
        found = _refusal(text)
        return found.symbol if found is not None and found.success is False else None

    def answer(self, text: str) -> Sequence[Send]:
        return ()

    def keepalive(self) -> Send | None:
        return _send(method="ping")

    def _book(self, method: str, names: Sequence[str]) -> Send:
        return _send(method=method, params={"channel": "book", "symbol": names, "depth": self._depth})

    @staticmethod
    def _trades(method: str, names: Sequence[str]) -> Send:
        terms = {"snapshot": False} if method == "subscribe" else {}
        return _send(method=method, params={"channel": "trade", "symbol": names, **terms})


class CoinbaseScript:
    """Coinbase Advanced Trade, public channels: `level2`, `market_trades`, `heartbeats`. A subscription starts with a snapshot."""

    def __init__(self, ws_url: str, symbols: Mapping[str, str], depth: int) -> None:
        """`depth` is not used: level2 has every level."""
        self._url = ws_url
        self._symbols = symbols

    def url(self) -> str:
        return self._url

    def opening(self) -> Sequence[Send | Fetch]:
        batches = _batches(list(self._symbols.values()))
        subscriptions = [
            _send(type="subscribe", product_ids=names, channel=channel) for channel in ("level2", "market_trades") for names in batches
        ]
        return [_send(type="subscribe", channel="heartbeats"), *subscriptions]

    def resync(self, symbol: str) -> Sequence[Send | Fetch]:
        names = [self._symbols[symbol]]
        return [_send(type=verb, product_ids=names, channel="level2") for verb in ("unsubscribe", "subscribe")]

    def subscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return self._both("subscribe", symbol)

    def unsubscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return self._both("unsubscribe", symbol)

    def refused(self, text: str) -> str | None:
        found = _refusal(text)
        return "" if found is not None and found.type == "error" else None

    def _both(self, verb: str, symbol: str) -> Sequence[Send]:
        names = [self._symbols[symbol]]
        return [_send(type=verb, product_ids=names, channel=channel) for channel in ("level2", "market_trades")]

    def answer(self, text: str) -> Sequence[Send]:
        return ()

    def keepalive(self) -> Send | None:
        return None


class AlpacaCryptoScript:
    """Alpaca's crypto feed, v1beta3: log in, then subscribe as soon as the venue says "authenticated"."""

    _REPLY_CHARACTERS_MAX: Final = 200
    """The reply to a log-in is shorter, so that data is never searched for it."""

    def __init__(self, ws_url: str, symbols: Mapping[str, str], depth: int) -> None:
        """`depth` is not used: the feed has every level."""
        self._url = ws_url
        self._symbols = symbols

    def url(self) -> str:
        return self._url

    def opening(self) -> Sequence[Send | Fetch]:
        return [_send(action="auth", key=KEY_PLACEHOLDER, secret=SECRET_PLACEHOLDER)]

    def resync(self, symbol: str) -> Sequence[Send | Fetch]:
        names = [self._symbols[symbol]]
        return [_send(action=verb, orderbooks=names) for verb in ("unsubscribe", "subscribe")]

    def subscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return [_send(action="subscribe", orderbooks=[self._symbols[symbol]], trades=[self._symbols[symbol]])]

    def unsubscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return [_send(action="unsubscribe", orderbooks=[self._symbols[symbol]], trades=[self._symbols[symbol]])]

    def refused(self, text: str) -> str | None:
        return None  # a refusal leads to a look at the list of instruments, which this venue does not publish

    def answer(self, text: str) -> Sequence[Send]:
        if len(text) > self._REPLY_CHARACTERS_MAX or '"authenticated"' not in text:
            return ()
        return [_send(action="subscribe", orderbooks=names, trades=names) for names in _batches(list(self._symbols.values()))]

    def keepalive(self) -> Send | None:
        return None


def _binance_streams(name: str) -> list[str]:
    return [f"{name.lower()}@{kind}" for kind in ("depth@100ms", "trade")]


def _binance_snapshot(name: str) -> Fetch:
    path = f"/api/v3/depth?symbol={name.upper()}&limit={BINANCE_SNAPSHOT_LEVELS}"
    return Fetch(path=path, venue_symbol=name, weight=BINANCE_SNAPSHOT_WEIGHT)


def _batches(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[first : first + BATCH_MAX] for first in range(0, len(names), BATCH_MAX)]


def _send(**message: object) -> Send:
    return Send(text=msgspec.json.encode(message).decode())
