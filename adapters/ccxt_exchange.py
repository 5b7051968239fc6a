"""An exchange through the library ccxt, polled: it looks like a socket, so that gateway treats it as any other venue.

ccxt is optional and takes 120 MB: it is loaded only where a venue of the kind ccxt:<exchange> is configured.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from domain.market.venues.ccxt_books import CcxtRequest
from domain.ports import Unavailable

POLL_S: Final = 1.0
"""Between two rounds over all symbols. ccxt spaces the requests of a round by the limits of the exchange."""
LIMITED_PAUSE_S: Final = 20.0
"""After a limit. With the time of the next request it is shorter than `liveness.mute_after_sec` (30) of gateway, which would end the
connection as mute and read all markets again."""
REQUEST_TIMEOUT_MS: Final = 10_000
REASON_MAX: Final = 200

_REQUEST: Final = msgspec.json.Decoder(CcxtRequest)


def check(name: str) -> None:
    """Raise ValueError if ccxt is not installed, or has no such exchange."""
    if name not in _library().exchanges:
        raise ValueError(f"ccxt has no exchange {name!r}")


def _library() -> Any:
    try:
        import ccxt.async_support as ccxt  # late: it is optional, and large
    except ImportError:
        raise ValueError("ccxt is not installed: make ccxt") from None
    return ccxt


async def dial(name: str, rest_url: str | None) -> "CcxtSocket":
    """Read the markets of an exchange. `rest_url`: where it is, in place of its own address. Raises Unavailable."""
    ccxt = _library()
    exchange = getattr(ccxt, name)({"enableRateLimit": True, "timeout": REQUEST_TIMEOUT_MS})
    if rest_url is not None:
        exchange.urls["api"] = _moved(exchange.urls["api"], rest_url)
    async with AsyncExitStack() as unless_read:
        unless_read.push_async_callback(exchange.close)
        try:
            await exchange.load_markets()
        except ccxt.BaseError as error:
            raise Unavailable(_words(error)) from error
        unless_read.pop_all()
    return CcxtSocket(ccxt, exchange)


class CcxtSocket:
    """The books of an exchange, as texts. `send` takes a CcxtRequest."""

    def __init__(self, ccxt: Any, exchange: Any) -> None:
        self._ccxt = ccxt
        self._exchange = exchange
        self._depths: dict[str, int] = {}
        self._asked = asyncio.Event()

    async def send(self, text: str) -> None:
        request = _REQUEST.decode(text)
        for symbol in request.symbols:
            if request.method == "subscribe":
                self._depths[symbol] = request.depth
                self._asked.set()
            else:
                self._depths.pop(symbol, None)

    async def read(self, take: Callable[[str], None]) -> str:
        """Poll in rounds, and call `take` with each book; return why that ends."""
        while True:
            await self._asked.wait()
            for symbol in list(self._depths):
                if (reason := await self._poll(symbol, take)) is not None:
                    return reason
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        await self._exchange.close()

    async def _poll(self, symbol: str, take: Callable[[str], None]) -> str | None:
        """Fetch one book. Return the reason if that ends the connection, else None."""
        if symbol not in self._depths:
            return None
        ccxt = self._ccxt
        try:
            book = await self._exchange.fetch_order_book(symbol)
        except ccxt.BadSymbol as error:
            self._depths.pop(symbol, None)  # until it is asked for again
            take(_error(symbol, error))
            return None
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            take(_error(symbol, error))
            await asyncio.sleep(LIMITED_PAUSE_S)
            return None
        except ccxt.BaseError as error:
            return _words(error)
        depth = self._depths.get(symbol)
        if depth is None:
            return None  # it is not asked for any more
        sides = {side: [level[:2] for level in book[side][:depth]] for side in ("bids", "asks")}
        take(json.dumps({"symbol": symbol, "at": book["timestamp"], **sides}))
        return None


def _error(symbol: str, error: Exception) -> str:
    return json.dumps({"symbol": symbol, "error": type(error).__name__, "message": str(error)[:REASON_MAX]})


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:REASON_MAX]


def _moved(urls: Any, base: str) -> Any:
    """Return the addresses of an exchange, which are nested differently for each, at another host."""
    if isinstance(urls, dict):
        return {name: _moved(each, base) for name, each in urls.items()}
    return f"{base}{urlsplit(urls).path}" if isinstance(urls, str) else urls
