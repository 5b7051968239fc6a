"""Venue requests, in lists on `venue.<venue>.requests.<shard>`: one subscription a venue, so that they keep their sequence."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from adapters import subjects
from apps.connections.venue_lists import Reader, SentRequest, Unreadable
from apps.live_gateway.venue_host import VenueHost
from domain.execution.owner import named
from domain.paper.events import Cancel, Message, Replace
from domain.values import IDENTIFIER

log = structlog.get_logger()

DIGITS_MAX: Final = 18
PLACES_MAX: Final = 12
SHARDS_MAX: Final = 1024

_REQUESTS: Final = Reader[SentRequest](SentRequest)


class RequestHandler:
    """Passes each request to its venue. A venue whose inbox is full makes only its own requests wait."""

    def __init__(self, hosts: Mapping[str, VenueHost]) -> None:
        self._hosts = hosts
        self._subscriptions: dict[str, Subscription] = {}
        self._put = asyncio.Condition()
        self._begun: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self.taken = 0
        self.unreadable = 0

    async def listen(self, client: Client) -> None:
        for venue in self._hosts:
            self._subscriptions[venue] = await client.subscribe(subjects.requests_of(venue), cb=self._on_requests)

    async def heard_all(self, venue: str) -> None:
        """Wait until every request that had reached this process for a venue was passed to it."""
        subscription = self._subscriptions.get(venue)
        target = self._begun[venue] + (subscription.pending_msgs if subscription else 0)
        async with self._put:
            await self._put.wait_for(lambda: self._done[venue] >= target)

    async def _on_requests(self, message: Msg) -> None:
        _, venue, _, shard = message.subject.split(".")
        self._begun[venue] += 1
        try:
            await self._take(message, venue, shard)
        finally:
            self._done[venue] += 1
            async with self._put:
                self._put.notify_all()

    async def _take(self, message: Msg, venue: str, shard: str) -> None:
        host = self._hosts[venue]
        arrived = asyncio.get_running_loop().time()
        for sent in _REQUESTS.read(message.data):
            reason = sent.reason if isinstance(sent, Unreadable) else trouble(sent, venue, shard)
            if isinstance(sent, Unreadable) or reason:
                self.unreadable += 1  # without an order nothing can be rejected: only the log and the counter record it
                log.warning("unreadable venue request", subject=message.subject, reason=reason)
            else:
                self.taken += 1
                await host.put(_message(sent), arrived)


def _message(sent: SentRequest) -> Message:
    return sent.request if sent.verb == "new" else Cancel(sent.request) if sent.verb == "cancel" else Replace(sent.request)


def trouble(sent: SentRequest, venue: str, shard: str) -> str | None:
    """Return why a request is invalid, or None. Checks everything that later enters a subject, a journal or arithmetic."""
    request = sent.request
    if request.venue != venue or str(request.shard) != shard:
        return "the venue or shard differs from the subject's"
    for name in ("account", "order_id", "route_id"):
        if not IDENTIFIER.fullmatch(getattr(request, name)):
            return f"{name} is not an identifier"
    if not all(_bounded(number) for number in (request.quantity, request.price, request.stop_price) if number is not None):
        return "a number is not finite or has too many digits"
    if not 0 <= request.shard < SHARDS_MAX:
        return f"invalid shard {request.shard}"
    return None if named(request.unit, request.epoch) else "invalid unit or epoch"


def _bounded(number: Decimal) -> bool:
    """Check a number before any arithmetic: 1e999999 would take seconds, NaN would raise."""
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -PLACES_MAX and number.adjusted() < DIGITS_MAX
