"""`ticks.>` into the marks. A quote that makes no sense is counted and left out; the callback never raises."""

from collections.abc import Callable
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters.codec import decoder
from apps.logs import get_logger
from apps.risk.measures import Measures, Seldom
from domain.quotes import Quote
from domain.risk.engine import Risk
from domain.values import ZERO

log = get_logger()

SUBJECT: Final = "ticks.>"
VENUES_MAX: Final = 32
PRICE_DIGITS_MAX: Final = 30
TICKS_PENDING_MAX: Final = 16_384

_QUOTE: Final = decoder(Quote)


class Ticks:
    """`now_ns` is the same steady clock that checks are asked with: the age of a quote is told by when it came."""

    def __init__(self, risk: Risk, measures: Measures, now_ns: Callable[[], int]) -> None:
        self._risk = risk
        self._measures = measures
        self._now_ns = now_ns
        self._venues: set[str] = set()
        self._seldom = Seldom()

    async def start(self, client: Client) -> None:
        await client.subscribe(SUBJECT, cb=self.on_tick, pending_msgs_limit=TICKS_PENDING_MAX)

    async def on_tick(self, message: Msg) -> None:
        try:
            quote = _QUOTE.decode(message.data)
            if not self._sensible(quote):
                raise ValueError(f"not a sensible quote for {quote.symbol[:64]!r}")
            self._risk.marks.update(quote, self._now_ns())
            self._measures.counts["ticks"] += 1
        except Exception as error:  # noqa: BLE001 - a callback of the NATS client
            self._measures.counts["ticks_refused"] += 1
            held_back = self._seldom.now()
            if held_back is not None:
                log.warning("a tick was left out", error=repr(error)[:200], not_logged=held_back)

    def _sensible(self, quote: Quote) -> bool:
        """An instrument of ours, one of not too many venues, finite prices above zero, sizes not below it."""
        if quote.symbol not in self._risk.instruments:
            return False
        numbers = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
        if not all(n.is_finite() and len(n.as_tuple().digits) <= PRICE_DIGITS_MAX and -12 <= n.adjusted() <= 18 for n in numbers if n):
            return False
        if min(quote.bid, quote.ask) <= ZERO or min(quote.bid_size, quote.ask_size) < ZERO:
            return False
        self._venues.add(quote.venue)
        if len(self._venues) > VENUES_MAX:
            self._venues.discard(quote.venue)
            return False
        return True
