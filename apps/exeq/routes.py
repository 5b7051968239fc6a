"""Read endpoints of exeq: the queue, the venues as routing sees them, and the routing decision of an order."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from fastapi import APIRouter, Response

from apps.exeq.executor import Executor
from apps.exeq.in_doubt import WHENEVER
from apps.http.app import Exact, Refusal
from domain.execution.routing import RoutedVenue
from domain.execution.venue_health import VenueHealth
from domain.market.quotes import Market
from domain.ports import Clock
from domain.values import rfc3339


class Executors(Protocol):
    """The executors of all shards."""

    @property
    def executors(self) -> Sequence[Executor]: ...

    def of(self, account: str) -> Executor: ...

    def of_id(self, order_id: str) -> Executor: ...


def router(shards: Executors, market: Market, clock: Clock) -> APIRouter:
    routes = APIRouter()
    first = shards.executors[0]
    routing = first.router

    @routes.get("/queue")
    async def show_queue() -> Response:
        """Return the number of orders waiting for a route, and per venue the working and the unanswered ones."""
        folds = [executor.executions for executor in shards.executors]
        oldest = min((at for fold in folds if (at := fold.queue.oldest()) is not None), default=None)
        working = Counter(leg.venue for fold in folds for order in fold.working.values() for leg in order.legs)
        waiting = Counter(request.venue for fold in folds for request in fold.unanswered(WHENEVER))
        return Exact(
            {
                "depth": sum(len(fold.queue) for fold in folds),
                "held": sum(executor.held for executor in shards.executors),
                "oldest": rfc3339(oldest) if oldest is not None else None,
                "venues": {name: {"working": working[name], "unanswered": waiting[name]} for name in routing.venues},
            }
        )

    @routes.get("/venues")
    async def show_venues() -> Response:
        """Return each venue with its status, health, throttle and quoted symbols."""
        return Exact({"venues": [_venue(first, venue, market, clock) for venue in routing.venues.values()]})

    @routes.get("/routes/{order_id}")
    async def show_route(order_id: str) -> Response:
        """Return the venues that were compared, their quotes, and the chosen ones."""
        routed = shards.of_id(order_id).executions.routed.get(order_id)
        if routed is None:
            raise Refusal(404, "route_not_found", "no recent route of this order; see its timeline in oms, /orders/{id}/events")
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


def _venue(executor: Executor, venue: RoutedVenue, market: Market, clock: Clock) -> dict[str, Any]:
    routing, now = executor.router, clock.monotonic_ns()
    since = now - routing.rules.quote_age_max_ns
    quoted = sorted(symbol for symbol in venue.symbols if any(q.venue == venue.name for q in market.quotes(symbol, since)))
    standing = routing.standings(now)[venue.name]
    return {
        "venue": venue.name,
        "session": "plain" if venue.plain else "full",
        "maker_bps": venue.maker_bps,
        "taker_bps": venue.taker_bps,
        "symbols": len(venue.symbols),
        "quoted": quoted,
        "open": standing.closed is None,
        "closed": standing.closed,
        "healthy": bool(quoted) and standing.closed in (None, "throttled"),
        "health": _health(executor.executions.health_of(venue.name), now, clock.now_ns()),
        "throttle": {
            "orders_per_sec": venue.orders_per_sec,
            "burst": venue.burst,
            "tokens": routing.throttles[venue.name].tokens(now),
        },
        "answer_deadline_ms": venue.answer_deadline_ns // 1_000_000,
        "supports": ["iceberg"] if venue.icebergs else [],
    }


def _health(health: VenueHealth, now: int, wall: int) -> dict[str, Any]:
    """Build the health of a venue. Rates are fractions of 1; latency is from the journaled route to the journaled first report."""
    return {
        "latency_ms": health.latency_ms,
        "reject_rate": Decimal(health.reject_rate).scaleb(-6),
        "no_answer_rate": Decimal(health.silence_rate).scaleb(-6),
        "answers": health.answers,
        "rejects": health.rejects,
        "no_answers": health.silences,
        "penalty_bps": health.penalty_bps,
        "backed_off_until": rfc3339(wall + health.until_ns - now) if health.backed_off(now) else None,
    }
