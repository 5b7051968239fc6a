"""Trades and quotes of a symbol over all venues, in one total order, so that a page of them continues without a hole."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from domain.values import Side

PLACE_WIDTH: Final = 48
"""Characters of a trade id or sequence within a place. Ids of digits are then ordered as numbers."""


class TickTable(StrEnum):
    """The tables of ticks."""

    TRADES = "trades"
    QUOTES = "quotes"


class TickPlace(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a tick stands among all ticks of its symbol. `at`: the venue's time, nanoseconds UTC."""

    at: int
    beside: str
    """Orders the ticks of one moment: venue, then trade id or sequence."""


class VenueTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade at one venue. `at`: the venue's time, nanoseconds UTC; `side` is the taker's."""

    at: int
    venue: str
    price: Decimal
    quantity: Decimal
    side: Side
    trade_id: str

    @property
    def place(self) -> TickPlace:
        return TickPlace(self.at, f"{self.venue} {self.trade_id:>{PLACE_WIDTH}}")


class VenueQuote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask of one venue. `at`: the venue's time, nanoseconds UTC. A side of size zero shows nothing."""

    at: int
    venue: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    seq: int

    @property
    def place(self) -> TickPlace:
        return TickPlace(self.at, f"{self.venue} {self.seq:>{PLACE_WIDTH}}")


class TickSpan(msgspec.Struct, frozen=True, gc=False):
    """The ticks from `first` to `last`, nanoseconds UTC, both included. `behind` is the last one that the reader has already."""

    first: int
    last: int
    newest_first: bool = False
    behind: TickPlace | None = None

    def has(self, place: TickPlace) -> bool:
        """Return whether a tick at this place is to be read."""
        if not self.first <= place.at <= self.last:
            return False
        return self.behind is None or (place < self.behind if self.newest_first else place > self.behind)
