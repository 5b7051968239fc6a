"""`POST /routes/preview`: the venues that routing would compare for an order, and the one it would choose. Nothing changes."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from apps.exeq.executor import Executor
from apps.exeq.routes import Executors
from apps.http.app import Exact, Refusal
from apps.http.body import read_struct
from apps.http.caller import account_not_yours, caller_of
from apps.http.order_body import OrderBody, terms_of
from apps.http.problem import problem_doc
from apps.http.schema import schema_of
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.order_rules import OrderRules
from domain.execution.routing import NO_FRESH_QUOTE, NoRoute, Routing
from domain.execution.venue_health import VenueHealth
from domain.order.events import Candidate
from domain.order.terms import recorded
from domain.ports import Clock

PREVIEW_SCHEMA: Final = schema_of(OrderBody, example={"symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "account": "main"})
PREVIEW_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": PREVIEW_SCHEMA}}}},
    "responses": {
        200: {
            "description": "The venues that list the symbol, as `OrderRouted` would record them, and the choice: null if none may take it."
        },
        400: problem_doc("`malformed`, with a pointer to the field"),
        403: problem_doc("`account_not_yours`"),
        422: problem_doc("A submit would refuse it now: `unknown_symbol`, `price_off_tick`, `too_late_for_close` and the like"),
        503: problem_doc("`not_routing`: exeq is catching up, or another exeq is active; with Retry-After"),
    },
}
_DECODER: Final = msgspec.json.Decoder(OrderBody)


def router(shards: Executors, rules: OrderRules, clock: Clock) -> APIRouter:
    routes = APIRouter()

    @routes.post("/routes/preview", summary="Compare the venues for an order that is not sent", **PREVIEW_DOC)
    async def preview_route(request: Request) -> Response:
        """Return what routing would decide for this order now. No order is created, and no token is taken."""
        caller, read = caller_of(request.scope), read_struct(_DECODER, await request.body())
        own = "" if caller.account == EVERY_ACCOUNT else caller.account
        terms = terms_of(read, rules, own, clock.now_ns())
        if not caller.sees(terms.account):
            raise account_not_yours()
        executor = shards.of(terms.account)
        if not executor.known():
            raise Refusal(
                503, "not_routing", "exeq routes no orders now: it is catching up, or another exeq is active", headers={"Retry-After": "1"}
            )
        return Exact(preview_view(executor, executor.preview(recorded(terms, 0, ""))))

    return routes


def preview_view(executor: Executor, found: Routing | NoRoute) -> dict[str, Any]:
    """Build the choice with what it was chosen from; `reason` and `detail` are those of a refusal."""
    if isinstance(found, Routing):
        choice, reason, detail, waits = max(found.legs, key=lambda leg: leg.quantity).venue, None, None, False
        legs = [{"venue": leg.venue, "quantity": leg.quantity} for leg in found.legs]
    else:
        choice, reason, detail, waits, legs = None, found.reason, found.detail or None, found.waits, []
    return {
        "policy": executor.router.rules.policy,
        "choice": choice,
        "legs": legs,
        "reason": reason,
        "detail": detail,
        "waits": waits,
        "candidates": [_candidate(seen, executor.executions.health.get(seen.venue)) for seen in found.candidates],
    }


def _candidate(seen: Candidate, health: VenueHealth | None) -> dict[str, Any]:
    """Build a candidate in the words of the timeline, with whether it may take the order and how soon it usually answers."""
    latency = health.latency_ms if health is not None and health.answers else None
    return {**msgspec.structs.asdict(seen), "eligible": seen.note in (None, NO_FRESH_QUOTE), "latency_ms": latency}
