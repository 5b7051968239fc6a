"""The contract between gateway, normalizer and the venues' decoders: raw frames, what a decoder returns, and what a session sends.

gateway writes frames as received; a decoder folds them into records, facts and wishes; gateway fulfils wishes. Decoders are pure, so live
traffic, a replay and a test run the same code. The stream describes itself: an `open` frame names the kind of venue and its symbols.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from domain.market.records import Level, Record

FORMAT: Final = 1
FRAMES_MAX: Final = 100
"""This many frames leave as a message on MARKET_RAW without waiting for more. A message that waited for an ack may have more."""
FRAME_BYTES_MAX: Final = 6 * 1024 * 1024
"""Text of one frame. The largest is a snapshot of a whole book; with its quotes escaped it must fit into a message of NATS, 8 MiB."""
KEY_PLACEHOLDER: Final = "{{key}}"
SECRET_PLACEHOLDER: Final = "{{secret}}"
"""Stand inside JSON strings of a `Send`. gateway replaces them by the venue's credentials, JSON-escaped; `sent` frames keep them."""


class FrameKind(StrEnum):
    OPEN = "open"
    """A connection is open. The text is an `Opening` as JSON. A later one on the same connection says what is asked for from there on."""
    SENT = "sent"
    """What gateway sent, without secrets."""
    FRAME = "frame"
    """A message of the venue, as received."""
    REST = "rest"
    """A reply over HTTP. The first line of the text is `<venue symbol> <status> <path>`, the rest is the body as received.

    A reply that is no snapshot has its reason behind the path: `listing`, or `backfill <begin> <end> <page>`.
    """
    CLOSE = "close"
    """The connection ended. The text is the reason."""


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """`received` is our time of receipt, nanoseconds UTC."""

    received: int
    kind: FrameKind
    text: str


class RawFrames(msgspec.Struct, frozen=True, kw_only=True):
    """One message on `market.raw.<venue>`. `epoch` is one connection, later ones are greater; `n` numbers its frames from 1 without holes.

    `n` is the number of the first of `frames`. Frames that gateway had to drop leave a hole, which readers report as a gap.
    `replayed`: a recorded day comes again. Every record of it is flagged so.
    """

    v: int = FORMAT
    venue: str
    epoch: int
    n: int
    frames: Sequence[Frame]
    replayed: bool = False


class Opening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The text of an `open` frame: all that a decoder needs. `symbols` maps the venue's names to ours.

    `steps`: by the venue's name, the steps of prices and quantities that its list of instruments had.
    """

    kind: str
    url: str
    symbols: Mapping[str, str]
    depth: int = 0
    steps: Mapping[str, tuple[str, str]] = {}


class WishKind(StrEnum):
    RESYNC = "resync"
    """The book of a symbol is invalid: fetch its snapshot, or subscribe to it again."""
    RECONNECT = "reconnect"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a decoder asks of gateway, once for each reason: `domain.market.wishes` repeats it until it has its effect.

    `symbol` is ours; empty for the whole venue.
    """

    kind: WishKind
    symbol: str = ""
    reason: str = ""


class BookView(msgspec.Struct, frozen=True, kw_only=True):
    """A book as it is now. An invalid one shows no levels."""

    valid: bool
    checked: bool | None
    seq: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    at: int
    received: int


class Decoder(Protocol):
    """The fold of one connection of one venue. Each epoch has its own."""

    def take(self, frame: Frame, n: int) -> Sequence[Record | Wish]:
        """Return what the frame means, in order. Never raises for what a venue sends: a bad frame is a fact."""
        ...

    def book(self, symbol: str, depth: int) -> BookView | None:
        """Return the book of one of our symbols; None if the connection has no such symbol."""
        ...

    def invalidate(self, symbol: str, reason: str, received: int, n: int) -> Sequence[Record | Wish]:
        """Make a book invalid from outside (a hole in the frames, mute data): its fact, and the wish for a resync.

        `reason` is the name of a kind of fact (`stale`), or words that become the detail of a gap.
        """
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Return how many frames, updates and trades were dropped without a fact (duplicates, updates older than a snapshot), by reason."""
        ...


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """A text to send on the socket."""

    text: str


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """A GET relative to the venue's REST address. Its reply becomes a `rest` frame of `venue_symbol`. `weight` counts against its limit.

    `reason`: why it is sent; empty for a snapshot.
    """

    path: str
    venue_symbol: str
    weight: int = 1
    reason: str = ""


class VenueScript(Protocol):
    """What a kind of venue wants of a connection. Pure: gateway owns the socket, the clock and the limits."""

    def url(self) -> str:
        """Return the address to connect to."""
        ...

    def opening(self) -> Sequence[Send | Fetch]:
        """Return what to send after the connection is open: subscriptions in bounded batches."""
        ...

    def resync(self, symbol: str) -> Sequence[Send | Fetch]:
        """Return what brings the book of one of our symbols back."""
        ...

    def subscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        """Return what adds one of our symbols to an open connection. The script has it already."""
        ...

    def unsubscribe(self, symbol: str) -> Sequence[Send | Fetch]:
        """Return what takes one of our symbols off an open connection. The script still has it."""
        ...

    def refused(self, text: str) -> str | None:
        """Return the venue's symbol that a message refuses, empty if it does not say which; None if it refuses none."""
        ...

    def answer(self, text: str) -> Sequence[Send]:
        """Return what a message of the venue must be answered with (an application-level ping); usually nothing."""
        ...

    def keepalive(self) -> Send | None:
        """Return what to send every few seconds on a quiet connection; None if transport pings are enough."""
        ...
