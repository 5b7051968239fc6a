"""The book of one symbol on one connection: levels, validity, updates kept aside, and the resync that is under way."""

from collections import deque
from typing import Final

import msgspec

from domain.market.quotes import Quote
from domain.market.records import Flag, Level
from domain.market.venues.book_side import BookSide

LEVELS_MAX: Final = 50_000
"""Levels of one side. Worse ones are forgotten."""
KEPT_LEVELS_MAX: Final = 20_000
"""Levels of the updates that are kept aside for one book. Beyond them the oldest updates are dropped."""


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """Levels that changed, or a whole book. `first` and `seq` are the venue's numbers of its first and last change; `at` None: no time."""

    bids: list[Level]
    asks: list[Level]
    first: int
    seq: int
    at: int | None

    def weight(self) -> int:
        return 1 + len(self.bids) + len(self.asks)


class LiveBook:
    """State of one book. FeedSession changes it and says what changed."""

    __slots__ = (
        "asks",
        "at",
        "bids",
        "broken",
        "checked",
        "crossed_since",
        "first",
        "flags",
        "kept",
        "kept_levels",
        "quote",
        "received",
        "seq",
        "symbol",
        "touch",
        "valid",
    )

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.bids = BookSide(asks=False)
        self.asks = BookSide(asks=True)
        self.valid = False
        self.broken = False
        """It was valid, and a fact said that it is not any more."""
        self.checked: bool | None = None
        self.seq = self.at = self.received = 0
        self.first = 0
        """The number of the first change of its last update; of a snapshot, its own number."""
        self.flags: tuple[Flag, ...] = ()
        self.touch: tuple[Level | None, Level | None] | None = None
        """The best bid and ask of the last quote since the book became valid."""
        self.quote: Quote | None = None
        self.crossed_since: int | None = None
        self.kept: deque[BookUpdate] = deque()
        self.kept_levels = 0

    def shown(self) -> bool:
        """Return whether its levels may be shown. A book that waits for the other side of a crossed touch may not."""
        return self.valid and self.crossed_since is None

    def apply(self, bids: list[Level], asks: list[Level], depth: int) -> tuple[bool, list[Level], list[Level]]:
        """Apply a delta and truncate. Return whether levels changed, and the bids and asks that fell out of the depth."""
        changed = False
        for level in bids:
            changed |= self.bids.put(level)
        for level in asks:
            changed |= self.asks.put(level)
        return changed, self.bids.truncate(depth), self.asks.truncate(depth)

    def replace(self, bids: list[Level], asks: list[Level], depth: int) -> None:
        self.bids.replace(bids)
        self.asks.replace(asks)
        self.bids.truncate(depth)
        self.asks.truncate(depth)

    def keep(self, update: BookUpdate) -> int:
        """Keep an update for the next snapshot. Return how many old ones were dropped, because they do not lead to it or are too many."""
        dropped = 0
        if self.kept and update.first != self.kept[-1].seq + 1:
            dropped = self.forget()
        self.kept.append(update)
        self.kept_levels += update.weight()
        while self.kept_levels > KEPT_LEVELS_MAX:
            self.kept_levels -= self.kept.popleft().weight()
            dropped += 1
        return dropped

    def forget(self) -> int:
        forgotten = len(self.kept)
        self.kept.clear()
        self.kept_levels = 0
        return forgotten
