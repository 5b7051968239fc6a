"""Crossed and locked markets across venues: the bid of one venue at or above the ask of another. It is a fact; both venues keep quoting."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from domain.market.quotes import Quote
from domain.values import plain

SECOND: Final = 1_000_000_000
HOLD_NS: Final = SECOND // 4
"""How long it must last before it is a fact, as within a venue."""
OVER_NS: Final = SECOND
"""How long it must be over before its end is a fact: a crossing that comes back earlier is the same one."""


class Crossing(NamedTuple):
    """A begin or an end. `venue` had the bid when it began."""

    symbol: str
    venue: str
    begins: bool
    detail: str


class _State(msgspec.Struct):
    """`since`: when it began. `apart_since`: from when on it has not been seen; 0 while it is seen."""

    venue: str
    since: int
    is_fact: bool = False
    apart_since: int = 0


class AcrossVenues:
    """The symbols whose best bid and best ask of different venues cross or lock. All times are of our steady clock, in nanoseconds."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    @property
    def crossed(self) -> int:
        """Return how many symbols are crossed or locked."""
        return sum(state.is_fact for state in self._states.values())

    def look(self, quotes: Iterable[Quote], now: int) -> Iterator[Crossing]:
        """Yield what began or ended. `quotes`: every quote that is valid now, one of each symbol and venue."""
        bids: dict[str, Quote] = {}
        asks: dict[str, Quote] = {}
        for quote in quotes:
            if quote.bid_size and ((bid := bids.get(quote.symbol)) is None or quote.bid > bid.bid):
                bids[quote.symbol] = quote
            if quote.ask_size and ((ask := asks.get(quote.symbol)) is None or quote.ask < ask.ask):
                asks[quote.symbol] = quote
        for symbol, bid in bids.items():
            ask = asks.get(symbol)
            if ask is not None and bid.venue != ask.venue and bid.bid >= ask.ask:
                yield from self._seen(symbol, bid, ask, now)
        yield from self._apart(bids, asks, now)

    def _seen(self, symbol: str, bid: Quote, ask: Quote, now: int) -> Iterator[Crossing]:
        state = self._states.setdefault(symbol, _State(bid.venue, now))
        state.apart_since = 0
        if not state.is_fact and now - state.since >= HOLD_NS:
            state.is_fact, state.venue = True, bid.venue
            word = "crossed" if bid.bid > ask.ask else "locked"
            detail = f"{word}: bid {plain(bid.bid)} of {bid.venue}, ask {plain(ask.ask)} of {ask.venue}"
            yield Crossing(symbol, state.venue, True, detail)

    def _apart(self, bids: dict[str, Quote], asks: dict[str, Quote], now: int) -> Iterator[Crossing]:
        """Forget what is over: at once if it is no fact yet, else after OVER_NS."""
        for symbol, state in list(self._states.items()):
            bid, ask = bids.get(symbol), asks.get(symbol)
            if bid is not None and ask is not None and bid.venue != ask.venue and bid.bid >= ask.ask:
                continue
            state.apart_since = state.apart_since or now
            if not state.is_fact or now - state.apart_since >= OVER_NS:
                del self._states[symbol]
                if state.is_fact:
                    yield Crossing(symbol, state.venue, False, f"after {(state.apart_since - state.since) // 1_000_000} ms")
