"""`POST /kill`: a kill switch that needs only exeq, durable before the response."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from adapters.local_kills import LocalKill
from apps.connections.controls import THROWN, Scopes, kill_doc, texts_of_kill
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.http.app import Exact, Refusal
from apps.http.body import read_object
from apps.http.caller import caller_of
from apps.journal.publisher import Publisher
from domain.ports import Clock, Unavailable
from domain.values import rfc3339

LEAVE_S: Final = 1.0
"""How long requests that are already queued may take to leave this process."""


def router(switch: ExeqKillSwitch, publisher: Publisher, scopes: Scopes, clock: Clock) -> APIRouter:
    routes = APIRouter()

    @routes.get("/kill", summary="The kill switches set at exeq itself")
    async def show() -> Response:
        return Exact({"killed": [_view(kill) for _, kill in sorted(switch.local.items())]})

    @routes.post("/kill", summary="Set the kill switch at exeq itself, without NATS or other services", openapi_extra=kill_doc())
    async def throw(request: Request) -> Response:
        fields = read_object(await request.body(), THROWN)
        reason, who = texts_of_kill(fields, caller_of(request.scope))
        kill = LocalKill(scope=scopes.of(fields), who=who, reason=reason, at=clock.now_ns())
        try:
            switch.throw(kill)
        except Unavailable as trouble:
            raise Refusal(503, "not_durable", str(trouble), outcome="unknown", scope=kill.scope) from trouble
        left = await publisher.left(LEAVE_S)
        acknowledged = {"exeq": "yes" if left else "unknown"}
        body = {**_view(kill), "killed": True, "acknowledged": acknowledged, "obeyed": acknowledged}
        return Exact(body, status_code=200 if left else 202)

    return routes


def _view(kill: LocalKill) -> dict[str, Any]:
    return {"scope": kill.scope, "who": kill.who, "reason": kill.reason, "at": rfc3339(kill.at), "reported": kill.reported}
