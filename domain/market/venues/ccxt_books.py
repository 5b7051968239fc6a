"""Venues through ccxt: whole books that gateway polls, as binary floating point. Quotes and books are flagged as inexact.

The messages are ours (adapters.ccxt_exchange writes them), because ccxt gives objects and no text of the venue.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from domain.market.records import FactKind, Flag, Level
from domain.market.venues.book_side import BookSide
from domain.market.venues.decoder import UnknownMessage
from domain.market.venues.feed import Fetch, Send
from domain.market.venues.live_book import LEVELS_MAX, BookUpdate
from domain.market.venues.session import FeedSession
from domain.market.venues.wire import NumberReader, unix_time
from domain.values import ZERO

FLAGS: Final = (Flag.INEXACT, Flag.UNCHECKED)
LIMITS: Final = frozenset({"RateLimitExceeded", "DDoSProtection"})
"""Errors of ccxt by which a venue asks for fewer requests."""


class CcxtRequest(msgspec.Struct, frozen=True):
    """What is asked for: these symbols more, or less; `depth` is the levels of a side."""

    method: str
    symbols: Sequence[str]
    depth: int = 0


class CcxtBook(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A polled book; `at` is the venue's time in milliseconds. With `error`, the class of an error of ccxt, there is none."""

    symbol: str
    bids: Sequence[tuple[msgspec.Raw, msgspec.Raw]] = ()
    asks: Sequence[tuple[msgspec.Raw, msgspec.Raw]] = ()
    at: int | None = None
    error: str = ""
    message: str = ""


_BOOK: Final = msgspec.json.Decoder(CcxtBook)


class CcxtScript:
    """Names the symbols to poll. Each poll is a whole book, so nothing brings one back sooner."""

    def __init__(self, ws_url: str, symbols: Mapping[str, str], depth: int) -> None:
        self._url = ws_url
        self._symbols = symbols
        self._depth = depth

    def url(self) -> str:
        return self._url

    def opening(self) -> Sequence[Send | Fetch]:
        return [self._request("subscribe", list(self._symbols.values()))]

    def resync(self, symbol: str) -> Sequence[Send | Fetch]:
        return self.subscribe(symbol)

    def subscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return [self._request("subscribe", [self._symbols[symbol]])]

    def unsubscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        return [self._request("unsubscribe", [self._symbols[symbol]])]

    def answer(self, text: str) -> Sequence[Send]:
        return ()

    def refused(self, text: str) -> str | None:
        return None

    def keepalive(self) -> Send | None:
        return None

    def _request(self, method: str, names: Sequence[str]) -> Send:
        return Send(text=msgspec.json.encode(CcxtRequest(method, names, self._depth)).decode())


class CcxtDialect:
    """Each message replaces a book. What changed since the last one is a delta: it shows how often the venue is heard."""

    numbered = False

    def __init__(self, session: FeedSession) -> None:
        self._session = session
        self._numbers = NumberReader()

    def message(self, text: str) -> None:
        session, sent = self._session, _BOOK.decode(text)
        if sent.error:
            kind = FactKind.LIMITED if sent.error in LIMITS else FactKind.REFUSED
            session.fact(kind, session.names.get(sent.symbol, ""), detail=f"{sent.error} {sent.symbol}: {sent.message}")
            return
        book = session.book(sent.symbol)
        if book is None:
            return
        bids, asks = self._levels(sent.bids), self._levels(sent.asks)
        at = None if sent.at is None else unix_time(sent.at)
        if bids is None or asks is None or (at is None and sent.at is not None):
            session.refused(book, f"book at {sent.at}")
            return
        update = BookUpdate(_changes(book.bids, bids), _changes(book.asks, asks), session.n, session.n, at)
        book.replace(bids, asks, LEVELS_MAX)
        if book.valid:
            session.changed(book, update, flags=FLAGS)
        else:
            session.whole(book, session.n, at, flags=FLAGS)

    def reply(self, name: str, status: int, path: str, body: str) -> None:
        raise UnknownMessage(f"reply to {path}")

    def _levels(self, levels: Sequence[tuple[msgspec.Raw, msgspec.Raw]]) -> list[Level] | None:
        return self._numbers.levels([(str(price, "utf-8"), str(size, "utf-8")) for price, size in levels])


def _changes(side: BookSide, levels: list[Level]) -> list[Level]:
    """Return what makes the levels of a side of it; a size of zero removes one."""
    before, after = dict(side.levels(len(side))), dict(levels)
    gone = [(price, ZERO) for price in before if price not in after]
    return [*gone, *((price, size) for price, size in levels if before.get(price) != size)]
