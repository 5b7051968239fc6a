"""Views of venues and orders in HTTP and session responses."""

from decimal import Decimal
from itertools import islice
from typing import Final

from apps.live_gateway.venue_host import VenueHost
from domain.paper.book import PaperOrder, PaperState
from domain.values import ZERO

PAGE_MAX: Final = 500


def order_view(order: PaperOrder) -> dict[str, object]:
    request = order.request
    return {
        "number": order.number,
        "order_id": request.order_id,
        "route_id": request.route_id,
        "venue_order_id": order.venue_order_id,
        "account": request.account,
        "symbol": request.symbol,
        "side": request.side,
        "type": request.type,
        "quantity": request.quantity,
        "price": request.price,
        "stop_price": request.stop_price,
        "time_in_force": request.time_in_force,
        "expire_at": order.expire_at,
        "post_only": request.post_only,
        "display_quantity": request.display_quantity,
        "displayed_quantity": _displayed(order),
        "status": order.state,
        "triggered": order.triggered,
        "cum_quantity": order.cum_quantity,
        "leaves_quantity": max(order.leaves, ZERO),
        "sends": order.sends,
    }


def _displayed(order: PaperOrder) -> Decimal:
    """Return how much of the order the venue shows now: of a limit order that rests, all of it or the part that an iceberg shows."""
    rests = order.state is PaperState.WORKING and order.request.price is not None and not order.waits_for_stop
    return max(order.visible, ZERO) if rests else ZERO


def open_orders(host: VenueHost, after: int, limit: int, shard: int | None = None) -> dict[str, object]:
    """Build a page of open orders, oldest first; `next` is the `after` of the next page, null on the last one."""
    behind = (o for number, o in host.venue.open.items() if number > after and shard in (None, o.request.shard))
    page = list(islice(behind, min(limit, PAGE_MAX)))
    more = next(behind, None) is not None
    orders = [order_view(order) | {"queue_ahead": host.venue.queue_ahead(order)} for order in page]
    return {"orders": orders, "next": page[-1].number if more and page else None}


def venue_view(host: VenueHost) -> dict[str, object]:
    settings = host.settings
    return {
        "venue": host.name,
        "ready": host.ready.is_set(),
        "maker_bps": settings.maker_bps,
        "taker_bps": settings.taker_bps,
        "spread_ticks": settings.spread_ticks,
        "depth_scale": settings.depth_scale,
        "latency_ms": settings.latency_ms,
        "jitter_ms": settings.jitter_ms,
        "levels": settings.rules.levels,
        "queue": "displayed" if settings.rules.queue else "estimated" if settings.rules.estimated else "none",
        "self_trade": settings.rules.self_trade,
        "halted": sorted(host.venue.halted),
        "session": settings.session,
        "symbols": sorted(host.instruments),
        "open_orders": len(host.venue.open),
    }


def venue_stats(host: VenueHost) -> dict[str, object]:
    return {
        "orders": host.venue.taken,
        "open_orders": len(host.venue.open),
        "fills": host.venue.executions,
        "sends_per_route_max": host.venue.sends_max,
        "last_report_seq": {str(shard): seq for shard, seq in host.venue.report_seqs.items()},
        "recoveries": host.recoveries,
        "forgotten": host.forgotten,
    }
