"""The only reader of `depth.>`: the last book of each symbol at each venue, decoded when it is needed.

Most orders fit into the touch and need no book, so an arrival costs next to nothing. A book that is refused is counted by its reason.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client.core import Metric

from adapters import subjects
from adapters.codec import decoder
from apps.connections.ticks import UNREADABLE
from apps.runtime import metrics
from apps.runtime.log_limit import LogLimit
from domain.market.depth import LEVELS, Depth, unsound_depth
from domain.market.quotes import REFUSED, Listed, Quote
from domain.values import subject_token

log = structlog.get_logger()

DEPTHS_PENDING_MAX: Final = 16_384
DEPTH_BYTES_MAX: Final = 8192
"""A longer message is not decoded."""
BOOKS_MAX: Final = 10_000
"""Books of symbols at venues in memory. Those of further ones are refused."""
OTHER: Final = "other"
"""The book is not of the venue and symbol that its subject names."""

_DEPTH: Final = decoder(Depth)


class _Book(msgspec.Struct):
    """`data` is empty once it was decoded; `depth` is then what it says, None if it was refused."""

    data: bytes
    arrived: int
    depth: Depth | None = None


class Depths:
    """The subscription. Its callback never raises."""

    def __init__(self, listed: Listed, monotonic_ns: Callable[[], int], changed: Callable[[str, str], None] | None = None) -> None:
        """`changed` is called with the venue and the token of the symbol of a book that arrived."""
        self._listed = listed
        self._monotonic_ns = monotonic_ns
        self._changed = changed
        self._books: dict[str, _Book] = {}
        self._seldom = LogLimit()
        self.taken = 0
        self.refused: Counter[str] = Counter(dict.fromkeys((UNREADABLE, OTHER, *REFUSED, LEVELS), 0))

    async def start(self, client: Client, venues: Iterable[str] = ("*",)) -> None:
        """Follow the books of these venues, by default of all."""
        for venue in venues:
            await client.subscribe(subjects.depth(venue, "*"), cb=self.on_depth, pending_msgs_limit=DEPTHS_PENDING_MAX)

    async def on_depth(self, message: Msg) -> None:
        subject, data = message.subject, message.data
        if len(data) > DEPTH_BYTES_MAX or (subject not in self._books and len(self._books) >= BOOKS_MAX):
            self._refuse(UNREADABLE, subject, data)
            return
        self._books[subject] = _Book(data, self._monotonic_ns())
        self.taken += 1
        if self._changed is not None:
            _, venue, token = subject.split(".", 2)
            self._changed(venue, token)

    def of(self, quote: Quote, since_ns: int) -> Depth | None:
        """Return the last book of the quote's symbol and venue; None without a sound one that arrived since then.

        Whether it is the book of this very quote, `Depth.belongs_to` says.
        """
        subject = _subject_of(quote)
        book = self._books.get(subject)
        if book is None or book.arrived < since_ns:
            return None
        if book.data:
            book.depth, book.data = self._read(subject, book.data, quote), b""
        return book.depth

    def end(self, quote: Quote) -> None:
        """Forget the book of a quote that ended: what comes next has another book, whose numbers may begin again."""
        self._books.pop(_subject_of(quote), None)

    def _read(self, subject: str, data: bytes, quote: Quote) -> Depth | None:
        depth = _decoded(data)
        reason = UNREADABLE if depth is None else self._against(depth, quote)
        if reason is None:
            return depth
        self._refuse(reason, subject, data)
        return None

    def _against(self, depth: Depth, quote: Quote) -> str | None:
        """Return why a book is not used for the quote, or None."""
        if (depth.venue, depth.symbol) != (quote.venue, quote.symbol):
            return OTHER
        reason = self._listed.admits(depth.symbol, depth.venue, depth.flags)
        return reason or unsound_depth(depth, negative_prices=self._listed.may_be_negative(depth.symbol))

    def _refuse(self, reason: str, subject: str, data: bytes) -> None:
        self.refused[reason] += 1
        if (held_back := self._seldom.now()) is not None:
            book = data[:200].decode(errors="replace")
            log.warning("a book was refused", reason=reason, subject=subject[:100], book=book, not_logged=held_back)

    def stats(self) -> dict[str, Any]:
        return {"taken": self.taken, "refused": {reason: count for reason, count in self.refused.items() if count}}

    def series(self) -> Iterator[Metric]:
        yield metrics.counter("depths_taken", "Books read from depth.>", self.taken)
        yield metrics.counter("depths_refused", "Books that were needed and could not be used, by reason", self.refused, "reason")


def _subject_of(quote: Quote) -> str:
    return subjects.depth(quote.venue, subject_token(quote.symbol))


def _decoded(data: bytes) -> Depth | None:
    try:
        depth: Depth = _DEPTH.decode(data)
    except (ValueError, RecursionError):  # the second for extreme nesting
        return None
    return depth
