"""Requests from the wire, `orders.<account>.new`, `.cancel`, `.replace`: one subscription, so that they keep their sequence."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from adapters.codec import decoder
from apps.gateway.host import VenueHost
from domain.commands import VenueRequest
from domain.owner import named
from domain.paper_events import Cancel, Replace
from domain.values import IDENTIFIER

log = structlog.get_logger()

SUBJECT: Final = "orders.*.*"
DIGITS_MAX: Final = 18
PLACES_MAX: Final = 12
SHARDS_MAX: Final = 1024

_REQUEST: Final = decoder(VenueRequest)


class Unreadable(Exception):
    """Nobody can be told: the log and the counter are all that is left of it."""


class Intake:
    """Hands each request to its venue. Venues that are hosted elsewhere are somebody else's business."""

    def __init__(self, hosts: Mapping[str, VenueHost]) -> None:
        self._hosts = hosts
        self._subscription: Subscription | None = None
        self._heard = asyncio.Event()
        self.heard = 0
        self.taken = 0
        self.unreadable = 0
        self.elsewhere = 0

    async def listen(self, client: Client) -> None:
        self._subscription = await client.subscribe(SUBJECT, cb=self._on_message)

    async def heard_all(self) -> None:
        """Until every request that had reached this process has been put before its venue."""
        target = self.heard + (self._subscription.pending_msgs if self._subscription else 0)
        while self.heard < target:
            self._heard.clear()
            await self._heard.wait()

    async def _on_message(self, message: Msg) -> None:
        self.heard += 1
        self._heard.set()
        try:
            verb, request = read_request(message.subject, message.data)
        except Unreadable as reason:
            self.unreadable += 1
            log.warning("a venue request cannot be read", subject=message.subject, reason=str(reason))
            return
        host = self._hosts.get(request.venue)
        if host is None:
            self.elsewhere += 1
            return
        self.taken += 1
        await host.put(request if verb == "new" else Cancel(request) if verb == "cancel" else Replace(request))


def read_request(subject: str, payload: bytes) -> tuple[str, VenueRequest]:
    """The verb and the request. Everything is checked that later enters a subject, a journal or arithmetic. Unreadable."""
    _, account, verb = subject.split(".")
    if verb not in ("new", "cancel", "replace"):
        raise Unreadable(f"there is no request {verb!r}")
    try:
        request: VenueRequest = _REQUEST.decode(payload)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if request.account != account:
        raise Unreadable("the account is not the subject's")
    for name in ("account", "order_id", "route_id"):
        if not IDENTIFIER.fullmatch(getattr(request, name)):
            raise Unreadable(f"{name} is not an identifier")
    if not all(_bounded(number) for number in (request.quantity, request.price, request.stop_price) if number is not None):
        raise Unreadable("a number is not finite or has too many digits")
    if not 0 <= request.shard < SHARDS_MAX:
        raise Unreadable(f"there is no shard {request.shard}")
    if not named(request.unit, request.epoch):
        raise Unreadable("unit or epoch is none")
    return verb, request


def _bounded(number: Decimal) -> bool:
    """Before any arithmetic: 1e999999 would take seconds, NaN would raise."""
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -PLACES_MAX and number.adjusted() < DIGITS_MAX
