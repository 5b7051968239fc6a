"""Trades of a simulated or recorded market as prints, for trailing stops that follow the last trade. A real market has its own."""

from collections.abc import Mapping
from typing import Final

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Send
from apps.live_gateway.venue_host import VenueHost
from domain.market.prints import Print, Prints
from domain.market.quotes import Quote
from domain.ports import Clock
from domain.values import Side, subject_token

TRADE_EVERY_NS: Final = 200_000_000
"""The least time between two simulated trades of a symbol."""


class SimulatedTrades:
    """Publishes each trade once, as one of the first venue by name that lists the symbol."""

    def __init__(self, hosts: Mapping[str, VenueHost], send: Send, clock: Clock) -> None:
        self._venues: dict[str, str] = {}
        for name in sorted(hosts):
            for symbol in hosts[name].instruments:
                self._venues.setdefault(symbol, name)
        self._hosts = hosts
        self._send = send
        self._clock = clock
        self._epoch = clock.now_ns()
        self._n = 0
        self._last: dict[str, tuple[Quote, int]] = {}

    def quoted(self, quote: Quote) -> None:
        """Trade a lot at the touch towards which the market moved: a buyer's at the ask if the bid did not fall, else a seller's."""
        before, at = self._last.get(quote.symbol, (quote, 0))
        venue, now_ns = self._venues.get(quote.symbol), self._clock.monotonic_ns()
        if venue is None or (at and now_ns - at < TRADE_EVERY_NS):
            return
        self._last[quote.symbol] = quote, now_ns
        side = Side.BUY if quote.bid >= before.bid else Side.SELL
        self.traded(quote.symbol, (Print(quote.touch(side), self._hosts[venue].instruments[quote.symbol].lot, side),))

    def traded(self, symbol: str, prints: tuple[Print, ...]) -> None:
        """Publish trades of the market that the venues show."""
        if (venue := self._venues.get(symbol)) is None:
            return
        self._n += 1
        found = Prints(symbol=symbol, venue=venue, prints=prints, epoch=self._epoch, n=self._n, at=self._clock.now_ns())
        self._send(subjects.prints(venue, subject_token(symbol)), encode(found))
