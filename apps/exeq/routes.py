"""What exeq tells: the queue, the venues as routing sees them, and why an order went where it went."""

from collections import Counter
from typing import Any

import msgspec
from fastapi import APIRouter, Response

from apps.exeq.executor import Executor
from apps.http import Exact, Refusal
from domain.ports import Clock
from domain.quotes import Market
from domain.routing import Venue
from domain.values import rfc3339


def router(executor: Executor, venues: dict[str, Venue], market: Market, clock: Clock, quote_age_max_ns: int) -> APIRouter:
    routes = APIRouter()

    @routes.get("/queue")
    async def show_queue() -> Response:
        """Orders waiting for a route, and at each venue: working, and not yet answered."""
        executions = executor.executions
        oldest = executions.queue.oldest()
        working = Counter(leg.venue for order in executions.working.values() for leg in order.legs)
        waiting = Counter(request.venue for request in executions.unanswered(clock.now_ns()))
        return Exact(
            {
                "depth": len(executions.queue),
                "oldest": rfc3339(oldest) if oldest is not None else None,
                "venues": {name: {"working": working[name], "unanswered": waiting[name]} for name in venues},
            }
        )

    @routes.get("/venues")
    async def show_venues() -> Response:
        since = clock.now_ns() - quote_age_max_ns
        return Exact({"venues": [_venue(venue, market, since) for venue in venues.values()]})

    @routes.get("/routes/{order_id}")
    async def show_route(order_id: str) -> Response:
        """Which venues were compared, with which quotes, and which one won."""
        routed = executor.executions.routed.get(order_id)
        if routed is None:
            raise Refusal(404, "route_not_found", "no recent route of this order; its timeline is at oms, /orders/{id}/events")
        return Exact(
            {
                "order_id": order_id,
                "at": rfc3339(routed.at),
                "policy": routed.policy,
                "legs": [msgspec.structs.asdict(leg) for leg in routed.legs],
                "candidates": [msgspec.structs.asdict(seen) for seen in routed.candidates],
            }
        )

    return routes


def _venue(venue: Venue, market: Market, since: int) -> dict[str, Any]:
    quoted = sorted(symbol for symbol in venue.symbols if any(q.venue == venue.name for q in market.quotes(symbol, since)))
    return {
        "venue": venue.name,
        "maker_bps": venue.maker_bps,
        "taker_bps": venue.taker_bps,
        "symbols": len(venue.symbols),
        "quoted": quoted,
        "healthy": bool(quoted),
    }
