"""The only reader of `prints.>`: the trades of the market's venues, each message once. What is refused is counted by its reason."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client.core import Metric

from adapters import subjects
from adapters.codec import decoder
from apps.connections.ticks import UNREADABLE
from apps.runtime import metrics
from apps.runtime.log_limit import LogLimit
from domain.market.prints import Prints, unsound_prints
from domain.market.quotes import REFUSED, Listed
from domain.values import subject_token

log = structlog.get_logger()

PRINTS_PENDING_MAX: Final = 16_384
PRINTS_BYTES_MAX: Final = 65_536
"""A longer message is not decoded."""
SUBJECTS_MAX: Final = 10_000
"""Symbols at venues. The prints of further ones are refused."""
EPOCHS_MAX: Final = 2
"""Connections of a venue at a time: an old one is kept while a new one takes over."""
REPEATED: Final = "repeated"
"""The message was read before, or is older than one that was: normalizer reads its last frames again after a restart."""
OTHER: Final = "other"
"""The prints are not of the venue and symbol that the subject names."""

_PRINTS: Final = decoder(Prints)


class PrintFeed:
    """The subscription. Passes sound prints of listed venues to `take`. Its callback never raises."""

    def __init__(self, take: Callable[[Prints], None], listed: Listed) -> None:
        self._take = take
        self._listed = listed
        self._read: dict[str, dict[int, int]] = {}
        """By subject and epoch, the last `n`."""
        self._seldom = LogLimit()
        self.taken = 0
        self.refused: Counter[str] = Counter(dict.fromkeys((UNREADABLE, OTHER, REPEATED, *REFUSED), 0))

    async def start(self, client: Client, token: str = "*") -> Subscription:
        """Subscribe to the prints of all venues: of the symbol with this token, or of all symbols."""
        return await client.subscribe(subjects.prints("*", token), cb=self.on_prints, pending_msgs_limit=PRINTS_PENDING_MAX)

    async def on_prints(self, message: Msg) -> None:
        prints = _decoded(message.data)
        reason = UNREADABLE if prints is None else self._against(prints, message.subject)
        if prints is None or reason is not None:
            self._refuse(reason or UNREADABLE, message)
            return
        self.taken += 1
        self._take(prints)

    def _against(self, prints: Prints, subject: str) -> str | None:
        """Return why prints are not used, or None. Notes those that are, so that they are used once."""
        if subject != subjects.prints(prints.venue, subject_token(prints.symbol)):
            return OTHER
        reason = self._listed.admits(prints.symbol, prints.venue, prints.flags)
        reason = reason or unsound_prints(prints, negative_prices=self._listed.may_be_negative(prints.symbol))
        return reason or self._repeated(prints, subject)

    def _repeated(self, prints: Prints, subject: str) -> str | None:
        if subject not in self._read and len(self._read) >= SUBJECTS_MAX:
            return UNREADABLE
        read = self._read.setdefault(subject, {})
        if prints.n <= read.get(prints.epoch, 0) or (len(read) >= EPOCHS_MAX and prints.epoch < min(read)):
            return REPEATED
        read[prints.epoch] = prints.n
        if len(read) > EPOCHS_MAX:
            del read[min(read)]
        return None

    def _refuse(self, reason: str, message: Msg) -> None:
        self.refused[reason] += 1
        if reason != REPEATED and (held_back := self._seldom.now()) is not None:
            prints = message.data[:200].decode(errors="replace")
            log.warning("prints were refused", reason=reason, subject=message.subject[:100], prints=prints, not_logged=held_back)

    def series(self) -> Iterator[Metric]:
        yield metrics.counter("prints_taken", "Messages read from prints.> and used", self.taken)
        yield metrics.counter("prints_refused", "Messages on prints.> that were not used, by reason", self.refused, "reason")


def _decoded(data: bytes) -> Prints | None:
    if len(data) > PRINTS_BYTES_MAX:
        return None
    try:
        prints: Prints = _PRINTS.decode(data)
    except (ValueError, RecursionError):  # the second for extreme nesting
        return None
    return prints
