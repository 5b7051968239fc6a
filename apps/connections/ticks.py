"""The only reader of `ticks.>`. Messages other than quotes of listed venues are counted by reason and dropped; the last quote ages."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client.core import Metric

from adapters import subjects
from adapters.codec import decoder
from apps.runtime import metrics
from apps.runtime.log_limit import LogLimit
from domain.market.quotes import REFUSED, Listed, Quote

log = structlog.get_logger()

TICKS_PENDING_MAX: Final = 16_384
TICK_BYTES_MAX: Final = 4096
"""A longer message is not decoded."""
UNREADABLE: Final = "unreadable"

_QUOTE: Final = decoder(Quote)


class Ticks:
    """A subscription that passes every quote accepted by `listed` to `take`, with its monotonic arrival time. Its callback never raises."""

    def __init__(self, take: Callable[[Quote, int], None], listed: Listed, monotonic_ns: Callable[[], int]) -> None:
        self._take = take
        self._listed = listed
        self._monotonic_ns = monotonic_ns
        self._seldom = LogLimit()
        self.taken = 0
        self.refused: Counter[str] = Counter(dict.fromkeys((UNREADABLE, *REFUSED), 0))

    async def start(self, client: Client) -> None:
        await client.subscribe(subjects.TICKS, cb=self.on_tick, pending_msgs_limit=TICKS_PENDING_MAX)

    async def on_tick(self, message: Msg) -> None:
        quote = _read(message.data)
        reason = UNREADABLE if quote is None else self._listed(quote)
        if quote is None or reason is not None:
            self._refuse(reason or UNREADABLE, message)
            return
        self.taken += 1
        self._take(quote, self._monotonic_ns())

    def _refuse(self, reason: str, message: Msg) -> None:
        self.refused[reason] += 1
        held_back = self._seldom.now()
        if held_back is not None:
            tick = message.data[:200].decode(errors="replace")
            log.warning("a quote was refused", reason=reason, subject=message.subject[:100], tick=tick, not_logged=held_back)

    def stats(self) -> dict[str, Any]:
        return {"taken": self.taken, "refused": {reason: count for reason, count in self.refused.items() if count}}

    def series(self) -> Iterator[Metric]:
        yield metrics.counter("quotes_taken", "Quotes read from ticks.> and used", self.taken)
        yield metrics.counter("quotes_refused", "Messages on ticks.> that are not a quote of a listed venue", self.refused, "reason")


def _read(data: bytes) -> Quote | None:
    if len(data) > TICK_BYTES_MAX:
        return None
    try:
        quote: Quote = _QUOTE.decode(data)
    except (ValueError, RecursionError):  # the second for extreme nesting
        return None
    return quote
