"""Endpoints of every service about itself, on its HTTP port and its metrics port."""

from fastapi import APIRouter, Request
from starlette.types import Receive, Scope, Send

from apps.http.app import Exact, Handler, Refusal, application, encode, send_json
from apps.http.authority import Authority
from apps.http.caller import Caller, caller_of
from apps.http.client_address import client_address, is_among
from apps.http.docs_page import FILES, PAGE
from apps.http.messages import send_problem
from apps.http.query import read_query
from apps.runtime import metrics
from apps.runtime.chassis import Chassis, S
from apps.runtime.health import Health
from domain.values import rfc3339

PATHS = ("/health", "/ready", "/stats", "/access/me", "/openapi.json", PAGE, *(f"{PAGE}/{name}" for name in FILES))
METRICS_PATHS = ("/metrics", "/health")


async def _answer(health: Health, good: str, bad: str) -> tuple[int, dict[str, str]]:
    reason = await health.trouble()
    return (200, {"status": good}) if reason is None else (503, {"status": bad, "reason": reason})


def router(chassis: Chassis[S]) -> APIRouter:
    """Return the routes /health, /ready and /stats of a service."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/health")
    async def health() -> Exact:
        """200 while the event loop runs and the dependencies answer."""
        status, answer = await _answer(chassis.health, "healthy", "unhealthy")
        return Exact(answer, status)

    @routes.get("/ready")
    async def ready() -> Exact:
        """200 once the service has caught up with the journal."""
        status, answer = await _answer(chassis.ready, "ready", "not_ready")
        return Exact(answer, status)

    @routes.get("/access/me")
    async def me(request: Request) -> Exact:
        """The caller: its key, owner, account and scopes, and what is left of the key's rate."""
        return Exact(_caller_view(chassis.authority, caller_of(request.scope)))

    @routes.get("/stats")
    async def stats() -> Exact:
        """Counts and latencies since the start of this process."""
        return Exact(chassis.stats())

    return routes


def _caller_view(authority: Authority, caller: Caller) -> dict[str, object]:
    key, rate = authority.keys.by_id.get(caller.key_id), authority.rate_of(caller)
    expires_at = key.expires_at if key else None
    return {
        "key_id": caller.key_id,
        "owner": caller.owner,
        "account": caller.account,
        "scopes": [str(scope) for scope in caller.scopes],
        "expires_at": None if expires_at is None else rfc3339(expires_at),
        "mode": authority.mode,
        "rate": None if rate is None else {"limit": rate.limit, "remaining": rate.remaining, "reset": rate.reset_s},
    }


def closed(chassis: Chassis[S], why: str) -> Handler:
    """Return the application while the service starts or stops: only operations endpoints answer, the rest is a 503."""
    own = application(chassis.name, router(chassis))
    refusal = Refusal(503, why, f"{chassis.name} is {why}", headers={"retry-after": "1", "connection": "close"}, outcome="not_accepted")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS:
            await own(scope, receive, send)
        else:
            await send_problem(send, refusal)

    return app


def gauges(chassis: Chassis[S]) -> Handler:
    """Return the application of the metrics port. It also has /health, out of reach of a flood on the HTTP port.

    Only loopback and `access.metrics_networks` may read /metrics: counts tell how an account trades. /health is open, as on the HTTP port.
    """
    access = chassis.settings.access

    async def answer(scope: Scope, send: Send) -> None:
        if scope["path"] not in METRICS_PATHS:
            raise Refusal(404, "not_found", f"this port serves {' and '.join(METRICS_PATHS)}")
        if scope["method"] != "GET":
            raise Refusal(405, "method_not_allowed", "this port accepts only GET", headers={"allow": "GET, HEAD"})
        read_query(scope["query_string"], ())
        if scope["path"] == "/metrics":
            if not is_among(client_address(scope, access.proxies), access.metrics_networks):
                raise Refusal(403, "network_refused", "metrics are read from loopback and access.metrics_networks only")
            await metrics.serve_metrics(chassis.registry, send)
        else:
            status, health = await _answer(chassis.health, "healthy", "unhealthy")
            await send_json(send, status, encode(health))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await answer(scope, send)
        except Refusal as refusal:
            await send_problem(send, refusal)

    return app
