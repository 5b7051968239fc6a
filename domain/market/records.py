"""What a market says, normalised: trades, books and facts beside the Quote of `domain.market.quotes`. One form for every venue."""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec

from domain.market.quotes import Quote
from domain.values import Side

Level = tuple[Decimal, Decimal]
"""Price and size. In a delta, a size of zero removes the level."""


class Flag(StrEnum):
    """What a reader must know about a record."""

    NO_VENUE_TIME = "no_venue_time"
    """The venue sends no time with it: `at` is the time of receipt."""
    STALE = "stale"
    CROSSED = "crossed"
    UNCHECKED = "unchecked"
    """The venue sends no sequence and no checksum that would prove it."""
    REPLAYED = "replayed"
    BACKFILLED = "backfilled"
    INEXACT = "inexact"
    """It passed through binary floating point. Never a mark for risk, unless configured."""


class MarketTrade(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One trade at a venue. `side` is the taker's. Times are nanoseconds UTC: `at` the venue's, `received` ours."""

    symbol: str
    venue: str
    price: Decimal
    quantity: Decimal
    side: Side
    trade_id: str
    at: int
    received: int
    seq: int = 0
    flags: tuple[Flag, ...] = ()


class BookKind(StrEnum):
    SNAPSHOT = "snapshot"
    DELTA = "delta"


class Book(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole book, or the levels that changed. Bids from the highest price, asks from the lowest.

    `seq` is the venue's own number of the update (the frame's number in its epoch where the venue has none), `prev` the one before.
    `checked`: whether the venue's checksum agreed; None where it sends none.
    """

    symbol: str
    venue: str
    kind: BookKind
    bids: Sequence[Level]
    asks: Sequence[Level]
    seq: int
    at: int
    received: int
    prev: int = 0
    checked: bool | None = None
    flags: tuple[Flag, ...] = ()


class FactKind(StrEnum):
    """What happened to a feed."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    """A symbol is not asked for any more."""
    GAP = "gap"
    CHECKSUM_FAILED = "checksum_failed"
    RESYNC = "resync"
    REPAIRED = "repaired"
    STALE = "stale"
    FRESH = "fresh"
    CROSSED = "crossed"
    CROSSED_VENUES = "crossed_venues"
    """The bid of this venue is at or above the ask of another one. Both books are valid, and both keep quoting."""
    UNCROSSED_VENUES = "uncrossed_venues"
    SKEW = "skew"
    HALTED = "halted"
    REJECTED_FRAME = "rejected_frame"
    REJECTED_RECORD = "rejected_record"
    UNKNOWN_SYMBOL = "unknown_symbol"
    LIMITED = "limited"
    """The venue asked for fewer requests."""
    REFUSED = "refused"
    """The venue refused a request of ours: a subscription, a log-in, a snapshot."""
    PRECISION = "precision"
    """The venue's own list has other steps of prices or quantities than before."""
    DELISTED = "delisted"
    """The venue's own list does not have the symbol."""
    BACKFILLED = "backfilled"
    """Trades of the past were read; `from_` and `to` bound their time, nanoseconds UTC."""
    LOST = "lost"
    """Records are gone from the stream before a reader had them; `from_` and `to` say which."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """Something that happened to a feed. `symbol` is empty if it concerns the whole venue; `from_` and `to` bound what is missing."""

    fact: FactKind
    venue: str
    at: int
    symbol: str = ""
    from_: int = 0
    to: int = 0
    detail: str = ""
    epoch: int = 0
    n: int = 0
    """The frame that it was derived from."""


Record = Quote | MarketTrade | Book | Fact
R = TypeVar("R", Quote, MarketTrade, Book, Fact)

DETAIL_MAX: Final = 200
"""Characters of a fact's detail."""


class Records(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One message on `market.quotes.<venue>`, `.trades.`, `.books.` or `.facts.`: records of one kind, derived from the frames up to `n`.

    A reader's checkpoint is (venue, epoch, n): never the number of a stream, which comes again after a power cut. A message that repeats
    an (epoch, n) has the same records. Facts that were derived from no frame (silence, by our clock) have the `n` 0: readers always take
    them, and their checkpoint stays.
    """

    v: int = 1
    venue: str
    epoch: int
    n: int
    records: Sequence[R]
