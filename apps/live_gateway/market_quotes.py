"""Quotes and books of the market's venues, shown by the paper venues in their own shape: of a named venue, or of the best one."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client.core import Metric

from apps.live_gateway.venue_host import VenueHost
from apps.runtime import metrics
from domain.market.depth import Depth, KnownDepths
from domain.market.prints import Prints
from domain.market.quotes import STALE, Market, Quote, best_source
from domain.ports import Clock
from domain.values import Side, subject_token

AGE_MAX_NS: Final = 3_000_000_000
"""A valid quote is repeated about once a second. One that was not for this long ends: its feed, or normalizer, is away."""
LOOK_S: Final = 0.25
PRINTS_WAITING_MAX: Final = 256
"""Messages of prints that wait for one symbol. Beyond them the oldest is dropped: those ahead of an order then count as still there."""


class _ShownQuote(NamedTuple):
    """The quote of the market that a paper venue shows, and the book behind it."""

    quote: Quote
    book: Depth | None

    def has_levels_of(self, book: Depth | None) -> bool:
        if self.book is None or book is None:
            return self.book is book
        return self.book.bids == book.bids and self.book.asks == book.asks


class MarketQuotes:
    """The latest quotes of the market, and what each paper venue shows of them. Without `books` only their touch."""

    def __init__(self, hosts: Mapping[str, VenueHost], clock: Clock) -> None:
        self._hosts = hosts
        self._clock = clock
        self._market = Market()
        self._changed: dict[str, None] = {}
        self._known: set[str] = set()
        self._shown: dict[tuple[str, str], _ShownQuote] = {}
        """By paper venue and symbol."""
        self._symbols = {subject_token(symbol): symbol for host in hosts.values() for symbol in host.instruments}
        self.books: KnownDepths | None = None
        self._prints: dict[str, deque[Prints]] = {}
        self.prints_dropped = 0
        self._wake = asyncio.Event()
        self._looked_at = 0

    def take(self, quote: Quote, arrived_ns: int) -> None:
        """Take a quote of the market, or the end of one. The paper venues' own quotes come the same way and are ignored."""
        if quote.venue in self._hosts:
            return
        self._market.update(quote, arrived_ns)
        if self.books is not None and STALE in quote.flags:
            self.books.end(quote)
        self._changed[quote.symbol] = None
        self._wake.set()

    def take_book(self, venue: str, token: str) -> None:
        """Note that a book has arrived, by the token of its symbol. The paper venues' own ones are ignored."""
        if venue not in self._hosts and (symbol := self._symbols.get(token)) is not None:
            self._changed[symbol] = None
            self._wake.set()

    def take_prints(self, prints: Prints) -> None:
        """Take trades of the market. They are passed on before the quotes that come after them."""
        waiting = self._prints.setdefault(prints.symbol, deque(maxlen=PRINTS_WAITING_MAX))
        self.prints_dropped += len(waiting) == PRINTS_WAITING_MAX
        waiting.append(prints)
        self._changed[prints.symbol] = None
        self._wake.set()

    def series(self) -> Iterator[Metric]:
        yield metrics.counter(
            "gateway_prints_dropped", "Messages of prints that the paper venues could not take in time", self.prints_dropped
        )

    async def run(self) -> None:
        """Show what changed, at once, and end what is too old, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            self.look(self._clock.monotonic_ns())

    def look(self, now: int) -> None:
        """Show what changed, and a few times a second end what is too old. `now` is of our steady clock."""
        changed, self._changed = self._changed, {}
        self._known.update(changed)
        symbols = list(changed)
        if now - self._looked_at >= LOOK_S * 1e9:
            self._looked_at = now
            symbols += [symbol for symbol in self._known if symbol not in changed and not self._market.quotes(symbol, now - AGE_MAX_NS)]
        for symbol in symbols:
            self._show(symbol, now)

    def _show(self, symbol: str, now: int) -> None:
        """Show what is new. A quote is shown once: shown again, it would renew the sizes that orders took since.

        One that normalizer repeats is published again, which shows that it is still valid. A book arrives shortly before its quote:
        until then the last quote keeps its own book. From its next quote on a venue shows a book that belongs to it, or none.
        """
        quotes = self._market.quotes(symbol, now - AGE_MAX_NS)
        printed = self._prints.pop(symbol, ())
        for name, host in self._hosts.items():
            wanted = host.settings.market
            source = best_source(quote for quote in quotes if wanted in ("", quote.venue))
            before = self._shown.pop((name, symbol), None)
            for prints in printed:
                if before is not None and prints.venue == before.quote.venue:
                    host.trade(symbol, prints.prints)
            if source is None:
                host.end(symbol)
                continue
            book = self._book_of(source, now)
            if before is not None and source is before.quote and (book is None or before.has_levels_of(book)):
                self._shown[name, symbol] = before
                continue
            self._shown[name, symbol] = _ShownQuote(source, book)
            if before is not None and source is before.quote and book is not None:
                host.show_book(book)
            elif before is not None and source == before.quote and before.has_levels_of(book):
                host.repeat(symbol)
            else:
                host.show(source, source.at, book)

    def _book_of(self, quote: Quote, now: int) -> Depth | None:
        """Return the book that belongs to the quote on both sides, if it is known."""
        book = self.books.of(quote, now - AGE_MAX_NS) if self.books is not None else None
        return book if book is not None and all(book.belongs_to(quote, side) for side in Side) else None
