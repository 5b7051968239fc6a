"""Requests to the sessions with venues, on market.control.<venue>: a book back, a connection again. Each is answered at once."""

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.gateway.venue_feed import VenueFeed
from domain.ports import Unavailable

log = structlog.get_logger()

PENDING_MAX: Final = 1000
SHOWN_MAX: Final = 64
"""Characters of a request's own text that a reply repeats."""
NOT_OFFERED: Final = {
    "backfill": "no script of this kind of venue has a backfill",
    "subscribe": "symbols come from the configuration; change it and restart gateway",
    "unsubscribe": "symbols come from the configuration; change it and restart gateway",
}


class ControlRequest(msgspec.Struct):
    """`symbol` is ours. `reason` is that of a reconnect."""

    do: str
    symbol: str = ""
    reason: str = ""


class ControlReply(msgspec.Struct, omit_defaults=True):
    """Whether the request was accepted; if not, a stable code. `detail` is for people."""

    ok: bool
    code: str = ""
    detail: str = ""


_REQUESTS: Final = decoder(ControlRequest)


class VenueControl:
    """Answers requests to the feeds of this process."""

    def __init__(self, feeds: Mapping[str, VenueFeed]) -> None:
        self._feeds = feeds
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
        if reason := NOT_OFFERED.get(request.do):
            return ControlReply(False, "not_offered", reason)
        try:
            match request.do:
                case "resync" if request.symbol in feed.listing.symbols:
                    return ControlReply(True, detail=feed.resync(request.symbol))
                case "resync":
                    return ControlReply(False, "symbol_unknown", f"{venue} is not asked for {request.symbol[:SHOWN_MAX]}")
                case "reconnect":
                    return ControlReply(True, detail=feed.reconnect(request.reason[:SHOWN_MAX]))
        except Unavailable as trouble:
            return ControlReply(False, "not_connected", str(trouble))
        return ControlReply(False, "malformed", "do must be resync, backfill, subscribe, unsubscribe or reconnect")
