"""Which quotes leave for the core: each change of touch, at most so often a symbol, always the last one; unchanged ones now and then.

A book leaves with each of its quotes, and also when only levels behind its touch changed, at a pace of its own.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from domain.market.quotes import Quote
from domain.market.records import Flag

SECOND: Final = 1_000_000_000


class TickPace(NamedTuple):
    """`interval`: between two quotes of a symbol at a venue; `repeat`: after which an unchanged one is sent again; nanoseconds."""

    interval: int = SECOND // 50
    repeat: int = SECOND


class DepthPace(NamedTuple):
    """`levels` a side leave, none at 0; `interval`: between two of a symbol at a venue whose touch did not change, nanoseconds."""

    levels: int = 5
    interval: int = SECOND // 10


class _Sent(msgspec.Struct):
    quote: Quote
    at: int
    waits: Quote | None = None
    ended: bool = False


class Conflation:
    """The last quote of each symbol of one venue. All times are of our steady clock."""

    def __init__(self, pace: TickPace = TickPace()) -> None:  # noqa: B008 - immutable
        self._pace = pace
        self._sent: dict[str, _Sent] = {}
        self._waiting: dict[str, _Sent] = {}
        self._repeated_at = 0
        self.conflated = 0

    def offer(self, quote: Quote, now: int) -> Quote | None:
        """Return the quote if it is to be sent now. Else it waits, if it changes the touch, and replaces the one that waited."""
        sent = self._sent.get(quote.symbol)
        if sent is None:
            self._sent[quote.symbol] = _Sent(quote, now)
            return quote
        if sent.waits is None and not sent.ended and same_touch(quote, sent.quote):
            sent.quote = quote
            return None
        if sent.ended or now - sent.at >= self._pace.interval:
            return self._send(sent, quote, now)
        self.conflated += sent.waits is not None
        self._waiting[quote.symbol] = sent
        sent.waits = quote
        return None

    def is_live(self, symbol: str) -> bool:
        """Return whether the symbol has a quote that is repeated."""
        sent = self._sent.get(symbol)
        return sent is not None and not sent.ended

    def end(self, symbol: str, now: int) -> Quote | None:
        """Return the last quote, flagged as stale, to be sent at once; None if there is none, or it has ended already.

        It is not repeated. The next offer is sent at once.
        """
        sent = self._sent.get(symbol)
        if sent is None or sent.ended:
            return None
        last = sent.waits or sent.quote
        sent.waits, sent.at, sent.ended = None, now, True
        self._waiting.pop(symbol, None)
        return msgspec.structs.replace(last, flags=(*last.flags, Flag.STALE))

    def due(self, now: int) -> Iterator[Quote]:
        """Yield the quotes that have waited long enough, and those to be repeated."""
        if self._waiting:
            for sent in [each for each in self._waiting.values() if now - each.at >= self._pace.interval]:
                if sent.waits is not None:
                    yield self._send(sent, sent.waits, now)
        if now - self._repeated_at < self._pace.repeat // 4:
            return
        self._repeated_at = now
        for sent in self._sent.values():
            if not sent.ended and now - sent.at >= self._pace.repeat - self._pace.repeat // 4:
                yield self._send(sent, sent.waits or sent.quote, now)

    def _send(self, sent: _Sent, quote: Quote, now: int) -> Quote:
        if sent.waits is not None:
            del self._waiting[quote.symbol]
        sent.quote, sent.at, sent.waits, sent.ended = quote, now, None, False
        return quote


class ChangedBooks:
    """The books of one venue that changed since they left. All times are of our steady clock."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._sent_at: dict[str, int] = {}
        self._changed: dict[str, None] = {}

    def changed(self, symbols: Iterable[str]) -> None:
        self._changed.update(dict.fromkeys(symbols))

    def sent(self, symbol: str, now: int) -> None:
        """Note that the book left as it is."""
        self._sent_at[symbol] = now
        self._changed.pop(symbol, None)

    def due(self, now: int) -> list[str]:
        """Return the symbols whose book changed and may leave. They stay due until they are sent."""
        return [symbol for symbol in self._changed if now - self._sent_at.get(symbol, now - self._interval) >= self._interval]


def same_touch(one: Quote, other: Quote) -> bool:
    """Return whether prices and sizes are equal; the times may differ."""
    return one.bid == other.bid and one.ask == other.ask and one.bid_size == other.bid_size and one.ask_size == other.ask_size
