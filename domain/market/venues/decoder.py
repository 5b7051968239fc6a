"""The decoder of any venue: frames by kind, failures to read them, and the view of a book. A dialect reads the venue's messages."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from domain.market.records import FactKind, Record
from domain.market.venues.feed import BookView, Frame, FrameKind, Opening, Wish
from domain.market.venues.replies import Replies
from domain.market.venues.session import FeedSession

TEXT_SHOWN_MAX: Final = 80
"""Characters of a rejected frame that its fact shows."""
FACT_NAMES: Final = frozenset(kind.value for kind in FactKind)
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises for bytes that are not the message they claim to be."""

_OPENING: Final = msgspec.json.Decoder(Opening)


class UnknownMessage(Exception):
    """A well-formed message of a type that is not in the dialect. It cannot have been an update of a book."""


class Dialect(Protocol):
    """How one kind of venue speaks. It decodes a whole message before it changes anything; then it does not raise."""

    @property
    def numbered(self) -> bool:
        """Return whether the venue numbers its updates, so that the next one reveals any that was lost."""
        ...

    def message(self, text: str) -> None:
        """Fold a message of the venue into the session. Raises UnknownMessage, or one of UNREADABLE."""
        ...

    def reply(self, name: str, status: int, path: str, body: str) -> None:
        """Fold a snapshot over HTTP into the session. Raises like `message`."""
        ...


class VenueDecoder:
    """The fold of one connection of one venue."""

    def __init__(self, session: FeedSession, dialect: Dialect, replies: Replies) -> None:
        self._session = session
        self._dialect = dialect
        self._replies = replies
        self._is_open = False
        self.dropped = session.dropped

    def take(self, frame: Frame, n: int) -> Sequence[Record | Wish]:
        session, kind = self._session, frame.kind
        out = session.begin(frame.received, n)
        if kind is FrameKind.FRAME:
            self._read(self._dialect.message, frame.text)
        elif kind is FrameKind.REST:
            self._read(self._reply, frame.text)
        elif kind is FrameKind.OPEN and self._is_open:
            self._read(lambda text: session.asked(_OPENING.decode(text).symbols), frame.text)
        elif kind is FrameKind.OPEN:
            self._is_open = True
            session.opened("")
        elif kind is FrameKind.CLOSE:
            session.closed(frame.text)
        return out

    def book(self, symbol: str, depth: int) -> BookView | None:
        book = self._session.books.get(symbol)
        if book is None:
            return None
        shown = book.shown()
        return BookView(
            valid=shown,
            checked=book.checked if shown else None,
            seq=book.seq,
            bids=book.bids.levels(depth) if shown else [],
            asks=book.asks.levels(depth) if shown else [],
            at=book.at,
            received=book.received,
        )

    def invalidate(self, symbol: str, reason: str, received: int, n: int) -> Sequence[Record | Wish]:
        """End a book. `reason` is the name of a kind of fact (`stale`), or words that become the detail of a gap."""
        session = self._session
        out = session.begin(received, n)
        if (book := session.books.get(symbol)) is not None:
            named = reason in FACT_NAMES
            session.broken(book, FactKind(reason) if named else FactKind.GAP, detail="" if named else reason)
        return out

    def _reply(self, text: str) -> None:
        head, _, body = text.partition("\n")
        name, status, path, *reason = head.split(" ", 3)
        if reason:
            self._replies.take(name, int(status), path, reason[0], body)
        else:
            self._dialect.reply(name, int(status), path, body)

    def _read(self, read: Callable[[str], None], text: str) -> None:
        session = self._session
        try:
            read(text)
        except UnknownMessage as unknown:
            session.fact(FactKind.REJECTED_FRAME, detail=f"unknown message {unknown}: {text[:TEXT_SHOWN_MAX]}")
        except UNREADABLE as error:
            session.fact(FactKind.REJECTED_FRAME, detail=f"{error}: {text[:TEXT_SHOWN_MAX]}")
            if not self._dialect.numbered:
                session.all_broken(FactKind.GAP, detail="a frame that could not be read")
