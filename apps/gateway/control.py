"""Requests to the sessions with venues, on market.control.<venue>: a book back, a connection again, other symbols, trades of the past.

Each is answered at once. What comes of it is in the frames, and in GET /venues.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.gateway.venue_feed import VenueFeed
from domain.market.venues.history import SECOND, SPAN_MAX, PastSpan
from domain.ports import Clock, Unavailable
from domain.values import from_rfc3339

log = structlog.get_logger()

PENDING_MAX: Final = 1000
SHOWN_MAX: Final = 64
"""Characters of a request's own text that a reply repeats."""
NamesOf = Callable[[str, str], str | None]
"""What a kind of venue calls one of our symbols; None if config/instruments.yaml does not list it for this kind."""


class ControlRequest(msgspec.Struct, rename={"from_": "from"}):
    """`symbol` is ours. `reason` is that of a reconnect.

    `from` and `to` bound a backfill: nanoseconds UTC, or RFC 3339; `to` is excluded.
    """

    do: str
    symbol: str = ""
    reason: str = ""
    from_: int | str = 0
    to: int | str = 0


class ControlReply(msgspec.Struct, omit_defaults=True):
    """Whether the request was accepted; if not, a stable code. `detail` is for people."""

    ok: bool
    code: str = ""
    detail: str = ""


_REQUESTS: Final = decoder(ControlRequest)


class VenueControl:
    """Answers requests to the feeds of this process."""

    def __init__(self, feeds: Mapping[str, VenueFeed], name_of: NamesOf, clock: Clock) -> None:
        self._feeds = feeds
        self._name_of = name_of
        self._clock = clock
        self.accepted = 0
        self.refused = 0

    async def listen(self, client: Client) -> None:
        async def on_request(message: Msg) -> None:
            reply = self.answer(message.subject.rpartition(".")[2], message.data)
            if message.reply:
                try:
                    await bus.publish(client, message.reply, encode(reply))
                except Unavailable as trouble:
                    log.warning("cannot answer a request", subject=message.subject, reason=str(trouble))

        await client.subscribe(subjects.MARKET_CONTROLS, cb=on_request, pending_msgs_limit=PENDING_MAX)

    def answer(self, venue: str, payload: bytes) -> ControlReply:
        """Do what a request asks, and return the reply."""
        reply = self._answer(venue, payload)
        if reply.ok:
            self.accepted += 1
        else:
            self.refused += 1
        return reply

    def _answer(self, venue: str, payload: bytes) -> ControlReply:
        feed = self._feeds.get(venue)
        if feed is None:
            return ControlReply(False, "venue_not_found", f"no venue {venue[:SHOWN_MAX]} in the configuration")
        try:
            request = _REQUESTS.decode(payload)
        except ValueError as error:
            return ControlReply(False, "malformed", str(error)[:200])
        try:
            match request.do:
                case "subscribe":
                    return self._subscribe(feed, request.symbol)
                case "reconnect":
                    return ControlReply(True, detail=feed.reconnect(request.reason[:SHOWN_MAX]))
                case "resync" | "unsubscribe" | "backfill" if not feed.is_asked_for(request.symbol):
                    feed.tell()
                    return ControlReply(False, "symbol_unknown", f"{venue} is not asked for {request.symbol[:SHOWN_MAX]}")
                case "resync":
                    return ControlReply(True, detail=feed.resync(request.symbol))
                case "unsubscribe":
                    return _allowed(lambda: feed.unsubscribe(request.symbol))
                case "backfill":
                    return self._backfill(feed, request)
        except Unavailable as trouble:
            return ControlReply(False, "not_connected", str(trouble))
        return ControlReply(False, "malformed", "do must be resync, backfill, subscribe, unsubscribe or reconnect")

    def _subscribe(self, feed: VenueFeed, symbol: str) -> ControlReply:
        name = self._name_of(feed.listing.kind, symbol)
        if name is None:
            detail = (
                f"config/instruments.yaml lists no {symbol[:SHOWN_MAX]} for {feed.name}, which is a venue of the kind {feed.listing.kind}"
            )
            return ControlReply(False, "symbol_unknown", detail)
        return _allowed(lambda: feed.subscribe(symbol, name))

    def _backfill(self, feed: VenueFeed, request: ControlRequest) -> ControlReply:
        if not feed.offers_backfill:
            return ControlReply(False, "not_offered", f"{feed.name} has no rest_url, or its kind has no trades of the past")
        if feed.backfill is not None and feed.is_backfilling:
            return ControlReply(False, "busy", f"a backfill of {feed.backfill.symbol} is under way")
        try:
            span = span_of(request.from_, request.to, self._clock.now_ns())
        except ValueError as error:
            return ControlReply(False, "range_invalid", str(error))
        return ControlReply(True, detail=feed.start_backfill(request.symbol, span))


def span_of(begin: int | str, end: int | str, now: int) -> PastSpan:
    """Return a range of time, nanoseconds UTC. Raises ValueError unless it is of the past and at most SPAN_MAX long."""
    span = PastSpan(*(from_rfc3339(text) if isinstance(text, str) else text for text in (begin, end)))
    if not 0 < span.begin < span.end <= now:
        raise ValueError("from must be before to, and to not in the future")
    if span.end - span.begin > SPAN_MAX:
        raise ValueError(f"from and to are at most {SPAN_MAX // (3600 * SECOND)} hours apart")
    return span


def _allowed(do: Callable[[], str]) -> ControlReply:
    """Do it, and reply. A ValueError is what the venue's rules forbid."""
    try:
        return ControlReply(True, detail=do())
    except ValueError as error:
        return ControlReply(False, "not_allowed", str(error))
