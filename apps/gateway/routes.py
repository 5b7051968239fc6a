"""HTTP endpoint of gateway: the state of every venue."""

from collections.abc import Mapping

from fastapi import APIRouter

from apps.gateway.rest_errands import Backfill
from apps.gateway.venue_feed import VenueFeed
from apps.http.app import Exact
from domain.values import rfc3339


def venue_routes(feeds: Mapping[str, VenueFeed]) -> APIRouter:
    router = APIRouter()

    @router.get("/venues")
    async def venues() -> Exact:
        return Exact({name: feed_view(feed) for name, feed in sorted(feeds.items())})

    return router


def feed_view(feed: VenueFeed) -> dict[str, object]:
    """Return the state of a venue. `epoch` is 0 and `last_frame_at` null before the first connection.

    `not_listed`: symbols that are wanted, and that the venue's own list does not have. `instruments`: what that list says of the others.
    """
    return {
        "state": feed.state,
        "kind": feed.listing.kind,
        "epoch": feed.epoch,
        "frames": feed.frames,
        "last_frame_at": rfc3339(feed.last_frame_at) if feed.last_frame_at else None,
        "symbols": sorted(feed.listing.symbols),
        "reconnects": feed.reconnects,
        "last_error": feed.last_error or None,
        "frames_waiting_bytes": feed.writer.bytes,
        "frames_dropped": feed.writer.dropped,
        "not_listed": sorted(feed.instruments.gone),
        "instruments": {
            symbol: {"tick": listed.steps[0], "lot": listed.steps[1], "trades": listed.trades}
            for symbol, name in sorted(feed.listing.symbols.items())
            if (listed := feed.instruments.listed.get(name)) is not None
        },
        "backfill": None if feed.backfill is None else _backfill_view(feed.backfill),
    }


def _backfill_view(backfill: Backfill) -> dict[str, object]:
    begin, end = backfill.span
    return {
        "symbol": backfill.symbol,
        "from": rfc3339(begin),
        "to": rfc3339(end),
        "state": backfill.state,
        "pages": backfill.pages,
        "trades": backfill.trades,
        "detail": backfill.detail or None,
    }
